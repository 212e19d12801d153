"""chatRooms and chatRoom: who sees what, in which order, and how lists go on."""

from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import UserId, Viewer
from rooms.domain.rooms import Invitation

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

LIST = """query Rooms($first: Int, $after: String, $search: String) {
  chatRooms(first: $first, after: $after, search: $search) { slug cursor }
}"""
ONE = """query Room($id: SafeInt, $slug: String) {
  chatRoom(id: $id, slug: $slug) { id slug createdBy roomType allowAnonymous connectionCount }
}"""


async def slugs(world: "World", viewer: Viewer | None = None, **variables: object) -> list[str]:
    data = await world.data(LIST, viewer, **variables)
    return [room["slug"] for room in data["chatRooms"]]


async def test_only_rooms_with_someone_in_them_are_listed(world: "World") -> None:
    world.put_room("busy")
    world.put_room("empty", connections=0)

    assert await slugs(world) == ["busy"]


async def test_private_rooms_are_listed_to_those_who_may_enter_alone(world: "World") -> None:
    room = world.put_room("secret", owner=world.ana, is_public=False)

    assert [await slugs(world, viewer) for viewer in (world.ana, world.admin, world.root)] == [["secret"]] * 3
    assert [await slugs(world, viewer) for viewer in (None, world.ben, world.mod)] == [[]] * 3
    await world.catalog.invite(room, Invitation(room.slug, world.ben.user_id, world.ana.user_id, room.created_at))
    assert await slugs(world, world.ben) == ["secret"]


async def test_after_takes_the_cursor_of_an_element(world: "World") -> None:
    for number in range(5):
        world.put_room(f"room-{number}")
    first = await world.data(LIST, None, first=2)
    cursor = first["chatRooms"][-1]["cursor"]

    assert [room["slug"] for room in first["chatRooms"]] == ["room-4", "room-3"]
    assert await slugs(world, first=2, after=cursor) == ["room-2", "room-1"]


@pytest.mark.parametrize(("asked", "given"), [(7, 7), (100, 100), (101, 100), (2147483647, 100), (None, 50)])
async def test_lists_are_clamped_to_100_and_null_is_the_default(world: "World", asked: int | None, given: int) -> None:
    await world.data(LIST, None, first=asked)

    assert world.catalog.asked == [f"list_rooms first={given} search=None"]


async def test_without_first_a_list_has_50(world: "World") -> None:
    await world.data("{ chatRooms { id } }")

    assert world.catalog.asked == ["list_rooms first=50 search=None"]


@pytest.mark.parametrize("first", [0, -1, -2147483648])
async def test_a_list_of_nothing_or_less_is_invalid(world: "World", first: int) -> None:
    assert await world.refusal(LIST, None, first=first) == "INVALID"
    assert world.catalog.asked == []


@pytest.mark.parametrize(
    "cursor", ["garbage", "é", "cm9vbTo=", "cm9vbTotMQ", "c2FuY3Rpb246Mw", "cm9vbTow", "A" * 5000, "cm9v\nbTox"]
)
async def test_what_is_no_cursor_of_the_list_is_invalid(world: "World", cursor: str) -> None:
    assert await world.refusal(LIST, None, after=cursor) == "INVALID"


async def test_search_looks_for_text_and_empty_search_for_everything(world: "World") -> None:
    world.put_room("cats")
    world.put_room("dogs")

    assert await slugs(world, search="cat") == ["cats"]
    assert await slugs(world, search="") == ["dogs", "cats"]


async def test_search_is_in_the_unicode_form_of_slugs(world: "World") -> None:
    world.put_room("caf\u00e9")

    assert await slugs(world, search="cafe\u0301") == ["caf\u00e9"]


@pytest.mark.parametrize("search", ["x" * 201, "a\x00b", "\ud800"])
async def test_a_search_that_no_database_takes_is_invalid(world: "World", search: str) -> None:
    assert await world.refusal(LIST, None, search=search) == "INVALID"


async def test_a_room_is_found_by_id_and_by_slug(world: "World") -> None:
    world.put_room("live-general", connections=3)
    shown = {
        "id": 1,
        "slug": "live-general",
        "createdBy": 1,
        "roomType": "live",
        "allowAnonymous": True,
        "connectionCount": 3,
    }

    assert await world.data(ONE, None, id=1) == {"chatRoom": shown}
    assert await world.data(ONE, None, slug="live-general") == {"chatRoom": shown}


async def test_a_slug_is_found_in_any_unicode_form(world: "World") -> None:
    world.put_room("caf\u00e9")

    assert (await world.data(ONE, None, slug="cafe\u0301"))["chatRoom"]["slug"] == "caf\u00e9"


@pytest.mark.parametrize("slug", ["nothing", "", ".hidden", "a b", "a\x00b", "x" * 129])
async def test_a_slug_that_nothing_answers_to_gives_null(world: "World", slug: str) -> None:
    assert await world.data(ONE, None, slug=slug) == {"chatRoom": None}


@pytest.mark.parametrize("room_id", [99, 0, -1, 2**53 - 1])
async def test_an_id_that_nothing_answers_to_gives_null(world: "World", room_id: int) -> None:
    assert await world.data(ONE, None, id=room_id) == {"chatRoom": None}


async def test_a_private_room_is_null_for_who_may_not_enter(world: "World") -> None:
    world.put_room("secret", owner=world.ana, is_public=False)

    strangers = [await world.data(ONE, viewer, slug="secret") for viewer in (None, world.ben, world.mod)]
    friends = [await world.data(ONE, viewer, slug="secret") for viewer in (world.ana, world.admin, world.root)]

    assert strangers == [{"chatRoom": None}] * 3
    assert [data["chatRoom"]["slug"] for data in friends] == ["secret"] * 3


async def test_the_user_with_id_1_does_not_own_what_was_created_by_itself(world: "World") -> None:
    world.put_room("auto", is_public=False)
    system = Viewer(UserId(1), "first", world.ana.rank)

    assert await world.data(ONE, system, slug="auto") == {"chatRoom": None}


async def test_a_room_needs_either_an_id_or_a_slug(world: "World") -> None:
    assert await world.refusal(ONE, None) == "INVALID"
    assert await world.refusal(ONE, None, id=None, slug=None) == "INVALID"
    assert await world.refusal(ONE, None, id=1, slug="a") == "INVALID"
    assert await world.refusal(ONE, None, id=1, slug="not a slug") == "INVALID"

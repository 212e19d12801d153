"""The contract's fields on real tables."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from rooms.domain.membership import JoinRefusal, Membership
from rooms.domain.people import Viewer

if TYPE_CHECKING:
    from services.rooms.tests.integration.graphql.conftest import Stage

pytestmark = pytest.mark.integration

ROOMS = """query Q($first: Int, $after: String, $search: String) {
  chatRooms(first: $first, after: $after, search: $search) { slug cursor }
}"""
CREATE = """mutation Create($name: String!, $slug: String, $public: Boolean) {
  createChatRoom(name: $name, slug: $slug, description: "Chat public", isPublic: $public) { id slug name createdAt }
}"""


async def slugs(stage: "Stage", viewer: Viewer | None = None, **variables: object) -> list[str]:
    data = await stage.data(ROOMS, viewer, **variables)
    return [room["slug"] for room in data["chatRooms"]]


async def test_a_created_room_is_listed_from_its_first_visitor_on_and_gone_with_the_last(stage: "Stage") -> None:
    created = await stage.data(CREATE, stage.ana, name="Discussion Générale", slug="live-general")

    assert created["createChatRoom"]["id"] == 1_000_000_000
    assert created["createChatRoom"]["createdAt"].startswith("2025-11-27T16:30:0")
    assert await slugs(stage) == []
    connection, outcome = await stage.connect("live-general")
    assert isinstance(outcome, Membership)
    assert outcome.room_id == 1_000_000_000
    assert await slugs(stage) == ["live-general"]
    await stage.disconnect(connection)
    assert await slugs(stage) == []
    kept = await stage.data('{ chatRoom(slug: "live-general") { id name description participantCount } }')
    assert kept["chatRoom"] == {
        "id": 1_000_000_000,
        "name": "Discussion Générale",
        "description": "Chat public",
        "participantCount": 0,
    }


async def test_an_auto_created_room_is_shown_as_the_document_says(stage: "Stage") -> None:
    await stage.connect("my-stream")

    data = await stage.data(
        '{ chatRoom(slug: "my-stream") { name description isPublic allowAnonymous'
        " roomType createdBy connectionCount } }"
    )

    assert data["chatRoom"] == {
        "name": "my-stream",
        "description": None,
        "isPublic": True,
        "allowAnonymous": True,
        "roomType": "live",
        "createdBy": 1,
        "connectionCount": 1,
    }


async def test_people_are_counted_once_and_anonymous_connections_each(stage: "Stage") -> None:
    for user in (stage.ana, stage.ana, stage.ben, None):
        await stage.connect("room", user)
    for user in (None, stage.admin):
        connection, _ = await stage.connect("room", user)
        await stage.disconnect(connection)

    data = await stage.data(
        "{ chatRooms { participantCount connectionCount participants { userId state connectionCount } } }"
    )

    assert data["chatRooms"] == [
        {
            "participantCount": 3,
            "connectionCount": 4,
            "participants": [
                {"userId": 10, "state": "ONLINE", "connectionCount": 2},
                {"userId": 11, "state": "ONLINE", "connectionCount": 1},
                {"userId": None, "state": "ONLINE", "connectionCount": 1},
                {"userId": 30, "state": "OFFLINE", "connectionCount": 0},
            ],
        }
    ]


async def test_a_new_life_knows_nobody_of_the_last_one(stage: "Stage") -> None:
    connection, _ = await stage.connect("room", stage.ana)
    await stage.disconnect(connection)
    await stage.connect("room", stage.ben)

    data = await stage.data('{ chatRoom(slug: "room") { participants { username } } }')

    assert data["chatRoom"]["participants"] == [{"username": "ben"}]


async def test_lists_of_rooms_and_people_go_on_after_a_cursor_without_loss(stage: "Stage") -> None:
    for number in range(7):
        await stage.connect(f"room-{number}")
    seen: list[str] = []
    after = None
    while page := (await stage.data(ROOMS, None, first=3, after=after))["chatRooms"]:
        seen += [room["slug"] for room in page]
        after = page[-1]["cursor"]

    assert seen == [f"room-{number}" for number in reversed(range(7))]


async def test_participants_of_many_rooms_are_paged_each_for_itself(stage: "Stage") -> None:
    for slug in ("a", "b"):
        for user in (stage.ana, stage.ben, stage.admin):
            await stage.connect(slug, user)

    data = await stage.data("{ chatRooms { slug participants(first: 2) { username cursor state } } }")
    cursor = data["chatRooms"][0]["participants"][-1]["cursor"]
    rest = await stage.data(
        'query Q($after: String) { chatRoom(slug: "b") { participants(after: $after) { username } } }', after=cursor
    )

    assert [(r["slug"], [p["username"] for p in r["participants"]]) for r in data["chatRooms"]] == [
        ("b", ["ana", "ben"]),
        ("a", ["ana", "ben"]),
    ]
    assert rest["chatRoom"]["participants"] == [{"username": "admin"}]
    assert len(stage.quiet.asked) == 1


@pytest.mark.parametrize("search", ["cat", "CAT", "Cat"])
async def test_search_finds_slugs_whatever_the_case(stage: "Stage", search: str) -> None:
    await stage.connect("Cats-live")
    await stage.connect("dogs")

    assert await slugs(stage, search=search) == ["Cats-live"]


async def test_search_takes_its_text_literally(stage: "Stage") -> None:
    for slug in ("a_b", "axb"):
        await stage.connect(slug)

    assert await slugs(stage, search="a_b") == ["a_b"]
    assert await slugs(stage, search="%") == []
    assert await slugs(stage, search="!") == []
    assert await slugs(stage, search="'\"\\") == []


async def test_a_private_room_is_there_for_creator_invited_and_admin_alone(stage: "Stage") -> None:
    await stage.data(CREATE, stage.ana, name="Secret", slug="secret", public=False)
    await stage.connect("secret", stage.ana)

    assert await slugs(stage, stage.ana) == await slugs(stage, stage.admin) == ["secret"]
    assert await slugs(stage) == await slugs(stage, stage.ben) == []
    assert (await stage.connect("secret", stage.ben))[1] is JoinRefusal.ACCESS_DENIED
    await stage.data('mutation { inviteToChatRoom(slug: "secret", userId: 11) { userId } }', stage.ana)
    assert await slugs(stage, stage.ben) == ["secret"]
    assert isinstance((await stage.connect("secret", stage.ben))[1], Membership)
    assert await stage.data('mutation { revokeInvitation(slug: "secret", userId: 11) }', stage.ana) == {
        "revokeInvitation": True
    }
    assert await slugs(stage, stage.ben) == []


async def test_restrictions_outlive_the_room(stage: "Stage") -> None:
    await stage.data(CREATE, stage.ana, name="Secret", slug="secret", public=False)
    connection, first = await stage.connect("secret", stage.ana)
    await stage.disconnect(connection)

    assert (await stage.connect("secret", stage.ben))[1] is JoinRefusal.ACCESS_DENIED
    _, second = await stage.connect("secret", stage.ana)

    assert isinstance(first, Membership)
    assert isinstance(second, Membership)
    assert (second.room_id, second.life > first.life) == (first.room_id, True)


async def test_slugs_made_from_a_name_stay_unique_also_at_once(stage: "Stage") -> None:
    made = await asyncio.gather(*(stage.data(CREATE, stage.ana, name="Été") for _ in range(8)))

    rooms = [data["createChatRoom"] for data in made]
    assert {room["slug"] for room in rooms} == {"été"} | {f"été-{number}" for number in range(2, 9)}
    assert len({room["id"] for room in rooms}) == 8


async def test_one_of_many_who_want_a_slug_at_once_gets_it(stage: "Stage") -> None:
    answers = await asyncio.gather(*(stage.answer(CREATE, stage.ana, name="Room", slug="wanted") for _ in range(8)))

    codes = [answer["errors"][0]["extensions"]["code"] for answer in answers if "errors" in answer]
    assert codes == ["CONFLICT"] * 7


async def test_a_slug_that_lives_or_is_kept_for_somebody_else_is_a_conflict(stage: "Stage") -> None:
    await stage.connect("living")
    await stage.data(CREATE, stage.ana, name="Mine", slug="mine")
    connection, _ = await stage.connect("mine")
    await stage.disconnect(connection)

    assert await stage.refusal(CREATE, stage.ana, name="Room", slug="living") == "CONFLICT"
    assert await stage.refusal(CREATE, stage.ben, name="Room", slug="mine") == "CONFLICT"
    again = await stage.data(CREATE, stage.ana, name="Mine again", slug="mine")
    assert again["createChatRoom"]["name"] == "Mine again"


async def test_an_update_holds_in_the_next_life(stage: "Stage") -> None:
    created = await stage.data(CREATE, stage.ana, name="Mine", slug="mine")
    await stage.data(
        'mutation U($id: SafeInt!) { updateChatRoom(id: $id, name: "New", description: null, allowAnonymous: false)'
        " { id } }",
        stage.ana,
        id=created["createChatRoom"]["id"],
    )
    connection, _ = await stage.connect("mine", stage.ben)
    await stage.disconnect(connection)

    data = await stage.data('{ chatRoom(slug: "mine") { name description allowAnonymous createdBy } }')
    assert data["chatRoom"] == {"name": "New", "description": None, "allowAnonymous": False, "createdBy": 10}
    assert (await stage.connect("mine"))[1] is JoinRefusal.ACCESS_DENIED


async def test_deleting_a_room_forgets_its_settings_and_tells_the_edges(stage: "Stage") -> None:
    created = await stage.data(CREATE, stage.ana, name="Secret", slug="secret", public=False)
    _, membership = await stage.connect("secret", stage.ana)
    assert isinstance(membership, Membership)

    await stage.data(
        "mutation D($id: SafeInt!) { deleteChatRoom(id: $id) }", stage.ana, id=created["createChatRoom"]["id"]
    )

    assert [ended.life for ended in stage.quiet.deleted] == [membership.life]
    assert await stage.data('{ chatRoom(slug: "secret") { id } }', stage.admin) == {"chatRoom": None}
    assert isinstance((await stage.connect("secret"))[1], Membership)


async def test_a_video_is_registered_once_and_renamed_after(stage: "Stage") -> None:
    register = "mutation R($title: String!) { registerVideo(id: 42, title: $title) { id title createdAt } }"
    first = await stage.data(register, stage.admin, title="Été")
    second = await stage.data(register, stage.admin, title="Hiver")

    assert second["registerVideo"] == {**first["registerVideo"], "title": "Hiver"}

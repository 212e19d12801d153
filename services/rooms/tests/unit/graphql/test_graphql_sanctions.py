"""sanctions() and liftSanction: for moderators and above; moderation decides who may lift what."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

LIST = """query Sanctions($slug: String, $active: Boolean, $first: Int, $after: String) {
  sanctions(slug: $slug, active: $active, first: $first, after: $after) { id cursor }
}"""
LIFT = "mutation Lift($id: SafeInt!) { liftSanction(id: $id) { id active liftedAt } }"


async def test_sanctions_are_for_moderators_and_above(world: "World") -> None:
    assert await world.refusal("{ sanctions { id } }") == "UNAUTHENTICATED"
    assert await world.refusal("{ sanctions { id } }", world.ana) == "FORBIDDEN"
    for viewer in (world.mod, world.admin, world.root):
        assert await world.data("{ sanctions { id } }", viewer) == {"sanctions": []}


async def test_a_sanction_has_every_field_of_the_contract(world: "World") -> None:
    world.put_sanction("mute", user_id=10, slug="room", expires_in_minutes=60)
    world.put_sanction("ban", username="Anonymous_192.168.1.10")

    data = await world.data(
        "{ sanctions { id action targetUserId targetUsername scope slug reason moderatorUserId createdAt expiresAt"
        " liftedAt active cursor } }",
        world.mod,
    )

    assert data["sanctions"] == [
        {
            "id": 2,
            "action": "ban",
            "targetUserId": None,
            "targetUsername": "Anonymous_192.168.1.10",
            "scope": "everywhere",
            "slug": None,
            "reason": None,
            "moderatorUserId": 30,
            "createdAt": "2025-11-27T14:30:00.123Z",
            "expiresAt": None,
            "liftedAt": None,
            "active": True,
            "cursor": "c2FuY3Rpb246Mg",
        },
        {
            "id": 1,
            "action": "mute",
            "targetUserId": 10,
            "targetUsername": None,
            "scope": "room",
            "slug": "room",
            "reason": None,
            "moderatorUserId": 30,
            "createdAt": "2025-11-27T14:30:00.123Z",
            "expiresAt": "2025-11-27T17:30:00.123Z",
            "liftedAt": None,
            "active": True,
            "cursor": "c2FuY3Rpb246MQ",
        },
    ]


async def test_only_active_ones_unless_the_past_is_asked_for(world: "World") -> None:
    world.put_sanction("mute", user_id=10, expires_in_minutes=-1)
    world.put_sanction("mute", user_id=11)

    default = await world.data("{ sanctions { id active } }", world.mod)
    everything = await world.data("{ sanctions(active: false) { id active } }", world.mod)

    assert default["sanctions"] == [{"id": 2, "active": True}]
    assert everything["sanctions"] == [{"id": 2, "active": True}, {"id": 1, "active": False}]


async def test_sanctions_are_paged_newest_first_and_filtered_by_slug(world: "World") -> None:
    for number in range(1, 6):
        world.put_sanction("mute", user_id=number, slug="odd" if number % 2 else "even")
    first = await world.data(LIST, world.mod, slug="odd", active=True, first=2)
    cursor = first["sanctions"][-1]["cursor"]

    second = await world.data(LIST, world.mod, slug="odd", active=True, first=2, after=cursor)

    assert [s["id"] for s in first["sanctions"]] == [5, 3]
    assert [s["id"] for s in second["sanctions"]] == [1]


@pytest.mark.parametrize(("asked", "given"), [(101, 100), (2147483647, 100), (None, 50)])
async def test_lists_of_sanctions_are_clamped(world: "World", asked: int | None, given: int) -> None:
    await world.data(LIST, world.mod, active=True, first=asked)

    assert world.moderation.asked == [f"list_sanctions None True {given} None"]


async def test_bad_arguments_are_invalid_before_moderation_is_asked(world: "World") -> None:
    assert await world.refusal(LIST, world.mod, first=0) == "INVALID"
    assert await world.refusal(LIST, world.mod, after="nonsense") == "INVALID"
    assert await world.refusal(LIST, world.mod, slug="a\x00b") == "INVALID"
    assert world.moderation.asked == []


async def test_moderation_away_is_unavailable(world: "World") -> None:
    world.moderation.is_away = True

    assert await world.refusal("{ sanctions { id } }", world.mod) == "UNAVAILABLE"
    assert await world.refusal(LIFT, world.mod, id=1) == "UNAVAILABLE"


async def test_who_could_have_imposed_a_sanction_lifts_it(world: "World") -> None:
    world.put_sanction("mute", user_id=10)

    data = await world.data(LIFT, world.mod, id=1)

    assert data == {"liftSanction": {"id": 1, "active": False, "liftedAt": "2025-11-27T16:30:00.123Z"}}


async def test_who_could_not_have_imposed_a_sanction_is_refused(world: "World") -> None:
    world.put_sanction("ban", user_id=10)

    assert await world.refusal(LIFT, None, id=1) == "UNAUTHENTICATED"
    assert await world.refusal(LIFT, world.ana, id=1) == "FORBIDDEN"
    assert await world.refusal(LIFT, world.mod, id=1) == "FORBIDDEN"
    assert world.moderation.sanctions[0].lifted_at is None
    await world.data(LIFT, world.admin, id=1)


@pytest.mark.parametrize("sanction_id", [99, 0, -1])
async def test_lifting_what_is_not_there_is_not_found(world: "World", sanction_id: int) -> None:
    assert await world.refusal(LIFT, world.mod, id=sanction_id) == "NOT_FOUND"

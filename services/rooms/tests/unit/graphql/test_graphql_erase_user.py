"""eraseUser: for admins; moderation first, which decides whether they may, then the names and blocks here."""

from typing import TYPE_CHECKING

from rooms.domain.audit import RoomLog
from rooms.domain.people import Life, RoomId, Slug
from rooms.errors import NotPermitted

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

ERASE = (
    "mutation($userId: SafeInt!, $reason: String) { eraseUser(userId: $userId, reason: $reason) { actionId purged } }"
)


async def test_a_user_is_erased_in_moderation_with_the_rooms_that_live_and_then_here(world: "World") -> None:
    world.logs += [(Slug(f"r{n}"), RoomLog(RoomId(n), Life(n), 0)) for n in range(1, 102)]
    erased = (await world.data(ERASE, world.admin, userId=66, reason="Asked for it"))["eraseUser"]
    assert erased == {"actionId": 78, "purged": [f"r{n}" for n in range(1, 102)]}
    names = [f"r{n}" for n in range(1, 102)]
    assert world.moderation.asked == [
        f"erase 66 None {names[:100]} 'Asked for it'",
        f"erase 66 None {names[100:]} 'Asked for it'",
    ]
    assert world.erased == [66]


async def test_who_was_in_no_room_that_lives_is_erased_all_the_same(world: "World") -> None:
    assert (await world.data(ERASE, world.admin, userId=66))["eraseUser"] == {"actionId": 78, "purged": []}
    assert world.moderation.asked == ["erase 66 None [] ''"]


async def test_erasing_is_for_admins_and_where_moderation_refuses_nothing_is_erased_here(world: "World") -> None:
    assert await world.refusal(ERASE, None, userId=66) == "UNAUTHENTICATED"
    for who in (world.ana, world.mod):
        assert await world.refusal(ERASE, who, userId=66) == "FORBIDDEN"
    assert await world.refusal(ERASE, world.admin, userId=0) == "INVALID"
    world.moderation.refusals[0] = NotPermitted()
    assert await world.refusal(ERASE, world.admin, userId=66) == "FORBIDDEN"
    assert world.erased == []

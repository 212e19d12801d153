"""Anonymous people who come back with the key that they had, on SQLite and on PostgreSQL."""

from typing import TYPE_CHECKING

from rooms.domain.membership import Arrival, BySlug, HeldConnection, Membership
from rooms.domain.people import ConnectionId, EdgeId, ParticipantKey, Person, Rank, Slug, UserId
from rooms.domain.presence import Changes

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

EDGE, OTHER_EDGE = EdgeId("e" * 32), EdgeId("f" * 32)
KEY = ParticipantKey(f"c:{EDGE}:1")
BACK = Person(None, "Anonymous_127.0.0.1", Rank.ANONYMOUS, KEY)


async def come_back(replica: "Replica", *connections: int) -> Membership:
    """By another edge."""
    arrivals = [Arrival(ConnectionId(number), BySlug(Slug("a")), BACK) for number in connections]
    outcome = (await replica.join_all(arrivals, OTHER_EDGE))[-1]
    assert isinstance(outcome, Membership)
    return outcome


def joined(replica: "Replica") -> list[str]:
    return [p.key for p in replica.heard[-1].presence[0].joined]


def left(changes: Changes) -> list[str]:
    return [p.key for change in changes.presence for p in change.left]


async def people(replica: "Replica", membership: Membership) -> list[tuple[str, int]]:
    found = await replica.catalog.list_participants([membership.life], first=9, after=None)
    return [(p.key, p.connection_count) for p in found[membership.life]]


async def test_who_was_away_is_the_same_participant_and_is_not_announced_again(replica: "Replica") -> None:
    await replica.enter(9, "a", 9)
    await replica.enter(1, "a", None)
    await replica.leave(1, away=True)
    back = await come_back(replica, 5)
    assert (joined(replica), back.connection_count) == ([], 2)
    assert await people(replica, back) == [("u:9", 1), (KEY, 1)]
    await replica.away_for_long()
    assert await replica.sweep() == Changes()
    assert left(await replica.leave(5, edge=OTHER_EDGE)) == [KEY]
    assert await people(replica, back) == [("u:9", 1)]


async def test_who_comes_back_without_a_key_is_somebody_new_and_the_one_of_before_has_left_in_time(
    replica: "Replica",
) -> None:
    await replica.enter(1, "a", None)
    await replica.leave(1, away=True)
    again = await replica.enter(5, "a", None, OTHER_EDGE)
    assert joined(replica) == [f"c:{OTHER_EDGE}:5"]
    await replica.away_for_long()
    assert left(await replica.sweep()) == [KEY]
    assert await people(replica, again) == [(f"c:{OTHER_EDGE}:5", 1)]


async def test_who_has_left_is_announced_under_the_key_of_before(replica: "Replica") -> None:
    await replica.enter(9, "a", 9)
    await replica.enter(1, "a", None)
    assert left(await replica.leave(1)) == [KEY]
    await come_back(replica, 5)
    assert joined(replica) == [KEY]


async def test_two_connections_with_one_key_are_one_participant_until_the_older_one_is_closed(
    replica: "Replica",
) -> None:
    await replica.enter(9, "a", 9)
    await replica.enter(1, "a", None)
    back = await come_back(replica, 5)
    assert (joined(replica), back.connection_count, await people(replica, back)) == ([], 3, [("u:9", 1), (KEY, 2)])
    assert left(await replica.leave(1)) == []
    assert await people(replica, back) == [("u:9", 1), (KEY, 1)]
    assert left(await replica.leave(5, edge=OTHER_EDGE)) == [KEY]
    assert await people(replica, back) == [("u:9", 1)]


async def test_two_connections_with_one_key_that_come_and_go_in_one_batch_are_announced_once(
    replica: "Replica",
) -> None:
    await replica.enter(9, "a", 9)
    back = await come_back(replica, 5, 6)
    assert (joined(replica), back.connection_count) == ([KEY], 3)
    assert left(await replica.leave(5, 6, edge=OTHER_EDGE)) == [KEY]
    assert await people(replica, back) == [("u:9", 1)]


async def test_who_came_back_is_the_same_also_when_their_edge_registers_them_again(replica: "Replica") -> None:
    await replica.enter(1, "a", None)
    back = await come_back(replica, 5)
    await replica.heartbeat_late(OTHER_EDGE)
    assert left(await replica.sweep()) == []
    held = HeldConnection(ConnectionId(5), back.room_id, back.life, back.slug, BACK, back.partition)
    lost, changes = await replica.sync(held, edge=OTHER_EDGE)
    assert (lost, [p.key for change in changes.presence for p in change.joined]) == ([], [])
    assert await people(replica, back) == [(KEY, 2)]


def test_a_user_is_known_by_their_id_whatever_key_is_shown() -> None:
    assert Person(None, "x", Rank.ANONYMOUS).key(EDGE, ConnectionId(1)) == KEY
    assert BACK.key(OTHER_EDGE, ConnectionId(5)) == KEY
    assert Person(UserId(7), "ana", Rank.USER, KEY).key(EDGE, ConnectionId(1)) == "u:7"

"""People whom the server sent away with 1012 and who may come back, on SQLite and on PostgreSQL."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from rooms.domain.leases import Lease
from rooms.domain.people import EdgeId, Slug, UserId
from rooms.domain.presence import Changes
from rooms.domain.rooms import ParticipantState, RoomPolicy

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

EDGE, OTHER_EDGE, THIRD_EDGE = EdgeId("e" * 32), EdgeId("f" * 32), EdgeId("0" * 32)
MakeReplica = Callable[[str, RoomPolicy], Awaitable["Replica"]]


def left(changes: Changes) -> list[UserId | None]:
    return [p.user_id for change in changes.presence for p in change.left]


def joined(replica: "Replica") -> list[UserId | None]:
    """Of the last transaction."""
    return [p.user_id for change in replica.heard[-1].presence for p in change.joined]


async def test_whoever_is_sent_away_is_not_counted_at_once_and_is_announced_as_left_when_the_time_is_up(
    replica: "Replica",
) -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(1, "a", 8, OTHER_EDGE)
    (change,) = (await replica.leave(1, away=True)).presence
    assert (change.connection_count, change.left, change.left_count) == (1, (), 0)
    assert (await replica.sweep()).presence == ()
    await replica.away_for_long()
    (told,) = (await replica.sweep()).presence
    assert ([p.user_id for p in told.left], told.left_count, told.connection_count) == ([7], 1, 1)
    assert (change.version, told.first_version, told.version) == (3, 4, 4)
    assert (await replica.sweep()).presence == ()


async def test_being_away_lasts_15_seconds_of_the_databases_clock(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.leave(1, away=True)
    async with replica.database.session() as session:
        (row,) = await session.fetch(f"SELECT away_until_ms - {session.now_ms} AS left_ms FROM participant")
    assert 10_000 < row["left_ms"] <= 15_000
    replica.later(days=1)
    assert await replica.sweep() == Changes(), "the clock of the process has no say"


async def test_who_comes_back_is_not_announced_again_and_leaves_as_everybody_does(replica: "Replica") -> None:
    await replica.enter(1, "a", 8, OTHER_EDGE)
    first = await replica.enter(1, "a", 7)
    await replica.leave(1, away=True)
    again = await replica.enter(1, "a", 7, THIRD_EDGE)
    assert (again.life, again.connection_count, joined(replica)) == (first.life, 2, [])
    assert replica.heard[-1].presence[0].joined_count == 0
    await replica.away_for_long()
    assert (await replica.sweep()).presence == ()
    assert left(await replica.leave(1, edge=THIRD_EDGE)) == [7]


async def test_a_room_that_is_empty_of_all_but_those_away_keeps_its_life_for_whoever_comes(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    assert (await replica.leave(1, away=True)).ended == ()
    assert await replica.sweep() == Changes()
    other = await replica.enter(1, int(first.room_id), 8, OTHER_EDGE)
    assert (other.life, other.connection_count) == (first.life, 1)
    assert (await replica.leave(1, edge=OTHER_EDGE)).ended == ()
    assert await replica.memberships.stats() == {}
    assert await replica.catalog.list_rooms(None, first=10, after=None, search=None) == []
    assert (await replica.enter(2, "a", 7)).life == first.life
    assert [ended.life for ended in (await replica.leave(2)).ended] == [first.life]


async def test_a_room_ends_when_the_time_of_the_last_one_away_is_up(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    await replica.leave(1, away=True)
    await replica.away_for_long()
    changes = await replica.sweep()
    assert ([ended.life for ended in changes.ended], changes.presence) == ([first.life], ())
    assert (await replica.enter(2, "a", 7)).life > first.life


async def test_a_room_is_kept_for_the_grace_when_nobody_is_away_any_more(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(empty_grace_ms=30_000))
    first = await replica.enter(1, "a", 7)
    await replica.leave(1, away=True)
    await replica.away_for_long()
    assert left(await replica.sweep()) == [7]
    replica.later(seconds=29)
    assert (await replica.sweep()).ended == ()
    replica.later(seconds=2)
    assert [ended.life for ended in (await replica.sweep()).ended] == [first.life]


async def test_the_release_of_the_edge_and_the_end_of_its_lease_take_nobody_away(replica: "Replica") -> None:
    for edge in (EDGE, OTHER_EDGE):
        await replica.enter(1, "a", 7 if edge is EDGE else 8, edge)
        await replica.leave(1, edge=edge, away=True)
    assert await replica.release() == Changes()
    await replica.heartbeat_late(OTHER_EDGE)
    assert await replica.sweep() == Changes()
    assert await replica.leases.renew(OTHER_EDGE) == Lease(False, 0)
    await replica.enter(1, "a", 7, THIRD_EDGE)
    assert joined(replica) == []


async def test_a_second_drain_while_somebody_is_away_begins_their_time_anew(replica: "Replica") -> None:
    await replica.enter(1, "a", 9, THIRD_EDGE)
    await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 7)
    await replica.leave(1, away=True)
    await replica.enter(1, "a", 7, OTHER_EDGE)
    await replica.leave(2, away=True)
    await replica.away_for_long()
    await replica.leave(1, edge=OTHER_EDGE, away=True)
    assert (await replica.sweep()).presence == (), "the time of the last one counts"
    await replica.enter(2, "a", 7, THIRD_EDGE)
    await replica.enter(3, "a", 7, THIRD_EDGE)
    assert left(await replica.leave(2, 3, edge=THIRD_EDGE)) == [7], "both came back"


async def test_somebody_with_one_connection_away_and_one_open_has_left_when_neither_is_there(
    replica: "Replica",
) -> None:
    await replica.enter(1, "a", 9, THIRD_EDGE)
    for user_id in (7, 8):
        await replica.enter(user_id, "a", user_id)
        await replica.enter(user_id, "a", user_id, OTHER_EDGE)
    await replica.leave(7, 8, away=True)
    assert left(await replica.leave(7, edge=OTHER_EDGE)) == []
    await replica.away_for_long()
    assert left(await replica.sweep()) == [7]
    assert left(await replica.leave(8, edge=OTHER_EDGE)) == [8]


async def test_a_deleted_room_ends_with_those_away(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    await replica.leave(1, away=True)
    await replica.catalog.delete_room(await replica.found("a"))
    await replica.away_for_long()
    assert await replica.sweep() == Changes()
    await replica.leases.reap(now=replica.now)
    assert await replica.rows("participant") == 0
    assert (await replica.enter(2, "a", 7)).life > first.life
    assert joined(replica) == [7]


async def test_who_is_away_is_in_the_snapshot_and_is_listed_as_offline_and_not_counted(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    await replica.enter(1, "a", 8, OTHER_EDGE)
    await replica.enter(2, "a", None)
    await replica.leave(1, 2, away=True)
    snapshot = await replica.snapshot(first.life)
    assert [(p.user_id, p.version) for p in snapshot.participants] == [(7, 1), (8, 2), (None, 3)]
    assert (snapshot.connection_count, await replica.catalog.count_people([first.life])) == (1, {first.life: 1})
    people = (await replica.catalog.list_participants([first.life], first=9, after=None))[first.life]
    offline, online = ParticipantState.OFFLINE, ParticipantState.ONLINE
    assert [(p.user_id, p.state) for p in people] == [(7, offline), (8, online), (None, offline)]
    await replica.away_for_long()
    await replica.sweep()
    people = (await replica.catalog.list_participants([first.life], first=9, after=None))[first.life]
    assert [(p.user_id, p.state) for p in people] == [(7, offline), (8, online)]


async def test_in_a_crowded_room_those_alone_are_announced_who_were_announced_on_coming(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(presence_limit=2))
    for number in range(1, 6):
        await replica.enter(number, "a", number)
    await replica.leave(1, 4, away=True)
    await replica.away_for_long()
    (change,) = (await replica.sweep()).presence
    assert ([p.user_id for p in change.left], change.left_count, change.crowded) == ([1], 2, True)


async def test_many_who_do_not_come_back_are_announced_in_parts_that_follow_on_each_other(replica: "Replica") -> None:
    await replica.enter(1, "a", 10_000, OTHER_EDGE)
    for start in (1, 1001, 2001):
        await replica.join_all([replica.arrival(n, "a", n) for n in range(start, start + 1000)])
    for start in (1, 1001, 2001):
        await replica.leave(*range(start, start + 1000), away=True)
    await replica.away_for_long()
    changes = await replica.sweep()
    assert [change.left_count for change in changes.presence] == [1000, 1000, 1000]
    versions = [(change.first_version, change.version) for change in changes.presence]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(versions))
    assert {change.connection_count for change in changes.presence} == {1}


async def test_whatever_meets_who_is_told_of_is_who_is_there(fresh_database: str, make_replica: MakeReplica) -> None:
    """Drains, returns, leaves and sweeps of two replicas at once: what was announced comes to the snapshot."""
    pair = [await make_replica(fresh_database, RoomPolicy())]
    pair.append(pair[0] if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy()))
    first = await pair[0].enter(1, "a", 1000, THIRD_EDGE)
    numbers = random.Random(7)

    async def visit(user_id: int) -> None:
        replica = pair[user_id % 2]
        for turn in range(1, 7):
            edge = EdgeId(f"{user_id * 100 + turn:032x}")
            await replica.enter(1, "a", user_id, edge)
            await replica.leave(1, edge=edge, away=numbers.random() < 0.7)

    async def sweep() -> None:
        for turn in range(12):
            await pair[turn % 2].away_for_long()
            await pair[turn % 2].sweep_heard()

    await asyncio.gather(*(visit(user_id) for user_id in range(1, 7)), sweep(), sweep())
    await pair[0].away_for_long()
    await pair[0].sweep_heard()
    changes = [c for replica in {id(r): r for r in pair}.values() for heard in replica.heard for c in heard.presence]
    announced: set[str] = set()
    changes.sort(key=lambda change: change.version)
    assert changes[0].version == 1
    assert all(after.first_version == before.version + 1 for before, after in pairwise(changes))
    for change in changes:
        assert not announced & {p.key for p in change.joined}, "nobody is announced twice"
        announced |= {p.key for p in change.joined}
        assert announced >= {p.key for p in change.left}
        announced -= {p.key for p in change.left}
    snapshot = await pair[0].snapshot(first.life)
    assert announced == {p.key for p in snapshot.participants} == {"u:1000"}
    await pair[0].leave(1, edge=THIRD_EDGE)
    assert await pair[0].catalog.find_room(slug=Slug("a")) is None

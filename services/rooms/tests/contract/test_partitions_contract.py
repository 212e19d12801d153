"""The partition of a life's log, and edges of before beside those of now, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from rooms.domain.audit import RoomLog
from rooms.domain.leases import Lease
from rooms.domain.membership import JoinRefusal, Membership
from rooms.domain.people import EdgeId, Slug
from rooms.domain.presence import Changes
from rooms.domain.rooms import RoomPolicy

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

OLD_EDGE, NEW_EDGE, OTHER_EDGE = EdgeId("0" * 32), EdgeId("e" * 32), EdgeId("f" * 32)
MakeReplica = Callable[[str, RoomPolicy], Awaitable["Replica"]]


async def enter_before(replica: "Replica", connection: int, slug: str, edge: EdgeId = OLD_EDGE) -> Membership:
    """From an edge of before."""
    return await replica.enter(connection, slug, connection, edge, uses_partitions=False)


async def test_lives_are_spread_over_the_partitions_and_each_join_is_told_the_same_one(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(log_partitions=3))
    first = [await replica.enter(number, f"r{number}", number) for number in range(1, 7)]
    again = [await replica.enter(number, f"r{number}", 99, OTHER_EDGE) for number in range(1, 7)]
    repeated = [await replica.enter(number, f"r{number}", number) for number in range(1, 7)]
    assert sorted(membership.partition or 0 for membership in first) == [0, 0, 1, 1, 2, 2]
    for others in (again, repeated):
        assert [membership.partition for membership in others] == [membership.partition for membership in first]


async def test_a_life_keeps_its_partition_whatever_their_number_becomes(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    before = await make_replica(fresh_database, RoomPolicy(log_partitions=256))
    memberships = [await before.enter(number, f"r{number}", number) for number in range(1, 4)]
    after = await make_replica(fresh_database, RoomPolicy(log_partitions=1))
    for number, membership in enumerate(memberships, 1):
        assert (await after.enter(number, f"r{number}", 9, OTHER_EDGE)).partition == membership.partition
        await after.leave(number, edge=OTHER_EDGE)
        (ended,) = (await after.leave(number)).ended
        assert ended.partition == membership.partition
    assert [membership.partition for membership in memberships] == [1, 2, 3]


async def test_a_life_that_is_registered_again_keeps_its_partition(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(log_partitions=256))
    membership = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    assert (await replica.sync(replica.held(1, membership, 7)))[0] == []
    again = await replica.enter(2, "a", 8)
    assert (again.life, again.partition) == (membership.life, membership.partition)
    assert again.partition is not None


async def test_the_log_of_a_slug_is_that_of_the_life_that_it_has_now(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(log_partitions=256))
    assert await replica.catalog.find_log(Slug("a")) is None
    await replica.create("a", 7)
    assert await replica.catalog.find_log(Slug("a")) is None, "nobody was in it yet"
    first = await replica.enter(1, "a", 7)
    assert await replica.catalog.find_log(Slug("a")) == RoomLog(first.room_id, first.life, first.partition or 0)
    await replica.leave(1)
    assert await replica.catalog.find_log(Slug("a")) is None
    again = await replica.enter(2, "a", 7)
    assert again.life != first.life
    assert await replica.catalog.find_log(Slug("a")) == RoomLog(again.room_id, again.life, again.partition or 0)


async def test_a_room_that_was_created_is_given_a_partition_by_its_first_join(replica: "Replica") -> None:
    await replica.create("a", 7)
    life = (await replica.found("a")).life
    membership = await replica.enter(1, "a", 7)
    assert (membership.life, membership.partition) == (life, 0)
    await replica.create("b", 7)
    assert (await enter_before(replica, 2, "b")).partition is None


async def test_edges_of_before_go_on_among_themselves(replica: "Replica") -> None:
    first, second = [await enter_before(replica, n, "a") for n in (1, 2)]
    assert (second.life, second.connection_count, second.partition) == (first.life, 2, None)
    await replica.heartbeat_late(OLD_EDGE)
    await replica.sweep()
    lost, _ = await replica.sync(replica.held(1, first, 1), edge=OLD_EDGE)
    assert lost == []
    assert (await enter_before(replica, 3, "a")).life == first.life
    (ended,) = (await replica.leave(1, 3, edge=OLD_EDGE)).ended
    assert (ended.life, ended.partition) == (first.life, None)


async def test_an_edge_of_before_is_not_let_into_a_life_of_edges_of_now(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    refused = await replica.join(1, "a", 8, OLD_EDGE, uses_partitions=False)
    assert refused is JoinRefusal.UNAVAILABLE
    assert (await replica.snapshot(membership.life)).connection_count == 1
    await replica.leave(1)
    assert (await enter_before(replica, 2, "a")).life > membership.life


async def test_a_life_of_edges_of_before_ends_where_an_edge_of_now_comes_in_and_another_begins(
    replica: "Replica",
) -> None:
    before = [await enter_before(replica, n, "a") for n in (1, 2)]
    membership = await replica.enter(1, "a", 7)
    assert (membership.room_id, membership.partition) == (before[0].room_id, 0)
    assert (membership.life > before[0].life, membership.connection_count) == (True, 1)
    assert [(ended.life, ended.partition) for ended in replica.heard[-1].ended] == [(before[0].life, None)]
    await replica.leases.reap(now=replica.now)
    assert await replica.leases.renew(OLD_EDGE) == Lease(True, 0), "what it holds and what is known differ"
    held = [replica.held(n, before[n - 1], n) for n in (1, 2)]
    assert await replica.sync(*held, edge=OLD_EDGE) == ([1, 2], Changes())
    assert (await replica.snapshot(membership.life)).connection_count == 1


async def test_a_life_that_gave_way_to_edges_of_now_is_lost_also_when_they_have_gone_again(replica: "Replica") -> None:
    before = await enter_before(replica, 1, "a")
    await replica.enter(1, "a", 7)
    await replica.leave(1)
    assert (await replica.sync(replica.held(1, before, 1), edge=OLD_EDGE))[0] == [1]
    assert await replica.memberships.stats() == {}


async def test_who_is_not_permitted_ends_no_life_of_edges_of_before(replica: "Replica") -> None:
    await replica.create("a", 1, is_public=False)
    before = await enter_before(replica, 1, "a")
    assert await replica.join(1, "a", 8) is JoinRefusal.ACCESS_DENIED
    assert (await replica.snapshot(before.life)).connection_count == 1


async def test_an_edge_of_before_that_registers_a_life_of_edges_of_now_loses_it(replica: "Replica") -> None:
    """An older replica may have let it in."""
    membership = await replica.enter(1, "a", 7, NEW_EDGE)
    await replica.enter(1, "a", 8, OLD_EDGE)
    held = replace(replica.held(1, membership, 8), partition=None)
    lost, changes = await replica.sync(held, edge=OLD_EDGE)
    assert lost == [1]
    assert [p.user_id for change in changes.presence for p in change.left] == [8]


async def test_edges_of_before_and_of_now_that_come_at_once_never_meet_in_a_life(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    one = await make_replica(fresh_database, RoomPolicy(log_partitions=2))
    other = one if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy())
    for turn in range(1, 11):
        slug = f"s{turn}"
        outcomes = await asyncio.gather(
            *(
                (one, other)[n % 2].join(turn, slug, n + 1, EdgeId(f"{n:032x}"), uses_partitions=n % 3 > 0)
                for n in range(12)
            )
        )
        assert all(isinstance(outcomes[n], Membership) for n in range(12) if n % 3), outcomes
        of_now = {m.life for n, m in enumerate(outcomes) if isinstance(m, Membership) and n % 3}
        of_before = {m.life for n, m in enumerate(outcomes) if isinstance(m, Membership) and not n % 3}
        assert len(of_now) == 1
        assert not of_now & of_before
        room = await one.catalog.find_room(slug=Slug(slug))
        assert room is not None
        assert (room.life, room.connection_count) == (of_now.pop(), 8)


async def test_what_an_older_replica_makes_is_a_life_of_edges_of_before(replica: "Replica") -> None:
    """It knows nothing of the column."""
    async with replica.database.session() as session:
        await session.fetch("INSERT INTO room (slug, room_id, created_ms, visited) VALUES ('a', 1, 1, true)")
    room = await replica.found("a")
    assert room.life is not None
    assert (await enter_before(replica, 1, "a")).life == room.life
    assert (await replica.enter(1, "a", 7)).life > room.life

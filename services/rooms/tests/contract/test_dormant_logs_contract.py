"""Lives that are over and whose log is kept for those who come back to them, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from rooms.adapters.store.dormant_logs import CLAIMED_AT_ONCE
from rooms.domain.membership import JoinRefusal, Membership
from rooms.domain.people import EdgeId, Life, RoomId
from rooms.domain.rooms import RoomPolicy

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

EDGE, OTHER_EDGE = EdgeId("e" * 32), EdgeId("f" * 32)
MakeReplica = Callable[[str, RoomPolicy], Awaitable["Replica"]]


async def visit(replica: "Replica", slug: str = "a", user_id: int = 7) -> Membership:
    """Come and go: the life is over."""
    membership = await replica.enter(1, slug, user_id)
    await replica.leave(1)
    return membership


async def test_a_life_that_somebody_comes_back_to_goes_on(fresh_database: str, make_replica: MakeReplica) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(log_partitions=256))
    first = await visit(replica)
    assert await replica.catalog.find_room(slug=first.slug) is None
    assert await replica.purge() == []
    again = await replica.enter(2, "a", 7, last_life=first.life)
    assert (again.life, again.room_id, again.partition) == (first.life, first.room_id, first.partition)
    assert (again.connection_count, again.version > first.version + 1) == (1, True)
    assert [p.key for p in replica.heard[-1].presence[0].joined] == ["u:7"]
    assert (await replica.enter(3, "a", 8)).life == first.life
    await replica.leave(2, 3)
    third = await replica.enter(4, "a", 8, last_life=first.life)
    assert (third.life, third.version > again.version) == (first.life, True)
    await replica.dormant_for_long()
    assert await replica.purge() == [], "it is not dormant any more"
    await replica.leases.reap(now=replica.now)
    people = await replica.catalog.list_participants([first.life], first=9, after=None)
    assert [(p.key, p.connection_count) for p in people[first.life]] == [("u:7", 0), ("u:8", 1)]


async def test_a_log_is_purged_once_when_nobody_came_back_in_time(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    one = await make_replica(fresh_database, RoomPolicy())
    other = one if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy())
    first = await visit(one)
    await one.dormant_for_long()
    purged = await asyncio.gather(one.purge(), other.purge())
    assert sorted(purged, key=len)[-1] == [first.life]
    assert len(one.events.purged) <= 1
    assert await one.rows("dormant_log") == 0
    assert (await one.enter(2, "a", 7, last_life=first.life)).life > first.life


async def test_a_log_lies_dormant_for_60_seconds_of_the_databases_clock(replica: "Replica") -> None:
    await visit(replica)
    async with replica.database.session() as session:
        (row,) = await session.fetch(f"SELECT purge_after_ms - {session.now_ms} AS left_ms FROM dormant_log")
    assert 50_000 < row["left_ms"] <= 60_000


@pytest.mark.parametrize("ending", ["release", "lease", "away", "grace"])
async def test_however_the_last_one_leaves_the_log_lies_dormant(
    fresh_database: str, make_replica: MakeReplica, ending: str
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(empty_grace_ms=1000 if ending == "grace" else 0))
    first = await replica.enter(1, "a", 7)
    match ending:
        case "release":
            await replica.release()
        case "lease":
            await replica.heartbeat_late()
        case "away":
            await replica.leave(1, away=True)
            await replica.away_for_long()
        case _:
            await replica.leave(1)
            assert await replica.rows("dormant_log") == 0
            replica.later(seconds=2)
    await replica.sweep()
    assert await replica.purge() == []
    assert (await replica.enter(2, "a", 7, last_life=first.life)).life == first.life


async def test_a_new_life_has_the_log_of_the_one_before_purged_at_once_and_nobody_goes_back_to_that(
    replica: "Replica",
) -> None:
    first = await visit(replica)
    second = await visit(replica, user_id=8)
    assert second.life > first.life
    assert await replica.purge() == [first.life]
    assert (await replica.enter(2, "a", 9)).life > second.life
    assert await replica.purge() == [second.life]
    assert (await replica.enter(3, "a", 7, last_life=first.life)).connection_count == 2


async def test_nobody_goes_back_to_a_life_after_which_another_began_also_when_that_is_over(replica: "Replica") -> None:
    first, second = await visit(replica), await visit(replica, user_id=8)
    third = await replica.enter(2, "a", 7, last_life=first.life)
    assert third.life > second.life


async def test_a_room_that_is_created_begins_a_new_life(replica: "Replica") -> None:
    first = await visit(replica)
    await replica.create("a", 7)
    assert (await replica.enter(2, "a", 7, last_life=first.life)).life > first.life
    assert await replica.purge() == [first.life]


@pytest.mark.parametrize("is_living", [True, False])
async def test_nobody_goes_back_to_what_was_deleted(replica: "Replica", is_living: bool) -> None:
    await replica.create("a", 7)
    first = await replica.enter(1, "a", 7)
    if not is_living:
        await replica.leave(1)
    await replica.catalog.delete_room(await replica.found("a"))
    assert await replica.purge() == [first.life]
    assert (await replica.enter(2, "a", 7, last_life=first.life)).life > first.life


async def test_who_is_not_permitted_revives_nothing(replica: "Replica") -> None:
    await replica.create("a", 7, is_public=False)
    first = await visit(replica)
    refused = await replica.join(2, "a", 8, last_life=first.life)
    assert refused is JoinRefusal.ACCESS_DENIED
    assert (await replica.found("a")).life is None
    assert (await replica.enter(3, "a", 7, last_life=first.life)).life == first.life


async def test_a_life_is_found_by_the_id_that_its_room_had_by_those_alone_who_were_in_it(replica: "Replica") -> None:
    first = await visit(replica, "somewhere")
    number = int(first.room_id)
    assert dict(await replica.memberships.resolve([first.room_id])) == {first.room_id: "somewhere"}
    again = await replica.enter(2, number, 7, last_life=first.life)
    assert (again.life, again.slug) == (first.life, "somewhere")
    await replica.leave(2)
    assert (await replica.enter(3, number, 8)).slug == str(number)
    with_it = await replica.enter(4, "somewhere", 7, last_life=first.life)
    assert (with_it.life > first.life, with_it.room_id != first.room_id) == (True, True), "the id is taken"


async def test_a_life_of_another_slug_is_not_gone_back_to(replica: "Replica") -> None:
    first = await visit(replica)
    other = await replica.enter(2, "b", 7, last_life=first.life)
    assert other.life > first.life
    assert (await replica.enter(3, "c", 7, last_life=Life(10**9))).life < 10**9
    assert (await replica.enter(4, "a", 7, last_life=first.life)).life == first.life


async def test_the_messages_of_edges_of_before_are_purged_at_once(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7, uses_partitions=False)
    await replica.leave(1)
    assert await replica.purge() == [first.life]
    await replica.create("unused", 7)
    await replica.sweep(replica.now.replace(year=2027))
    assert await replica.rows("dormant_log") == 0, "nobody was ever there"


async def test_what_cannot_be_purged_is_purged_later_also_by_a_replica_that_has_just_started(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy())
    first = await visit(replica)
    await replica.dormant_for_long()
    replica.events.can_purge = False
    assert await replica.purge() == []
    replica.events.can_purge = True
    assert await replica.purge() == [], "it may be under way"
    restarted = replica if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy())
    async with replica.database.session() as session:
        await session.fetch("UPDATE dormant_log SET claimed_until_ms = 1")
    restarted.events.is_connected = False
    assert await restarted.purge() == []
    restarted.events.is_connected = True
    assert await restarted.purge() == [first.life]


async def test_so_many_are_purged_at_once_and_all_in_the_end(replica: "Replica") -> None:
    number = 2 * CLAIMED_AT_ONCE + 5
    await replica.join_all([replica.arrival(n, f"r{n}", 7) for n in range(1, number + 1)])
    await replica.leave(*range(1, number + 1))
    await replica.dormant_for_long()
    assert len(await replica.dormant.claim()) == CLAIMED_AT_ONCE
    assert len(await replica.purge()) == number - CLAIMED_AT_ONCE


async def test_a_life_that_its_edge_registers_again_is_not_purged(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    assert (await replica.sync(replica.held(1, first, 7)))[0] == []
    await replica.dormant_for_long()
    assert await replica.purge() == []
    assert (await replica.enter(2, "a", 8)).life == first.life


async def test_a_life_that_is_being_purged_is_lost_for_an_edge_that_registers_it_again(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    await replica.dormant_for_long()
    assert [ended.life for ended in await replica.dormant.claim()] == [first.life]
    assert (await replica.sync(replica.held(1, first, 7)))[0] == [1]
    assert await replica.catalog.find_room(slug=first.slug) is None
    await replica.dormant.forget([first.life])
    assert (await replica.sync(replica.held(1, first, 7)))[0] == []


async def test_a_life_that_an_older_replica_registered_again_is_not_purged(replica: "Replica") -> None:
    """It knows nothing of dormant logs."""
    first = await visit(replica)
    async with replica.database.session() as session:
        await session.fetch(
            "INSERT INTO room (life, room_id, slug, created_ms) VALUES ($1, $2, 'a', 1)", first.life, first.room_id
        )
    await replica.dormant_for_long()
    assert await replica.purge() == []


async def test_those_who_come_back_and_those_who_come_anew_meet_in_one_life_whose_log_is_there(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    one = await make_replica(fresh_database, RoomPolicy())
    other = one if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy())
    revived = 0
    for turn in range(1, 16):
        slug = f"s{turn}"
        first = await one.enter(turn, slug, 7)
        await one.leave(turn)
        if turn % 3 == 0:
            await one.dormant_for_long()
        back, anew, *_ = await asyncio.gather(
            one.enter(1000 + turn, slug, 7, last_life=first.life),
            other.enter(1000 + turn, slug, 8, OTHER_EDGE),
            one.purge(),
            other.purge(),
        )
        assert back.life == anew.life
        revived += back.life == first.life
        purged = {*one.events.purged, *other.events.purged}
        assert back.life not in purged
        assert (back.life == first.life) or turn % 3 or first.life in purged
        assert (await one.snapshot(back.life)).connection_count == 2
    assert await one.memberships.resolve([RoomId(1)]) == {}
    assert len(one.events.purged) == len(set(one.events.purged))

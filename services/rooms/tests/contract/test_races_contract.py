"""What meets at the same moment: on SQLite within one process, on PostgreSQL between two."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest

from chassis.errors import DatabaseUnavailable
from rooms.adapters.store.database import MIGRATION_LOCK, migrate_rooms
from rooms.domain.membership import JoinRefusal, Membership
from rooms.domain.people import EdgeId, Slug
from rooms.domain.rooms import LifeEnded, RoomPolicy
from rooms.errors import Refusal

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

MakeReplica = Callable[[str, RoomPolicy], Awaitable["Replica"]]
Pair = tuple["Replica", "Replica"]


def edge(number: int) -> EdgeId:
    return EdgeId(f"{number:032x}")


@pytest.fixture
async def pair(fresh_database: str, make_replica: MakeReplica) -> Pair:
    """Two replicas on PostgreSQL; on SQLite, which is for one, the same one twice."""
    first = await make_replica(fresh_database, RoomPolicy())
    return first, first if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy())


async def test_fifty_simultaneous_first_joins_make_one_room(pair: Pair) -> None:
    outcomes = await asyncio.gather(*(pair[n % 2].join(1, "popular", n + 1, edge(n)) for n in range(50)))
    memberships = [outcome for outcome in outcomes if isinstance(outcome, Membership)]
    assert len(memberships) == 50
    assert len({(m.life, m.room_id) for m in memberships}) == 1
    assert sorted(m.connection_count for m in memberships) == list(range(1, 51))
    assert sorted(m.version for m in memberships) == list(range(1, 51))


async def test_simultaneous_first_joins_by_id_make_one_room(pair: Pair) -> None:
    outcomes = await asyncio.gather(*(pair[n % 2].join(1, 42, n + 1, edge(n)) for n in range(20)))
    assert {(o.room_id, o.slug) for o in outcomes if isinstance(o, Membership)} == {(42, "42")}
    assert len({o.life for o in outcomes if isinstance(o, Membership)}) == 1


async def test_a_join_that_races_the_last_leave_gets_a_live_room(pair: Pair) -> None:
    for number in range(1, 41):
        before = await pair[0].enter(number, "a", 7, edge(1))
        after, _ = await asyncio.gather(pair[1].enter(number, "a", 8, edge(2)), pair[0].leave(number, edge=edge(1)))
        snapshot = await pair[0].snapshot(after.life)
        assert snapshot.connection_count == 1, (number, before, after)
        assert [p.user_id for p in snapshot.participants] == [8]
        await pair[1].leave(number, edge=edge(2))
        assert await pair[0].memberships.stats() == {}


async def test_many_rooms_joined_and_left_at_once_end_with_nobody(pair: Pair) -> None:
    async def visit(number: int) -> None:
        replica = pair[number % 2]
        for turn in range(8):
            rooms = [f"r{(number * 7 + turn * 3 + k) % 5}" for k in range(6)]
            arrivals = [replica.arrival(turn * 10 + k + 1, room, number + 1) for k, room in enumerate(rooms)]
            outcomes = await replica.join_all(arrivals, edge(number))
            assert all(isinstance(outcome, Membership) for outcome in outcomes)
            await replica.leave(*(arrival.connection for arrival in arrivals), edge=edge(number))

    await asyncio.gather(*(visit(number) for number in range(8)))
    assert await pair[0].memberships.stats() == {}
    await pair[0].leases.reap(now=pair[0].now)
    async with pair[0].database.session() as session:
        for table in ("room", "participant", "connection", "ended_life"):
            assert await session.fetch(f"SELECT * FROM {table}") == []


async def test_versions_of_a_life_have_no_gap_and_no_repetition_whatever_meets(pair: Pair) -> None:
    await pair[0].enter(1000, "a", 1000, edge(99))

    async def visit(number: int) -> None:
        for turn in range(1, 6):
            await pair[number % 2].enter(turn, "a", number + 1, edge(number))
            await pair[number % 2].leave(turn, edge=edge(number))

    await asyncio.gather(*(visit(number) for number in range(6)))
    replicas = {id(replica): replica for replica in pair}.values()
    versions = sorted(c.version for replica in replicas for heard in replica.heard for c in heard.presence)
    assert versions == list(range(1, 62))


async def test_a_stranger_never_gets_into_a_private_room_while_its_creator_comes_and_goes(pair: Pair) -> None:
    room_id = int(await pair[0].create("secret", 7, is_public=False))
    for number in range(1, 25):
        owner = pair[0].join(number, "secret", 7, edge(1))
        by_slug = pair[1].join(number, "secret", 9, edge(2))
        by_id = pair[1].join(number, room_id, 9, edge(3))
        welcome, *others = await asyncio.gather(owner, by_slug, by_id)
        assert isinstance(welcome, Membership)
        assert welcome.room_id == room_id
        assert others == [JoinRefusal.ACCESS_DENIED] * 2
        await pair[0].leave(number, edge=edge(1))


async def test_two_replicas_sweep_at_the_same_time_and_tell_each_leaving_once(pair: Pair) -> None:
    for number in range(10):
        await pair[0].enter(1, "a", number + 1, edge(number))
        await pair[0].heartbeat_late(edge(number))
    await pair[0].enter(1, "a", 99, edge(99))
    swept = await asyncio.gather(*(replica.sweep() for replica in pair))
    left = [p.user_id for changes in swept for change in changes.presence for p in change.left]
    assert sorted(left, key=str) == sorted(range(1, 11), key=str)
    assert list((await pair[0].memberships.stats()).values()) == [1]


async def test_createchatroom_and_a_first_join_of_the_same_slug_make_one_room(pair: Pair) -> None:
    for number in range(1, 20):
        slug = f"planned-{number}"
        made, joined = await asyncio.gather(
            pair[0].create(slug, 7, is_public=False), pair[1].join(number, slug, 9, edge(1)), return_exceptions=True
        )
        room = await pair[0].catalog.find_room(slug=Slug(slug))
        assert room is not None
        if isinstance(made, BaseException):
            assert isinstance(joined, Membership)
            assert room.settings.is_public
        else:
            assert joined is JoinRefusal.ACCESS_DENIED
            assert (room.room_id, room.settings.is_public) == (made, False)


async def test_replicas_that_start_together_bring_the_tables_up_to_date_once(postgres_socket: str) -> None:
    name = "started_together"
    url = f"asyncpg://postgres:@/{name}?host={postgres_socket}"
    connection = await asyncpg.connect(host=postgres_socket, user="postgres", database="postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    await asyncio.gather(*(migrate_rooms(url) for _ in range(3)))


async def test_a_migration_may_take_as_long_as_it_is_given_and_no_longer(
    postgres_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "migrated_slowly"
    url = f"asyncpg://postgres:@/{name}?host={postgres_socket}"
    other = await asyncpg.connect(host=postgres_socket, user="postgres", database="postgres")
    await other.execute(f"CREATE DATABASE {name}")
    await other.close()
    other = await asyncpg.connect(host=postgres_socket, user="postgres", database=name)
    await other.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    with monkeypatch.context() as patch:
        patch.setattr("chassis.migrator._LONGEST_WAIT_S", 0.2)
        with pytest.raises(DatabaseUnavailable):
            await migrate_rooms(url)
    patient = asyncio.create_task(migrate_rooms(url))
    done, _ = await asyncio.wait({patient}, timeout=0.5)
    assert not done
    await other.close()
    await patient


async def test_a_dead_room_that_is_deleted_while_an_edge_registers_it_again_never_comes_back(
    pair: Pair,
) -> None:
    for number in range(1, 21):
        slug = f"s{number}"
        await pair[0].create(slug, 7)
        before = await pair[0].enter(number, slug, 7, edge(1))
        await pair[0].leave(number, edge=edge(1))
        room = await pair[0].found(slug)
        held = pair[1].held(number, before, 7)
        await asyncio.gather(
            pair[0].catalog.delete_room(room),
            pair[1].sync(held, edge=edge(2)),
        )
        assert await pair[0].memberships.stats() == {}
        lost, _ = await pair[1].sync(held, edge=edge(2))
        assert lost == [number]


async def test_a_room_that_is_deleted_while_its_owner_makes_it_live_again_is_there_whole_or_not_at_all(
    pair: Pair,
) -> None:
    for number in range(1, 21):
        slug = f"s{number}"
        await pair[0].create(slug, 7, is_public=False)
        await pair[0].enter(number, slug, 7, edge(1))
        await pair[0].leave(number, edge=edge(1))
        room = await pair[0].found(slug)
        results = await asyncio.gather(
            pair[0].catalog.delete_room(room), pair[1].create(slug, 7, is_public=False), return_exceptions=True
        )
        assert all(r is None or isinstance(r, int | LifeEnded | Refusal) for r in results), results
        async with pair[0].database.session() as session:
            living = await session.fetch("SELECT slug FROM room WHERE slug = $1", slug)
            kept = await session.fetch("SELECT slug FROM kept_settings WHERE slug = $1", slug)
        assert living == kept


async def test_a_postgresql_that_cuts_every_connection_is_unavailable_at_most_and_answers_again(
    postgres_socket: str, fresh_postgres: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_postgres, RoomPolicy())
    name = fresh_postgres.partition("?")[0].rpartition("/")[2]
    await asyncio.gather(*(replica.enter(n, "a", n, edge(n)) for n in range(1, 20)))
    killer = await asyncpg.connect(host=postgres_socket, user="postgres", database="postgres")
    try:
        for turn in range(5):
            work = [asyncio.create_task(replica.enter(100 * turn + n, "a", n, edge(n))) for n in range(100, 110)]
            await asyncio.sleep(0.005 * turn)
            await killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            results = await asyncio.gather(*work, return_exceptions=True)
            for r in results:
                assert isinstance(r, Membership | DatabaseUnavailable), (repr(r), repr(r.__cause__))
    finally:
        await killer.close()
    assert (await replica.enter(9999, "a", 1, edge(1))).life
    (count,) = (await replica.memberships.stats()).values()
    async with replica.database.session() as session:
        assert await session.fetch("SELECT count(*) AS n FROM connection") == [{"n": count}]

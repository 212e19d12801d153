"""However much GraphQL asks of the database, joins and heartbeats have connections to it."""

import asyncio
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest

from chassis.database import Timeouts
from rooms.domain.leases import Lease
from rooms.domain.people import EdgeId, Slug, UserId
from rooms.domain.rooms import RoomPolicy

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import MakeReplica, Replica

EDGE = EdgeId("e" * 32)
HELD_UP = 40
MANY = 400


async def test_joins_and_heartbeats_are_answered_while_graphql_holds_all_connections_that_it_may_take(
    fresh_postgres: str, postgres_socket: str, make_replica: "MakeReplica"
) -> None:
    replica = await make_replica(fresh_postgres, RoomPolicy(), timeouts=Timeouts(gate_s=120, statement_ms=120_000))
    await replica.enter(1, "a", 1)
    name = fresh_postgres.partition("?")[0].rpartition("/")[2]
    other = await asyncpg.connect(host=postgres_socket, user="postgres", database=name)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE invitation")  # of what GraphQL reads, joins into public rooms need all else
            reads = [asyncio.create_task(replica.catalog.is_invited(Slug("a"), UserId(1))) for _ in range(HELD_UP)]
            async with asyncio.timeout(60):  # a read gives up after 120 s
                while await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 3:
                    pass
                await asyncio.gather(*(replica.enter(n, f"r{n}", n, EdgeId(f"{n:032x}")) for n in range(2, 12)))
                assert await replica.leases.renew(EDGE) == Lease(True, 1)
            assert not any(read.done() for read in reads)
        assert await asyncio.gather(*reads) == [False] * HELD_UP
    finally:
        await other.close()


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("read", ["rooms", "search", "participants"])
async def test_on_sqlite_which_has_one_connection_a_join_does_not_wait_for_all_of_the_reads_before_it(
    replica: "Replica", read: str
) -> None:
    membership = await replica.enter(1, "a", 1)

    async def ask() -> None:
        if read == "participants":
            await replica.catalog.list_participants([membership.life], first=50, after=None)
        else:
            await replica.catalog.list_rooms(None, first=50, after=None, search="a" if read == "search" else None)

    reads = [asyncio.create_task(ask()) for _ in range(MANY)]
    await asyncio.sleep(0)
    await replica.enter(2, "a", 2)
    assert sum(task.done() for task in reads) < MANY // 2
    for task in reads:  # on a busy machine the last ones would wait longer than a read may
        task.cancel()
    await asyncio.gather(*reads, return_exceptions=True)

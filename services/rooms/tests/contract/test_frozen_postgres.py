"""A PostgreSQL that stands still for longer than anybody waits, with its connections open."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.database import Database, Timeouts
from rooms.adapters.store import POOL_SIZE, rooms_database
from rooms.adapters.tortoise_memberships import TortoiseMemberships
from rooms.domain.identity import ConnectionId, EdgeId, Person, Rank, Slug
from rooms.domain.membership import Arrival, BySlug, Membership
from rooms.domain.policy import RoomPolicy
from rooms.ports import DatabaseUnavailable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EDGE = EdgeId("e" * 32)
SHORT = Timeouts(gate_s=1, connect_s=1, statement_ms=400)


@pytest.fixture
async def database(fresh_postgres: str) -> AsyncIterator[Database]:
    """One that soon gives up."""
    opened = rooms_database(fresh_postgres, timeouts=SHORT)
    await opened.open()
    yield opened
    await opened.close()


@contextmanager
def frozen(server: int) -> Iterator[None]:
    """Stop the server and the processes of its connections."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    pids = [server, *map(int, children)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def enter(memberships: TortoiseMemberships, numbers: Iterable[int]) -> None:
    """Each in a transaction of its own, all at once."""

    async def enter_one(number: int) -> None:
        arrival = Arrival(ConnectionId(number), BySlug(Slug(f"r{number}")), Person(None, "x", Rank.ANONYMOUS))
        (outcome,) = await memberships.join(EdgeId(f"{number:032x}"), [arrival], now=NOW, tell=lambda _: None)
        assert isinstance(outcome, Membership)

    await asyncio.gather(*(enter_one(number) for number in numbers))


@pytest.mark.parametrize("longer_s", [0, 1.5])
async def test_a_postgresql_that_freezes_more_often_than_the_pool_has_connections_answers_again_by_itself(
    postgres_socket: str, database: Database, longer_s: float
) -> None:
    """Thawed at once it still confirms what was cancelled, and the connection stays open; later, it is closed."""
    memberships = TortoiseMemberships(database, RoomPolicy())
    server = int((Path(postgres_socket) / "data" / "postmaster.pid").read_text().splitlines()[0])
    for freeze in range(1, 3):
        await enter(memberships, range(100 * freeze, 100 * freeze + POOL_SIZE))
        with frozen(server):
            calls = [memberships.leave(EDGE, [ConnectionId(999)], now=NOW) for _ in range(POOL_SIZE)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(result) for result in results} == {DatabaseUnavailable}, results
            await asyncio.sleep(longer_s)
        async with asyncio.timeout(5):
            while not await database.is_alive():
                pass  # each takes its time
    async with asyncio.timeout(5):
        await enter(memberships, range(500, 500 + POOL_SIZE))
        assert len(await memberships.stats()) == 3 * POOL_SIZE

"""What transactions do to each other on PostgreSQL: who waits for whom, and what becomes of those that lose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # not typed
import pytest

from chassis.errors import DatabaseUnavailable, OutcomeUnknown
from moderation.adapters.store.database import COMMAND_LOCK, POOL_SIZE, migrate_moderation, moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import SightingRow
from moderation.domain.commands import SanctionOrder
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, SanctionEvent, Scope
from moderation.ports import SanctionQuery

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
ANA, BOB = LastSeen(1, "", "live", "10.0.0.1"), LastSeen(2, "", "live", "10.0.0.2")
LATE_COMMIT = """
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION late();
"""


class Other:
    """Somebody else's connection to the same database."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def count(self, sql: str) -> int:
        found: int = await self.connection.fetchval(sql)
        return found

    async def waits(self, count: int) -> bool:
        """Whether so many transactions wait for a lock."""
        return await self.count("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted") == count


@pytest.fixture
async def other(postgres_socket: str, postgres_url: str) -> AsyncIterator[Other]:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(host=postgres_socket, user="postgres", database=name)
    yield Other(connection)
    await connection.close()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[TortoiseStore]:
    database = moderation_database(postgres_url)
    try:
        await migrate_moderation(database.url)
        await database.open()
        yield TortoiseStore(database)
    finally:
        await database.close()


async def mute(store: TortoiseStore, slug: str) -> SanctionEvent:
    command = Command(Moderator(9, Rank.ADMIN), Action.MUTE, Target(123, ""), None, Scope.ROOM, slug, 0, "spam")
    seen_at = frozenset({"10.0.0.1"})
    receipt = await store.change(
        SanctionOrder(command), seen_at, partial(decide, command, addresses=seen_at), now_ms=1_000
    )
    assert receipt.event is not None
    return receipt.event


async def test_commands_that_wait_for_their_turn_leave_the_connections_to_others(
    store: TortoiseStore, other: Other, eventually: Eventually
) -> None:
    async with other.connection.transaction():
        await other.connection.execute(f"SELECT pg_advisory_xact_lock({COMMAND_LOCK})")
        commands = [asyncio.create_task(mute(store, f"s{n}")) for n in range(2 * POOL_SIZE)]
        await eventually(partial(other.waits, 1))
        for _ in range(POOL_SIZE):
            assert await store.in_force(SanctionQuery(["live"]), now_ms=1_000) == []
        assert await other.waits(1)
    assert len({event.event_id for event in await asyncio.gather(*commands)}) == 2 * POOL_SIZE


async def test_a_transaction_that_a_deadlock_ended_is_run_again(
    store: TortoiseStore, other: Other, eventually: Eventually
) -> None:
    await store.write_last_seen({ANA: 1_000, BOB: 1_000})
    async with other.connection.transaction():
        await other.connection.execute("SET LOCAL deadlock_timeout = '20s'")  # the store is the one that gives up
        await other.connection.execute("UPDATE sighting SET seen_at_ms = 2000 WHERE user_id = 2")
        writing = asyncio.create_task(store.write_last_seen({ANA: 5_000, BOB: 5_000}))
        await eventually(partial(other.waits, 1))
        await other.connection.execute("UPDATE sighting SET seen_at_ms = 2000 WHERE user_id = 1")
    await writing
    assert [row.seen_at_ms for row in await SightingRow.all()] == [5_000, 5_000]


async def test_forgetting_and_writing_who_was_seen_never_wait_for_each_other(
    store: TortoiseStore, other: Other, eventually: Eventually
) -> None:
    await store.write_last_seen({BOB: 1_000})  # the first to be forgotten, the last to be written
    await store.write_last_seen({ANA: 1_000})
    async with other.connection.transaction():
        await other.connection.execute("SELECT * FROM sighting WHERE user_id = 2 FOR UPDATE")
        forgetting = asyncio.create_task(store.forget_last_seen(2_000))

        async def forgot() -> bool:
            return forgetting.done() or await other.waits(1)

        await eventually(forgot)
        writing = asyncio.create_task(store.write_last_seen({ANA: 9_000, BOB: 9_000}))

        async def wrote() -> bool:
            return await other.waits(1 if forgetting.done() else 2)

        await eventually(wrote)
    await asyncio.gather(forgetting, writing)
    seen = {row.user_id: row.seen_at_ms for row in await SightingRow.all()}
    assert seen == {1: 9_000, 2: 9_000}
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await other.count(deadlocks) == 0


async def test_a_deadline_that_passes_while_a_change_commits_leaves_its_outcome_open(
    store: TortoiseStore, other: Other, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mute(store, "before")
    await other.connection.execute(LATE_COMMIT)
    await other.connection.execute("SELECT pg_advisory_lock(4711)")
    monkeypatch.setattr("moderation.adapters.store.database.DEADLINE_S", 3.0)  # up to the commit takes milliseconds
    with pytest.raises(OutcomeUnknown):
        await mute(store, "live")
    await other.connection.execute("SELECT pg_advisory_unlock(4711)")
    monkeypatch.undo()

    await other.connection.execute("BEGIN; LOCK TABLE sanction")
    monkeypatch.setattr("moderation.adapters.store.database.DEADLINE_S", 0.3)
    with pytest.raises(DatabaseUnavailable) as caught:
        await mute(store, "later")
    assert not isinstance(caught.value, OutcomeUnknown)
    await other.connection.execute("ROLLBACK")


async def once(attempt: Callable[[], Awaitable[Any]]) -> Any:
    return await attempt()


async def test_commands_of_two_replicas_on_targets_that_share_addresses_never_deadlock(
    store: TortoiseStore, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they cross each other, addresses that are added and what is pruned: commands take their one lock before
    they read, and the rest leaves out what is locked."""
    monkeypatch.setattr("moderation.adapters.store.database.retry_on_conflict", once)  # a deadlock would come out
    monkeypatch.setattr("moderation.adapters.store.database.DEADLINE_S", 60)  # those that wait are many
    both = store, TortoiseStore(store._database)  # each sends one command at a time to wait for the lock of all
    names = [Target(0, f"Anonymous_{n}") for n in range(6)]
    held = [frozenset({f"10.0.0.{n}", f"10.0.0.{(n + 1) % 6}"}) for n in range(6)]

    async def act(replica: TortoiseStore, n: int, action: Action, at_ms: int) -> None:
        what = Command(Moderator(9, Rank.ADMIN), action, names[n], None, Scope.ROOM, "live", 1, "")
        receipt = await replica.change(
            SanctionOrder(what), held[n], partial(decide, what, addresses=held[n]), now_ms=at_ms
        )
        event = receipt.event
        assert event is not None
        for sanction in event.imposed:
            await replica.follow(sanction.id, f"10.0.1.{at_ms % 200}", now_ms=at_ms)

    async def prune(replica: TortoiseStore, at_ms: int) -> None:
        await replica.end_expired(at_ms)
        await replica.erase_evidence(at_ms, now_ms=at_ms)
        await replica.delete_history(at_ms - 3_000)

    work = []
    for turn in range(8):
        for n in range(6):
            crossed = 5 - n if turn % 2 else n
            action = Action.UNMUTE if turn % 3 == 2 else Action.MUTE
            work.append(act(both[n % 2], crossed, action, 100_000 + 1_000 * turn + n))
        work += [prune(replica, 100_000 + 1_000 * turn) for replica in both]
    await asyncio.gather(*work)
    assert await other.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0

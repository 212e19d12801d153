"""The store while its database is frozen, and when its callers go away: late answers, but never a connection lost."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from functools import partial

import pytest
from real_postgres import Postgres

from chassis.database import Database, within as answering
from chassis.errors import DatabaseUnavailable
from moderation.adapters.store.database import DEADLINE_S, POOL_SIZE, migrate_moderation, moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.domain.commands import SanctionOrder
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, SanctionEvent, Scope
from moderation.ports import SanctionQuery, Store

pytestmark = pytest.mark.integration
LATE_S = 10  # far less than one deadline after the other for all that ask at once


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = moderation_database(url)
    try:
        await migrate_moderation(database.url)
        await database.open()
        yield database
    finally:
        await database.close()


async def mute(store: Store, slug: str) -> SanctionEvent:
    command = Command(Moderator(9, Rank.ADMIN), Action.MUTE, Target(123, ""), None, Scope.ROOM, slug, 0, "spam")
    seen_at = frozenset({"10.0.0.1"})
    receipt = await store.change(
        SanctionOrder(command), seen_at, partial(decide, command, addresses=seen_at), now_ms=1_000
    )
    assert receipt.event is not None
    return receipt.event


async def ask_everything(store: Store, turn: str, sanction_id: int) -> list[object]:
    """More questions at once than there are connections; what came of each."""
    calls: list[Coroutine[None, None, object]] = [
        *(mute(store, f"{turn}-{n}") for n in range(2 * POOL_SIZE)),
        *(store.follow(sanction_id, f"{turn}-{n}", now_ms=1_000) for n in range(POOL_SIZE)),
        *(store.in_force(SanctionQuery(["live"]), now_ms=1_000) for _ in range(POOL_SIZE)),
        *(store.write_last_seen({LastSeen(n, "", turn, "10.0.0.1"): 1_000}) for n in range(1, POOL_SIZE)),
        store.find(sanction_id),
        store.forget_last_seen(1),
    ]
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_a_postgresql_that_freezes_for_longer_than_the_deadline_answers_again_by_itself(
    postgres_server: Postgres, postgres_url: str
) -> None:
    async with opened(postgres_url) as database:
        store = TortoiseStore(database)
        sanction_id = (await mute(store, "live")).imposed[0].id
        begun = asyncio.create_task(ask_everything(store, "begun", sanction_id))
        await asyncio.sleep(0.005)
        with postgres_server.frozen():
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailable):  # in a task that goes on afterwards
                await mute(store, "live")
            unlucky = [r for r in await begun if isinstance(r, BaseException)]
            assert all(isinstance(r, DatabaseUnavailable) for r in unlucky), unlucky
            assert time.monotonic() - started < DEADLINE_S + LATE_S
            started = time.monotonic()
            late = await ask_everything(store, "late", sanction_id)
            assert all(isinstance(r, DatabaseUnavailable) for r in late), late
            assert time.monotonic() - started < DEADLINE_S + LATE_S
        await mute(store, "live")
        for turn in ("again", "and again"):
            answers = await ask_everything(store, turn, sanction_id)
            assert not [r for r in answers if isinstance(r, BaseException)], answers


async def test_a_change_that_is_cancelled_anywhere_does_not_block_the_next_one(database: Database) -> None:
    store = TortoiseStore(database)
    for turn in range(40):
        gone = asyncio.create_task(mute(store, f"gone-{turn}"))
        await asyncio.sleep(turn * 0.0001)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        assert (await mute(store, f"kept-{turn}")).imposed
    assert len(await store.in_force(SanctionQuery([f"kept-{turn}" for turn in range(40)]), now_ms=1_000)) == 40


async def test_changes_that_are_cancelled_while_another_goes_on_do_not_block_the_next_one(database: Database) -> None:
    store = TortoiseStore(database)
    async with answering(DEADLINE_S), database.transaction() as session:
        if session.is_postgres:
            await session.client.execute_query("LOCK TABLE audit")
        waiting = [asyncio.create_task(mute(store, f"gone-{n}")) for n in range(2 * POOL_SIZE)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    for n in range(2 * POOL_SIZE):
        await mute(store, f"kept-{n}")
    assert await store.in_force(SanctionQuery([f"gone-{n}" for n in range(2 * POOL_SIZE)]), now_ms=1_000) == []


async def test_a_change_that_waits_for_another_longer_than_the_deadline_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.database.DEADLINE_S", 0.1)
    store = TortoiseStore(database)
    async with answering(DEADLINE_S), database.transaction() as session:
        if session.is_postgres:
            await session.client.execute_query("LOCK TABLE audit")
        results = await asyncio.gather(*(mute(store, f"s{n}") for n in range(2 * POOL_SIZE)), return_exceptions=True)
        assert all(isinstance(r, DatabaseUnavailable) for r in results), results
    monkeypatch.undo()
    assert (await mute(store, "live")).imposed

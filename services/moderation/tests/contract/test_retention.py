"""What is kept for how long: sanctions that end by their time, evidence, history."""

import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # not typed
import pytest

from chassis.database import Database, within as answering
from moderation.adapters.store import retention
from moderation.adapters.store.database import migrate_moderation, moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, SanctionAddressRow, SanctionRow
from moderation.domain.audit import AuditQuery
from moderation.domain.commands import SanctionOrder
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import ReportQuery, ReportState
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, SanctionEvent, Scope
from moderation.domain.unban_requests import RequestQuery, RequestState
from moderation.ports import SanctionQuery, Store

OPEN = RequestState.OPEN
pytestmark = pytest.mark.integration
ANA = Target(123, "")
NAMELESS = Target(0, "Anonymous_10.0.0.1")
ADDRESS = "10.0.0.1"
MINUTE_MS = 60_000


async def many_expired(database: Database, count: int) -> None:
    """Sanctions of anonymous people, and their audit rows; all are over a millisecond after 0."""
    await _insert(
        database,
        count,
        "sanction (kind, target_user_id, target_username, slug, reason, moderator_user_id, moderator_rank,"
        " created_at_ms, expires_at_ms)",
        "1, 0, 'Anonymous_' || n, 'live', '', 9, 4, 0, 1",
    )
    await _insert(
        database,
        count,
        "audit (action, target_user_id, target_username, moderator_user_id, moderator_rank, duration_minutes, scope,"
        " slug, reason, at_ms, lifted_ids)",
        "1, 0, 'Anonymous_' || n, 9, 4, 1, 1, 'live', '', 100 + n, '[]'",
    )


async def one_address_of_many(database: Database, count: int, *, after_id: int = 0) -> None:
    """So many sanctions, of these ids, hold for one address."""
    await _insert(database, count, "sanction_address (sanction_id, address)", f"{after_id} + n, '{ADDRESS}'")


async def _insert(database: Database, count: int, columns: str, values: str) -> None:
    for first in range(1, count + 1, 4_000):  # each statement within the deadline
        ids = f"WITH RECURSIVE ids (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM ids WHERE n < {{}})"
        rows = f"{ids.format(min(first + 3_999, count))} SELECT {values} FROM ids"
        async with answering(60), database.transaction() as session:
            await session.client.execute_script(f"INSERT INTO {columns} {rows}")


async def act(
    store: Store, action: Action = Action.BAN, target: Target = ANA, *, slug: str = "live", minutes: int = 0, at_ms: int
) -> SanctionEvent:
    command = Command(Moderator(9, Rank.ADMIN), action, target, None, Scope.ROOM, slug, minutes, "spam")
    seen_at = frozenset({ADDRESS})
    receipt = await store.change(
        SanctionOrder(command), seen_at, partial(decide, command, addresses=seen_at), now_ms=at_ms
    )
    assert receipt.event is not None
    return receipt.event


async def test_what_is_over_by_its_time_is_marked_part_by_part_and_is_not_told_as_lifted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    over = [(await act(store, slug=f"s{n}", minutes=1, at_ms=0)).imposed[0].id for n in range(5)]
    await act(store, slug="later", minutes=5, at_ms=0)
    await act(store, slug="permanent", at_ms=0)
    lifted = (await act(store, slug="lifted", minutes=1, at_ms=0)).imposed[0].id
    await act(store, Action.UNBAN, slug="lifted", at_ms=5)
    await store.end_expired(2 * MINUTE_MS)
    ended = {row.id: row.lifted_at_ms for row in await SanctionRow.filter(lifted_at_ms__isnull=False)}
    assert ended == dict.fromkeys(over, MINUTE_MS) | {lifted: 5}
    told = {
        s.id: s.lifted_at_ms for s in await store.history(None, only_in_force=False, first=9, before_id=None, now_ms=0)
    }
    assert [told[sanction_id] for sanction_id in over] == [None] * 5
    assert told[lifted] == 5


async def test_a_sanction_whose_time_is_up_is_not_marked_before_it_is_long_enough_ago(store: Store) -> None:
    await act(store, minutes=1, at_ms=0)
    await store.end_expired(MINUTE_MS)
    assert (await SanctionRow.get()).lifted_at_ms is None


async def test_evidence_of_what_ended_long_ago_is_erased_and_the_rest_of_it_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SANCTIONS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for n in range(5):
        await act(store, target=NAMELESS, slug=f"s{n}", minutes=1, at_ms=n)
    await act(store, minutes=1, at_ms=0)
    await store.end_expired(10 * MINUTE_MS)
    await store.erase_evidence(10 * MINUTE_MS, now_ms=11 * MINUTE_MS)
    assert await SanctionAddressRow.all().count() == 0
    rows = await SanctionRow.all().order_by("id")
    assert [(row.target_user_id, row.target_username) for row in rows] == [(0, "Anonymous")] * 5 + [(123, "")]
    assert {row.evidence_erased_at_ms for row in rows} == {11 * MINUTE_MS}
    audit = await AuditRow.all().order_by("id")
    assert [row.target_username for row in audit] == ["Anonymous"] * 5 + [""]
    assert {(row.reason, row.moderator_user_id) for row in audit} == {("spam", 9)}


async def test_a_sanction_in_force_keeps_its_addresses_and_its_name_however_old_it_is(store: Store) -> None:
    sanction = (await act(store, target=NAMELESS, at_ms=0)).imposed[0]
    followed = await store.follow(sanction.id, "10.0.0.2", now_ms=1)
    assert followed is not None
    await store.erase_evidence(10 * MINUTE_MS, now_ms=11 * MINUTE_MS)
    assert await store.find(sanction.id) == followed.imposed[0]
    audit = await AuditRow.get(id=followed.event_id)
    assert (audit.followed_address, audit.target_username) == ("", "Anonymous")
    lifted = await act(store, Action.UNBAN, NAMELESS, at_ms=12 * MINUTE_MS)
    assert lifted.lifted_ids == (sanction.id,)


async def test_evidence_of_what_ended_lately_is_kept(store: Store) -> None:
    sanction = (await act(store, target=NAMELESS, minutes=1, at_ms=0)).imposed[0]
    await store.end_expired(10 * MINUTE_MS)
    await store.erase_evidence(MINUTE_MS, now_ms=10 * MINUTE_MS)
    found = await store.find(sanction.id)
    assert found is not None
    assert (found.target, found.addresses) == (NAMELESS, frozenset({ADDRESS}))


async def test_history_goes_part_by_part_and_what_is_in_force_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SANCTIONS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for n in range(5):
        await act(store, slug=f"s{n}", minutes=1, at_ms=n)
    kept = (await act(store, slug="permanent", at_ms=0)).imposed[0]
    lately = (await act(store, slug="lately", minutes=1, at_ms=20 * MINUTE_MS)).imposed[0]
    await store.end_expired(30 * MINUTE_MS)
    await store.delete_history(20 * MINUTE_MS)
    assert [row.id for row in await SanctionRow.all().order_by("id")] == [kept.id, lately.id]
    assert sorted({row.sanction_id for row in await SanctionAddressRow.all()}) == [kept.id, lately.id]
    assert [row.imposed_id for row in await AuditRow.all()] == [lately.id]


async def test_ids_never_come_again_when_all_history_was_deleted(store: Store) -> None:
    """Replicas remember what was lifted by its id, and edges take events by theirs."""
    before = await act(store, minutes=1, at_ms=0)
    await store.end_expired(10 * MINUTE_MS)
    await store.delete_history(10 * MINUTE_MS)
    assert await AuditRow.all().count() + await SanctionRow.all().count() == 0
    after = await act(store, at_ms=20 * MINUTE_MS)
    assert after.event_id > before.event_id
    assert after.imposed[0].id > before.imposed[0].id


async def test_more_sanctions_of_one_address_than_a_question_may_have_values_are_found(
    store: Store, database: Database
) -> None:
    """All anonymous people behind one address, over the days for which evidence is kept."""
    await one_address_of_many(database, 33_000, after_id=1_000)
    sanction = (await act(store, target=NAMELESS, at_ms=2)).imposed[0]
    assert (await act(store, Action.UNBAN, NAMELESS, at_ms=3)).lifted_ids == (sanction.id,)


LOOKS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "sanction_open_by_target": lambda store: act(store, Action.UNBAN, NAMELESS, at_ms=20),
    "sanction_open_by_slug": lambda store: store.in_force(SanctionQuery(["s2", "s3"]), now_ms=20),
    "sanction_open": lambda store: store.in_force_after(5, first=500, now_ms=20),
    "sanction_evidence": lambda store: store.erase_evidence(1, now_ms=20),
    "audit_evidence": lambda store: store.erase_evidence(1, now_ms=20),
    "audit_pkey": lambda store: store.delete_history(1),
    "audit_by_chain": lambda store: store.verify_part("live", 0, first=100),
    "audit_unchained": lambda store: store.verify_part("live", 0, first=100),
    "audit_by_slug": lambda store: store.audit_log(AuditQuery("s2"), first=100, before_id=None),
    "audit_by_actor": lambda store: store.undoable(8, 0, None, first=500),
    "audit_by_target": lambda store: store.audit_log(AuditQuery(target_user_id=7), first=100, before_id=None),
}


async def test_what_is_open_and_what_is_old_is_found_by_its_index(
    postgres_url: str, postgres_socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL's plans of the very statements, with 4,000 sanctions that have ended and as many that have not."""
    database = moderation_database(postgres_url)
    store = TortoiseStore(database)
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    other = await asyncpg.connect(host=postgres_socket, user="postgres", database=name)
    try:
        await migrate_moderation(database.url)
        await database.open()
        await many_expired(database, 8_000)
        await one_address_of_many(database, 8_000)
        await other.execute("UPDATE sanction SET lifted_at_ms = 1, evidence_erased_at_ms = 9 WHERE id % 2 = 0")
        await other.execute("UPDATE sanction SET expires_at_ms = NULL, slug = 's' || id % 1000 WHERE id % 2 = 1")
        await other.execute("UPDATE audit SET evidence_erased_at_ms = 9")
        await other.execute("DELETE FROM sanction_address WHERE sanction_id % 2 = 1")
        await other.execute("VACUUM ANALYZE")
        caplog.set_level(logging.DEBUG, "tortoise.db_client")
        for index, look in LOOKS.items():
            caplog.clear()
            await look(store)
            said: list[Any] = [record.args for record in caplog.records if isinstance(record.args, tuple)]
            plans = [str(await other.fetch(f"EXPLAIN {sql}", *values)) for sql, values in said if is_question(sql)]
            assert any(f" {index} " in plan for plan in plans), plans
    finally:
        await other.close()
        await database.close()


@pytest.mark.parametrize(
    ("look", "avoided"),
    [
        # A start that sorted all for each part would take the square of them.
        (lambda store: store.in_force_after(0, first=500, now_ms=20), "sanction_in_force"),
        (lambda store: store.end_expired(20), "unban_request_by_sanction"),
        (lambda store: store.list_reports(ReportQuery(state=ReportState.OPEN), first=9, before_id=None), "B-TREE"),
        (lambda store: store.list_unban_requests(RequestQuery(state=OPEN), first=9, before_id=None), "B-TREE"),
    ],
    ids=["all in force", "expired", "open reports", "open unban requests"],
)
async def test_what_is_looked_for_again_and_again_is_found_without_looking_at_the_others(
    migrated_sqlite: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    look: Callable[[Store], Awaitable[object]],
    avoided: str,
) -> None:
    """SQLite's plans of the very statements."""
    file = shutil.copy(migrated_sqlite, tmp_path)
    database = moderation_database(f"sqlite://{file}")
    try:
        await database.open()
        await act(TortoiseStore(database), at_ms=1)
        caplog.set_level(logging.DEBUG, "tortoise.db_client")
        caplog.clear()
        await look(TortoiseStore(database))
    finally:
        await database.close()
    said: list[Any] = [record.args for record in caplog.records if isinstance(record.args, tuple)]
    with closing(sqlite3.connect(file)) as other:
        plans = [str(other.execute(f"EXPLAIN QUERY PLAN {sql}", *v).fetchall()) for sql, *v in said if is_question(sql)]
    assert plans
    for plan in plans:
        for way in ("SCAN", "B-TREE", avoided):
            assert way not in plan


def is_question(sql: object) -> bool:
    return isinstance(sql, str) and sql.startswith("SELECT") and "advisory" not in sql

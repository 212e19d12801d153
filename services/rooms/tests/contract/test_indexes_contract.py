"""Statements that run often use an index, on SQLite and on PostgreSQL, however many rows are not asked for."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from chassis.database import Database, Row, Session
from rooms.domain.people import Life, Slug

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

ROWS = 5000
BIG = Life(1)
FILL = {
    "participant": "life, key, username, connections, announced, joined_ms, version) SELECT 1, n, 'x', 0, true, 0, 0",
    "room": "room_id, slug, created_ms, connection_count, visited) SELECT 1000 + n, 'r' || n, 1, 1, true",
    "deleted_slug": "slug, last_life, deleted_ms) SELECT n, n, 4102444800000",
    "deleted_life": "life, deleted_ms) SELECT n, 4102444800000",
    "kept_settings": "slug, room_id, owner, name, is_public, allow_anonymous, created_ms, last_used_ms)"
    " SELECT 'k' || n, 9000000 + n, n, 'x', true, true, 0, 4102444800000",
    "dormant_log": "life, slug, room_id, created_ms, purge_after_ms)"
    " SELECT 2000000 + n, 's' || n, 3000000 + n, 0, 4102444800000",
    "ended_life": "life, reap_after_ms) SELECT 1000000 + n, 4102444800000",
    "connection": "edge, number, life, participant_id, rank) SELECT 'f', n, 1, n, 1",
}
_TABLES = r"participant|room|connection|dormant_log|\w+ed_\w+"
FULL_SCAN = re.compile(rf"Seq Scan on ({_TABLES})\b|SCAN (p|q|r|d|c|{_TABLES})\b")
"""By PostgreSQL and by SQLite, which names a table by its alias."""
USES: dict[str, Callable[["Replica"], Awaitable[object]]] = {
    "snapshot": lambda replica: replica.snapshot(BIG),
    "count": lambda replica: replica.catalog.count_people([BIG]),
    "room": lambda replica: replica.catalog.find_room(slug=Slug("a")),
    "page": lambda replica: replica.catalog.list_participants([BIG], first=10, after=10),
    "sweep": lambda replica: replica.sweep(),
    "purge": lambda replica: replica.purge(),
    "reap": lambda replica: replica.leases.reap(now=replica.now),
    "deleted": lambda replica: replica.snapshot(Life(10**6)),
}


async def fill(database: Database) -> None:
    numbers = f"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {ROWS})"
    async with database.session() as session:
        for table, rows in FILL.items():
            number = "CAST(i AS text)" if table in ("participant", "deleted_slug") else "i"
            counted = f"(SELECT {number} AS n, i FROM c) AS numbers"
            values = rows.replace("SELECT n, n,", "SELECT n, i,")
            await session.fetch(f"{numbers} INSERT INTO {table} ({values} FROM {counted}")
        await session.fetch("ANALYZE")


async def plan_of(session: Session, sql: str, values: tuple[object, ...]) -> list[str]:
    explain = "EXPLAIN" if session.for_update else "EXPLAIN QUERY PLAN"
    rows = await session.fetch(f"{explain} {sql}", *values)
    return [str(row.get("detail", row.get("QUERY PLAN"))) for row in rows]


@pytest.mark.parametrize("use", USES)
async def test_no_table_is_read_from_end_to_end(replica: "Replica", use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await replica.enter(1, "a", 7)).life == BIG
    await fill(replica.database)
    asked: list[tuple[str, tuple[object, ...]]] = []
    fetch = Session.fetch

    async def recording(session: Session, sql: str, *values: object) -> list[Row]:
        asked.append((sql, values))
        return await fetch(session, sql, *values)

    monkeypatch.setattr(Session, "fetch", recording)
    await USES[use](replica)
    monkeypatch.undo()
    async with replica.database.session() as session:
        for sql, values in asked:
            if "edge_lease" in sql:  # as many rows as there are edges
                continue
            plan = await plan_of(session, sql, values)
            assert not [step for step in plan if FULL_SCAN.search(step)], plan
            if use in ("snapshot", "count") and "participant" in sql:
                assert "participant_present" in " ".join(plan)
            if "away > 0" in sql and sql.startswith("SELECT"):
                assert "participant_away" in " ".join(plan)

"""Removing who is or was in lives that are over, in parts that each take a short transaction.

A life that ends leaves a row in `ended_life`. That row is what a part locks, and what a sync deletes that registers the
life again: neither works on the life while the other does.
"""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from dataclasses import dataclass
from typing import Any

from chassis.database import Session, packed

PART = 1000
"""Rows of a table in one transaction."""
ORPHANS_EVERY_MS = 10 * 60 * 1000
_ORPHAN_DELAY_MS = 60 * 1000
"""An orphan may have been found while a transaction was about to register it again; by then that has ended."""
_LIVES = {"life": "bigint"}


async def reap(session: Session, *, now_ms: int) -> bool:
    """One part; whether there may be more to do."""
    taken = await session.fetch(
        f"SELECT life FROM ended_life WHERE reap_after_ms <= $1 ORDER BY reap_after_ms LIMIT {PART}"
        f" {session.for_update_skip_locked}",
        now_ms,
    )
    lives = [{"life": row["life"]} for row in taken]
    if not lives:
        return False
    these = f"life IN (SELECT x.life FROM {session.rows(_LIVES)})"
    living = {row["life"] for row in await session.fetch(f"SELECT life FROM room WHERE {these}", packed(lives))}
    if living:  # registered again by a replica of an older version, which leaves ended_life alone
        await session.fetch(f"DELETE FROM ended_life WHERE {these}", packed([{"life": life} for life in living]))
        lives = [one for one in lives if one["life"] not in living]
    reaped = [await _reap_from(session, table, these, packed(lives)) for table in ("connection", "participant")]
    await session.fetch(
        f"DELETE FROM ended_life WHERE {these}"
        " AND NOT EXISTS (SELECT 1 FROM connection c WHERE c.life = ended_life.life)"
        " AND NOT EXISTS (SELECT 1 FROM participant p WHERE p.life = ended_life.life)",
        packed(lives),
    )
    return max(*reaped, len(taken)) == PART


async def _reap_from(session: Session, table: str, these: str, lives: str) -> int:
    """The condition stands twice: a connection that is in another life by the time its row is locked stays."""
    rows = await session.fetch(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {these} LIMIT {PART}) AND {these} RETURNING id",
        lives,
    )
    return len(rows)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Over the distinct values of an indexed column."""

    table: str
    column: str
    kind: str
    first: Any
    insert: str
    """Has what an orphan `x` belongs to end."""


_MARK_LIVES = (
    "INSERT INTO ended_life (life, reap_after_ms) SELECT x.life, $2 FROM {rows}"
    " WHERE NOT EXISTS (SELECT 1 FROM room r WHERE r.life = x.life) ON CONFLICT (life) DO NOTHING"
)
_LEASE_EDGES = (
    "INSERT INTO edge_lease (edge, expires_ms) SELECT x.edge, {now_ms} + $2 FROM {rows}"
    " WHERE NOT EXISTS (SELECT 1 FROM edge_lease l WHERE l.edge = x.edge) ON CONFLICT (edge) DO NOTHING"
)
_WALKS = (
    _Walk("connection", "edge", "text", "", _LEASE_EDGES),
    _Walk("connection", "life", "bigint", 0, _MARK_LIVES),
    _Walk("participant", "life", "bigint", 0, _MARK_LIVES),
)


class OrphanSearch:
    """Finds memberships whose edge has no lease, and people of a life that neither lives nor is known to have ended:
    nothing of this service leaves any behind, but a restored backup may. Each step looks at 1000 edges or lives."""

    def __init__(self) -> None:
        self._walk = 0
        self._after: Any = _WALKS[0].first
        self._due_ms = 0

    def is_due(self, *, now_ms: int) -> bool:
        """Whether to take a step."""
        return now_ms >= self._due_ms

    async def step(self, session: Session, *, now_ms: int) -> None:
        """Look a little further. Orphaned memberships get a lease that nobody renews, lives a mark to be reaped."""
        walk = _WALKS[self._walk]
        found = await _following(session, walk, self._after)
        if found:
            sql = walk.insert.format(rows=session.rows({walk.column: walk.kind}), now_ms=session.now_ms)
            delay_ms = _ORPHAN_DELAY_MS if walk.column == "edge" else now_ms + _ORPHAN_DELAY_MS
            await session.fetch(sql, packed([{walk.column: value} for value in found]), delay_ms)
        if len(found) == PART:
            self._after = found[-1]
            return
        self._walk = (self._walk + 1) % len(_WALKS)
        self._after = _WALKS[self._walk].first
        if self._walk == 0:
            self._due_ms = now_ms + ORPHANS_EVERY_MS


async def _following(session: Session, walk: _Walk, after: Any) -> list[Any]:
    """From one value to the next by the index, however many rows have it."""
    least = f"(SELECT min(t.{walk.column}) FROM {walk.table} t WHERE t.{walk.column} > "
    rows = await session.fetch(
        f"WITH RECURSIVE walk(found, n) AS (SELECT {least}$1), 1"
        f" UNION ALL SELECT {least}walk.found), n + 1 FROM walk WHERE walk.found IS NOT NULL AND n < {PART})"
        " SELECT found FROM walk WHERE found IS NOT NULL ORDER BY n",
        after,
    )
    return [row["found"] for row in rows]

"""Logs of lives that are over, until they are purged: the DormantLogs port on SQLite or PostgreSQL, and what becomes of
them as lives end, begin and go on.

A row says from when on the log may be purged, by the database's clock; until then the life may go on. A log that is
being purged is claimed for so long that no life goes on meanwhile. Whoever writes here of a slug has locked its room
first, if it has one.
"""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Iterable, Sequence

from chassis.database import Database, Row, Session, packed
from chassis.outages import retried_on_conflict
from rooms.domain.people import Life, RoomId, Slug
from rooms.domain.rooms import DormantLife, LifeEnded, dormant_ms

CLAIMED_AT_ONCE = 20
"""Purged at the same time; what is left waits for the next turn."""
_CLAIM_MS = 15_000
"""Longer than a purge may take."""
_LIVES = {"life": "bigint"}
_SLUGS = {"slug": "text"}
_ENDED = {
    "life": "bigint",
    "slug": "text",
    "room_id": "bigint",
    "partition_number": "smallint",
    "created_ms": "bigint",
    "dormant_ms": "bigint",
}


class TortoiseDormantLogs:
    """Raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retried_on_conflict
    async def claim(self) -> list[LifeEnded]:
        """Some that are to be purged, and that nobody else is purging."""
        async with self._database.transaction() as session:
            now = f"(SELECT {session.now_ms})"  # once: an index does not compare with what may change from row to row
            rows = await session.fetch(
                "SELECT life, slug, room_id, partition_number FROM dormant_log"
                f" WHERE purge_after_ms <= {now} AND claimed_until_ms <= {now}"
                f" ORDER BY purge_after_ms LIMIT {CLAIMED_AT_ONCE} {session.for_update_skip_locked}"
            )
            if not rows:
                return []
            these = _packed(row["life"] for row in rows)
            living = {
                row["life"] for row in await session.fetch(f"SELECT life FROM room WHERE {_these(session)}", these)
            }
            if living:  # registered again by an older replica, which leaves the row here
                await session.fetch(f"DELETE FROM dormant_log WHERE {_these(session)}", _packed(living))
            await session.fetch(
                f"UPDATE dormant_log SET claimed_until_ms = {now} + {_CLAIM_MS} WHERE {_these(session)}", these
            )
        return [
            LifeEnded(row["room_id"], row["life"], row["slug"], row["partition_number"])
            for row in rows
            if row["life"] not in living
        ]

    async def forget(self, lives: Sequence[Life]) -> None:
        """These are purged."""
        async with self._database.session() as session:
            await session.fetch(f"DELETE FROM dormant_log WHERE {_these(session)}", _packed(lives))


async def lay_down(session: Session, ended: Sequence[Row], keep_ms: int) -> None:
    """The lives of these rows of rooms are over; their logs lie dormant for so long, or are purged at once: 0."""
    rows = [
        {name: row[name] for name in _ENDED if name != "dormant_ms"}
        | {"dormant_ms": dormant_ms(row["partition_number"], keep_ms)}
        for row in ended
        if row["visited"] or row["partition_number"] is not None  # else nobody was ever there
    ]
    if rows:
        await session.fetch(
            "INSERT INTO dormant_log (life, slug, room_id, partition_number, created_ms, purge_after_ms)"
            f" SELECT x.life, x.slug, x.room_id, x.partition_number, x.created_ms, {session.now_ms} + x.dormant_ms"
            f" FROM {session.rows(_ENDED)} WHERE true"
            " ON CONFLICT (life) DO UPDATE SET purge_after_ms = excluded.purge_after_ms, claimed_until_ms = 0",
            packed(rows),
        )


async def supersede(session: Session, slugs: Iterable[Slug]) -> None:
    """New lives have begun, or the slugs were deleted: no earlier life of theirs goes on."""
    await session.fetch(
        "UPDATE dormant_log SET purge_after_ms = 0 WHERE purge_after_ms > 0"
        f" AND slug IN (SELECT x.slug FROM {session.rows(_SLUGS)})",
        packed([{"slug": slug} for slug in slugs]),
    )


async def wake(session: Session, wanted: Sequence[DormantLife]) -> set[Life]:
    """Make rooms again of those whose log still lies dormant and whose slug and id are free. They go on with a version
    that is beyond all that edges may have seen: the clock of the database."""
    if not wanted:
        return set()
    made = await session.fetch(
        "INSERT INTO room (life, room_id, slug, created_ms, version, visited, partition_number)"
        f" SELECT d.life, d.room_id, d.slug, d.created_ms, {session.now_ms}, true, d.partition_number"
        f" FROM {session.rows(_LIVES | _SLUGS)} JOIN dormant_log d ON d.life = x.life AND d.slug = x.slug"
        f" WHERE d.purge_after_ms > {session.now_ms} ORDER BY d.slug, d.life DESC"
        " ON CONFLICT DO NOTHING RETURNING life",
        packed([{"life": one.life, "slug": one.slug} for one in wanted]),
    )
    lives = {Life(row["life"]) for row in made}
    taken = await session.fetch(
        f"DELETE FROM dormant_log WHERE {_these(session)} AND purge_after_ms > {session.now_ms} RETURNING life",
        _packed(lives),
    )
    woken = {Life(row["life"]) for row in taken}
    await session.fetch(f"DELETE FROM room WHERE {_these(session)}", _packed(lives - woken))
    # Who was in it before may be here again: a part of a reaping that is under way ends first, and no other follows.
    await session.fetch(f"DELETE FROM ended_life WHERE {_these(session)}", _packed(woken))
    return woken


async def take_up(session: Session, lives: Iterable[Life]) -> set[Life]:
    """Edges register these lives again: their logs are not dormant any more. Gives those for which it is too late,
    since they are being purged."""
    these = _packed(lives)
    await session.fetch(
        f"DELETE FROM dormant_log WHERE {_these(session)} AND claimed_until_ms <= {session.now_ms}", these
    )
    late = await session.fetch(f"SELECT life FROM dormant_log WHERE {_these(session)}", these)
    return {Life(row["life"]) for row in late}


async def find_dormant(session: Session, ids: Iterable[RoomId]) -> list[tuple[RoomId, DormantLife]]:
    """Lives that may go on, by the public ids of their rooms, the newest first."""
    rows = await session.fetch(
        f"SELECT d.room_id, d.life, d.slug FROM {session.rows({'id': 'bigint'})} JOIN dormant_log d ON d.room_id = x.id"
        f" WHERE d.purge_after_ms > {session.now_ms} ORDER BY d.life DESC",
        packed([{"id": room_id} for room_id in ids]),
    )
    return [(RoomId(row["room_id"]), DormantLife(Slug(row["slug"]), Life(row["life"]))) for row in rows]


def _these(session: Session) -> str:
    return f"life IN (SELECT x.life FROM {session.rows(_LIVES)})"


def _packed(lives: Iterable[Life]) -> str:
    return packed([{"life": life} for life in lives])

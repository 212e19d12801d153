"""Registering again what an edge holds after its lease had expired, or after an answer was lost."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Sequence

from chassis.database import Session, packed
from rooms.adapters.arrivals import Entrant, admit
from rooms.adapters.room_rows import end_lives, lock_slugs
from rooms.domain.membership import HeldConnection
from rooms.domain.people import ConnectionId, EdgeId, Life, Slug
from rooms.domain.presence import Changes

_REVIVED = {"life": "bigint", "room_id": "bigint", "slug": "text"}
_DELETED = "SELECT 1 FROM deleted_slug d WHERE d.slug = x.slug AND x.life <= d.last_life"


async def register_again(
    session: Session, edge: EdgeId, held: Sequence[HeldConnection], *, limit: int, now_ms: int
) -> tuple[list[ConnectionId], Changes]:
    """The connections whose slug lives under another life, and what the others changed."""
    if not held:
        return [], Changes()
    standing = await _confirm(session, edge, held)
    missing = [one for one in held if one.connection not in standing]
    lost = [one.connection for one in held if standing.get(one.connection, one.life) != one.life]
    revived = await _revive(session, missing, now_ms)
    rooms = await lock_slugs(session, {one.slug for one in missing})
    entrants: list[Entrant] = []
    for one in missing:
        room = rooms.get(one.slug)
        if room is not None and room.life == one.life:
            entrants.append(Entrant(one.connection, one.person, room))
        else:
            lost.append(one.connection)
    if unused := revived - {entrant.room.life for entrant in entrants}:
        await end_lives(session, unused)
    admission = await admit(session, edge, entrants, limit=limit, now_ms=now_ms)
    return lost, Changes(admission.presence)


async def _confirm(session: Session, edge: EdgeId, held: Sequence[HeldConnection]) -> dict[ConnectionId, Life]:
    """Mark what is there already as still held; what is there in another life goes with the rest, and what is in a
    life that is over is not there. First the rows, then the marks: of one UPDATE with a FROM, SQLite compares every
    connection of the edge with everything that is held."""
    rows = await session.fetch(
        "SELECT c.id, c.number, c.life FROM connection c JOIN room r ON r.life = c.life"
        f" WHERE c.edge = $2 AND c.number IN (SELECT x.number FROM {session.rows({'number': 'bigint'})})",
        packed([{"number": one.connection} for one in held]),
        edge,
    )
    lives = {one.connection: one.life for one in held}
    for is_stale in (False, True):
        marked = [{"id": row["id"]} for row in rows if (row["life"] != lives[row["number"]]) is is_stale]
        if marked:
            await session.fetch(
                f"UPDATE connection SET stale = $2 WHERE id IN (SELECT x.id FROM {session.rows({'id': 'bigint'})})",
                packed(marked),
                is_stale,
            )
    return {row["number"]: row["life"] for row in rows}


async def _revive(session: Session, missing: Sequence[HeldConnection], now_ms: int) -> set[Life]:
    """Make rooms again with their old life where the slug does not live and nobody deleted it."""
    by_slug: dict[Slug, HeldConnection] = {}
    for one in missing:
        if one.slug not in by_slug or by_slug[one.slug].life < one.life:
            by_slug[one.slug] = one
    if not by_slug:
        return set()
    # Which versions the edges have seen is not known any more: the clock is beyond all of them, and the gap makes
    # every edge read the participants again.
    rows = await session.fetch(
        "INSERT INTO room (life, room_id, slug, created_ms, version)"
        f" SELECT x.life, x.room_id, x.slug, $2, $3 FROM {session.rows(_REVIVED)}"
        f" WHERE NOT EXISTS ({_DELETED}) ORDER BY x.slug ON CONFLICT DO NOTHING RETURNING life",
        packed([{"life": one.life, "room_id": one.room_id, "slug": one.slug} for one in by_slug.values()]),
        now_ms,
        now_ms,
    )
    revived = {row["life"] for row in rows}
    if not revived:
        return revived
    await session.never_reuse("room", "life", max(revived))
    # Who was in it before is here again: a part of a reaping that is under way ends first, and no other follows.
    await session.fetch(
        f"DELETE FROM ended_life WHERE life IN (SELECT x.life FROM {session.rows({'life': 'bigint'})})",
        packed([{"life": life} for life in revived]),
    )
    # A deletion that was under way held the slug until now, and was not there to be seen by the statement above.
    rows = await session.fetch(
        f"SELECT x.life FROM {session.rows({'life': 'bigint', 'slug': 'text'})} WHERE EXISTS ({_DELETED})",
        packed([{"life": one.life, "slug": one.slug} for one in by_slug.values() if one.life in revived]),
    )
    if deleted := {row["life"] for row in rows}:
        await end_lives(session, deleted)
    return revived - deleted

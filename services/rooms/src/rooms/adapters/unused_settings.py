"""Forgetting the settings of rooms that nobody used for long, in parts."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from chassis.database import Session, packed
from rooms.adapters.room_rows import NewRoom, insert_rooms, lock_lives

PART = 1000
_SLUGS = {"slug": "text"}


async def forget_unused(session: Session, kept_ms: int) -> None:
    """One part; the next one follows with the next sweep. A room is made for each of the slugs for as long as the
    transaction lasts: nobody makes one that lives while its settings go."""
    await session.fetch(
        f"UPDATE kept_settings SET last_used_ms = {session.now_ms}"
        f" WHERE slug IN (SELECT slug FROM kept_settings WHERE last_used_ms IS NULL LIMIT {PART})"
    )
    unused = f"last_used_ms < {session.now_ms} - $1"
    rows = await session.fetch(
        f"SELECT k.slug, k.room_id FROM kept_settings k WHERE {unused}"
        f" AND NOT EXISTS (SELECT 1 FROM room r WHERE r.slug = k.slug) LIMIT {PART}",
        kept_ms,
    )
    if not rows:
        return
    made = await insert_rooms(session, [NewRoom(row["slug"], row["room_id"]) for row in rows], now_ms=0)
    held = await lock_lives(session, made)
    forgotten = await session.fetch(
        f"DELETE FROM kept_settings WHERE {unused}"
        f" AND slug IN (SELECT x.slug FROM {session.rows(_SLUGS, '$2')}) RETURNING slug",
        kept_ms,
        packed([{"slug": room.slug} for room in held.values()]),
    )
    await session.fetch(
        f"DELETE FROM invitation WHERE slug IN (SELECT x.slug FROM {session.rows(_SLUGS)})",
        packed([{"slug": row["slug"]} for row in forgotten]),
    )
    await session.fetch(
        f"DELETE FROM room WHERE life IN (SELECT x.life FROM {session.rows({'life': 'bigint'})})",
        packed([{"life": life} for life in made]),
    )

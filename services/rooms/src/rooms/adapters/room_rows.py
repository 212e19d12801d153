"""Rows of rooms: finding, making, locking and ending them. Rooms are always locked in the order of their slugs."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chassis.database import Row, Session, packed
from rooms.domain.people import Life, RoomId, Slug, UserId
from rooms.domain.presence import LifeEnded

FIRST_SERVER_ID = 1_000_000_000
_SLUGS = {"slug": "text"}
_LIVES = {"life": "bigint"}
_ROOM = "r.life, r.room_id, r.slug, r.connection_count, r.version, r.crowded"
_ACCESS = "k.room_id AS kept_room_id, k.owner, k.is_public, k.allow_anonymous"


@dataclass(frozen=True, slots=True)
class Access:
    """What decides who may enter a slug."""

    kept_room_id: RoomId | None
    owner: UserId | None
    is_public: bool
    allow_anonymous: bool


OPEN = Access(None, None, True, True)
"""An auto-created room."""


@dataclass(frozen=True, slots=True)
class NewRoom:
    """A room to be made."""

    slug: Slug
    room_id: RoomId


@dataclass(frozen=True, slots=True)
class LockedRoom:
    """A living room whose row this transaction holds."""

    life: Life
    room_id: RoomId
    slug: Slug
    connection_count: int
    version: int
    crowded: bool
    access: Access

    @property
    def ended(self) -> LifeEnded:
        """The event of its end."""
        return LifeEnded(self.room_id, self.life, self.slug)


def _access(row: Row) -> Access:
    if row["kept_room_id"] is None:
        return OPEN
    return Access(row["kept_room_id"], row["owner"], bool(row["is_public"]), bool(row["allow_anonymous"]))


def _locked(row: Row) -> LockedRoom:
    access = _access(row) if "kept_room_id" in row else OPEN
    count, version = row["connection_count"], row["version"]
    return LockedRoom(row["life"], row["room_id"], row["slug"], count, version, bool(row["crowded"]), access)


async def slugs_of(session: Session, ids: Iterable[RoomId]) -> dict[RoomId, Slug]:
    """Slugs of the living rooms, else of the kept settings, with these public ids."""
    rows = await session.fetch(
        "SELECT x.id, coalesce((SELECT slug FROM room WHERE room_id = x.id),"
        f" (SELECT slug FROM kept_settings WHERE room_id = x.id)) AS slug FROM {session.rows({'id': 'bigint'})}",
        packed([{"id": room_id} for room_id in ids]),
    )
    return {row["id"]: row["slug"] for row in rows if row["slug"] is not None}


async def access_of(session: Session, slugs: Iterable[Slug]) -> dict[Slug, tuple[bool, Access]]:
    """For each slug whether it lives, and who may enter it."""
    rows = await session.fetch(
        f"SELECT x.slug, r.life, {_ACCESS} FROM {session.rows(_SLUGS)} LEFT JOIN room r ON r.slug = x.slug"
        " LEFT JOIN kept_settings k ON k.slug = x.slug",
        packed([{"slug": slug} for slug in slugs]),
    )
    return {row["slug"]: (row["life"] is not None, _access(row)) for row in rows}


async def take_ids(session: Session, number: int) -> list[RoomId]:
    """Public ids that nothing has, from the server's own counter."""
    taken: list[RoomId] = []
    await session.fetch(
        "INSERT INTO counter (name, next) VALUES ('room_id', $1) ON CONFLICT (name) DO NOTHING", FIRST_SERVER_ID
    )
    while len(taken) < number:
        missing = number - len(taken)
        rows = await session.fetch(
            "UPDATE counter SET next = next + $1 WHERE name = 'room_id' RETURNING next AS after", missing
        )
        candidates = [RoomId(rows[0]["after"] - missing + i) for i in range(missing)]
        used = await slugs_of(session, candidates)
        taken += [room_id for room_id in candidates if room_id not in used]
    return taken


async def insert_rooms(session: Session, rooms: Sequence[NewRoom], *, now_ms: int) -> set[Life]:
    """Make those rooms whose slug and id are free."""
    rows = await session.fetch(
        "INSERT INTO room (slug, room_id, created_ms) SELECT x.slug, x.room_id, $2"
        f" FROM {session.rows(_SLUGS | {'room_id': 'bigint'})} WHERE true ORDER BY x.slug"
        " ON CONFLICT DO NOTHING RETURNING life",
        packed([{"slug": room.slug, "room_id": room.room_id} for room in rooms]),
        now_ms,
    )
    return {row["life"] for row in rows}


async def lock_slugs(session: Session, slugs: Iterable[Slug]) -> dict[Slug, LockedRoom]:
    """Lock the living ones of these rooms, with who may enter them."""
    of_room = f"{session.for_update} OF r" if session.for_update else ""
    rows = await session.fetch(
        f"SELECT {_ROOM}, {_ACCESS} FROM room r LEFT JOIN kept_settings k ON k.slug = r.slug"
        f" WHERE r.slug IN (SELECT x.slug FROM {session.rows(_SLUGS)}) ORDER BY r.slug {of_room}",
        packed([{"slug": slug} for slug in slugs]),
    )
    return {row["slug"]: _locked(row) for row in rows}


async def lock_lives(session: Session, lives: Iterable[Life]) -> dict[Life, LockedRoom]:
    """Lock those of these lives that are not over."""
    rows = await session.fetch(
        f"SELECT {_ROOM} FROM room r WHERE r.life IN (SELECT x.life FROM {session.rows(_LIVES)})"
        f" ORDER BY r.slug {session.for_update}",
        packed([{"life": life} for life in lives]),
    )
    return {row["life"]: _locked(row) for row in rows}


async def lock_abandoned(session: Session, *, empty_before_ms: int, unused_before_ms: int) -> list[LockedRoom]:
    """Lock rooms that are empty, or still unused, for too long. They are looked up first, since for an OR SQLite reads
    the whole table; the condition is repeated for a room that somebody enters before it is locked."""
    empty, unused = "visited AND empty_since_ms <= $1", "NOT visited AND created_ms <= $2"
    rows = await session.fetch(
        f"SELECT {_ROOM} FROM room r WHERE connection_count = 0 AND (({empty}) OR ({unused}))"
        f" AND life IN (SELECT life FROM room WHERE {empty} UNION ALL SELECT life FROM room WHERE {unused})"
        f" ORDER BY r.slug LIMIT 500 {session.for_update_skip_locked}",
        empty_before_ms,
        unused_before_ms,
    )
    return [_locked(row) for row in rows]


async def end_lives(session: Session, lives: Iterable[Life]) -> None:
    """Delete rooms that are locked. Who is or was in them is removed later, in parts: see reaping.py."""
    parameter = packed([{"life": life} for life in lives])
    ended = await session.fetch(
        f"DELETE FROM room WHERE life IN (SELECT x.life FROM {session.rows(_LIVES)}) RETURNING slug", parameter
    )
    await session.fetch(
        f"UPDATE kept_settings SET last_used_ms = {session.now_ms}"
        f" WHERE slug IN (SELECT x.slug FROM {session.rows(_SLUGS)})",
        packed([{"slug": row["slug"]} for row in ended]),
    )
    await session.fetch(
        f"INSERT INTO ended_life (life, reap_after_ms) SELECT x.life, 0 FROM {session.rows(_LIVES)} WHERE true"
        " ON CONFLICT (life) DO NOTHING",
        parameter,
    )

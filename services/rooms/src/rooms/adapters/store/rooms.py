"""Rows of rooms and of what is kept of them: finding, making, locking, writing and ending. Rooms are always locked in
the order of their slugs."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass

from chassis.database import Row, Session, packed
from rooms.adapters.store.dormant_logs import lay_down
from rooms.adapters.store.emotes import forget_emotes
from rooms.domain.people import Life, RoomId, Slug, UserId
from rooms.domain.rooms import OPEN, Access, LivingRoom, RoomUpdate, SlugState

FIRST_SERVER_ID = 1_000_000_000
PART = 1000
"""Rows in one transaction of what may be many."""
_SLUGS = {"slug": "text"}
_LIVES = {"life": "bigint"}
_UPDATE = {
    "life": "bigint",
    "connection_count": "int",
    "version": "bigint",
    "crowded": "boolean",
    "empty_since_ms": "bigint",
    "partition_number": "smallint",
}
_ROOM = (
    "r.life, r.room_id, r.slug, r.connection_count, r.version, r.crowded, r.partition_number, r.visited,"
    " r.created_ms, r.empty_since_ms"
)
_ACCESS = "k.room_id AS kept_room_id, k.owner, k.is_public, k.allow_anonymous, k.created_ms AS kept_since_ms"


@dataclass(frozen=True, slots=True)
class NewRoom:
    """A room to be made."""

    slug: Slug
    room_id: RoomId


def _access(row: Row) -> Access:
    if row["kept_room_id"] is None:
        return OPEN
    since_ms = 0 if row["owner"] is None else row["kept_since_ms"]
    return Access(row["kept_room_id"], row["owner"], bool(row["is_public"]), bool(row["allow_anonymous"]), since_ms)


def _locked(row: Row) -> LivingRoom:
    return LivingRoom(
        life=row["life"],
        room_id=row["room_id"],
        slug=row["slug"],
        connection_count=row["connection_count"],
        version=row["version"],
        crowded=bool(row["crowded"]),
        access=_access(row) if "kept_room_id" in row else OPEN,
        partition=row["partition_number"],
        visited=bool(row["visited"]),
        created_ms=row["created_ms"],
        empty_since_ms=row["empty_since_ms"],
    )


async def slugs_of(session: Session, ids: Iterable[RoomId]) -> dict[RoomId, Slug]:
    """Slugs of the living rooms, else of the kept settings, with these public ids."""
    rows = await session.fetch(
        "SELECT x.id, coalesce((SELECT slug FROM room WHERE room_id = x.id),"
        f" (SELECT slug FROM kept_settings WHERE room_id = x.id)) AS slug FROM {session.rows({'id': 'bigint'})}",
        packed([{"id": room_id} for room_id in ids]),
    )
    return {row["id"]: row["slug"] for row in rows if row["slug"] is not None}


async def states_of(session: Session, visitors: Mapping[Slug, Set[UserId]]) -> dict[Slug, SlugState]:
    """Whether each slug lives, and who may enter it: the invited ones among its visitors, where it is private."""
    rows = await session.fetch(
        f"SELECT x.slug, r.life, {_ACCESS} FROM {session.rows(_SLUGS)} LEFT JOIN room r ON r.slug = x.slug"
        " LEFT JOIN kept_settings k ON k.slug = x.slug",
        packed([{"slug": slug} for slug in visitors]),
    )
    access = {row["slug"]: _access(row) for row in rows}
    private = {slug: visitors[slug] for slug, one in access.items() if not one.is_public}
    invited = await _invited(session, [(slug, user_id) for slug, users in private.items() for user_id in users])
    return {
        row["slug"]: SlugState(
            slug=row["slug"],
            is_living=row["life"] is not None,
            access=access[row["slug"]],
            invited=frozenset(u for u in private.get(row["slug"], ()) if (row["slug"], u) in invited),
        )
        for row in rows
    }


async def _invited(session: Session, wanted: Sequence[tuple[Slug, UserId]]) -> set[tuple[Slug, UserId]]:
    if not wanted:
        return set()
    rows = await session.fetch(
        f"SELECT i.slug, i.user_id FROM invitation i JOIN {session.rows({'slug': 'text', 'user_id': 'bigint'})}"
        " ON x.slug = i.slug AND x.user_id = i.user_id",
        packed([{"slug": slug, "user_id": user_id} for slug, user_id in wanted]),
    )
    return {(row["slug"], row["user_id"]) for row in rows}


async def take_ids(session: Session, number: int) -> list[RoomId]:
    """Public ids that nothing has, from the server's own counter."""
    taken: list[RoomId] = []
    while len(taken) < number:
        missing = number - len(taken)
        rows = await session.fetch(
            "INSERT INTO counter (name, next) VALUES ('room_id', CAST($1 AS bigint) + $2)"
            " ON CONFLICT (name) DO UPDATE SET next = counter.next + $2 RETURNING next AS after",
            FIRST_SERVER_ID,
            missing,
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


async def lock_slugs(session: Session, slugs: Iterable[Slug]) -> dict[Slug, LivingRoom]:
    """Lock the living ones of these rooms, with who may enter them."""
    of_room = f"{session.for_update} OF r" if session.for_update else ""
    rows = await session.fetch(
        f"SELECT {_ROOM}, {_ACCESS} FROM room r LEFT JOIN kept_settings k ON k.slug = r.slug"
        f" WHERE r.slug IN (SELECT x.slug FROM {session.rows(_SLUGS)}) ORDER BY r.slug {of_room}",
        packed([{"slug": slug} for slug in slugs]),
    )
    return {row["slug"]: _locked(row) for row in rows}


async def lock_lives(session: Session, lives: Iterable[Life]) -> dict[Life, LivingRoom]:
    """Lock those of these lives that are not over."""
    rows = await session.fetch(
        f"SELECT {_ROOM} FROM room r WHERE r.life IN (SELECT x.life FROM {session.rows(_LIVES)})"
        f" ORDER BY r.slug {session.for_update}",
        packed([{"life": life} for life in lives]),
    )
    return {row["life"]: _locked(row) for row in rows}


async def lock_empty(session: Session, *, empty_before_ms: int, unused_before_ms: int) -> list[LivingRoom]:
    """Lock rooms that were empty, or unused, at these times, 500 at most, and give them as they are now: somebody may
    have entered meanwhile. They are looked up first, since for an OR SQLite reads the whole table."""
    rows = await session.fetch(
        f"SELECT {_ROOM} FROM room r WHERE r.life IN (SELECT life FROM room WHERE empty_since_ms <= $1"
        " UNION ALL SELECT life FROM room WHERE NOT visited AND created_ms <= $2)"
        f" ORDER BY r.slug LIMIT 500 {session.for_update_skip_locked}",
        empty_before_ms,
        unused_before_ms,
    )
    return [_locked(row) for row in rows]


async def save_rooms(session: Session, updates: Sequence[RoomUpdate]) -> None:
    """Write what a batch changed of rooms that are locked; whoever is written here has been visited."""
    await session.fetch(
        "UPDATE room SET connection_count = x.connection_count, version = x.version, crowded = x.crowded,"
        " visited = true, empty_since_ms = x.empty_since_ms, partition_number = x.partition_number"
        f" FROM {session.rows(_UPDATE)} WHERE room.life = x.life",
        packed([asdict(update) for update in updates]),
    )


async def end_lives(session: Session, lives: Iterable[Life], *, dormant_ms: int) -> None:
    """Delete rooms that are locked. Who is or was in them is removed later, in parts: see reaping.py. Their logs lie
    dormant for so long; 0: these lives are over for good."""
    parameter = packed([{"life": life} for life in lives])
    ended = await session.fetch(
        f"DELETE FROM room WHERE life IN (SELECT x.life FROM {session.rows(_LIVES)})"
        " RETURNING life, slug, room_id, partition_number, visited, created_ms",
        parameter,
    )
    await lay_down(session, ended, dormant_ms)
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


async def begin_anew(session: Session, rooms: Sequence[LivingRoom], *, now_ms: int) -> set[Life]:
    """End these rooms, which are locked, for good, and make others in their places."""
    await end_lives(session, [room.life for room in rooms], dormant_ms=0)
    await never_register_again(session, rooms)
    return await insert_rooms(session, [NewRoom(room.slug, room.room_id) for room in rooms], now_ms=now_ms)


async def never_register_again(session: Session, rooms: Iterable[LivingRoom]) -> None:
    """No edge may register these lives again, or earlier ones of their slugs."""
    await session.fetch(
        f"INSERT INTO deleted_slug (slug, last_life, deleted_ms) SELECT x.slug, x.life, {session.now_ms}"
        f" FROM {session.rows(_LIVES | _SLUGS)} WHERE true"
        " ON CONFLICT (slug) DO UPDATE SET last_life = excluded.last_life, deleted_ms = excluded.deleted_ms",
        packed([{"life": room.life, "slug": room.slug} for room in rooms]),
    )


async def forget_unused(session: Session, kept_ms: int) -> None:
    """Delete one part of the settings that nobody used for `kept_ms`; the next part follows with the next sweep. For
    each of the slugs a room is inserted, and deleted before the commit: its row keeps others from inserting the room
    while the settings are deleted."""
    await session.fetch(
        f"UPDATE kept_settings SET last_used_ms = {session.now_ms}"
        f" WHERE slug IN (SELECT slug FROM kept_settings WHERE last_used_ms IS NULL LIMIT {PART})"
    )
    rows = await session.fetch(
        f"SELECT k.slug, k.room_id FROM kept_settings k WHERE {_unused(session)}"
        f" AND NOT EXISTS (SELECT 1 FROM room r WHERE r.slug = k.slug) LIMIT {PART}",
        kept_ms,
    )
    if rows:
        made = await insert_rooms(session, [NewRoom(row["slug"], row["room_id"]) for row in rows], now_ms=0)
        held = await lock_lives(session, made)
        await _forget(session, [room.slug for room in held.values()], kept_ms)
        await session.fetch(
            f"DELETE FROM room WHERE life IN (SELECT x.life FROM {session.rows(_LIVES)})",
            packed([{"life": life} for life in made]),
        )


def _unused(session: Session) -> str:
    return f"last_used_ms < {session.now_ms} - $1"


async def _forget(session: Session, slugs: Sequence[Slug], kept_ms: int) -> None:
    forgotten = await session.fetch(
        f"DELETE FROM kept_settings WHERE {_unused(session)}"
        f" AND slug IN (SELECT x.slug FROM {session.rows(_SLUGS, '$2')}) RETURNING slug",
        kept_ms,
        packed([{"slug": slug} for slug in slugs]),
    )
    await session.fetch(
        f"DELETE FROM invitation WHERE slug IN (SELECT x.slug FROM {session.rows(_SLUGS)})",
        packed([{"slug": row["slug"]} for row in forgotten]),
    )
    await forget_emotes(session, [Slug(row["slug"]) for row in forgotten])

"""Rooms as they are shown: one by its id or slug, or a list of the living ones."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

import time
import unicodedata
from collections.abc import Sequence

from chassis.database import Row, Session, Share, packed
from rooms.adapters.store.tables import from_ms
from rooms.domain.people import Life, Rank, RoomId, Slug, Viewer
from rooms.domain.rooms import Room, RoomSettings

SCANNED_AT_ONCE = 1000
SCANNED_AT_MOST = 10_000
"""Rooms that one search looks at, the newest first: each costs processor time, and anybody may search."""
_MANY_PEOPLE = 500
"""From here on counting costs enough to be done once a second."""
_REMEMBERED_S = 1.0
_KEPT = " FROM room r LEFT JOIN kept_settings k ON k.slug = r.slug"
_LIVING = (
    "SELECT r.life, r.room_id, r.slug, r.created_ms, r.connection_count,"
    f" k.owner, k.name, k.description, k.is_public, k.allow_anonymous,"
    f" k.created_ms AS kept_since_ms{_KEPT}"
)


async def find_room(session: Session, *, room_id: RoomId | None = None, slug: Slug | None = None) -> Room | None:
    """The living room, else its kept settings."""
    column, value = ("room_id", room_id) if slug is None else ("slug", slug)
    if rows := await session.fetch(f"{_LIVING} WHERE r.{column} = $1", value):
        return _room(rows[0])
    kept = await session.fetch(f"SELECT * FROM kept_settings WHERE {column} = $1", value)
    return _room(kept[0]) if kept else None


async def newest_rooms(session: Session, viewer: Viewer | None, *, first: int, after: Life | None) -> list[Room]:
    """Rooms with someone in them that the viewer may enter."""
    where, values = _listed(viewer, after)
    rows = await session.fetch(f"{_LIVING} WHERE {where} ORDER BY r.life DESC LIMIT {int(first)}", *values)
    return [_room(row) for row in rows]


async def search_rooms(
    database: Share, viewer: Viewer | None, search: str, *, first: int, after: Life | None
) -> list[Room]:
    """Those of the SCANNED_AT_MOST newest with the text in their name or slug. Compared here: what a database takes for
    the small letter of another depends on its kind and its locale, and SQLite knows ASCII alone. Between its parts
    whoever else waits for the database has a turn."""
    wanted, found = _folded(search), list[Room]()
    for _ in range(SCANNED_AT_MOST // SCANNED_AT_ONCE):
        where, values = _listed(viewer, after)
        async with database.session() as session:
            rows = await session.fetch(
                f"SELECT r.life, r.slug, k.name{_KEPT} WHERE {where} ORDER BY r.life DESC LIMIT {SCANNED_AT_ONCE}",
                *values,
            )
            matching = [row["life"] for row in rows if wanted in _folded(row["slug"]) or wanted in _folded(row["name"])]
            found += await _living(session, matching[: first - len(found)], viewer)
        if len(rows) < SCANNED_AT_ONCE or len(found) >= first:
            break
        # A room that ended in between leaves a place on the page, which the next ones fill.
        after = Life(rows[-1]["life"])
    return found


async def _living(session: Session, lives: Sequence[int], viewer: Viewer | None) -> list[Room]:
    if not lives:
        return []
    where, values = _listed(viewer, None)
    rows = await session.fetch(
        f"{_LIVING} WHERE {where} AND r.life IN"
        f" (SELECT x.life FROM {session.rows({'life': 'bigint'}, f'${len(values) + 1}')}) ORDER BY r.life DESC",
        *values,
        packed([{"life": life} for life in lives]),
    )
    return [_room(row) for row in rows]


def _listed(viewer: Viewer | None, after: Life | None) -> tuple[str, list[object]]:
    """The condition for a room to be in the viewer's list behind `after`, with its parameters."""
    where, values = ["r.connection_count > 0"], list[object]()
    if after is not None:
        values.append(after)
        where.append(f"r.life < ${len(values)}")
    if viewer is None:
        where.append("coalesce(k.is_public, true)")
    elif viewer.rank < Rank.ADMIN:
        values.append(viewer.user_id)
        where.append(
            f"(coalesce(k.is_public, true) OR k.owner = ${len(values)} OR EXISTS"
            f" (SELECT 1 FROM invitation i WHERE i.slug = r.slug AND i.user_id = ${len(values)}))"
        )
    return " AND ".join(where), values


def _folded(text: str | None) -> str:
    if text is not None and text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text or "").casefold())


def _room(row: Row) -> Room:
    slug = Slug(row["slug"])
    is_kept = row["name"] is not None
    settings = (
        RoomSettings(row["name"], row["description"], bool(row["is_public"]), bool(row["allow_anonymous"]))
        if is_kept
        else RoomSettings(slug)
    )
    life = row.get("life")
    since_ms = row["created_ms"] if life is None else row["kept_since_ms"]
    return Room(
        life=None if life is None else Life(life),
        room_id=RoomId(row["room_id"]),
        slug=slug,
        settings=settings,
        owner=row["owner"],
        room_type="live",
        created_at=from_ms(row["created_ms"]),
        connection_count=row.get("connection_count") or 0,
        owned_since_ms=0 if row["owner"] is None else since_ms,
    )


async def people_of(session: Session, lives: Sequence[Life], *, first: int, after: int) -> list[Row]:
    """A page of the participants of each life, by the index."""
    page = "FROM participant q WHERE q.life = x.life AND q.id > $2 ORDER BY q.id LIMIT $3"
    # SQLite has no LATERAL, and PostgreSQL would look for each participant in each page.
    joined = f"JOIN LATERAL (SELECT q.* {page}) AS p ON true"
    if not session.is_postgres:
        # CROSS: SQLite then keeps the order of the two; newer versions may begin with all participants otherwise.
        joined = f"CROSS JOIN participant p ON p.id IN (SELECT q.id {page})"
    return await session.fetch(
        "SELECT p.*, (SELECT max(c.rank) FROM connection c WHERE c.participant_id = p.id) AS highest"
        f" FROM {session.rows({'life': 'bigint'})} {joined} ORDER BY p.id",
        packed([{"life": life} for life in lives]),
        after,
        first,
    )


class CountedPeople:
    """How many are in a life, remembered for a second where they are many."""

    def __init__(self) -> None:
        self._known: dict[Life, tuple[int, float]] = {}

    def recent(self, lives: Sequence[Life]) -> tuple[dict[Life, int], list[Life]]:
        """What was counted within the last second, and what was not."""
        now_s = time.monotonic()
        self._known = {life: known for life, known in self._known.items() if known[1] > now_s}
        found = {life: self._known[life][0] for life in lives if life in self._known}
        return found, [life for life in lives if life not in found]

    async def count(self, session: Session, lives: Sequence[Life]) -> dict[Life, int]:
        """One query for all of them."""
        rows = await session.fetch(
            "SELECT x.life, (SELECT count(*) FROM participant p WHERE p.life = x.life AND p.connections > 0) AS people"
            f" FROM {session.rows({'life': 'bigint'})}",
            packed([{"life": life} for life in lives]),
        )
        until_s = time.monotonic() + _REMEMBERED_S
        self._known |= {row["life"]: (row["people"], until_s) for row in rows if row["people"] > _MANY_PEOPLE}
        return {row["life"]: row["people"] for row in rows}

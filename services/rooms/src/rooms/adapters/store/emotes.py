"""The Emotes port on SQLite or PostgreSQL.

Every change takes the next number of one counter, whose row is locked to the end of its transaction: so versions rise
in the order in which changes are committed, and whoever has read up to one misses none before it.
"""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Sequence
from datetime import datetime

from chassis.database import Database, Session, Share, packed
from chassis.outages import retried_on_conflict
from rooms.adapters.store.tables import to_ms
from rooms.domain.emotes import ChangedEmotes, Emote, check_emote_quota
from rooms.domain.people import Slug, UserId
from rooms.errors import NotPermitted

CHANGES_AT_ONCE = 1000
CHANGES_KEPT = 10_000
"""The last ones: whoever has missed more reads all that they hold again."""
_SLUGS = {"slug": "text"}


class TortoiseEmotes:
    """Raises DatabaseUnavailable. `share`: what GraphQL may take of the database, which edges have to themselves."""

    def __init__(self, database: Database, share: Share) -> None:
        self._database = database
        self._share = share

    async def of_slugs(self, slugs: Sequence[Slug]) -> list[list[Emote]]:
        """The emotes of each of these, in their order, for people."""
        async with self._share.session() as session:
            return await _of_slugs(session, slugs)

    async def for_edges(self, slugs: Sequence[Slug], *, most: int) -> list[list[Emote] | None]:
        """The same for edges, whose rooms wait for it, of no more rows than one answer has."""
        async with self._database.session() as session:
            counts = await session.fetch(
                "SELECT slug, count(*) AS n FROM emote"
                f" WHERE slug IN (SELECT x.slug FROM {session.rows(_SLUGS)}) GROUP BY slug",
                _packed(slugs),
            )
            if not counts:
                return [[] for _ in slugs]
            number = {Slug(row["slug"]): int(row["n"]) for row in counts}
            chosen, size = dict[Slug, None](), 0
            for slug in slugs:
                if not size or size + number.get(slug, 0) <= most:
                    chosen[slug] = None
                    size += number.get(slug, 0)
            found = dict(zip(chosen, await _of_slugs(session, list(chosen)), strict=True))
        return [found.get(slug) for slug in slugs]

    async def changed(self, after: int | None) -> ChangedEmotes:
        """What has changed since that version; None: which version there is."""
        async with self._database.session() as session:
            rows = await session.fetch("SELECT next FROM counter WHERE name = 'emotes'")
            version = int(rows[0]["next"]) if rows else 0
            if after is None or after >= version:
                return ChangedEmotes(version, [])
            if after < version - CHANGES_KEPT:
                return ChangedEmotes(version, [], has_more=True)
            found = await session.fetch(
                "SELECT slug FROM emote_change WHERE version > $1 AND version <= $2 ORDER BY version"
                f" LIMIT {CHANGES_AT_ONCE + 1}",
                after,
                version,
            )
        slugs = [Slug(row["slug"]) for row in found]
        return ChangedEmotes(version, slugs[:CHANGES_AT_ONCE], has_more=len(slugs) > CHANGES_AT_ONCE)

    @retried_on_conflict
    async def save(self, emote: Emote, *, owner: UserId | None, by: UserId, now: datetime) -> None:
        """Keep it, in place of one of that name."""
        async with self._share.transaction() as session:
            await _check_owner(session, emote.slug, owner)
            await note_changed(session, [emote.slug])
            rows = await session.fetch(
                "SELECT count(*) AS n FROM emote WHERE slug = $1 AND name <> $2", emote.slug, emote.name
            )
            check_emote_quota(int(rows[0]["n"]))
            await session.fetch(
                "INSERT INTO emote (slug, name, url, alt, created_by, created_ms) VALUES ($1, $2, $3, $4, $5, $6)"
                " ON CONFLICT (slug, name) DO UPDATE SET url = excluded.url, alt = excluded.alt",
                emote.slug,
                emote.name,
                emote.url,
                emote.alt,
                by,
                to_ms(now),
            )

    @retried_on_conflict
    async def delete(self, slug: Slug, name: str, *, owner: UserId | None) -> bool:
        """Whether there was one."""
        async with self._share.transaction() as session:
            await _check_owner(session, slug, owner)
            if not await session.fetch("SELECT id FROM emote WHERE slug = $1 AND name = $2", slug, name):
                return False  # or edges would read that slug again for nothing
            await note_changed(session, [slug])
            rows = await session.fetch("DELETE FROM emote WHERE slug = $1 AND name = $2 RETURNING id", slug, name)
        return bool(rows)


async def _of_slugs(session: Session, slugs: Sequence[Slug]) -> list[list[Emote]]:
    rows = await session.fetch(
        f"SELECT slug, name, url, alt FROM emote WHERE slug IN (SELECT x.slug FROM {session.rows(_SLUGS)})"
        " ORDER BY name",
        _packed(slugs),
    )
    found: dict[Slug, list[Emote]] = {slug: [] for slug in slugs}
    for row in rows:
        found[row["slug"]].append(Emote(row["slug"], row["name"], row["url"], row["alt"]))
    return list(found.values())


async def forget_emotes(session: Session, slugs: Sequence[Slug]) -> None:
    """Whose room is deleted, or was not used for long: whoever takes the slug next begins with none."""
    rows = await session.fetch(
        f"DELETE FROM emote WHERE slug IN (SELECT x.slug FROM {session.rows(_SLUGS)}) RETURNING slug", _packed(slugs)
    )
    if gone := sorted({Slug(row["slug"]) for row in rows}):
        await note_changed(session, gone)


async def note_changed(session: Session, slugs: Sequence[Slug]) -> None:
    """The emotes of these are others from the end of this transaction on."""
    await session.fetch("INSERT INTO counter (name, next) VALUES ('emotes', 0) ON CONFLICT (name) DO NOTHING")
    rows = await session.fetch("UPDATE counter SET next = next + 1 WHERE name = 'emotes' RETURNING next AS version")
    for slug in slugs:
        await session.fetch(
            "INSERT INTO emote_change (slug, version) VALUES ($1, $2)"
            " ON CONFLICT (slug) DO UPDATE SET version = excluded.version",
            slug,
            rows[0]["version"],
        )
    await session.fetch("DELETE FROM emote_change WHERE version <= $1", rows[0]["version"] - CHANGES_KEPT)


async def _check_owner(session: Session, slug: Slug, owner: UserId | None) -> None:
    """Whose room it was a moment ago may have deleted it since. Raises NotPermitted."""
    if owner is None:
        return
    rows = await session.fetch(f"SELECT owner FROM kept_settings WHERE slug = $1 {session.for_update}", slug)
    if [row["owner"] for row in rows] != [owner]:
        raise NotPermitted


def _packed(slugs: Sequence[Slug]) -> str:
    return packed([{"slug": slug} for slug in slugs])

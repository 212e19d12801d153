"""Rooms as people see and manage them, in the database."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Mapping, Sequence
from datetime import datetime

from chassis.database import Database, Gate, Row, Session
from chassis.outages import retried_on_conflict
from rooms.adapters.store.dormant_logs import supersede
from rooms.adapters.store.emotes import forget_emotes
from rooms.adapters.store.listing import CountedPeople, find_room, newest_rooms, people_of, search_rooms
from rooms.adapters.store.rooms import NewRoom, end_lives, insert_rooms, lock_slugs, never_register_again, take_ids
from rooms.adapters.store.tables import InvitationRow, VideoRow, from_ms, to_ms
from rooms.domain.audit import RoomLog
from rooms.domain.people import Life, ParticipantKey, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.rooms import (
    Invitation,
    LifeEnded,
    LivingRoom,
    Participant,
    ParticipantState,
    Room,
    RoomSettings,
    SettingsChange,
    Video,
    check_quota,
    check_unchanged,
    may_make,
)
from rooms.errors import RoomNotFound, SlugTaken

_SEARCHES = 2
"""At once: each looks at every room, and people who join are not to wait for them. Whoever waits too long for a place
gets none, since nobody cancels a search whose asker has gone."""
_SEARCH_WAIT_S = 5.0


GRAPHQL_CONNECTIONS = 3


class TortoiseCatalog:
    """The RoomCatalog port on SQLite or PostgreSQL, and the service's own catalogue of videos. Raises
    DatabaseUnavailable. `connections`: how many the first of the two takes at most."""

    def __init__(self, database: Database, *, connections: int = GRAPHQL_CONNECTIONS) -> None:
        self.share = database.share(connections)
        """Those that GraphQL may take, whatever it asks for."""
        self._for_joins = database
        self._counted = CountedPeople()
        self._searches = Gate(_SEARCHES, wait_s=_SEARCH_WAIT_S)

    async def list_rooms(
        self, viewer: Viewer | None, *, first: int, after: Life | None, search: str | None
    ) -> list[Room]:
        """Rooms with someone in them that the viewer may enter, newest first. A search looks at all of them."""
        if search:
            async with self._searches.place():
                return await search_rooms(self.share, viewer, search, first=first, after=after)
        async with self.share.session() as session:
            return await newest_rooms(session, viewer, first=first, after=after)

    async def find_room(self, *, room_id: RoomId | None = None, slug: Slug | None = None) -> Room | None:
        """The living room, else its kept settings."""
        async with self.share.session() as session:
            return await find_room(session, room_id=room_id, slug=slug)

    async def find_log(self, slug: Slug) -> RoomLog | None:
        """Where the entries of the life of a slug are."""
        async with self.share.session() as session:
            rows = await session.fetch(
                "SELECT room_id, life, partition_number FROM room WHERE slug = $1 AND partition_number IS NOT NULL",
                slug,
            )
        row = rows[0] if rows else None
        return None if row is None else RoomLog(row["room_id"], row["life"], row["partition_number"])

    async def list_participants(
        self, lives: Sequence[Life], *, first: int, after: int | None
    ) -> Mapping[Life, list[Participant]]:
        """Who is or was in each life, in order of arrival."""
        async with self.share.session() as session:
            rows = await people_of(session, lives, first=first, after=after or 0)
        found: dict[Life, list[Participant]] = {life: [] for life in lives}
        for row in rows:
            found[row["life"]].append(_participant(row))
        return found

    async def count_people(self, lives: Sequence[Life]) -> Mapping[Life, int]:
        """How many are in each life. Of many the number is up to a second old."""
        counts, unknown = self._counted.recent(lives)
        if unknown:
            async with self.share.session() as session:
                counts |= await self._counted.count(session, unknown)
        return counts

    @retried_on_conflict
    async def create_room(
        self, slug: Slug, settings: RoomSettings, owner: UserId, *, may_revive: bool, quota: int, now: datetime
    ) -> Room:
        """Make a room live and keep its settings."""
        async with self.share.session() as session:
            before = await find_room(session, slug=slug)
            if not may_make(before, owner, may_revive=may_revive):
                raise SlugTaken
            room_id = before.room_id if before is not None else (await take_ids(session, 1))[0]
        async with self.share.transaction() as session:
            check_quota(await _count_others(session, owner, slug), quota)
            if not await insert_rooms(session, [NewRoom(slug, room_id)], now_ms=to_ms(now)):
                raise SlugTaken
            if not may_revive and await session.fetch("SELECT slug FROM kept_settings WHERE slug = $1", slug):
                raise SlugTaken
            if not await _keep(session, slug, room_id, owner, settings, now):
                raise SlugTaken
            await supersede(session, [slug])
            room = await find_room(session, slug=slug)
        assert room is not None
        return room

    @retried_on_conflict
    async def update_room(self, room: Room, change: SettingsChange, *, now: datetime) -> Room:
        """Change and keep a room's settings."""
        async with self.share.transaction() as session:
            before, _ = await _lock_same(session, room)
            if not await _keep(session, room.slug, room.room_id, room.owner, change.apply(before.settings), now):
                raise RoomNotFound
            changed = await find_room(session, slug=room.slug)
        assert changed is not None
        return changed

    @retried_on_conflict
    async def delete_room(self, room: Room) -> LifeEnded | None:
        """End the life, if any, and delete settings, invitations and emotes. A room of which only settings are kept is
        inserted and ended in the same transaction: while it holds the row nobody else can insert the room, and
        `deleted_slug` gets the number of a life that is higher than any before, so that no edge can register an older
        one again."""
        async with self.share.transaction() as session:
            made = await insert_rooms(session, [NewRoom(room.slug, room.room_id)], now_ms=0)
            if made and not await _lock_settings(session, room.slug):
                raise RoomNotFound
            _, living = await _lock_same(session, room)
            kept = await session.fetch("DELETE FROM kept_settings WHERE slug = $1 RETURNING room_id", room.slug)
            if living is None or (made and [row["room_id"] for row in kept] != [room.room_id]):
                raise RoomNotFound
            await session.fetch("DELETE FROM invitation WHERE slug = $1", room.slug)
            await forget_emotes(session, [room.slug])
            await end_lives(session, [living.life], dormant_ms=0)
            await supersede(session, [room.slug])
            await never_register_again(session, [living])
            await session.fetch(
                f"INSERT INTO deleted_life (life, deleted_ms) VALUES ($1, {session.now_ms})", living.life
            )
            return None if made else living.ended

    async def is_invited(self, slug: Slug, user_id: UserId) -> bool:
        """Whether there is an invitation."""
        async with self.share.session() as session:
            return await InvitationRow.filter(slug=slug, user_id=user_id).using_db(session.client).exists()

    @retried_on_conflict
    async def invite(self, room: Room, invitation: Invitation) -> Invitation:
        """Store it; the first one stands."""
        async with self.share.transaction() as session:
            await _lock_same(session, room)
            await session.fetch(
                "INSERT INTO invitation (slug, user_id, invited_by, created_ms) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (slug, user_id) DO NOTHING",
                invitation.slug,
                invitation.user_id,
                invitation.invited_by,
                to_ms(invitation.created_at),
            )
            row = await InvitationRow.get(slug=invitation.slug, user_id=invitation.user_id, using_db=session.client)
        return Invitation(Slug(row.slug), UserId(row.user_id), UserId(row.invited_by), from_ms(row.created_ms))

    @retried_on_conflict
    async def revoke(self, room: Room, user_id: UserId) -> bool:
        """Whether there was one."""
        async with self.share.transaction() as session:
            await _lock_same(session, room)
            return await InvitationRow.filter(slug=room.slug, user_id=user_id).using_db(session.client).delete() > 0

    @retried_on_conflict
    async def register_video(self, video: Video) -> Video:
        """Store it, or give an existing one the new title."""
        async with self.share.transaction() as session:
            await session.fetch(
                "INSERT INTO video (id, title, created_ms) VALUES ($1, $2, $3)"
                " ON CONFLICT (id) DO UPDATE SET title = excluded.title",
                video.id,
                video.title,
                to_ms(video.created_at),
            )
            row = await VideoRow.get(id=video.id, using_db=session.client)
        return Video(row.id, row.title, from_ms(row.created_ms))

    async def existing(self, video_ids: frozenset[int]) -> Mapping[int, bool | None]:
        """The Videos port: which of these the service's own catalogue has."""
        async with self._for_joins.session() as session:
            rows = await VideoRow.filter(id__in=list(video_ids)).using_db(session.client)
        found = {row.id for row in rows}
        return {video_id: video_id in found for video_id in video_ids}


async def _lock_same(session: Session, room: Room) -> tuple[Room, LivingRoom | None]:
    """A room that was found before, as it is now and until the transaction ends, with its life if it has one.
    Raises as check_unchanged does."""
    living = (await lock_slugs(session, [room.slug])).get(room.slug)
    await _lock_settings(session, room.slug)
    return check_unchanged(room, await find_room(session, slug=room.slug)), living


async def _lock_settings(session: Session, slug: Slug) -> bool:
    """Whether any are kept."""
    return bool(await session.fetch(f"SELECT slug FROM kept_settings WHERE slug = $1 {session.for_update}", slug))


async def _count_others(session: Session, owner: UserId, slug: Slug) -> int:
    """Settings that are kept for a user, who makes one room at a time."""
    await session.lock_number(owner)
    rows = await session.fetch("SELECT count(*) AS n FROM kept_settings WHERE owner = $1 AND slug <> $2", owner, slug)
    return int(rows[0]["n"])


async def _keep(
    session: Session, slug: Slug, room_id: RoomId, owner: UserId | None, settings: RoomSettings, now: datetime
) -> bool:
    """Write the settings, unless somebody else's are there by now."""
    rows = await session.fetch(
        "INSERT INTO kept_settings (slug, room_id, owner, name, description, is_public, allow_anonymous, created_ms,"
        f" last_used_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, {session.now_ms})"
        " ON CONFLICT (slug) DO UPDATE SET name = excluded.name, last_used_ms = excluded.last_used_ms,"
        " description = excluded.description, is_public = excluded.is_public,"
        " allow_anonymous = excluded.allow_anonymous"
        " WHERE kept_settings.room_id = excluded.room_id AND (kept_settings.owner = excluded.owner"
        " OR (kept_settings.owner IS NULL AND excluded.owner IS NULL)) RETURNING slug",
        slug,
        room_id,
        owner,
        settings.name,
        settings.description,
        settings.is_public,
        settings.allow_anonymous,
        to_ms(now),
    )
    return bool(rows)


def _participant(row: Row) -> Participant:
    return Participant(
        id=row["id"],
        key=ParticipantKey(row["key"]),
        user_id=row["user_id"],
        username=row["username"],
        connection_count=row["connections"],
        joined_at=from_ms(row["joined_ms"]),
        state=ParticipantState.ONLINE if row["connections"] > 0 else ParticipantState.OFFLINE,
        rank=None if row["highest"] is None else Rank(row["highest"]),
    )

"""Rooms: what they are, what is kept of them, who may enter and manage them, and what an operator decides."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from rooms.domain.log_position import LifeLog
from rooms.domain.naming import is_id, is_video_slug
from rooms.domain.people import SYSTEM_USER, Life, ParticipantKey, Rank, RoomId, Slug, UserId, Viewer
from rooms.errors import NotPermitted, RoomNotFound, TooManyRooms

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What a room's owner decides."""

    name: str
    description: str | None = None
    is_public: bool = True
    allow_anonymous: bool = True


class Unchanged(Enum):
    """The mark of a setting that an update leaves as it is, where None means something else."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What updateChatRoom sets. None leaves a setting as it is, but a description of None is removed."""

    name: str | None = None
    description: str | Unchanged | None = UNCHANGED
    is_public: bool | None = None
    allow_anonymous: bool | None = None

    def apply(self, settings: RoomSettings) -> RoomSettings:
        """The settings after the change."""
        return RoomSettings(
            name=settings.name if self.name is None else self.name,
            description=settings.description if isinstance(self.description, Unchanged) else self.description,
            is_public=settings.is_public if self.is_public is None else self.is_public,
            allow_anonymous=settings.allow_anonymous if self.allow_anonymous is None else self.allow_anonymous,
        )


@dataclass(frozen=True, slots=True)
class Room:
    """A room as it is shown: one life of it, or, with life None, the kept settings of one that is dead."""

    life: Life | None
    room_id: RoomId
    slug: Slug
    settings: RoomSettings
    owner: UserId | None
    """Who has a creator's rights: from createChatRoom alone."""
    room_type: str
    created_at: datetime
    connection_count: int = 0
    owned_since_ms: int = 0
    """Since when it is the owner's, Unix milliseconds; 0: nobody's."""

    @property
    def created_by(self) -> UserId:
        """As shown: auto-created rooms name the system user."""
        return SYSTEM_USER if self.owner is None else self.owner


@dataclass(frozen=True, slots=True)
class Access:
    """What decides who may enter a slug."""

    kept_room_id: RoomId | None
    """The public id of its kept settings; None: there are none."""
    owner: UserId | None
    is_public: bool
    allow_anonymous: bool
    owned_since_ms: int = 0
    """Unix milliseconds; 0: nobody's."""


OPEN = Access(None, None, True, True)
"""An auto-created room."""


@dataclass(frozen=True, slots=True)
class SlugState:
    """A slug as it was read for a batch of joins."""

    slug: Slug
    is_living: bool
    access: Access = OPEN
    invited: frozenset[UserId] = frozenset()
    """Those of the batch who have an invitation."""


@dataclass(frozen=True, slots=True)
class LifeEnded:
    """A room's row is gone."""

    room_id: RoomId
    life: Life
    slug: Slug
    partition: int | None = None
    """Of its log; None: its messages are in the stream of before."""


@dataclass(frozen=True, slots=True)
class DormantLife:
    """A life that is over, and that goes on if somebody comes back to it in time."""

    slug: Slug
    life: Life


def dormant_ms(partition: int | None, keep_ms: int) -> int:
    """How long the log of a life that has ended lies dormant. That of edges of before is read by nobody who could come
    back to it."""
    return 0 if partition is None else keep_ms


@dataclass(frozen=True, slots=True)
class LivingRoom:
    """A living room whose row the transaction holds."""

    life: Life
    room_id: RoomId
    slug: Slug
    connection_count: int
    version: int
    crowded: bool
    access: Access = OPEN
    partition: int | None = None
    """Of its log. None: nobody was here yet, or edges of before, whose messages are in another stream."""
    visited: bool = True
    created_ms: int = 0
    empty_since_ms: int | None = None
    """None: somebody is in it, or nobody was yet."""

    @property
    def log(self) -> LifeLog:
        """Where its messages are."""
        return LifeLog(self.life, self.partition)

    @property
    def ended(self) -> LifeEnded:
        """The event of its end."""
        return LifeEnded(self.room_id, self.life, self.slug, self.partition)


@dataclass(frozen=True, slots=True)
class RoomUpdate:
    """What a batch of joins or leaves changes of a room's row."""

    life: Life
    connection_count: int
    version: int
    crowded: bool
    empty_since_ms: int | None
    partition_number: int | None


class ParticipantState(Enum):
    """Muted and banned stand before online and offline."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    MUTED = "MUTED"
    BANNED = "BANNED"


@dataclass(frozen=True, slots=True)
class Participant:
    """A person in one life of a room: users once however many connections, anonymous connections each."""

    id: int
    """Rises in the order of arrival; what a list goes on after."""
    key: ParticipantKey
    user_id: UserId | None
    username: str
    connection_count: int
    """0: offline, was here in this life of the room."""
    joined_at: datetime
    state: ParticipantState
    rank: Rank | None = None
    """The highest rank they are connected with; None: not connected."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who may enter a private slug."""

    slug: Slug
    user_id: UserId
    invited_by: UserId
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Video:
    """An entry of the service's own catalogue."""

    id: int
    title: str
    created_at: datetime


def may_enter(
    *,
    user_id: UserId | None,
    rank: Rank,
    is_public: bool,
    allow_anonymous: bool,
    owner: UserId | None,
    is_invited: bool,
) -> bool:
    """Private rooms are for the creator, the invited, admins and superusers; nobody anonymous among them."""
    if user_id is None:
        return is_public and allow_anonymous
    return is_public or rank >= Rank.ADMIN or user_id == owner or is_invited


def may_make(before: Room | None, owner: UserId, *, may_revive: bool) -> bool:
    """Whether a slug may become this owner's room, by what answers to it: nothing, or with `may_revive` settings that
    are kept for the same owner."""
    return before is None or (may_revive and before.life is None and before.owner == owner)


def check_quota(others: int, quota: int) -> None:
    """Whether settings of one more room may be kept for a user, beside those of `others`. Raises TooManyRooms."""
    if others >= quota:
        raise TooManyRooms


def check_unchanged(before: Room, now: Room | None) -> Room:
    """The room as it is now, if what was decided about it before still holds. Raises RoomNotFound where its slug is no
    longer that room's, NotPermitted where it has another owner by now."""
    if now is None or now.room_id != before.room_id:
        raise RoomNotFound
    if now.owner != before.owner:
        raise NotPermitted
    return now


def may_manage(viewer: Viewer, room: Room) -> bool:
    """The creator, from createChatRoom alone, and admins."""
    return viewer.rank >= Rank.ADMIN or viewer.user_id == room.owner


def may_register_videos(viewer: Viewer) -> bool:
    """Admins keep the catalogue."""
    return viewer.rank >= Rank.ADMIN


class AutoCreate(Enum):
    """For which references that nothing answers to a room is made."""

    ANY = "any"
    SLUGS = "slugs"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CreationPolicy:
    """Who may make a room by createChatRoom, and under which slugs."""

    admins_only: bool = False
    reserved: tuple[str, ...] = ()
    """For admins: slugs, whatever their capital letters, with * for any characters."""
    quota: int = 20
    """Rooms' settings that are kept for one user."""

    def may_create(self, rank: Rank) -> bool:
        """Whoever is signed in, or admins alone."""
        return rank >= (Rank.ADMIN if self.admins_only else Rank.USER)

    def may_take(self, slug: Slug, rank: Rank) -> bool:
        """Reserved slugs are for admins."""
        return rank >= Rank.ADMIN or not any(_matches(pattern, slug) for pattern in self.reserved)


def _matches(pattern: str, slug: Slug) -> bool:
    parts = (re.escape(part) for part in re.split(r"\*+", pattern.casefold()))
    return re.fullmatch(".*".join(parts), slug.casefold()) is not None


@dataclass(frozen=True, slots=True)
class RoomPolicy:
    """How rooms come, stay and go."""

    auto_create: AutoCreate = AutoCreate.ANY
    empty_grace_ms: int = 0
    """How long an empty room is kept; 0: it ends with the leave that empties it."""
    presence_limit: int = 500
    lease_ms: int = 10_000
    unused_ms: int = DAY_MS
    """How long a room made through GraphQL waits for its first visitor."""
    kept_ms: int = 90 * DAY_MS
    """How long settings are kept that nobody uses."""
    away_ms: int = 15_000
    """How long whoever the server sent away with 1012 may come back as if they had never left."""
    dormant_ms: int = 60_000
    """How long the log of a life that its last leave has ended is kept for those who come back to it."""
    log_partitions: int = 1
    """Over which new lives are spread."""
    owner_rank: Rank = Rank.OWNER
    """What the owner of a room ranks as in it; MODERATOR: they have no more rights than these."""

    def is_abandoned(self, room: LivingRoom, *, now_ms: int) -> bool:
        """Whether a room has been empty, or still unused, for too long."""
        if room.connection_count > 0:
            return False
        if not room.visited:
            return room.created_ms <= now_ms - self.unused_ms
        return room.empty_since_ms is not None and room.empty_since_ms <= now_ms - self.empty_grace_ms

    def may_create(self, slug: Slug, *, has_kept_settings: bool) -> bool:
        """Videos and slugs with kept settings are never restricted."""
        if has_kept_settings or is_video_slug(slug) or self.auto_create is AutoCreate.ANY:
            return True
        return self.auto_create is AutoCreate.SLUGS and not is_id(slug)

"""Rooms, what is kept of them, and who is in them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from rooms.domain.identity import SYSTEM_USER, Life, ParticipantKey, Rank, RoomId, Slug, UserId


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

    @property
    def created_by(self) -> UserId:
        """As shown: auto-created rooms name the system user."""
        return SYSTEM_USER if self.owner is None else self.owner


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

"""Joining and leaving: what edges ask for, and what they are told."""

from dataclasses import dataclass
from enum import Enum

from rooms.domain.identity import ConnectionId, Life, ParticipantKey, Person, RoomId, Slug, UserId


@dataclass(frozen=True, slots=True)
class ById:
    """A public room id; where no room has it, the slug of the same digits."""

    room_id: RoomId


@dataclass(frozen=True, slots=True)
class BySlug:
    """A slug, NFC and well-formed."""

    slug: Slug


@dataclass(frozen=True, slots=True)
class ByVideo:
    """The room of a video, slug video-<id>."""

    video_id: int


RoomRef = ById | BySlug | ByVideo


@dataclass(frozen=True, slots=True)
class Arrival:
    """One connection that wants in."""

    connection: ConnectionId
    ref: RoomRef
    person: Person


class JoinRefusal(Enum):
    """Why there is no membership."""

    NOT_FOUND = "not_found"
    ACCESS_DENIED = "access_denied"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Announced:
    """A person as presence shows them."""

    key: ParticipantKey
    user_id: UserId | None
    username: str
    version: int = 0
    """The version at which they came; not told of those who leave."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A connection's place in one life of a room."""

    room_id: RoomId
    life: Life
    slug: Slug
    connection_count: int
    version: int
    """The version that this connection made."""
    crowded: bool


JoinOutcome = Membership | JoinRefusal


@dataclass(frozen=True, slots=True)
class HeldConnection:
    """One open connection as its edge knows it."""

    connection: ConnectionId
    room_id: RoomId
    life: Life
    slug: Slug
    person: Person


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """One transaction's change of who is in a life of a room."""

    room_id: RoomId
    life: Life
    first_version: int
    version: int
    """The last of the versions it covers: one for each connection that came; one for each person who is announced as
    left, or for a batch of leaves of which nobody is."""
    connection_count: int
    crowded: bool
    joined: tuple[Announced, ...]
    left: tuple[Announced, ...]
    joined_count: int
    left_count: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class LifeEnded:
    """A room's row is gone."""

    room_id: RoomId
    life: Life
    slug: Slug


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transaction did that others must hear of, once it is committed."""

    presence: tuple[PresenceChanged, ...] = ()
    ended: tuple[LifeEnded, ...] = ()


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """Who is announced in one life of a room; version 0: that life is over, by a deletion or by its last leave."""

    version: int
    connection_count: int
    crowded: bool
    participants: tuple[Announced, ...]
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """How an edge incarnation stands."""

    registered: bool
    connection_count: int

"""Joining and leaving: what edges ask for, and what they are told."""

from dataclasses import dataclass
from enum import Enum

from rooms.domain.people import ConnectionId, Life, Person, RoomId, Slug


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

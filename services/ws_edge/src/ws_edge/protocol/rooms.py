"""A room and those in it, as values: what the rooms service and the events on NATS say of them."""

from dataclasses import dataclass

from ws_edge.protocol.identity import ConnectionId, Identity, Life, MessageId, RoomId, Slug, UserId


@dataclass(frozen=True, slots=True)
class Participant:
    """A person in one life of a room."""

    key: str
    """u:<user id>, or c:<edge>:<connection> of an anonymous connection."""
    user_id: UserId | None
    username: str
    version: int = 0
    """The presence version at which they came; 0 for who left."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A connection's place in a room."""

    room_id: RoomId
    life: Life
    slug: Slug
    connection_count: int
    version: int
    """The presence version that this connection made: who has a higher one came later."""
    crowded: bool


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """Who is in one life of a room; version 0: that life is over."""

    version: int
    connection_count: int
    crowded: bool
    participants: tuple[Participant, ...]
    deleted: bool = False
    """The life is over because somebody deleted the room, not because everybody left."""


@dataclass(frozen=True, slots=True)
class HeldConnection:
    """What an edge registers again after its lease had expired."""

    connection: ConnectionId
    room_id: RoomId
    life: Life
    slug: Slug
    identity: Identity


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the stream holds it."""

    id: MessageId
    prev_id: MessageId
    at: str
    """RFC 3339 in UTC with milliseconds."""
    text: str
    user_id: UserId | None
    username: str
    edge: str
    """The incarnation that published it, with a token of its own choice."""
    token: int
    nonce: str
    """Empty where the client gave none."""
    reply_to: MessageId | None = None
    role: str | None = None
    """The author's highest role; None: anonymous."""


@dataclass(frozen=True, slots=True)
class TypingChanged:
    """One connection of a participant started or stopped typing; a start is repeated while it lasts."""

    key: str
    user_id: UserId | None
    username: str
    active: bool
    edge: str
    connection: ConnectionId
    at_ms: int
    """Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """One transaction's change of who is in a room: it covers the versions from first_version to version."""

    first_version: int
    version: int
    connection_count: int
    crowded: bool
    joined: tuple[Participant, ...]
    """To be announced one by one, as in `left`."""
    left: tuple[Participant, ...]
    joined_count: int
    """All who came, those listed included: people, not connections."""
    left_count: int
    at_ms: int
    """Unix milliseconds."""

"""A room and those in it, as values: what the rooms service and the events on NATS say of them."""

from msgspec import Struct

from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, UserId
from ws_edge.protocol.log import LogRef


class Participant(Struct, frozen=True, gc=False):
    """A person in one life of a room."""

    key: str
    """u:<user id>, or c:<edge>:<connection> of an anonymous connection."""
    user_id: UserId | None
    username: str
    version: int = 0
    """The presence version at which they came; 0 for who left."""


class Membership(Struct, frozen=True, gc=False):
    """A connection's place in a room."""

    room_id: RoomId
    life: Life
    slug: Slug
    connection_count: int
    version: int
    """The presence version that this connection made: who has a higher one came later."""
    crowded: bool
    partition: int = 0
    """Of the life's log."""
    owner: UserId | None = None
    """Whose room it is, as long as this life goes on; None: nobody's."""
    owner_rank: Rank = Rank.OWNER
    """What the owner ranks as in it."""
    owned_since_ms: int = 0
    """Since when it is theirs, Unix milliseconds; 0: not known, or nobody's."""

    @property
    def log(self) -> LogRef:
        """The log of this life."""
        return LogRef(self.room_id, self.life, self.partition)


class Joined(Struct, frozen=True, gc=False):
    """What a join is answered with."""

    membership: Membership
    blocked: tuple[UserId, ...] | None
    """Whom the user has blocked; None: it was not told, or nobody is signed in."""


class RoomSnapshot(Struct, frozen=True, gc=False):
    """Who is in one life of a room; version 0: that life is over."""

    version: int
    connection_count: int
    crowded: bool
    participants: tuple[Participant, ...]
    deleted: bool = False
    """The life is over because somebody deleted the room, not because everybody left."""


class HeldConnection(Struct, frozen=True, gc=False):
    """What an edge registers again after its lease had expired."""

    connection: ConnectionId
    room_id: RoomId
    life: Life
    slug: Slug
    identity: Identity
    partition: int = 0
    participant_key: str = ""
    """Of an anonymous participant who came back; empty: they are on their first connection, or have a token."""


class TypingChanged(Struct, frozen=True, gc=False):
    """One connection of a participant started or stopped typing; a start is repeated while it lasts."""

    key: str
    user_id: UserId | None
    username: str
    active: bool
    edge: str
    connection: ConnectionId
    at_ms: int
    """Unix milliseconds."""


class PresenceChanged(Struct, frozen=True, gc=False):
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

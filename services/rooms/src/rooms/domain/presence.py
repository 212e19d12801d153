"""Who is in a life of a room: what is made known of comings and goings, and when they are only counted."""

from dataclasses import dataclass

from rooms.domain.people import Life, ParticipantKey, RoomId, Slug, UserId


@dataclass(frozen=True, slots=True)
class Announced:
    """A person as presence shows them."""

    key: ParticipantKey
    user_id: UserId | None
    username: str
    version: int = 0
    """The version at which they came; not told of those who leave."""


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


@dataclass(slots=True)
class Tally:
    """One room's connections while a batch changes them."""

    limit: int
    """Above it a room is crowded, until below 80 % of it again."""
    connection_count: int
    crowded: bool

    def arrive(self) -> bool:
        """Count a connection in; whether somebody whose first one it is gets announced."""
        self.connection_count += 1
        self._turn()
        return not self.crowded

    def depart(self, *, was_announced: bool) -> bool:
        """Count a connection out; whether somebody whose last one it was gets announced. Who was announced on coming
        always is."""
        self.connection_count -= 1
        self._turn()
        return was_announced or not self.crowded

    def _turn(self) -> None:
        if self.connection_count > self.limit:
            self.crowded = True
        elif self.connection_count * 5 < self.limit * 4:
            self.crowded = False

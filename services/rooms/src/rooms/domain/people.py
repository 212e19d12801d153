"""Who people are, and the numbers and names that rooms go by."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

UserId = NewType("UserId", int)
RoomId = NewType("RoomId", int)
"""A room's public number, the same in every life."""
Life = NewType("Life", int)
"""The number of one life of a room; never used again."""
Slug = NewType("Slug", str)
EdgeId = NewType("EdgeId", str)
"""A worker's incarnation, 32 hexadecimal digits."""
ConnectionId = NewType("ConnectionId", int)
"""Unique within one edge incarnation, from 1, never used again."""
ParticipantKey = NewType("ParticipantKey", str)

SYSTEM_USER = UserId(1)
"""Whom auto-created rooms name as their creator. The user with this id has no rights from it."""
LARGEST_ID = 2**53 - 1


class Rank(IntEnum):
    """A sanction reaches only those who rank below its author. The numbers are those of the contract: OWNER came later,
    and stands above MODERATOR and below ADMIN. It is not stored with connections: whose a room is, is known by its
    slug."""

    ANONYMOUS = 1
    USER = 2
    MODERATOR = 3
    ADMIN = 4
    SUPERUSER = 5
    OWNER = 6
    """Of a room, in it."""

    def __lt__(self, other: int) -> bool:
        return _place(self) < _place(other)

    def __le__(self, other: int) -> bool:
        return _place(self) <= _place(other)

    def __gt__(self, other: int) -> bool:
        return _place(self) > _place(other)

    def __ge__(self, other: int) -> bool:
        return _place(self) >= _place(other)


_ORDER = (Rank.ANONYMOUS, Rank.USER, Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER)
_PLACES = {int(rank): place for place, rank in enumerate(_ORDER)}


def _place(rank: int) -> int:
    return _PLACES[rank]


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in user who asks through GraphQL."""

    user_id: UserId
    username: str
    rank: Rank
    owned_since_ms: int = 0
    """Where the room gives the rank: since when it is its owner's, Unix milliseconds; else 0."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who holds a connection. user_id None: an anonymous one."""

    user_id: UserId | None
    username: str
    rank: Rank
    came_back_as: ParticipantKey | None = None
    """Of an anonymous one who was here before: the participant that they were, and are again."""

    def key(self, edge: EdgeId, connection: ConnectionId) -> ParticipantKey:
        """Users once, however many connections; anonymous connections each, but for those who come back."""
        if self.user_id is not None:
            return ParticipantKey(f"u:{self.user_id}")
        return self.came_back_as or ParticipantKey(f"c:{edge}:{connection}")

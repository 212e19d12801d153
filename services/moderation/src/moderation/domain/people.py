"""Who speaks, who acts and who is acted on, and how people are ordered."""

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

_ANONYMOUS_PREFIX = "Anonymous_"


class Rank(IntEnum):
    """A sanction binds only those who rank below its author. The numbers are those of the contract and of what is
    stored: OWNER came later, and stands above MODERATOR and below ADMIN. Numbers compare with ranks by this order, and
    one that is not known counts as a user's."""

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
_PLACE_OF_USER = _PLACES[Rank.USER]


def _place(rank: int) -> int:
    return _PLACES.get(rank, _PLACE_OF_USER)


def ranks_from(lowest: Rank) -> frozenset[int]:
    """The numbers of a rank and of all above it: for what is asked of every message."""
    return frozenset(int(rank) for rank in _ORDER[_PLACES[lowest] :])


class Speaker(NamedTuple):
    """A person on one connection. A tuple, because one is made for every message."""

    user_id: int
    """0 for an anonymous connection."""
    username: str
    address: str
    """IPv4 in text, IPv6 as its /64 network."""
    rank: int
    """As Rank, in the room that is meant."""
    connection: str
    """<edge>:<connection>."""
    vip: bool = False
    """A VIP of the room: ranks as a user, and is exempt from slow mode and rules."""


class Claims(NamedTuple):
    """What a token says of its bearer for policies to go by."""

    member: bool = False
    account_created_at_s: int = 0
    """Unix seconds; 0: it does not say."""
    following_since_s: int = 0
    """The same."""


NO_CLAIMS = Claims()


class Target(NamedTuple):
    """Whom a sanction is aimed at: a user by id, anonymous people by name."""

    user_id: int
    """0 for an anonymous target."""
    username: str
    """Of an anonymous target, else empty."""


@dataclass(frozen=True, slots=True)
class Moderator:
    """Who acts, with the rank that they have in the room: by their token, as its owner or by a role there."""

    user_id: int
    """0 for an anonymous connection, which may do nothing."""
    rank: Rank
    owned_since_ms: int = 0
    """Where the room gives the rank: since when it is its present owner's, Unix milliseconds; 0: no bound."""

    def may_know(self, at_ms: int) -> bool:
        """Whether what was done in the room then is theirs to know and to decide: a slug may have had others before."""
        return at_ms >= self.owned_since_ms

    def is_aimed_at(self, target: Target) -> bool:
        """Whether they would act on themselves."""
        return self.user_id != 0 and target.user_id == self.user_id


def address_of_name(username: str) -> str | None:
    """The address that an anonymous name (`Anonymous_<ip>`) tells: IPv4 in text, IPv6 as its /64 network; None where
    the name hides it, or is no anonymous one."""
    if not username.startswith(_ANONYMOUS_PREFIX):
        return None
    text = username.removeprefix(_ANONYMOUS_PREFIX)
    try:
        if ":" not in text:
            return str(ipaddress.IPv4Address(text))
        host = text.removesuffix("/64")
        return str(ipaddress.IPv6Network(f"{host}/64", strict=False))
    except ValueError:
        return None

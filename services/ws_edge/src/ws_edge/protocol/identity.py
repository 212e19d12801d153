"""Who a connection belongs to: what a token said, or a name made of an address."""

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NewType

from ws_edge.protocol.address import address_key, find_address_key

UserId = NewType("UserId", int)
RoomId = NewType("RoomId", int)
Life = NewType("Life", int)
Slug = NewType("Slug", str)
MessageId = NewType("MessageId", int)
ConnectionId = NewType("ConnectionId", int)
"""Unique within one worker incarnation, from 1, never used again."""


ANONYMOUS = "Anonymous_"
"""How the names of those without a token begin; what follows is an address, or a hash that hides it."""


class Rank(IntEnum):
    """A sanction reaches only those who rank below its author."""

    ANONYMOUS = 1
    USER = 2
    MODERATOR = 3
    ADMIN = 4
    SUPERUSER = 5

    @property
    def role(self) -> str | None:
        """What clients are told; None: anonymous."""
        return None if self is Rank.ANONYMOUS else self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """The verified claims of a token, or the anonymous user."""

    user_id: UserId | None
    username: str
    email: str | None
    roles: tuple[str, ...]
    rank: Rank
    expires_at_s: float | None
    """Unix seconds; None: never."""
    member: bool = False
    account_created_at_s: int | None = None
    """Unix seconds; None: the token does not say it."""
    following_since_s: int | None = None
    """The same."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """An identity on one connection: what sanctions, windows and presence go by."""

    identity: Identity
    address: str
    """IPv4 in text, IPv6 as its /64 network."""
    connection: str
    """<edge>:<connection id>; of an anonymous participant who came back that of their first connection."""
    here: "Speaker | None" = None
    """Of an anonymous participant who came back: who the connection would be as a new one."""
    routing_key: str = field(init=False, repr=False, compare=False)
    """What rendezvous hashing goes by. Where anonymous names hide addresses it is the name: all that is known of a
    target on another edge."""

    def __post_init__(self) -> None:
        """The key is needed several times for each message: it is made once."""
        object.__setattr__(self, "routing_key", self._make_routing_key())

    @property
    def faces(self) -> "tuple[Speaker, ...]":
        """All that sanctions and limits of an address, or sanctions of a name, may mean: a participant who came back
        from another address answers for both."""
        here = self.here
        return (self,) if here is None or here.address == self.address else (self, here)

    @property
    def key(self) -> str:
        """The participant's key: users once, however many connections; anonymous connections each."""
        user_id = self.identity.user_id
        return f"c:{self.connection}" if user_id is None else f"u:{user_id}"

    def _make_routing_key(self) -> str:
        identity = self.identity
        if identity.user_id is not None:
            return f"u:{identity.user_id}"
        return f"a:{self.address}" if _shows_address(identity.username) else identity.username


def target_routing_key(user_id: UserId | None, username: str | None) -> str:
    """The routing key of somebody of whom a moderator knows this much: the same as their own, see Speaker."""
    if user_id is not None:
        return f"u:{user_id}"
    name = username or ""
    key = find_address_key(name.removeprefix(ANONYMOUS).removesuffix("/64"))
    return name if key is None else f"a:{key}"


class AnonymousNames:
    """Identities of those without a token."""

    __slots__ = ("_key",)

    def __init__(self, hash_key: str | None) -> None:
        """`hash_key`: hide addresses behind a keyed hash; None: show them."""
        self._key = None if hash_key is None else hash_key.encode()

    def name(self, address: str) -> str:
        """Anonymous_<ip>, as docs/protocol.md has it, or a hash in place of the address."""
        if self._key is None:
            return f"{ANONYMOUS}{address}"
        digest = hmac.new(self._key, address_key(address).encode(), hashlib.sha256).hexdigest()
        return f"{ANONYMOUS}{digest[:16]}"

    def identity(self, address: str) -> Identity:
        """The user that whoever brings no token is."""
        return Identity(None, self.name(address), None, (), Rank.ANONYMOUS, None)


def _shows_address(name: str) -> bool:
    """Every address has one of the two signs, and no hash has."""
    return "." in name or ":" in name

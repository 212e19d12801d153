"""Who a connection belongs to: what a token said, or a name made of an address."""

import hashlib
import hmac
from enum import IntEnum
from typing import NewType, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr, replace

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
    """A sanction reaches only those who rank below its author. The numbers are those of the contract: OWNER came later,
    and stands above MODERATOR and below ADMIN."""

    ANONYMOUS = 1
    USER = 2
    MODERATOR = 3
    ADMIN = 4
    SUPERUSER = 5
    OWNER = 6
    """Of a room, in it."""

    def __lt__(self, other: int) -> bool:
        return _PLACES[self] < _PLACES[other]

    def __le__(self, other: int) -> bool:
        return _PLACES[self] <= _PLACES[other]

    def __gt__(self, other: int) -> bool:
        return _PLACES[self] > _PLACES[other]

    def __ge__(self, other: int) -> bool:
        return _PLACES[self] >= _PLACES[other]

    @property
    def role(self) -> str | None:
        """What clients are told; None: anonymous."""
        return _ROLES.get(self)


_ORDER = (Rank.ANONYMOUS, Rank.USER, Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER)
_PLACES = {int(rank): place for place, rank in enumerate(_ORDER)}
_ROLES = {int(rank): rank.name.lower() for rank in _ORDER[1:]}
VIP = "vip"


class Identity(Struct, frozen=True, gc=False):
    """The verified claims of a token, or the anonymous user; and what they are in a room, once they are in one."""

    user_id: UserId | None
    username: str
    email: str | None
    roles: tuple[str, ...]
    rank: Rank
    """In the room: the higher one of token and room. Before they are in one, that of the token."""
    expires_at_s: float | None
    """Unix seconds; None: never."""
    member: bool = False
    account_created_at_s: int | None = None
    """Unix seconds; None: the token does not say it."""
    following_since_s: int | None = None
    """The same."""
    issued_at_s: float | None = None
    """The same."""
    jti: str | None = None
    """By which this token alone can be revoked."""
    token_rank: Rank | None = None
    """What the token says, where the room says another; None: as `rank`."""
    room_role: str | None = None
    """What the room makes of them: "owner", "moderator" or "vip"."""
    owned_since_ms: int = 0
    """Where the room gives the rank: since when it is its owner's, Unix milliseconds; else 0."""

    @property
    def role(self) -> str | None:
        """Their highest role here, as clients are told; None: anonymous."""
        return VIP if self.room_role == VIP and self.rank is Rank.USER else self.rank.role

    @property
    def is_vip(self) -> bool:
        """Whether they are exempt from slow mode and rules without ranking higher than others."""
        return self.room_role == VIP

    @property
    def roles_here(self) -> tuple[str, ...]:
        """Those of the token, and what the room makes of them."""
        room_role = self.room_role
        return self.roles if room_role is None or room_role in self.roles else (*self.roles, room_role)

    @property
    def rank_by_token(self) -> Rank:
        """Whatever the room makes of them."""
        return self.token_rank or self.rank

    def in_room(self, room_role: str | None, room_rank: Rank | None, owned_since_ms: int = 0) -> "Identity":
        """The same person where the room makes this of them; `room_rank` None: nothing that ranks."""
        by_token = self.rank_by_token
        rank = by_token if room_rank is None else max(by_token, room_rank)
        since_ms = 0 if rank is by_token else owned_since_ms
        if rank is self.rank and room_role == self.room_role and since_ms == self.owned_since_ms:
            return self
        token_rank = None if rank is by_token else by_token
        return replace(self, rank=rank, token_rank=token_rank, room_role=room_role, owned_since_ms=since_ms)


class Speaker(Struct, frozen=True, gc=False):
    """An identity on one connection: what sanctions, windows and presence go by."""

    identity: Identity
    address: str
    """IPv4 in text, IPv6 as its /64 network."""
    connection: str
    """<edge>:<connection id>; of an anonymous participant who came back that of their first connection."""
    here: "Speaker | None" = None
    """Of an anonymous participant who came back: who the connection would be as a new one."""
    key: str = ""
    """The participant's key: users once, however many connections; anonymous connections each. Made of the fields
    above, as `routing_key`, once, since both are needed several times for each message."""
    routing_key: str = ""
    """What rendezvous hashing goes by. Where anonymous names hide addresses it is the name: all that is known of a
    target on another edge."""

    def __post_init__(self) -> None:
        """Make the keys, whatever was given for them."""
        user_id = self.identity.user_id
        force_setattr(self, "key", f"c:{self.connection}" if user_id is None else f"u:{user_id}")
        force_setattr(self, "routing_key", self._make_routing_key())

    @property
    def faces(self) -> "tuple[Speaker, ...]":
        """All that sanctions and limits of an address, or sanctions of a name, may mean: a participant who came back
        from another address answers for both."""
        here = self.here
        return (self,) if here is None or here.address == self.address else (self, here)

    def _make_routing_key(self) -> str:
        identity = self.identity
        if identity.user_id is not None:
            return self.key
        return f"a:{self.address}" if _shows_address(identity.username) else identity.username


def target_routing_key(user_id: UserId | None, username: str | None) -> str:
    """The routing key of somebody of whom a moderator knows this much: the same as their own, see Speaker."""
    if user_id is not None:
        return f"u:{user_id}"
    name = username or ""
    key = find_address_key(name.removeprefix(ANONYMOUS).removesuffix("/64"))
    return name if key is None else f"a:{key}"


SpeakerKey: TypeAlias = "UserId | str"
"""A user's id, or the address of anonymous connections: by which windows are lent."""


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

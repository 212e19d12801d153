"""Who a decision is about, and how people are ordered."""

from enum import IntEnum
from typing import NamedTuple


class Rank(IntEnum):
    """A sanction reaches only those who rank below its author."""

    ANONYMOUS = 1
    USER = 2
    MODERATOR = 3
    ADMIN = 4
    SUPERUSER = 5


class Speaker(NamedTuple):
    """A person on one connection. A tuple, because one is made for every message."""

    user_id: int
    """0 for an anonymous connection."""
    username: str
    address: str
    """IPv4 in text, IPv6 as its /64 network."""
    rank: int
    """As Rank."""
    connection: str
    """<edge>:<connection>."""


class Target(NamedTuple):
    """Whom a sanction is aimed at: a user by id, anonymous people by name."""

    user_id: int
    """0 for an anonymous target."""
    username: str
    """Of an anonymous target, else empty."""

"""Which replica is the home of a key: every edge comes to the same answer without talking to the others."""

from collections.abc import Iterable
from hashlib import blake2b


def choose(key: str, replicas: Iterable[str]) -> str | None:
    """The replica with the highest hash for this key; when it goes, its keys alone move, each to its own next one."""
    return max(replicas, key=lambda replica: (_weight(key, replica), replica), default=None)


def _weight(key: str, replica: str) -> bytes:
    return blake2b(f"{replica}\n{key}".encode(), digest_size=8).digest()

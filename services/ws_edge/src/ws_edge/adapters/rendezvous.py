"""Which replica is the home of a key: every edge comes to the same answer without talking to the others."""

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b


def choose(key: str, replicas: Iterable[str]) -> str | None:
    """The replica with the highest hash for this key; when it goes, its keys alone move, each to its own next one."""
    return max(replicas, key=lambda replica: (_weight(key, replica), replica), default=None)


def choose_behind_names(key: str, addresses: Mapping[str, Collection[str]]) -> str | None:
    """First the configured name, then one of the addresses behind it that are up. So a replica that comes back with
    another address has its keys again where it has a name of its own, and where several share a name, what changes
    among them moves no key of other names."""
    name = choose(key, (name for name, behind in addresses.items() if behind))
    return None if name is None else choose(key, addresses[name])


def _weight(key: str, replica: str) -> bytes:
    return blake2b(f"{replica}\n{key}".encode(), digest_size=8).digest()

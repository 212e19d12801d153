"""The replicas of a service: their addresses behind names, and which of them is the home of a key."""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b

import structlog

_log = structlog.get_logger(__name__)

_DEADLINE_S = 5.0


def split(address: str) -> tuple[str, int]:
    """Host and port of host:port or [v6]:port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_literal(address: str) -> bool:
    """Whether there is nothing to look up."""
    try:
        ipaddress.ip_address(split(address)[0])
    except ValueError:
        return False
    return True


async def look_up(address: str) -> list[str] | None:
    """Every replica behind one address, as ip:port; None if the name could not be looked up.

    IPv4 where a name has both kinds: two addresses of one replica must not count as two.
    """
    host, port = split(address)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as reason:
        _log.warning("replica_lookup_failed", host=host, reason=repr(reason))
        return None
    ips = sorted({str(answer[4][0]) for answer in answers}, key=lambda ip: (":" in ip, ip))
    return [f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip in ips if (":" in ip) == (":" in ips[0])]


def choose(key: str, replicas: Iterable[str]) -> str | None:
    """The replica with the highest hash for this key; when it goes, its keys alone move, each to its own next one."""
    replicas = list(replicas)
    if len(replicas) == 1:
        return replicas[0]  # there is nothing to compare
    return max(replicas, key=lambda replica: (_weight(key, replica), replica), default=None)


def choose_behind_names(key: str, addresses: Mapping[str, Collection[str]]) -> str | None:
    """First the configured name, then one of the addresses behind it that are up. So a replica that comes back with
    another address has its keys again where it has a name of its own, and where several share a name, what changes
    among them moves no key of other names."""
    if len(addresses) == 1:
        (behind,) = addresses.values()
        return choose(key, behind)
    name = choose(key, (name for name, behind in addresses.items() if behind))
    return None if name is None else choose(key, addresses[name])


def _weight(key: str, replica: str) -> bytes:
    return blake2b(f"{replica}\n{key}".encode(), digest_size=8).digest()

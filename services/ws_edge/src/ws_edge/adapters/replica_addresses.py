"""The addresses of a service's replicas, behind names that may stand for several of them."""

import asyncio
import ipaddress
import socket

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

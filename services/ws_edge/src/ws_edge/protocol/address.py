"""Client addresses: which one is the client's, and what counts as one client."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNKNOWN = "0.0.0.0"  # noqa: S104  not bound to: the address of a peer that has none
_KEY_PREFIX_BITS = 64
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}", re.ASCII)
"""As ipaddress writes it, which takes ten times as long to parse it and write it again."""
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+", re.ASCII)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's IP in full: the rightmost entry of X-Forwarded-For that is no trusted proxy.

    The header (all its lines, in order) is read only where the peer itself is trusted. What stands left of a
    malformed entry was written by nobody we know, so the last proxy before it is then taken for the client.
    """
    if not forwarded_for and _IPV4.fullmatch(peer):
        return peer
    nearest = _parse(peer)
    if nearest is None:
        return UNKNOWN
    for entry in reversed([part for line in forwarded_for for part in line.split(",")]):
        if not _is_in(nearest, trusted):
            break
        further = _parse(_without_port(entry.strip()))
        if further is None:
            break
        nearest = further
    return str(nearest)


def address_key(address: str) -> str:
    """What limits and sanctions go by: IPv4 in text, IPv6 as its /64 network."""
    return find_address_key(address) or UNKNOWN


def find_address_key(text: str) -> str | None:
    """The same of a text that may be something else; None: it is no address."""
    if _IPV4.fullmatch(text):
        return text
    parsed = _parse(text)
    if parsed is None:
        return None
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, _KEY_PREFIX_BITS), strict=False))
    return str(parsed)


def is_loopback(address: str) -> bool:
    """Whether the address is this machine's own."""
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def is_safe_url(url: str) -> bool:
    """Whether nobody on the way can change what is read from it: by https, or by http from this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" or (parts.scheme == "http" and (host == "localhost" or is_loopback(host)))


def _parse(text: str) -> Address | None:
    """IPv4-mapped IPv6 is IPv4; a zone says nothing to others."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    match = _WITH_PORT.fullmatch(entry)
    return entry if match is None else match[1] or match[2]


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)

"""The address that an anonymous name tells: Anonymous_<ip>."""

import ipaddress

_PREFIX = "Anonymous_"


def address_of_name(username: str) -> str | None:
    """IPv4 in text, IPv6 as its /64 network; None where the name hides its address."""
    if not username.startswith(_PREFIX):
        return None
    text = username.removeprefix(_PREFIX)
    try:
        if ":" not in text:
            return str(ipaddress.IPv4Address(text))
        host = text.removesuffix("/64")
        return str(ipaddress.IPv6Network(f"{host}/64", strict=False))
    except ValueError:
        return None

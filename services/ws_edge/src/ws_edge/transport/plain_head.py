"""Upgrade requests as nearly all clients write them, read without Sanic. Whatever is not plain is nobody's fault: it is
left to Sanic, which says what becomes of it."""

import re
from typing import Final

_END: Final = b"\r\n\r\n"
_LONGEST_HEAD_BYTES: Final = 12 * 1024
"""Below Sanic's ceiling."""
_TARGET: Final = re.compile(
    r"(?:(/chat/ws/(?:room|video))/((?:[\w.~@:-]|%[0-9A-Fa-f]{2})+/?)|(/live/ws)/?)(?:\?([\w.~@:=&-]*))?", re.ASCII
)
"""Nothing in the query is encoded, and the last part of the path is not looked at again by whoever routes."""
_MEANS_A_BODY: Final = frozenset(("content-length", "transfer-encoding"))


class PlainHeaders(dict[str, str]):
    """By name in lower case; each has come once."""

    __slots__ = ()

    def getall(self, name: str, default: list[str] | None = None) -> list[str]:
        """As of Sanic's headers."""
        value = self.get(name)
        if value is not None:
            return [value]
        if default is None:
            raise KeyError(name)
        return default


class PlainHead:
    """What the handshake needs to know of a request, under the names that Sanic's has."""

    __slots__ = ("args", "headers", "path", "ref")

    body = b""
    version = "1.1"

    def __init__(self, path: str, ref: str, args: dict[str, str], headers: PlainHeaders) -> None:
        self.path = path
        """Of the route."""
        self.ref = ref
        """What stands behind it, as it was sent."""
        self.args = args
        self.headers = headers


def read_plain_head(data: bytes) -> tuple[PlainHead, bytes] | None:
    """The head of an upgrade request and what came behind it; None: there is none, or Sanic is to read it.

    Plain is: whole, of the three addresses, GET and HTTP/1.1, lines of printable ASCII, each header once, no body, and
    in the query nothing encoded and nothing twice.
    """
    end = data.find(_END, 0, _LONGEST_HEAD_BYTES)
    if end < 0 or not data.startswith(b"GET /"):
        return None
    try:
        first, *lines = data[:end].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    target = first[4:].removesuffix(" HTTP/1.1")
    match = _TARGET.fullmatch(target)
    if match is None or len(first) != len(target) + 13:
        return None
    headers, args = _read_headers(lines), _read_query(match[4])
    if headers is None or args is None:
        return None
    return PlainHead(match[1] or match[3], match[2] or "", args, headers), data[end + 4 :]


def _read_headers(lines: list[str]) -> PlainHeaders | None:
    headers = PlainHeaders()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name.startswith(" "):
            return None
        headers[name.lower()] = value.lstrip()
    is_plain = len(headers) == len(lines) and "".join(lines).isprintable() and _MEANS_A_BODY.isdisjoint(headers)
    return headers if is_plain else None


def _read_query(query: str | None) -> dict[str, str] | None:
    """Parameters without a value do not count, as with Sanic."""
    args: dict[str, str] = {}
    if query:
        for part in query.split("&"):
            name, _, value = part.partition("=")
            if value:
                if name in args:
                    return None
                args[name] = value
    return args

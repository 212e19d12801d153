"""Reads the few header lines that matter out of a NATS message's raw header block."""

from chassis.traces import read_trace

_VERSION = b"NATS/1.0"


def read_number(headers: bytes, name: bytes) -> int:
    """The value of `name` (written `Name: `, with the blank) as a number. Raises ValueError."""
    start = headers.index(name) + len(name)
    return int(headers[start : headers.index(b"\r", start)])


def read_text(headers: bytes, name: bytes) -> str:
    """The value of `name`, which is ASCII. Raises ValueError."""
    start = headers.index(name) + len(name)
    return headers[start : headers.index(b"\r", start)].decode("ascii")


def read_trace_header(headers: bytes) -> str | None:
    """The trace of whoever published, None where they sent none that can be one."""
    try:
        return read_trace(read_text(headers, b"\r\ntraceparent: "))
    except ValueError:
        return None


def read_status(headers: bytes) -> int:
    """The status of a reply that is no message ("NATS/1.0 404 ..."), or 0."""
    if not headers.startswith(_VERSION + b" "):
        return 0
    start = len(_VERSION) + 1
    return int(headers[start : start + 3])


def to_milliseconds(timestamp: str) -> str:
    """RFC 3339 in UTC with exactly three digits: the server writes up to nine and leaves out trailing zeros.

    >>> to_milliseconds("2026-01-02T03:04:05.1Z")
    '2026-01-02T03:04:05.100Z'
    """
    return f"{timestamp[:19]}.{timestamp[20:-1]:0<3.3}Z"

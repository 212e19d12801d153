"""Cursors: opaque to clients, made of the kind of the list and the key that it is ordered by."""

import base64

from rooms.domain.identity import LARGEST_ID
from rooms.domain.refusals import InvalidInput

_LENGTH_LIMIT = 64


def encode_cursor(kind: str, key: int) -> str:
    """The cursor of an element in one kind of list ("room", "participant", "sanction")."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode("ascii")).decode("ascii").rstrip("=")


def decode_cursor(kind: str, cursor: str | None) -> int | None:
    """The key behind a cursor of that kind; None for none. Raises InvalidInput."""
    if cursor is None:
        return None
    try:
        return _decode(kind, cursor)
    except ValueError:  # not ASCII, not base64, or not a number
        raise InvalidInput("after is not a cursor of this list") from None


def _decode(kind: str, cursor: str) -> int:
    if len(cursor) > _LENGTH_LIMIT:
        raise ValueError
    padded = cursor + "=" * (-len(cursor) % 4)
    found, _, key = (
        base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii").partition(":")
    )
    if found != kind or not key.isdecimal() or not 0 < int(key) <= LARGEST_ID:
        raise ValueError
    return int(key)

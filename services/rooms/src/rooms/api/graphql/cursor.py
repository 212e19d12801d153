"""Cursors: opaque to clients, made of the key that a list is ordered by."""

import base64
import binascii

from rooms.api.graphql.errors import Code, Refusal
from rooms.api.graphql.scalars import LARGEST_SAFE_INT

_LENGTH_LIMIT = 64


def encode_cursor(kind: str, key: int) -> str:
    """A cursor of one kind of list ("room", "sanction", ...)."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode("ascii")).decode("ascii").rstrip("=")


def decode_cursor(kind: str, cursor: str) -> int:
    """The key behind a cursor of that kind. Raises Refusal."""
    try:
        if len(cursor) > _LENGTH_LIMIT:
            raise ValueError
        padded = cursor + "=" * (-len(cursor) % 4)
        found, _, key = base64.urlsafe_b64decode(padded.encode("ascii")).decode("ascii").partition(":")
        if found != kind or not key.isdecimal() or not 0 < int(key) <= LARGEST_SAFE_INT:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Refusal(Code.INVALID, "after is not a cursor of this list") from None
    return int(key)

"""What clients write into arguments, before a use case sees it; and cursors, opaque to clients, made of the kind of the
list and the key that it is ordered by. Everything raises InvalidInput."""

import base64
import unicodedata
from collections.abc import Collection

from rooms.domain.people import LARGEST_ID
from rooms.errors import InvalidInput

LIST_LIMIT = 100
LIST_DEFAULT = 50
REASON_LIMIT = 500
NOTE_LIMIT = 1000
SEARCH_LIMIT = 200
_CURSOR_LIMIT = 64
_UNFIT = ("Cc", "Cs")
_LINE_ENDS = str.maketrans("\r\n\t", "   ")


def clamp_first(first: int | None) -> int:
    """The length of a list: 100 at most; null is the default; nothing and less is a mistake."""
    if first is None:
        return LIST_DEFAULT
    if first < 1:
        raise InvalidInput("first must be at least 1")
    return min(first, LIST_LIMIT)


def check_line(field: str, text: str) -> str:
    """Text in one line that every database and every client can hold: no control characters, no lone surrogates."""
    if any(unicodedata.category(sign) in _UNFIT for sign in text):
        raise InvalidInput(f"{field} must not contain control characters")
    return text


def check_id(field: str, number: int) -> int:
    """The id of a person."""
    if not 1 <= number <= LARGEST_ID:
        raise InvalidInput(f"{field} must be an integer from 1 to 2^53-1")
    return number


def check_word(field: str, text: str, words: Collection[str]) -> str:
    """One of these words."""
    if text not in words:
        raise InvalidInput(f"{field} must be one of {', '.join(words)}")
    return text


def check_paragraph(field: str, text: str) -> str:
    """The same, with line ends and tabs."""
    check_line(field, text.translate(_LINE_ENDS))
    return text


def check_reason(field: str, text: str | None, *, limit: int = REASON_LIMIT) -> str:
    """Why somebody does something; null is nothing, as is an argument that is not given."""
    if not text:
        return ""
    if len(text) > limit:
        raise InvalidInput(f"{field} has at most {limit} characters")
    return check_paragraph(field, text)


def check_statement(field: str, text: str, *, limit: int = REASON_LIMIT) -> str:
    """The same, which has to say something."""
    said = check_reason(field, text, limit=limit)
    if not said.strip():
        raise InvalidInput(f"{field} must say something")
    return said


def check_search(text: str) -> str:
    """What to look for in names and slugs, in NFC as slugs are."""
    if len(text) > SEARCH_LIMIT:
        raise InvalidInput(f"search has at most {SEARCH_LIMIT} characters")
    return unicodedata.normalize("NFC", check_line("search", text))


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
    if len(cursor) > _CURSOR_LIMIT:
        raise ValueError
    padded = cursor + "=" * (-len(cursor) % 4)
    found, _, key = (
        base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii").partition(":")
    )
    if found != kind or not key.isdecimal() or not 0 < int(key) <= LARGEST_ID:
        raise ValueError
    return int(key)

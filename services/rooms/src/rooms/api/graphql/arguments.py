"""What clients write into arguments, before a use case sees it. Everything raises InvalidInput."""

import unicodedata

from rooms.domain import naming
from rooms.domain.identity import Slug
from rooms.domain.refusals import InvalidInput

LIST_LIMIT = 100
LIST_DEFAULT = 50
SEARCH_LIMIT = 200
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


def check_paragraph(field: str, text: str) -> str:
    """The same, with line ends and tabs."""
    check_line(field, text.translate(_LINE_ENDS))
    return text


def check_search(text: str) -> str:
    """What to look for in names and slugs, in NFC as slugs are."""
    if len(text) > SEARCH_LIMIT:
        raise InvalidInput(f"search has at most {SEARCH_LIMIT} characters")
    return unicodedata.normalize("NFC", check_line("search", text))


def check_slug(text: str) -> Slug:
    """A slug in NFC, of a room or of a video, as every room has one."""
    slug = read_slug(text)
    if slug is None:
        raise InvalidInput("slug is not well-formed")
    return slug


def read_slug(text: str) -> Slug | None:
    """A slug in NFC; None for what no slug can look like, so that nothing can be behind it."""
    slug = unicodedata.normalize("NFC", text)
    return Slug(slug) if naming.is_well_formed(slug) else None

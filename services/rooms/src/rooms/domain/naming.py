"""Slugs, names and titles: what they may look like, and slugs made from names."""

import re
import unicodedata

from rooms.domain.people import Slug
from rooms.errors import InvalidInput

SLUG_LENGTH = 128
NAME_LENGTH = 200
DESCRIPTION_LENGTH = 2000
_SIGNS = frozenset("._:@~-")
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_VIDEO = re.compile(r"video-[0-9]+", re.ASCII)


def read_slug(text: str) -> Slug | None:
    """The slug in NFC, of a room or of a video; None for what no slug can look like, so that nothing is behind it."""
    slug = unicodedata.normalize("NFC", text)
    return Slug(slug) if is_well_formed(slug) else None


def check_slug(text: str) -> Slug:
    """The slug in NFC, of a room or of a video. Raises InvalidInput."""
    slug = read_slug(text)
    if slug is None:
        raise InvalidInput("slug is not well-formed")
    return slug


def check_new_slug(text: str) -> Slug:
    """A slug that createChatRoom may take, NFC. Raises InvalidInput."""
    slug = unicodedata.normalize("NFC", text)
    if not is_well_formed(slug):
        raise InvalidInput("A slug is 1 to 128 letters, digits and . _ : @ ~ -, not beginning with a dot")
    if _DIGITS.fullmatch(slug):
        raise InvalidInput("A slug of only digits stands for a room id")
    if _VIDEO.fullmatch(slug):
        raise InvalidInput("Slugs video-<digits> belong to videos")
    return Slug(slug)


def is_well_formed(slug: str) -> bool:
    """Whether the text, already NFC, may be a slug at all."""
    if not 1 <= len(slug) <= SLUG_LENGTH or slug.startswith("."):
        return False
    return all(_may_stand_in_slug(sign) for sign in slug)


def slug_from_name(name: str) -> Slug:
    """A slug made of a name's letters and digits; `room` where nothing of it can be used."""
    text = unicodedata.normalize("NFC", name).lower()
    words = "".join(sign if sign.isalnum() and _may_stand_in_slug(sign) else " " for sign in text).split()
    slug = "-".join(words)[: SLUG_LENGTH - 20].strip("-")
    if not slug or _DIGITS.fullmatch(slug) or _VIDEO.fullmatch(slug):
        slug = f"room-{slug}".rstrip("-")
    return Slug(slug)


def extended(slug: Slug, end: str) -> Slug:
    """The same slug with a number or letters behind, within the length."""
    tail = f"-{end}"
    return Slug(slug[: SLUG_LENGTH - len(tail)] + tail)


def check_name(text: str) -> str:
    """A room's name or a video's title. Raises InvalidInput."""
    if not text.strip() or len(text) > NAME_LENGTH:
        raise InvalidInput(f"A name has 1 to {NAME_LENGTH} characters")
    return text


def check_description(text: str | None) -> str | None:
    """A room's description. Raises InvalidInput."""
    if text is not None and len(text) > DESCRIPTION_LENGTH:
        raise InvalidInput(f"A description has at most {DESCRIPTION_LENGTH} characters")
    return text


def _may_stand_in_slug(sign: str) -> bool:
    """Letters and digits of any script, with the marks that many scripts write their vowels with."""
    return sign in _SIGNS or unicodedata.category(sign)[0] in "LM" or unicodedata.category(sign) == "Nd"


def is_video_slug(slug: str) -> bool:
    """Whether the slug belongs to a video."""
    return _VIDEO.fullmatch(slug) is not None


def is_id(slug: str) -> bool:
    """Whether the text is a room id rather than a slug."""
    return _DIGITS.fullmatch(slug) is not None

"""Emotes: images with names, of one slug or of everywhere; and what they may look like."""

import re
import unicodedata
from dataclasses import dataclass

from rooms.domain.people import Rank, Slug, Viewer
from rooms.domain.rooms import Room, may_manage
from rooms.errors import InvalidInput, TooManyEmotes

EVERYWHERE = Slug("")
"""In place of a slug: the emotes that every room has."""
EMOTES_PER_SLUG = 500
NAME_BYTES = 100
URL_LENGTH = 500
ALT_LENGTH = 200
_NAME = re.compile(r"[\w+-]+")
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REST = r"[/?][A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*"
_URL = re.compile(rf"https://({_HOST})(?::([0-9]{{1,5}}))?(?:{_REST})?")
_OWN_NETWORKS = (".local", ".localhost", ".internal", ".lan", ".home", ".home.arpa", ".corp", ".intranet", ".private")
"""How hosts end that are told apart by the network that one is in. Others may name an address of it as well."""
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Emote:
    """An image that a room shows in place of `:name:`."""

    slug: Slug
    """EVERYWHERE: of every room."""
    name: str
    """Without the colons, in NFC."""
    url: str
    alt: str
    """What is read where the image is not seen."""


@dataclass(frozen=True, slots=True)
class ChangedEmotes:
    """What was committed since an earlier version."""

    version: int
    slugs: list[Slug]
    has_more: bool = False
    """There were more than these."""


def check_emote_name(text: str) -> str:
    """The name in NFC, without colons. Raises InvalidInput."""
    name = unicodedata.normalize("NFC", text.removeprefix(":").removesuffix(":"))
    if not _NAME.fullmatch(name):
        raise InvalidInput("An emote's name has letters, digits and _ + - only")
    if len(name.encode()) > NAME_BYTES:
        raise InvalidInput(f"An emote's name has at most {NAME_BYTES} bytes")
    return name


def check_emote_url(url: str) -> str:
    """An address that a page may load from: by https, of a host with a domain, and not of one that names somebody's own
    network. Raises InvalidInput."""
    if len(url) > URL_LENGTH:
        raise InvalidInput(f"url has at most {URL_LENGTH} characters")
    match = _URL.fullmatch(url)
    if match is None or int(match[2] or 0) > _HIGHEST_PORT:
        raise InvalidInput("url must be https:// with the name of a host, in ASCII")
    if f".{match[1].lower()}".endswith(_OWN_NETWORKS):
        raise InvalidInput("url must be of a host that everybody reaches")
    return url


def check_emote_alt(alt: str) -> str:
    """Raises InvalidInput."""
    if not 1 <= len(alt) <= ALT_LENGTH or alt.isspace():
        raise InvalidInput(f"alt has 1 to {ALT_LENGTH} characters")
    return alt


def check_emote_quota(others: int) -> None:
    """Whether a slug may have one more emote beside these. Raises TooManyEmotes."""
    if others >= EMOTES_PER_SLUG:
        raise TooManyEmotes


def may_keep_emotes(viewer: Viewer, slug: Slug, room: Room | None) -> bool:
    """Admins those of everywhere and of any slug, the creator of a room those of its slug."""
    if viewer.rank >= Rank.ADMIN:
        return True
    return slug != EVERYWHERE and room is not None and may_manage(viewer, room)

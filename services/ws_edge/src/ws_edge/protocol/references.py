"""Room references: what may stand behind /chat/ws/room/ and /chat/ws/video/."""

import re
import unicodedata
from dataclasses import dataclass

from ws_edge.errors import MalformedReference
from ws_edge.protocol.identity import Life, MessageId, RoomId, Slug

LARGEST_ID = 2**53 - 1
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_VIDEO_SLUG = re.compile(r"video-([0-9]+)", re.ASCII)
_SLUG_LENGTH = 128
_SLUG_SIGNS = frozenset("._:@~-")


@dataclass(frozen=True, slots=True)
class ById:
    """A public room id."""

    room_id: RoomId


@dataclass(frozen=True, slots=True)
class BySlug:
    """A slug, NFC."""

    slug: Slug


@dataclass(frozen=True, slots=True)
class ByVideo:
    """A video's room."""

    video_id: int


RoomRef = ById | BySlug | ByVideo


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a client that comes back says it had left the log."""

    since: MessageId | None
    """The last id that it saw, 0: none; None: malformed."""
    epoch: str

    @property
    def life(self) -> Life | None:
        """Which life that log was of; None: the epoch names none."""
        number = self.epoch.partition(".")[0]
        is_life = _DIGITS.fullmatch(number) and len(number) <= len(str(LARGEST_ID)) and 0 < int(number) <= LARGEST_ID
        return Life(int(number)) if is_life else None


def parse_resume_point(since: str, epoch: str) -> ResumePoint:
    """Read `since` and `epoch` of the address. What is malformed asks for nothing that could be given."""
    is_id = _DIGITS.fullmatch(since) and len(since) <= len(str(LARGEST_ID)) and int(since) <= LARGEST_ID
    return ResumePoint(MessageId(int(since)) if is_id else None, epoch)


def parse_room(text: str) -> RoomRef:
    """Read the last part of /chat/ws/room/{ref}, percent-decoded. Raises MalformedReference."""
    if _DIGITS.fullmatch(text):
        return ById(RoomId(_parse_id(text)))
    if video := _VIDEO_SLUG.fullmatch(text):
        return ByVideo(_parse_id(video[1]))
    slug = unicodedata.normalize("NFC", text)
    if not 1 <= len(slug) <= _SLUG_LENGTH or slug.startswith("."):
        raise MalformedReference
    if not all(_may_stand_in_slug(sign) for sign in slug):
        raise MalformedReference
    return BySlug(Slug(slug))


def parse_video(text: str) -> ByVideo:
    """Read the last part of /chat/ws/video/{video_id}. Raises MalformedReference."""
    return ByVideo(_parse_id(text))


def _parse_id(text: str) -> int:
    """An id from 1 to 2^53-1 in ASCII digits without leading zeros."""
    if not _DIGITS.fullmatch(text) or text.startswith("0") or len(text) > 16 or int(text) > LARGEST_ID:
        raise MalformedReference
    return int(text)


def _may_stand_in_slug(sign: str) -> bool:
    """Letters and digits of any script, with the marks that many scripts write their vowels with."""
    return sign in _SLUG_SIGNS or unicodedata.category(sign)[0] in "LM" or unicodedata.category(sign) == "Nd"

"""What viewers reported, as the moderation service shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from rooms.domain.people import Slug, UserId


class ReportCategory(Enum):
    """What a message or somebody is reported for."""

    SPAM = auto()
    HARASSMENT = auto()
    HATE = auto()
    SEXUAL = auto()
    VIOLENCE = auto()
    OTHER = auto()


class ReportState(Enum):
    """How far a report has come."""

    OPEN = auto()
    ACTIONED = auto()
    """A moderator did something about it."""
    DISMISSED = auto()
    """A moderator saw nothing to be done."""
    EXPIRED = auto()
    """Nobody decided in time."""


class ReportResolution(Enum):
    """What a moderator may decide about one."""

    ACTIONED = auto()
    DISMISSED = auto()


@dataclass(frozen=True, slots=True)
class Report:
    """One report. None: there is none, or it was erased."""

    id: int
    slug: Slug
    at: datetime
    category: ReportCategory
    note: str | None
    reporter_user_id: UserId
    reporter_username: str | None
    target_user_id: UserId | None
    """None: anonymous."""
    target_username: str | None
    """As the chat shows it."""
    message_id: int | None
    """None: somebody was reported, and no message."""
    message_text: str | None
    message_at: datetime | None
    before_ids: tuple[int, ...]
    """Messages around it, in order."""
    after_ids: tuple[int, ...]
    state: ReportState
    closed_at: datetime | None
    closed_by: UserId | None

"""What moderators of a room know of one person, as the moderation service shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from rooms.domain.people import Slug, UserId
from rooms.domain.reports import Report
from rooms.domain.sanctions import Sanction


class WarningState(Enum):
    """How far a warning has come."""

    ISSUED = auto()
    DELIVERED = auto()
    ACKNOWLEDGED = auto()
    LAPSED = auto()
    SUPERSEDED = auto()
    EXPIRED = auto()
    WITHDRAWN = auto()


@dataclass(frozen=True, slots=True)
class PastWarning:
    """A warning, in whatever state."""

    id: int
    reason: str
    moderator_user_id: UserId
    at: datetime
    state: WarningState


@dataclass(frozen=True, slots=True)
class Note:
    """What a moderator wrote of somebody."""

    id: int
    slug: Slug
    target_user_id: UserId | None
    target_username: str | None
    """Of an anonymous target."""
    text: str
    author_user_id: UserId
    author_username: str
    at: datetime


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A message that the log still has."""

    id: int
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """All of it, each list newest first."""

    sanctions: list[Sanction]
    warnings: list[PastWarning]
    notes: list[Note]
    reports: list[Report]
    names: tuple[str, ...]
    first_seen: datetime | None
    last_seen: datetime | None
    messages: list[KeptMessage] | None
    """None: they cannot be read just now."""

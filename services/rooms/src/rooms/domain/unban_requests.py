"""What banned users ask, as the moderation service shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from rooms.domain.people import Slug, UserId


class UnbanRequestState(Enum):
    """How far a request has come."""

    OPEN = auto()
    APPROVED = auto()
    """The ban was lifted for it."""
    DENIED = auto()
    LAPSED = auto()
    """The ban ended otherwise."""
    EXPIRED = auto()
    """Nobody decided in time."""


class UnbanDecision(Enum):
    """What somebody may decide about one."""

    APPROVE = auto()
    DENY = auto()


@dataclass(frozen=True, slots=True)
class UnbanRequest:
    """One request. None: there is none, or it was erased."""

    id: int
    sanction_id: int
    slug: Slug | None
    """Of the ban; None: everywhere."""
    user_id: UserId
    username: str | None
    text: str | None
    at: datetime
    state: UnbanRequestState
    closed_at: datetime | None
    closed_by: UserId | None
    note: str | None
    """Of who decided, for the one who asked."""

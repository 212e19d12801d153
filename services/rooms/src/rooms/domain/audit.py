"""What was done in rooms, as the moderation service keeps it."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rooms.domain.people import Life, Rank, RoomId, Slug, UserId, Viewer

ACTIONS = (
    "ban",
    "mute",
    "unban",
    "unmute",
    "delete",
    "purge",
    "clear",
    "policy",
    "shield",
    "pin",
    "unpin",
    "warn",
    "hold",
    "allow",
    "deny",
    "save_rule",
    "delete_rule",
    "role",
    "revoke_tokens",
    "revoke_token",
    "erase_user",
    "undo",
    "resolve_report",
    "deny_unban",
    "add_note",
    "delete_note",
    "follow",
)
"""What rows are asked for by."""


class RoomLog(NamedTuple):
    """Where the entries of a life are that lives now."""

    room_id: RoomId
    life: Life
    partition: int


@dataclass(frozen=True, slots=True)
class PolicyFieldChange:
    """One field of a policy, before and after, as JSON."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row. None: there is none, or it was erased."""

    action_id: int
    at: datetime
    actor_user_id: UserId
    actor_rank: Rank | None
    """None: one of a later version."""
    action: str
    """One of ACTIONS, or "other"."""
    target_user_id: UserId | None
    target_username: str | None
    """Of an anonymous target."""
    is_everywhere: bool
    slug: Slug | None
    reason: str | None
    rule: str | None
    """The name of the rule that was saved or deleted, or that muted the target or held their message."""
    duration_minutes: int
    message_id: int | None
    message_text: str | None
    address: str | None
    policy_changes: tuple[PolicyFieldChange, ...]
    undoes: int | None
    undone_by: int | None
    completes: int | None
    """The deletion whose message this says."""
    digest: str | None
    hold_id: int | None = None
    """Of a message that waited for a moderator, and of decisions about it."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which rows are asked for; None: whatever it is."""

    slug: Slug | None = None
    """None: of every slug and everywhere."""
    actor_user_id: UserId | None = None
    target_user_id: UserId | None = None
    target_username: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of a part of a chain came to."""

    checked: int
    broken_id: int | None
    problem: str | None
    last_id: int | None
    last_digest: str | None
    more: bool
    unchained: int = 0
    """Rows among those that were checked that are in no chain."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo came to."""

    action_id: int
    undoes: int
    not_undone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undoable:
    """What of somebody's is to be undone, newest first."""

    actions: tuple[tuple[int, Slug | None], ...]
    """Each with the room that is to be told."""
    left: int
    last_id: int | None
    lasting: frozenset[int] = frozenset()
    """Those that can't be undone: they took messages back, or changed a rule."""


@dataclass(frozen=True, slots=True)
class UndoneAll:
    """What undoing all of somebody's came to."""

    undone: tuple[int, ...]
    """The rows that were undone."""
    not_undone: tuple[int, ...]
    """Those that nothing was left of, that a higher rank keeps, or that can't be undone."""
    left: int
    """How many older ones there still are, at most some 10,000."""
    last_id: int | None
    """Those are below this one; None: there are none."""


def may_read_audit(viewer: Viewer, slug: Slug | None) -> bool:
    """Moderators read that of a slug, admins and above all."""
    return viewer.rank >= (Rank.ADMIN if slug is None else Rank.MODERATOR)


def may_undo(viewer: Viewer, slug: Slug | None) -> bool:
    """Whether they may undo anything: of a room its owner and above, wherever it is, admins and above."""
    return viewer.rank >= (Rank.ADMIN if slug is None else Rank.OWNER)


def may_verify(viewer: Viewer) -> bool:
    """Whether they may have chains checked: admins and above."""
    return viewer.rank >= Rank.ADMIN

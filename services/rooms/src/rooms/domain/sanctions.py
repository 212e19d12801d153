"""Bans and mutes as the moderation service shows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from rooms.domain.people import Rank, Slug, UserId, Viewer
from rooms.domain.rooms import Participant, ParticipantState


class SanctionAction(Enum):
    """What a sanction does."""

    BAN = "ban"
    MUTE = "mute"


class SanctionScope(Enum):
    """Where a sanction holds."""

    ROOM = "room"
    EVERYWHERE = "everywhere"


class Target(NamedTuple):
    """Whom a sanction is aimed at: a user by id, anonymous people by name."""

    user_id: UserId | None
    username: str | None
    """Of an anonymous target."""


@dataclass(frozen=True, slots=True)
class Sanction:
    """One ban or mute, in force or not."""

    id: int
    action: SanctionAction
    target_user_id: UserId | None
    target_username: str | None
    """Of an anonymous target."""
    scope: SanctionScope
    slug: Slug | None
    """None: everywhere."""
    reason: str | None
    moderator_user_id: UserId
    moderator_rank: Rank
    created_at: datetime
    expires_at: datetime | None
    """None: permanent."""
    lifted_at: datetime | None

    @property
    def target(self) -> Target:
        """Whom it is aimed at."""
        return Target(self.target_user_id, self.target_username)

    def is_active(self, now: datetime) -> bool:
        """Whether it is in force."""
        return self.lifted_at is None and (self.expires_at is None or now < self.expires_at)


def may_read_sanctions(viewer: Viewer) -> bool:
    """Moderators and above."""
    return viewer.rank >= Rank.MODERATOR


def with_state(person: Participant, slug: Slug, sanctions: Sequence[Sanction]) -> Participant:
    """The person as seen in this room with these sanctions in force: banned stands before muted."""
    actions = {
        sanction.action for sanction in sanctions if sanction.slug in (None, slug) and _reaches(sanction, person)
    }
    if SanctionAction.BAN in actions:
        return replace(person, state=ParticipantState.BANNED)
    if SanctionAction.MUTE in actions:
        return replace(person, state=ParticipantState.MUTED)
    return person


def _reaches(sanction: Sanction, person: Participant) -> bool:
    """A sanction keeps its author's rank, and never applies to somebody of the same rank or above."""
    if person.rank is not None and person.rank >= sanction.moderator_rank:
        return False
    return sanction.target == target_of(person)


def target_of(person: Participant) -> Target:
    """Whom a sanction of this person is aimed at."""
    return Target(person.user_id, person.username if person.user_id is None else None)

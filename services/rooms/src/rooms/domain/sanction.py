"""Bans and mutes as the moderation service shows them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from rooms.domain.identity import Rank, Slug, UserId


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

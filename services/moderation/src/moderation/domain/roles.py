"""The roles of a room: who was made what there, by slug, across its lives."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.errors import TooManyRoles

MOST_HOLDERS = 500
"""Of one slug: all of them are told to every edge that holds a room of it."""
MOST_SLUGS_OF_OWNER = 100
"""For which the roles are kept that were given in one person's rooms: five times as many as they may have at once."""


class RoleAction(IntEnum):
    """What a command does to the roles. The numbers go on behind those of PolicyAction: audit rows hold either."""

    SET = 26


class RoomRole(IntEnum):
    """What somebody was made in a room."""

    MODERATOR = 1
    VIP = 2


class RoleHolder(NamedTuple):
    """One person's role."""

    user_id: int
    role: RoomRole
    given_by: int
    """The user who gave it."""
    given_at_ms: int
    """Unix milliseconds."""


class RoomRoles(NamedTuple):
    """All roles of a slug."""

    slug: str
    version: int
    """Rises with each change of any slug's roles, and with time. The highest of a slug holds."""
    owner: int
    """Whose room it was when they were given, 0: nobody's. They hold as long as it is theirs."""
    holders: tuple[RoleHolder, ...]
    """By user id, MOST_HOLDERS at most."""
    of_nobody: tuple[RoleHolder, ...] = ()
    """Where there is an owner: what admins gave while there was none. It holds again where there is none."""

    def under(self, owner: int) -> tuple[RoleHolder, ...]:
        """What holds in a room of that owner."""
        if owner == self.owner:
            return self.holders
        return () if owner else self.of_nobody

    def of(self, user_id: int) -> RoleHolder | None:
        """What that user has here."""
        return next((holder for holder in self.holders if holder.user_id == user_id), None)


@dataclass(frozen=True, slots=True)
class RoleCommand:
    """What somebody asks to be given, or taken back."""

    moderator: Moderator
    slug: str
    target: Target
    target_rank: Rank | None
    """The highest rank the target is connected with there; None: not connected."""
    role: RoomRole | None
    """None: the target has none from now on."""
    owner: int
    """Whose room it is now, 0: nobody's."""
    reason: str


@dataclass(frozen=True, slots=True)
class RoleOrder:
    """A command that gives or takes back a role, as it was sent."""

    command: RoleCommand
    origin: Origin = NO_ORIGIN


def changed_roles(before: RoomRoles | None, command: RoleCommand, *, version: int, now_ms: int) -> RoomRoles:
    """The roles of the command's slug after it; what was given in the room of another owner goes with the first command
    after, and what was given while nobody owned it is kept. Raises TooManyRoles."""
    kept = () if before is None else before.under(command.owner)
    of_nobody = () if before is None or not command.owner else before.under(0)
    user_id = command.target.user_id
    holders = [holder for holder in kept if holder.user_id != user_id]
    if command.role is not None:
        if len(holders) >= MOST_HOLDERS:
            raise TooManyRoles
        holders.append(RoleHolder(user_id, command.role, command.moderator.user_id, now_ms))
    return RoomRoles(command.slug, version, command.owner, tuple(sorted(holders)), of_nobody)

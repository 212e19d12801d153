"""The roles of a room, as the moderation service keeps them, and what somebody ranks as in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from rooms.domain.people import Rank, UserId, Viewer


class RoomRole(Enum):
    """What somebody was made in a room."""

    MODERATOR = "MODERATOR"
    VIP = "VIP"


@dataclass(frozen=True, slots=True)
class RoleHolder:
    """One person's role in a room."""

    user_id: UserId
    role: RoomRole
    given_by: UserId
    given_at: datetime


@dataclass(frozen=True, slots=True)
class RolePage:
    """Some of the roles of a slug, by user id."""

    owner: UserId | None
    """Whose room it was when they were given; None: nobody's."""
    holders: Sequence[RoleHolder]
    of_nobody: Sequence[RoleHolder] = ()
    """Where there is an owner: those that hold in a room that is nobody's."""

    def under(self, owner: UserId | None) -> Sequence[RoleHolder]:
        """Those that hold in a room that is this owner's now: another owner's are over."""
        if self.owner == owner:
            return self.holders
        return self.of_nobody if owner is None else ()


def rank_in_room(viewer: Viewer, owner: UserId | None, role: RoomRole | None, *, owner_rank: Rank) -> Rank:
    """The highest of what the token says, whose the room is, and the role there. `owner_rank`: see RoomPolicy."""
    found = [viewer.rank]
    if viewer.user_id == owner:
        found.append(owner_rank)
    if role is RoomRole.MODERATOR:
        found.append(Rank.MODERATOR)
    return max(found)


def may_set_roles(rank: Rank) -> bool:
    """The owner of the room and admins, by the rank in it."""
    return rank >= Rank.OWNER


def may_read_roles(rank: Rank) -> bool:
    """Moderators of the room and above."""
    return rank >= Rank.MODERATOR

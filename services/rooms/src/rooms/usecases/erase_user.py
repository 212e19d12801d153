"""Erasing a user, for admins: in moderation first, which decides whether they may, then here. May be repeated."""

from rooms.domain.erased_users import ErasedUser
from rooms.domain.people import UserId, Viewer
from rooms.ports import Ports
from rooms.usecases.tokens import admin_of

ROOMS_AT_ONCE = 100


async def erase_user(ports: Ports, viewer: Viewer | None, user_id: UserId, *, reason: str) -> ErasedUser:
    """Take back what they said in rooms that live, and erase all that is kept of them but their number. Of who is
    connected new data comes again. Raises NotSignedIn, NotPermitted, DatabaseUnavailable, ModerationUnavailable;
    where it fails halfway it is to be called again."""
    admin = admin_of(viewer)
    rank = await ports.memberships.connected_rank(user_id, "", None)
    logs = await ports.memberships.logs_of(user_id)
    action_id = 0
    for start in range(0, max(1, len(logs)), ROOMS_AT_ONCE):
        part = logs[start : start + ROOMS_AT_ONCE]
        action_id = await ports.moderation.erase_user(admin, user_id, rank, part, reason=reason)
    await ports.memberships.erase_user(user_id)
    return ErasedUser(action_id, tuple(slug for slug, _ in logs))

"""Who may enter a room, and who may manage one."""

from rooms.domain.identity import Rank, UserId, Viewer
from rooms.domain.room import Room


def may_enter(
    *,
    user_id: UserId | None,
    rank: Rank,
    is_public: bool,
    allow_anonymous: bool,
    owner: UserId | None,
    is_invited: bool,
) -> bool:
    """Private rooms are for the creator, the invited, admins and superusers; nobody anonymous among them."""
    if user_id is None:
        return is_public and allow_anonymous
    return is_public or rank >= Rank.ADMIN or user_id == owner or is_invited


def may_manage(viewer: Viewer, room: Room) -> bool:
    """The creator, from createChatRoom alone, and admins."""
    return viewer.rank >= Rank.ADMIN or viewer.user_id == room.owner


def may_register_videos(viewer: Viewer) -> bool:
    """Admins keep the catalogue."""
    return viewer.rank >= Rank.ADMIN


def may_read_sanctions(viewer: Viewer) -> bool:
    """Moderators and above."""
    return viewer.rank >= Rank.MODERATOR

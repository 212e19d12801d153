"""The roles of rooms: who gives them, who reads them, and what somebody ranks as in a room."""

from collections.abc import Sequence
from dataclasses import replace

from rooms.domain.people import LARGEST_ID, Slug, UserId, Viewer
from rooms.domain.roles import RoleHolder, RoomRole, may_read_roles, may_set_roles, rank_in_room
from rooms.domain.rooms import Room
from rooms.errors import InvalidInput, NotPermitted, RoomNotFound
from rooms.ports import Ports, RoleChange
from rooms.usecases.queries import connected_rank, in_room, may_see, signed_in


async def set_role(
    ports: Ports, viewer: Viewer | None, slug: Slug, user_id: UserId, role: RoomRole | None
) -> RoleHolder | None:
    """Give somebody a role in a room, or, with None, take theirs back; what they have since. Roles are kept by slug:
    admins give them where there is no room yet as well. Raises NotSignedIn, InvalidInput, RoomNotFound, NotPermitted,
    TooManyRoles, ModerationUnavailable."""
    asking = signed_in(viewer)
    if not 1 <= user_id <= LARGEST_ID:
        raise InvalidInput("Ids are integers from 1 to 2^53-1")
    room = await ports.catalog.find_room(slug=slug)
    owner = None if room is None else room.owner
    # A role would not be enough to give others: moderation need not be asked for the viewer's own.
    by = replace(asking, rank=rank_in_room(asking, owner, None, owner_rank=ports.policy.owner_rank))
    if not may_set_roles(by.rank):
        raise await _refusal(ports, asking, room)
    rank = await connected_rank(ports, user_id, "", slug)
    return await ports.moderation.set_role(RoleChange(slug, owner, by, user_id, rank, role))


async def list_roles(
    ports: Ports, viewer: Viewer | None, slug: Slug, *, first: int, after: int | None = None
) -> Sequence[RoleHolder]:
    """Who has a role in a room, by user id, for its moderators. Raises NotSignedIn, RoomNotFound, NotPermitted,
    ModerationUnavailable."""
    asking = signed_in(viewer)
    room = await ports.catalog.find_room(slug=slug)
    if not may_read_roles((await in_room(ports, asking, slug, room)).rank):
        raise await _refusal(ports, asking, room)
    page = await ports.moderation.list_roles(slug, first=first, after=after)
    return page.under(None if room is None else room.owner)


async def _refusal(ports: Ports, viewer: Viewer, room: Room | None) -> NotPermitted | RoomNotFound:
    """Who may not see a room is not told that there is one."""
    return NotPermitted() if room is not None and await may_see(ports, viewer, room) else RoomNotFound()

"""Whom users have blocked, as they keep it and as edges read it."""

from collections.abc import Collection, Mapping, Sequence

from chassis.errors import DatabaseUnavailable
from rooms.domain.blocks import check_block
from rooms.domain.people import LARGEST_ID, UserId, Viewer
from rooms.errors import InvalidInput
from rooms.ports import Ports
from rooms.usecases.queries import signed_in


async def block(ports: Ports, viewer: Viewer | None, user_id: UserId) -> bool:
    """Whether they were not blocked before. Raises NotSignedIn, InvalidInput, TooManyBlocks."""
    blocker = signed_in(viewer).user_id
    if not 1 <= user_id <= LARGEST_ID:
        raise InvalidInput("Ids are integers from 1 to 2^53-1")
    check_block(blocker, user_id)
    return await ports.blocks.block(blocker, user_id, now=ports.clock())


async def unblock(ports: Ports, viewer: Viewer | None, user_id: UserId) -> bool:
    """Whether they were blocked. Raises NotSignedIn."""
    return await ports.blocks.unblock(signed_in(viewer).user_id, user_id)


async def list_blocked(ports: Ports, viewer: Viewer | None) -> list[UserId]:
    """Whom the viewer has blocked, the last one first. Raises NotSignedIn."""
    return await ports.blocks.of_user(signed_in(viewer).user_id)


async def read_blocked(ports: Ports, user_ids: Sequence[UserId]) -> list[list[UserId]]:
    """The same of each of these, in their order. Raises DatabaseUnavailable."""
    return await ports.blocks.for_edges(user_ids)


async def read_blocked_of_joining(
    ports: Ports, user_ids: Collection[UserId], *, most: int
) -> Mapping[UserId, list[UserId]]:
    """See Blocks.for_joins. They restrict nobody: where they cannot be read nobody is kept out for it."""
    try:
        return await ports.blocks.for_joins(user_ids, most=most) if user_ids else {}
    except DatabaseUnavailable:
        return {}

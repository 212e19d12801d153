"""Whom users have blocked, as they keep it and as edges read it."""

from collections.abc import Sequence

from rooms.domain.blocks import check_block
from rooms.domain.people import LARGEST_ID, UserId, Viewer
from rooms.errors import InvalidInput, NotSignedIn
from rooms.ports import Ports


async def block(ports: Ports, viewer: Viewer | None, user_id: UserId) -> bool:
    """Whether they were not blocked before. Raises NotSignedIn, InvalidInput, TooManyBlocks."""
    signed_in = _signed_in(viewer)
    if not 1 <= user_id <= LARGEST_ID:
        raise InvalidInput("Ids are integers from 1 to 2^53-1")
    check_block(signed_in.user_id, user_id)
    return await ports.blocks.block(signed_in.user_id, user_id, now=ports.clock())


async def unblock(ports: Ports, viewer: Viewer | None, user_id: UserId) -> bool:
    """Whether they were blocked. Raises NotSignedIn."""
    return await ports.blocks.unblock(_signed_in(viewer).user_id, user_id)


async def list_blocked(ports: Ports, viewer: Viewer | None) -> list[UserId]:
    """Whom the viewer has blocked, the last one first. Raises NotSignedIn."""
    return await ports.blocks.of_user(_signed_in(viewer).user_id)


async def read_blocked(ports: Ports, user_ids: Sequence[UserId]) -> list[list[UserId]]:
    """The same of each of these, in their order. Raises DatabaseUnavailable."""
    return await ports.blocks.for_edges(user_ids)


def _signed_in(viewer: Viewer | None) -> Viewer:
    if viewer is None:
        raise NotSignedIn
    return viewer

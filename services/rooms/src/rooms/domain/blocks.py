"""Whom a user does not want to read. It restricts nobody: clients hide what they said."""

from rooms.domain.people import UserId
from rooms.errors import InvalidInput, TooManyBlocks

BLOCKS_PER_USER = 1000


def check_block(user_id: UserId, blocked: UserId) -> None:
    """Raises InvalidInput."""
    if user_id == blocked:
        raise InvalidInput("Nobody blocks themselves")


def check_block_quota(others: int) -> None:
    """Whether a user may block one more beside these. Raises TooManyBlocks."""
    if others >= BLOCKS_PER_USER:
        raise TooManyBlocks

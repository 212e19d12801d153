"""What erasing a user came to."""

from dataclasses import dataclass

from rooms.domain.people import Slug


@dataclass(frozen=True, slots=True)
class ErasedUser:
    """What was kept of them is gone, but for their number."""

    action_id: int
    """The row of the audit log."""
    purged: tuple[Slug, ...]
    """The rooms that live in which their messages are taken back."""

"""Messages that wait for a moderator, as the moderation service shows them."""

from dataclasses import dataclass
from datetime import datetime

from rooms.domain.people import Slug, UserId


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """One that waits."""

    id: int
    slug: Slug
    user_id: UserId | None
    """Of its author; None: anonymous."""
    username: str
    text: str
    reply_to: int | None
    rule: str | None
    """The name of the rule that holds it; None: the policy does, which holds links."""
    held_at: datetime
    expires_at: datetime
    """When it is rejected where nobody has decided."""

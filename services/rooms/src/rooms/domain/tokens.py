"""Tokens that are revoked, as the moderation service keeps it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

MOST_AHEAD = timedelta(minutes=1)
"""Tokens of the time to come are not to be revoked before anybody has them; clocks may differ so much."""
LONGEST_JTI = 128


@dataclass(frozen=True, slots=True)
class RevokedTokens:
    """What revoking tokens came to."""

    action_id: int
    """The row of the audit log."""
    before: datetime | None
    """Of a user: tokens issued before then, and those that do not say when. None: it is one token."""
    until: datetime
    """How long they are refused: whatever is revoked has expired by then."""

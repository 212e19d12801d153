"""What moderators of a room are told, as an edge passes it on."""

from typing import Any

from msgspec import Struct

from ws_edge.protocol.identity import Slug
from ws_edge.protocol.server_frames import ModerationEventData, SanctionData


class FeedEvent(Struct, frozen=True, gc=False):
    """One event of the feed of a slug."""

    slug: Slug
    data: ModerationEventData

    @property
    def id(self) -> int:
        """Rises over all slugs."""
        return self.data.event_id


class FeedState(Struct, frozen=True, gc=False):
    """What a moderator begins with."""

    event_id: int
    """What comes later has a higher one."""
    sanctions: tuple[SanctionData, ...] = ()
    has_more_sanctions: bool = False
    held: tuple[dict[str, Any], ...] = ()
    reports: tuple[dict[str, Any], ...] = ()
    unban_requests: tuple[dict[str, Any], ...] = ()
    events: tuple[FeedEvent, ...] = ()
    """What they missed, in order."""
    recovered: bool = True
    """Whether that is all."""


class FeedPart(Struct, frozen=True, gc=False):
    """What came in the feeds of some slugs."""

    events: tuple[FeedEvent, ...]
    """In order."""
    up_to_id: int
    """There is nothing else of these slugs up to there."""
    has_more: bool = False
    """There may be more behind it."""

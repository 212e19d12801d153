"""What moderators of a room are told, as an edge passes it on."""

from typing import Any

from msgspec import UNSET, Struct

from ws_edge.protocol.identity import Slug
from ws_edge.protocol.server_frames import ModerationEventData, SanctionData

_OF_REPORTS = ("report", "report_resolved")


class FeedEvent(Struct, frozen=True, gc=False):
    """One event of the feed of a slug."""

    slug: Slug
    data: ModerationEventData
    previous_id: int = 0
    """The event of the slug before it; 0: there was none that was kept, or that is not known."""

    @property
    def id(self) -> int:
        """Rises over all slugs."""
        return self.data.event_id

    def is_report_about(self, user_id: int | None) -> bool:
        """Whether it tells of a report about that user, who is not to know of it; None: of nobody."""
        data = self.data
        if user_id is None or data.kind not in _OF_REPORTS:
            return False
        is_target = data.details is not UNSET and data.details.get("target_user_id") == user_id
        return is_target or (data.action is not UNSET and data.action.target_user_id == user_id)


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
    raid: ModerationEventData | None = None
    """The last one, where it is not long ago."""


class FeedPart(Struct, frozen=True, gc=False):
    """What came in the feeds of some slugs."""

    events: tuple[FeedEvent, ...]
    """In order."""
    up_to_id: int
    """There is nothing else of these slugs up to there."""
    has_more: bool = False
    """There may be more behind it."""

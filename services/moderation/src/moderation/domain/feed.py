"""What the moderators of a room see of what happens there: events in one order for each slug, the same for all."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from moderation.domain.audit import AuditRecord

KEPT = 500
"""Events of a slug that somebody who was away is given; a few more are stored."""
KEPT_MS = 24 * 3_600_000
DELETED_AFTER_MS = 25 * 3_600_000
"""Later than anybody is promised them: clocks of replicas may differ."""
TRIMMED_EVERY = 100
"""So many events of a slug come before those beyond KEPT are deleted."""
MOST_OPEN = 50
"""Open holds, reports and unban requests that a moderator is shown at first, of each the newest."""
ACTION = "action"
"""The kind of an event that is a row of the audit log."""


class FeedEvent(NamedTuple):
    """One thing that happened in the rooms of a slug."""

    id: int
    """Rises over all slugs as events are committed, and is no lower than the time by the clock, Unix milliseconds."""
    previous_id: int
    """The event of the slug before it; 0: none that was kept."""
    kind: str
    at_ms: int
    data: Mapping[str, Any]
    """More of it, as `data` of a moderation_event shows it."""
    action: AuditRecord | None = None
    """The row that it tells of; None: it tells of none, or that is not kept any more."""


class FeedHead(NamedTuple):
    """How far the feed of a slug has come."""

    slug: str
    event_id: int


class OpenItems(NamedTuple):
    """What waits for a moderator in the rooms of a slug, of each the newest MOST_OPEN, newest first, as JSON objects
    that are shown as they are."""

    held: Sequence[Mapping[str, Any]] = ()
    reports: Sequence[Mapping[str, Any]] = ()
    unban_requests: Sequence[Mapping[str, Any]] = ()


def is_whole(events: Sequence[FeedEvent], since: int, now_ms: int) -> bool:
    """Whether these are all that came after an event of that id. `events`: the newest after it that are kept."""
    if events and events[0].previous_id:
        return events[0].previous_id <= since
    return since >= now_ms - KEPT_MS

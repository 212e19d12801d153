"""What the moderators of a room see of what happens there: events in one order for each slug, the same for all."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from moderation.domain.audit import AuditRecord
from moderation.domain.sanctions import Sanction

KEPT = 500
"""Events of a slug that somebody who was away is given; a few more are stored."""
KEPT_MS = 24 * 3_600_000
DELETED_AFTER_MS = 25 * 3_600_000
"""Later than anybody is promised them: clocks of replicas may differ."""
TRIMMED_EVERY = 100
"""So many events of a slug come before those beyond KEPT are deleted."""
MOST_OPEN = 50
"""Open holds, reports and unban requests that a moderator is shown at first, of each the newest."""
MOST_SANCTIONS = 200
"""In force, the same."""
RULE_HITS = "rule_hits"
"""The kind of one that tells what rules flagged and refused."""
ACTION = "action"
"""The kind of an event that is a row of the audit log."""


class FeedEvent(NamedTuple):
    """One thing that happened in the rooms of a slug."""

    id: int
    """Rises over all slugs as events are committed, and is no lower than the time by the clock, Unix milliseconds."""
    slug: str
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


class FeedPart(NamedTuple):
    """What came behind an id in the feeds of some slugs."""

    events: Sequence[FeedEvent]
    """In order."""
    up_to_id: int
    """None of these feeds has anything else up to there."""
    has_more: bool = False
    """There may be more behind it."""


class OpenItems(NamedTuple):
    """What waits for a moderator in the rooms of a slug, of each the newest MOST_OPEN, newest first, as JSON objects
    that are shown as they are."""

    held: Sequence[Mapping[str, Any]] = ()
    reports: Sequence[Mapping[str, Any]] = ()
    unban_requests: Sequence[Mapping[str, Any]] = ()


class FeedState(NamedTuple):
    """What a moderator begins with."""

    event_id: int
    """What is appended later has a higher one; 0: nothing was appended yet."""
    items: OpenItems
    sanctions: Sequence[Sanction]
    """In force in the rooms of the slug, and everywhere where the reader may know it, of each at most the newest
    MOST_SANCTIONS, the newest first, without addresses."""
    has_more_sanctions: bool
    events: Sequence[FeedEvent] = ()
    """What came since the event that was asked for, in order."""
    recovered: bool = True
    """Whether that is all."""
    raid: FeedEvent | None = None
    """The last one, where it is not long ago."""


def newest_within(events: Sequence[FeedEvent], limit_bytes: int) -> Sequence[FeedEvent]:
    """As many of the newest as have room."""
    left = limit_bytes
    for at in range(len(events) - 1, -1, -1):
        left -= _size_of(events[at])
        if left < 0:
            return events[at + 1 :]
    return events


def _size_of(event: FeedEvent) -> int:
    """Some bytes more than what a client is sent of it."""
    action = event.action
    said = "" if action is None else f"{action.message_text}{action.reason}{action.details}"
    return 400 + len(f"{event.data}{said}".encode())


def is_whole(events: Sequence[FeedEvent], since: int, now_ms: int) -> bool:
    """Whether these are all that came after an event of that id. `events`: the newest after it that are kept."""
    if events and events[0].previous_id:
        return events[0].previous_id <= since
    return since >= now_ms - KEPT_MS

"""Reading the moderators' feed, in the transaction that is open: events with the audit rows that they tell of."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from moderation.adapters.store.audit import record_from_row
from moderation.adapters.store.case_feed import open_reports, open_requests
from moderation.adapters.store.tables import AuditRow, FeedEventRow
from moderation.domain.feed import KEPT, MOST_OPEN, FeedEvent, OpenItems

OPEN_ITEMS: dict[str, Callable[[str, int], Awaitable[Sequence[Mapping[str, Any]]]]] = {
    "reports": open_reports,
    "unban_requests": open_requests,
}
"""By the field of OpenItems what lists it: called with the slug and how many are asked for, gives the newest open ones
first, each a JSON object in the words of frames."""


async def newest_events(slug: str, after_id: int) -> list[FeedEvent]:
    """Of those behind an id the newest KEPT, in order."""
    rows = await FeedEventRow.filter(slug=slug, id__gt=after_id).order_by("-id").limit(KEPT)
    return await _events(rows[::-1])


async def next_events(slug: str, after_id: int, first: int) -> list[FeedEvent]:
    """The next ones behind an id, in order."""
    return await _events(await FeedEventRow.filter(slug=slug, id__gt=after_id).order_by("id").limit(first))


async def open_items(slug: str) -> OpenItems:
    """What waits for a moderator there."""
    return OpenItems(**{name: await find(slug, MOST_OPEN) for name, find in OPEN_ITEMS.items()})


async def _events(rows: Sequence[FeedEventRow]) -> list[FeedEvent]:
    """Each with its audit row."""
    ids = [row.action_id for row in rows if row.action_id is not None]
    found = await AuditRow.filter(id__in=ids) if ids else []
    actions = {row.id: record_from_row(row) for row in found}
    return [
        FeedEvent(row.id, row.previous_id, row.kind, row.at_ms, row.data, actions.get(row.action_id or 0))
        for row in rows
    ]

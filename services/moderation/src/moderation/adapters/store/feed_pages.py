"""Reading the moderators' feed, in the transaction that is open: events with the audit rows that they tell of."""

from collections.abc import Sequence

from moderation.adapters.store.audit import record_from_row
from moderation.adapters.store.case_feed import open_reports, open_requests
from moderation.adapters.store.feed import last_event_id
from moderation.adapters.store.holds import open_holds
from moderation.adapters.store.tables import AuditRow, FeedEventRow
from moderation.domain.feed import KEPT, MOST_OPEN, FeedEvent, FeedPart, OpenItems


async def newest_events(slug: str, after_id: int, up_to_id: int) -> list[FeedEvent]:
    """Of those behind an id, up to another one, the newest KEPT, in order."""
    rows = await FeedEventRow.filter(slug=slug, id__gt=after_id, id__lte=up_to_id).order_by("-id").limit(KEPT)
    return await _events(rows[::-1])


async def newest_of_kind(slug: str, kind: str, since_ms: int) -> FeedEvent | None:
    """Ids are no lower than the time."""
    rows = FeedEventRow.filter(slug=slug, id__gt=since_ms, kind=kind).order_by("-id").limit(1)
    found = await _events(await rows)
    return found[0] if found else None


async def next_events(slugs: Sequence[str], after_id: int, first: int) -> FeedPart:
    """See Store."""
    last_id = await last_event_id()  # before the others: what is committed since has a higher id
    if last_id <= after_id:
        return FeedPart((), after_id)
    behind = FeedEventRow.filter(slug__in=list(slugs), id__gt=after_id, id__lte=last_id)
    rows = await behind.order_by("id").limit(first)
    has_more = len(rows) == first
    return FeedPart(await _events(rows), rows[-1].id if has_more else last_id, has_more)


async def open_items(slug: str, reader_id: int, since_ms: int = 0) -> OpenItems:
    """What waits for that moderator there, but for reports about themselves."""
    return OpenItems(
        held=await open_holds(slug, MOST_OPEN, since_ms),
        reports=await open_reports(slug, MOST_OPEN, since_ms, not_about=reader_id),
        unban_requests=await open_requests(slug, MOST_OPEN, since_ms),
    )


async def _events(rows: Sequence[FeedEventRow]) -> list[FeedEvent]:
    """Each with its audit row."""
    ids = [row.action_id for row in rows if row.action_id is not None]
    found = await AuditRow.filter(id__in=ids) if ids else []
    actions = {row.id: record_from_row(row) for row in found}
    return [
        FeedEvent(row.id, row.slug, row.previous_id, row.kind, row.at_ms, row.data, actions.get(row.action_id or 0))
        for row in rows
    ]

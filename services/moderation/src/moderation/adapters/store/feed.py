"""The moderators' feed: events of each slug in one order, in the transaction that is open.

Every row of the audit log is an event by itself (`append_audit`). What has no row there calls `append_feed_event` in
the transaction that makes it so, and whoever keeps something that waits for a moderator names in
`feed_pages.open_items` what lists it."""

from collections.abc import Mapping, Sequence
from typing import Any

from chassis.database import Session, packed
from moderation.adapters.store.tables import FeedEventRow
from moderation.domain.feed import DELETED_AFTER_MS, KEPT, TRIMMED_EVERY, FeedHead
from moderation.domain.policy import next_version

ROWS_AT_ONCE = 1000
_LAST_OF = """SELECT last.slug, last.id, last.number FROM {}
JOIN feed_event AS last ON last.id = (SELECT max(id) FROM feed_event WHERE feed_event.slug = x.slug)"""


async def append_feed_event(
    slug: str, kind: str, data: Mapping[str, Any], *, now_ms: int, action_id: int | None = None
) -> int:
    """Tell the moderators of a slug; the id of the event. Only by who has COMMAND_LOCK, to the end of the transaction:
    ids rise as they are committed, so that whoever reads on misses none. Edges hear of it within a fraction of a second
    without anything else being done.

    `kind`: `hold`, `hold_decided`, `report`, `report_resolved`, `unban_request`, `unban_request_decided`, `rule_hits`;
    another one is passed on as it is. `data` is a JSON object in the words of frames, of at most some 4 KiB, without
    `event_id`, `kind` and `timestamp`. It may hold texts and names: it is kept for a day, as evidence is at least.
    `action_id`: the audit row whose fields are shown with it; what is erased of that one day is not to stand in `data`
    as well."""
    newest = await FeedEventRow.all().order_by("-id").first().only("id")
    before = await FeedEventRow.filter(slug=slug).order_by("-id").first().only("id", "number")
    event_id = next_version(0 if newest is None else int(newest.id), now_ms)
    row = FeedEventRow(
        id=event_id,
        slug=slug,
        previous_id=0 if before is None else before.id,
        number=1 if before is None else before.number + 1,
        kind=kind,
        data=_storable(dict(data)),
        action_id=action_id,
        at_ms=now_ms,
    )
    await row.save(force_create=True)
    await _trim(row)
    return event_id


async def append_feed_events(
    session: Session, kind: str, events: Sequence[tuple[str, Mapping[str, Any]]], *, now_ms: int
) -> None:
    """The same of many at once, each with its slug, in three statements however many there are."""
    newest = await FeedEventRow.all().order_by("-id").first().only("id")
    event_id = next_version(0 if newest is None else int(newest.id), now_ms)
    slugs = packed([{"slug": slug} for slug in dict.fromkeys(slug for slug, _ in events)])
    last = await session.fetch(_LAST_OF.format(session.rows({"slug": "text"})), slugs)
    known = {row["slug"]: (row["id"], row["number"]) for row in last}
    rows = []
    for row_id, (slug, data) in enumerate(events, start=event_id):
        before_id, before_number = known.get(slug, (0, 0))
        known[slug] = (row_id, before_number + 1)
        about = {"slug": slug, "previous_id": before_id, "number": before_number + 1, "at_ms": now_ms}
        rows.append(FeedEventRow(id=row_id, kind=kind, data=_storable(dict(data)), **about))
    await FeedEventRow.bulk_create(rows)
    for row in rows:
        await _trim(row)


async def _trim(newest: FeedEventRow) -> None:
    if newest.number % TRIMMED_EVERY == 0:
        await FeedEventRow.filter(slug=newest.slug, number__lte=newest.number - KEPT).delete()


async def heads_after(event_id: int, first: int) -> list[FeedHead]:
    """See Store."""
    rows = await FeedEventRow.filter(id__gt=event_id).order_by("id").limit(first).values_list("slug", "id")
    return [FeedHead(str(slug), int(number)) for slug, number in rows]


async def last_event_id() -> int:
    """The newest event of whatever slug; 0: none is kept."""
    row = await FeedEventRow.all().order_by("-id").first().only("id")
    return 0 if row is None else row.id


async def prune_feed(now_ms: int) -> bool:
    """Delete a part of what is too old; whether there may be more. Ids are no lower than the time."""
    old = FeedEventRow.filter(id__lt=now_ms - DELETED_AFTER_MS).order_by("id").limit(ROWS_AT_ONCE)
    ids = [row.id for row in await old.select_for_update(skip_locked=True).only("id")]
    await FeedEventRow.filter(id__in=ids).delete()
    return len(ids) == ROWS_AT_ONCE


def _storable(value: Any) -> Any:
    """PostgreSQL cannot hold the character 0, in JSON neither."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case dict():
            return {str(name): _storable(each) for name, each in value.items()}
        case list() | tuple():
            return [_storable(each) for each in value]
        case _:
            return value

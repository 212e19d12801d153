"""Reports of viewers: questions and changes in the transaction that is open."""

from tortoise.expressions import Q

from moderation.adapters.store.rows import storable
from moderation.adapters.store.tables import NAME_LENGTH, ReportRow
from moderation.domain.audit import ERASED_NAME
from moderation.domain.erasures import LoggedMessage
from moderation.domain.people import Target
from moderation.domain.reports import (
    MOST_EXPIRED_REPORTS,
    MOST_OPEN_REPORTS,
    MOST_REPORTS,
    Neighbours,
    Report,
    ReportCategory,
    ReportedMessage,
    ReportOrder,
    ReportQuery,
    ReportState,
    ReportStep,
    demand_within_limit,
)

_EXPIRED_AT_ONCE = 100
_DELETED_AT_ONCE = 200
_STATES = {int(state): state for state in ReportState}
_CATEGORIES = {int(category): category for category in ReportCategory}


async def reported_before(order: ReportOrder, *, now_ms: int) -> Report | None:
    """The same report, if it was filed before. Raises TooManyReports where it was not, and may not be now."""
    mine = ReportRow.filter(reporter_user_id=order.reporter.user_id)
    if order.message_id:
        known = await mine.filter(message_id=order.message_id).first()
    else:
        target = order.target or Target(0, "")
        of_target = mine.filter(target_user_id=target.user_id, slug=order.slug, message_id__isnull=True)
        if not target.user_id:
            of_target = of_target.filter(target_username=target.username)
        known = await of_target.filter(state=int(ReportState.OPEN)).first()
    if known is not None:
        return report_from_row(known)
    last = await mine.order_by("-created_at_ms").limit(MOST_REPORTS).values_list("created_at_ms", flat=True)
    demand_within_limit([int(str(at_ms)) for at_ms in last], now_ms=now_ms)
    return None


async def insert_report(
    order: ReportOrder, message: LoggedMessage | None, neighbours: Neighbours, *, now_ms: int
) -> Report:
    """Keep it; the oldest open one of the slug expires where there are too many, and the oldest of those goes."""
    target = order.target or Target(0, "")
    username = target.username
    if message is not None:
        target, username = message.author, message.username
    row = ReportRow(
        slug=order.slug,
        reporter_user_id=order.reporter.user_id,
        reporter_username=storable(order.reporter_username)[:NAME_LENGTH],
        category=int(order.category),
        note=order.note,
        target_user_id=target.user_id,
        target_username=storable(username)[:NAME_LENGTH],
        message_id=None if message is None else message.id,
        message_at_ms=None if message is None else message.at_ms,
        message_text=None if message is None else storable(message.text),
        before_ids=list(neighbours.before),
        after_ids=list(neighbours.after),
        created_at_ms=now_ms,
        state=int(ReportState.OPEN),
        closed_by=0,
    )
    await row.save()
    await _make_room(order.slug, now_ms)
    return report_from_row(row)


async def _make_room(slug: str, now_ms: int) -> None:
    open_ones = ReportRow.filter(slug=slug, state=int(ReportState.OPEN)).order_by("-id")
    surplus = await open_ones.offset(MOST_OPEN_REPORTS).limit(_EXPIRED_AT_ONCE)
    for old in surplus:
        await write_report(report_from_row(old).after(ReportStep.EXPIRE, by=0, now_ms=now_ms))
    if surplus:
        expired = ReportRow.filter(slug=slug, state=int(ReportState.EXPIRED)).order_by("-id")
        oldest = await expired.offset(MOST_EXPIRED_REPORTS).limit(_DELETED_AT_ONCE).only("id")
        await ReportRow.filter(id__in=[row.id for row in oldest]).delete()


async def find_report(report_id: int) -> Report | None:
    """One, in whatever state; None: there is none."""
    row = await ReportRow.get_or_none(id=report_id)
    return None if row is None else report_from_row(row)


async def write_report(report: Report) -> None:
    """How far it has come."""
    await ReportRow.filter(id=report.id).update(
        state=int(report.state), closed_at_ms=report.closed_at_ms, closed_by=report.closed_by
    )


async def list_reports(query: ReportQuery, *, first: int, before_id: int | None) -> list[Report]:
    """See Store."""
    if not first:  # Tortoise takes a limit of 0 for none
        return []
    where = Q() if query.state is None else Q(state=int(query.state))
    if query.slug is not None:
        where &= Q(slug=query.slug)
    if query.target is not None:
        where &= Q(target_user_id=query.target.user_id)
        if not query.target.user_id:
            where &= Q(target_username=query.target.username)
    if query.not_about:
        where &= ~Q(target_user_id=query.not_about)
    if query.since_ms:
        where &= Q(created_at_ms__gte=query.since_ms)
    if before_id is not None:
        where &= Q(id__lt=before_id)
    return [report_from_row(row) for row in await ReportRow.filter(where).order_by("-id").limit(first)]


async def erase_evidence_of_reports(before_ms: int, now_ms: int, first: int) -> bool:
    """Erase what was said in reports and in the messages of older ones, and the names of anonymous people; those that
    are open expire. Whether there may be more."""
    old = ReportRow.filter(created_at_ms__lt=before_ms, evidence_erased_at_ms__isnull=True)
    found = await old.limit(first).select_for_update(skip_locked=True).only("id")
    rows = ReportRow.filter(id__in=[row.id for row in found])
    await rows.filter(state=int(ReportState.OPEN)).update(state=int(ReportState.EXPIRED), closed_at_ms=now_ms)
    await rows.filter(target_user_id=0).update(target_username=ERASED_NAME)
    await rows.filter(message_id__isnull=False).update(message_text="")
    await rows.update(note="", reporter_username="", evidence_erased_at_ms=now_ms)
    return len(found) == first


async def erase_reports_about(user_id: int, now_ms: int, first: int) -> bool:
    """Erase what was said in a part of the reports about a user, and in the reported messages. Whether there may be
    more."""
    rows = ReportRow.filter(target_user_id=user_id).filter(Q(evidence_erased_at_ms__isnull=True))
    ids = [row.id for row in await rows.limit(first).only("id")]
    about = ReportRow.filter(id__in=ids)
    await about.filter(state=int(ReportState.OPEN)).update(state=int(ReportState.EXPIRED), closed_at_ms=now_ms)
    await about.filter(message_id__isnull=False).update(message_text="")
    await about.update(note="", target_username="", evidence_erased_at_ms=now_ms)
    return len(ids) == first


async def erase_reports_by(user_id: int, first: int) -> bool:
    """Erase name and notes of who wrote a part of them. Whether there may be more."""
    rows = ReportRow.filter(reporter_user_id=user_id).filter(Q(note__not="") | Q(reporter_username__not=""))
    ids = [row.id for row in await rows.limit(first).only("id")]
    await ReportRow.filter(id__in=ids).update(note="", reporter_username="")
    return len(ids) == first


async def delete_reports(before_ms: int, first: int) -> bool:
    """Delete older ones. Whether there may be more."""
    old = ReportRow.filter(created_at_ms__lt=before_ms)
    ids = [row.id for row in await old.limit(first).select_for_update(skip_locked=True).only("id")]
    await ReportRow.filter(id__in=ids).delete()
    return len(ids) == first


def report_from_row(row: ReportRow) -> Report:
    """As the domain knows it: a category of a later version is an other one, and in a state of one it is over."""
    message = None
    if row.message_id is not None:
        neighbours = Neighbours(tuple(row.before_ids), tuple(row.after_ids))
        message = ReportedMessage(row.message_id, row.message_at_ms or 0, row.message_text or "", neighbours)
    return Report(
        id=row.id,
        slug=row.slug,
        reporter_user_id=row.reporter_user_id,
        reporter_username=row.reporter_username,
        category=_CATEGORIES.get(row.category, ReportCategory.OTHER),
        note=row.note,
        target=Target(row.target_user_id, "" if row.target_user_id else row.target_username),
        target_username=row.target_username,
        message=message,
        created_at_ms=row.created_at_ms,
        state=_STATES.get(row.state, ReportState.EXPIRED),
        closed_at_ms=row.closed_at_ms,
        closed_by=row.closed_by,
    )

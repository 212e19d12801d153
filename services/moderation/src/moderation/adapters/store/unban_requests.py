"""Unban requests: questions and changes in the transaction that is open."""

from collections.abc import Sequence

from tortoise.expressions import Q, Subquery
from tortoise.functions import Max

from moderation.adapters.store.rows import storable
from moderation.adapters.store.tables import NAME_LENGTH, SanctionRow, UnbanRequestRow
from moderation.domain.unban_requests import RequestQuery, RequestState, RequestStep, UnbanOrder, UnbanRequest

_STATES = {int(state): state for state in RequestState}
_OPEN = int(RequestState.OPEN)


async def latest_request(sanction_id: int) -> UnbanRequest | None:
    """The last one about a sanction."""
    row = await UnbanRequestRow.filter(sanction_id=sanction_id).order_by("-id").first()
    return None if row is None else _from_row(row)


async def latest_requests(sanction_ids: Sequence[int]) -> dict[int, UnbanRequest]:
    """The same of several, by sanction."""
    if not sanction_ids:
        return {}
    latest = UnbanRequestRow.filter(sanction_id__in=list(sanction_ids)).annotate(latest=Max("id"))
    rows = UnbanRequestRow.filter(id__in=Subquery(latest.group_by("sanction_id").values("latest")))
    return {row.sanction_id: _from_row(row) for row in await rows}


async def insert_request(order: UnbanOrder, slug: str | None, *, now_ms: int) -> UnbanRequest:
    """Keep it."""
    row = UnbanRequestRow(
        sanction_id=order.sanction_id,
        slug=slug or "",
        user_id=order.user_id,
        username=storable(order.username)[:NAME_LENGTH],
        text=order.text,
        created_at_ms=now_ms,
        state=_OPEN,
        closed_by=0,
        note="",
    )
    await row.save()
    return _from_row(row)


async def find_request(request_id: int) -> UnbanRequest | None:
    """One, in whatever state; None: there is none."""
    row = await UnbanRequestRow.get_or_none(id=request_id)
    return None if row is None else _from_row(row)


async def write_request(request: UnbanRequest) -> None:
    """How far it has come."""
    await UnbanRequestRow.filter(id=request.id).update(
        state=int(request.state),
        closed_at_ms=request.closed_at_ms,
        closed_by=request.closed_by,
        note=request.note,
    )


async def lapse_requests(sanction_ids: Sequence[int], *, now_ms: int) -> None:
    """Those about sanctions that were lifted otherwise are over."""
    if sanction_ids:
        open_ones = UnbanRequestRow.filter(sanction_id__in=list(sanction_ids), state=_OPEN)
        for row in await open_ones:
            await write_request(_from_row(row).after(RequestStep.LAPSE, now_ms=now_ms))


async def lapse_ended(now_ms: int, first: int) -> bool:
    """Of those whose ban ended by its time, or was lifted by a replica of before. Whether there may be more."""
    asked_about = Subquery(UnbanRequestRow.filter(state=_OPEN).values("sanction_id"))
    ended = SanctionRow.filter(id__in=asked_about, lifted_at_ms__isnull=False).limit(first)
    ids = [row.id for row in await ended.only("id")]
    found = await UnbanRequestRow.filter(state=_OPEN, sanction_id__in=ids).select_for_update(skip_locked=True)
    for row in found:
        await write_request(_from_row(row).after(RequestStep.LAPSE, now_ms=now_ms))
    return len(found) == first


async def list_requests(query: RequestQuery, *, first: int, before_id: int | None) -> list[UnbanRequest]:
    """See Store."""
    if not first:  # Tortoise takes a limit of 0 for none
        return []
    where = Q()
    if query.state is not None:
        where &= Q(state=int(query.state))
    if query.slug is not None:
        where &= Q(slug=query.slug)
    if query.user_id is not None:
        where &= Q(user_id=query.user_id)
    if query.since_ms:
        where &= Q(created_at_ms__gte=query.since_ms)
    if before_id is not None:
        where &= Q(id__lt=before_id)
    return [_from_row(row) for row in await UnbanRequestRow.filter(where).order_by("-id").limit(first)]


async def erase_evidence_of_requests(before_ms: int, now_ms: int, first: int) -> bool:
    """Erase texts and names of older ones; those that are open expire. Whether there may be more."""
    old = UnbanRequestRow.filter(created_at_ms__lt=before_ms, evidence_erased_at_ms__isnull=True)
    found = await old.limit(first).select_for_update(skip_locked=True).only("id")
    rows = UnbanRequestRow.filter(id__in=[row.id for row in found])
    await rows.filter(state=_OPEN).update(state=int(RequestState.EXPIRED), closed_at_ms=now_ms)
    await rows.update(text="", username="", note="", evidence_erased_at_ms=now_ms)
    return len(found) == first


async def erase_requests(user_id: int, now_ms: int, first: int) -> bool:
    """Erase a part of what a user asked, and of what was answered; what is open expires. Whether there may be more."""
    known = UnbanRequestRow.filter(user_id=user_id, evidence_erased_at_ms__isnull=True)
    ids = [row.id for row in await known.limit(first).only("id")]
    rows = UnbanRequestRow.filter(id__in=ids)
    await rows.filter(state=_OPEN).update(state=int(RequestState.EXPIRED), closed_at_ms=now_ms)
    await rows.update(text="", username="", note="", evidence_erased_at_ms=now_ms)
    return len(ids) == first


async def delete_requests(before_ms: int, first: int) -> bool:
    """Delete older ones. Whether there may be more."""
    old = UnbanRequestRow.filter(created_at_ms__lt=before_ms)
    ids = [row.id for row in await old.limit(first).select_for_update(skip_locked=True).only("id")]
    await UnbanRequestRow.filter(id__in=ids).delete()
    return len(ids) == first


def _from_row(row: UnbanRequestRow) -> UnbanRequest:
    """One in a state of a later version is over."""
    return UnbanRequest(
        id=row.id,
        sanction_id=row.sanction_id,
        slug=row.slug or None,
        user_id=row.user_id,
        username=row.username,
        text=row.text,
        created_at_ms=row.created_at_ms,
        state=_STATES.get(row.state, RequestState.LAPSED),
        closed_at_ms=row.closed_at_ms,
        closed_by=row.closed_by,
        note=row.note,
    )

"""Erasing a user: what is deleted and emptied, in parts, each in the transaction that is open."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from tortoise import Model
from tortoise.expressions import F
from tortoise.queryset import QuerySet

from moderation.adapters.store.reports import erase_reports_about, erase_reports_by
from moderation.adapters.store.tables import (
    AuditRow,
    HoldRow,
    NoteRow,
    RuleHitRow,
    SanctionAddressRow,
    SanctionRow,
    SightingRow,
    VisitRow,
)
from moderation.adapters.store.unban_requests import erase_requests

ROWS_AT_ONCE = 500
SANCTIONS_AT_ONCE = 20
"""Each with up to MOST_ADDRESSES."""
Part: TypeAlias = Callable[[int, int], Awaitable[bool]]
"""Erases some of what is kept of a user, now in Unix milliseconds; whether there may be more. What is erased is not
found again, so that whoever was interrupted goes on."""
_Row = TypeVar("_Row", bound=Model)


async def _erase_ended_sanctions(user_id: int, now_ms: int) -> bool:
    """The addresses; the rows are deleted as others are."""
    ended = SanctionRow.filter(target_user_id=user_id, lifted_at_ms__isnull=False, evidence_erased_at_ms__isnull=True)
    ids = await _keys(ended, SANCTIONS_AT_ONCE)
    await SanctionAddressRow.filter(sanction_id__in=ids).delete()
    await SanctionRow.filter(id__in=ids).update(evidence_erased_at_ms=now_ms)
    return len(ids) == SANCTIONS_AT_ONCE


async def _erase_evidence_of_audit(user_id: int, now_ms: int) -> bool:
    """With the salts of their digests, as retention does: the chains stay whole."""
    ids = await _keys(AuditRow.filter(target_user_id=user_id, evidence_erased_at_ms__isnull=True), ROWS_AT_ONCE)
    rows = AuditRow.filter(id__in=ids, evidence_erased_at_ms__isnull=True)
    await rows.filter(followed_address__isnull=False).update(followed_address="")
    await rows.filter(message_text__isnull=False).update(message_text="")
    # A row may be of a replica whose clock is ahead; none is erased before it was written.
    await rows.filter(at_ms__gt=now_ms).update(evidence_erased_at_ms=F("at_ms"), evidence_salt=None)
    await rows.update(evidence_erased_at_ms=now_ms, evidence_salt=None)
    return len(ids) == ROWS_AT_ONCE


async def _delete_rule_hits(user_id: int, _now_ms: int) -> bool:
    return await _delete(RuleHitRow.filter(user_id=user_id))


async def _delete_holds(user_id: int, _now_ms: int) -> bool:
    """What waits has waited for long enough: it is rejected next, and its text deleted."""
    await HoldRow.filter(user_id=user_id, decided_at_ms__isnull=True).update(held_at_ms=0)
    return await _delete(HoldRow.filter(user_id=user_id, decided_at_ms__isnull=False))


async def _delete_sightings(user_id: int, _now_ms: int) -> bool:
    return await _delete(SightingRow.filter(user_id=user_id))


async def _delete_visits(user_id: int, _now_ms: int) -> bool:
    return await _delete(VisitRow.filter(user_id=user_id))


async def _delete_notes(user_id: int, _now_ms: int) -> bool:
    return await _delete(NoteRow.filter(target_user_id=user_id))


async def _erase_author_of_notes(user_id: int, _now_ms: int) -> bool:
    ids = await _keys(NoteRow.filter(author_user_id=user_id, author_username__not=""), ROWS_AT_ONCE)
    await NoteRow.filter(id__in=ids).update(author_username="")
    return len(ids) == ROWS_AT_ONCE


async def _erase_reports_about(user_id: int, now_ms: int) -> bool:
    return await erase_reports_about(user_id, now_ms, ROWS_AT_ONCE)


async def _erase_reports_by(user_id: int, _now_ms: int) -> bool:
    return await erase_reports_by(user_id, ROWS_AT_ONCE)


async def _erase_requests(user_id: int, now_ms: int) -> bool:
    return await erase_requests(user_id, now_ms, ROWS_AT_ONCE)


PARTS: tuple[Part, ...] = (
    _erase_ended_sanctions,
    _erase_evidence_of_audit,
    _delete_rule_hits,
    _delete_holds,
    _delete_sightings,
    _delete_visits,
    _delete_notes,
    _erase_author_of_notes,
    _erase_reports_about,
    _erase_reports_by,
    _erase_requests,
)
"""All but what has versions or is told: the sanctions in force, warnings and pins."""


async def _keys(rows: QuerySet[_Row], first: int) -> list[Any]:
    """The primary keys of up to so many."""
    return [row.pk for row in await rows.limit(first).only(rows.model._meta.pk_attr)]


async def _delete(rows: QuerySet[_Row]) -> bool:
    found = await _keys(rows, ROWS_AT_ONCE)
    await rows.model.filter(pk__in=found).delete()
    return len(found) == ROWS_AT_ONCE

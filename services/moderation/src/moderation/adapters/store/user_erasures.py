"""Erasing a user: what is deleted and emptied, in the transaction that is open."""

from tortoise.expressions import F

from moderation.adapters.store.pins import end_pins_of
from moderation.adapters.store.reports import erase_reports
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
from moderation.adapters.store.warnings import erase_warnings
from moderation.domain.people import Target
from moderation.domain.warnings import RoomWarning

_IDS_AT_ONCE = 500


async def erase_rows(user_id: int, *, now_ms: int) -> list[RoomWarning]:
    """All but the sanctions in force; the warnings that were open, as they are since."""
    await _erase_ended_sanctions(user_id, now_ms)
    await _erase_evidence_of_audit(user_id, now_ms)
    await RuleHitRow.filter(user_id=user_id).delete()
    held = HoldRow.filter(user_id=user_id)
    await held.filter(decided_at_ms__isnull=False).delete()
    await held.update(held_at_ms=0)  # what waits has waited for long enough: it is rejected next, and its text deleted
    await SightingRow.filter(user_id=user_id).delete()
    await VisitRow.filter(user_id=user_id).delete()
    await NoteRow.filter(target_user_id=user_id).delete()
    await NoteRow.filter(author_user_id=user_id).update(author_username="")
    await end_pins_of(user_id, now_ms)
    await erase_reports(user_id, now_ms)
    await erase_requests(user_id, now_ms)
    return await erase_warnings(Target(user_id, ""), now_ms)


async def _erase_ended_sanctions(user_id: int, now_ms: int) -> None:
    """The addresses; the rows are deleted as others are."""
    ended = SanctionRow.filter(target_user_id=user_id, lifted_at_ms__isnull=False)
    ids = [int(row[0]) for row in await ended.values_list("id")]
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = ids[start : start + _IDS_AT_ONCE]
        await SanctionAddressRow.filter(sanction_id__in=part).delete()
        await SanctionRow.filter(id__in=part, evidence_erased_at_ms__isnull=True).update(evidence_erased_at_ms=now_ms)


async def _erase_evidence_of_audit(user_id: int, now_ms: int) -> None:
    """With the salts of their digests, as retention does: the chains stay whole."""
    rows = AuditRow.filter(target_user_id=user_id, evidence_erased_at_ms__isnull=True)
    await rows.filter(followed_address__isnull=False).update(followed_address="")
    await rows.filter(message_text__isnull=False).update(message_text="")
    # A row may be of a replica whose clock is ahead; none is erased before it was written.
    await rows.filter(at_ms__gt=now_ms).update(evidence_erased_at_ms=F("at_ms"), evidence_salt=None)
    await rows.update(evidence_erased_at_ms=now_ms, evidence_salt=None)

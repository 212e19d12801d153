"""What ends, is erased and is deleted as time goes by. Each function is one part, to be run in a transaction of its
own, and says whether there may be more.

Rows are locked when they are found, and left out where another transaction holds them: nobody waits here who holds what
somebody else waits for, and two replicas share the work. Rows of the audit log are deleted in order instead, by one
replica at a time."""

from itertools import takewhile
from typing import Any, TypeVar

from tortoise.expressions import F
from tortoise.models import Model
from tortoise.queryset import QuerySet

from moderation.adapters.store.tables import (
    AuditRow,
    HoldRow,
    RuleHitRow,
    SanctionAddressRow,
    SanctionRow,
    SightingRow,
    WarningRow,
)
from moderation.domain.audit import ERASED_NAME

ROWS_AT_ONCE = 1000
SANCTIONS_AT_ONCE = 100
"""Where their addresses go with them: up to 256 each, and more of those that an older version stored."""
_Row = TypeVar("_Row", bound=Model)


async def forget_last_seen(before_ms: int) -> bool:
    """Delete what was seen before then; who is seen again at this moment is not forgotten."""
    ids = await locked(SightingRow.filter(seen_at_ms__lt=before_ms), ROWS_AT_ONCE)
    await SightingRow.filter(id__in=ids).delete()
    return len(ids) == ROWS_AT_ONCE


async def end_expired(before_ms: int) -> bool:
    """Mark the sanctions whose time was up before then."""
    ids = await locked(SanctionRow.filter(lifted_at_ms__isnull=True, expires_at_ms__lt=before_ms), ROWS_AT_ONCE)
    await SanctionRow.filter(id__in=ids).update(lifted_at_ms=F("expires_at_ms"))
    return len(ids) == ROWS_AT_ONCE


async def erase_evidence_of_sanctions(before_ms: int, now_ms: int) -> bool:
    """Erase the addresses of sanctions that ended before then."""
    old = SanctionRow.filter(lifted_at_ms__lt=before_ms, evidence_erased_at_ms__isnull=True)
    ids = await locked(old, SANCTIONS_AT_ONCE)
    await SanctionAddressRow.filter(sanction_id__in=ids).delete()
    await SanctionRow.filter(id__in=ids, target_user_id=0).update(target_username=ERASED_NAME)
    await SanctionRow.filter(id__in=ids).update(evidence_erased_at_ms=now_ms)
    return len(ids) == SANCTIONS_AT_ONCE


async def erase_evidence_of_audit(before_ms: int, now_ms: int) -> bool:
    """Erase the addresses, and the texts of deleted messages, of what was done before then, with the salts of their
    digests. A sanction that still holds has its own addresses."""
    ids = await locked(AuditRow.filter(at_ms__lt=before_ms, evidence_erased_at_ms__isnull=True), ROWS_AT_ONCE)
    rows = AuditRow.filter(id__in=ids)
    await rows.filter(followed_address__isnull=False).update(followed_address="")
    await rows.filter(message_text__isnull=False).update(message_text="")
    await rows.filter(target_user_id=0).exclude(target_username="").update(target_username=ERASED_NAME)
    await rows.update(evidence_erased_at_ms=now_ms, evidence_salt=None)
    return len(ids) == ROWS_AT_ONCE


async def erase_evidence_of_warnings(before_ms: int) -> bool:
    """Erase the names of anonymous people in closed warnings that were issued before then."""
    closed = WarningRow.filter(closed_at_ms__isnull=False, created_at_ms__lt=before_ms, target_user_id=0)
    old = closed.exclude(target_username=ERASED_NAME)
    ids = await locked(old, ROWS_AT_ONCE)
    await WarningRow.filter(id__in=ids).update(target_username=ERASED_NAME)
    return len(ids) == ROWS_AT_ONCE


async def delete_holds(before_ms: int) -> bool:
    """Delete what is known of messages that were decided about before then."""
    ids = await locked(HoldRow.filter(decided_at_ms__lt=before_ms), ROWS_AT_ONCE)
    await HoldRow.filter(id__in=ids).delete()
    return len(ids) == ROWS_AT_ONCE


async def delete_rule_hits(before_ms: int) -> bool:
    """Delete what rules hit before then. It is evidence as a whole."""
    ids = await locked(RuleHitRow.filter(at_ms__lt=before_ms), ROWS_AT_ONCE)
    await RuleHitRow.filter(id__in=ids).delete()
    return len(ids) == ROWS_AT_ONCE


async def delete_sanctions(before_ms: int) -> bool:
    """Delete the sanctions that ended before then."""
    ids = await locked(SanctionRow.filter(lifted_at_ms__lt=before_ms), SANCTIONS_AT_ONCE)
    await SanctionAddressRow.filter(sanction_id__in=ids).delete()
    await SanctionRow.filter(id__in=ids).delete()
    return len(ids) == SANCTIONS_AT_ONCE


async def delete_warnings(before_ms: int) -> bool:
    """Delete the closed warnings that were issued before then."""
    old = WarningRow.filter(closed_at_ms__isnull=False, created_at_ms__lt=before_ms)
    ids = await locked(old, ROWS_AT_ONCE)
    await WarningRow.filter(id__in=ids).delete()
    return len(ids) == ROWS_AT_ONCE


async def delete_audit(before_ms: int) -> bool:
    """Delete the rows of what was done before then, the oldest first and none before one that is kept: what is left
    of a chain has no gap. By one replica at a time, with the lock of that."""
    oldest = await AuditRow.all().order_by("id").limit(ROWS_AT_ONCE).only("id", "at_ms")
    ids = [row.id for row in takewhile(lambda row: row.at_ms < before_ms, oldest)]
    await AuditRow.filter(id__in=ids).delete()
    return len(ids) == ROWS_AT_ONCE


async def locked(rows: QuerySet[_Row], first: int) -> list[Any]:
    """The keys of up to `first` of them that nobody else has locked."""
    found = (
        await rows.limit(first).select_for_update(skip_locked=True).only(rows.model._meta.pk_attr)
    )  # no lock in values_list
    return [row.pk for row in found]

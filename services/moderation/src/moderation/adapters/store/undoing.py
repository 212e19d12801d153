"""What has become of what an action did: questions in the transaction that is open."""

from typing import NamedTuple

from tortoise.expressions import Q, Subquery

from moderation.adapters.store.audit import LOOKED_AT, record_from_row
from moderation.adapters.store.outbox import erased_since
from moderation.adapters.store.pins import pin_of
from moderation.adapters.store.tables import AuditRow
from moderation.domain.audit import AuditRecord
from moderation.domain.erasures import LogRef
from moderation.domain.pins import PinAction
from moderation.domain.policy import PolicyAction
from moderation.domain.sanctions import Action
from moderation.domain.undo import PinState, UndoAction, pin_details
from moderation.domain.user_erasures import UserErasureAction

LATER_AT_MOST = 2_000
"""Rows that an undo takes into account."""
_OF_SANCTIONS = [*map(int, Action), int(UndoAction.UNDO), int(UserErasureAction.ERASE)]
_OF_ROOMS = [*map(int, PolicyAction), *map(int, PinAction), int(UndoAction.UNDO)]


class Later(NamedTuple):
    """What was done after an action, by time."""

    records: tuple[AuditRecord, ...] = ()
    is_whole: bool = True
    """There is not more of it than is looked at."""


async def later_of_targets(row_id: int, of_targets: Q) -> Later:
    """What was done to the sanctions of these since."""
    since = of_targets & Q(id__gt=row_id)
    looked_at = AuditRow.filter(since).order_by("id").limit(LOOKED_AT).values("id")
    of_kind = Q(action__in=_OF_SANCTIONS, followed_address__isnull=True, id__in=Subquery(looked_at))
    rows = await AuditRow.filter(of_kind).order_by("id").limit(LATER_AT_MOST + 1)
    behind = await AuditRow.filter(since).order_by("id").offset(LOOKED_AT).first().only("id")
    return Later(tuple(map(record_from_row, rows)), behind is None and len(rows) <= LATER_AT_MOST)


async def later_of_slug(row_id: int, slug: str) -> Later:
    """What was done to policy and pin of that slug since."""
    since = AuditRow.filter(slug=slug, action__in=_OF_ROOMS, id__gt=row_id)
    rows = await since.order_by("id").limit(LATER_AT_MOST + 1)
    return Later(tuple(map(record_from_row, rows)), len(rows) <= LATER_AT_MOST)


async def pin_state(record: AuditRecord, log: LogRef | None, erased_since_ms: int) -> PinState | None:
    """The pin that a row tells of; None: it tells of none."""
    details = pin_details(record)
    if details is None:
        return None
    known = await pin_of(record.slug)
    # Rows of before do not say in which life it was: that is known where nothing has changed since.
    life = known.life if known is not None and known.version == details["version"] else 0
    return PinState(
        before=details["before"],
        after=details["after"],
        life=details.get("life", life),
        now=known,
        log=log,
        erasures=[] if log is None else await erased_since(log, erased_since_ms),
    )

"""Rows to values of the domain, and back."""

from collections.abc import Iterable

from moderation.adapters.tables import AuditRow, SanctionRow
from moderation.domain.order import Order
from moderation.domain.people import Rank, Target
from moderation.domain.sanction import Action, Sanction


def sanction_of(row: SanctionRow, addresses: frozenset[str]) -> Sanction:
    """A sanction as it is stored."""
    return Sanction(
        id=row.id,
        kind=Action(row.kind),
        target=Target(row.target_user_id, row.target_username),
        addresses=addresses,
        slug=row.slug,
        reason=row.reason,
        moderator_user_id=row.moderator_user_id,
        moderator_rank=Rank(row.moderator_rank),
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        lifted_at_ms=None if row.lifted_at_ms == row.expires_at_ms else row.lifted_at_ms,
    )


def sanction_row(order: Order, now_ms: int) -> SanctionRow:
    """The sanction that an order imposes."""
    return SanctionRow(
        kind=int(order.action),
        target_user_id=order.target.user_id,
        target_username=order.target.username,
        slug=order.holds_in,
        reason=order.reason,
        moderator_user_id=order.moderator.user_id,
        moderator_rank=int(order.moderator.rank),
        created_at_ms=now_ms,
        expires_at_ms=order.expires_at_ms(now_ms),
    )


def audit_row(order: Order, imposed: Iterable[Sanction], lifted_ids: tuple[int, ...], now_ms: int) -> AuditRow:
    """What is kept of an order."""
    return AuditRow(
        action=int(order.action),
        target_user_id=order.target.user_id,
        target_username=order.target.username,
        moderator_user_id=order.moderator.user_id,
        moderator_rank=int(order.moderator.rank),
        duration_minutes=order.duration_minutes,
        scope=int(order.scope),
        slug=order.slug,
        reason=order.reason,
        at_ms=now_ms,
        imposed_id=next((s.id for s in imposed), None),
        lifted_ids=list(lifted_ids),
    )


def follow_row(sanction: Sanction, address: str, now_ms: int) -> AuditRow:
    """What is kept of an address that was added to a sanction."""
    return AuditRow(
        action=int(sanction.kind),
        target_user_id=sanction.target.user_id,
        target_username=sanction.target.username,
        moderator_user_id=sanction.moderator_user_id,
        moderator_rank=int(sanction.moderator_rank),
        duration_minutes=0,
        scope=int(sanction.scope),
        slug=sanction.slug or "",
        reason=sanction.reason,
        at_ms=now_ms,
        imposed_id=sanction.id,
        lifted_ids=[],
        followed_address=address,
    )

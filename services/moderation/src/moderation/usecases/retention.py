"""What ends, is erased and is deleted as time goes by."""

from dataclasses import dataclass

from chassis.tasks import repeat
from moderation.domain.holds import KEPT_MS
from moderation.ports import Ports
from moderation.usecases.execute import LAST_SEEN_KEPT_MS, expire_held
from moderation.usecases.outbox import forget_done
from moderation.usecases.refresh import until_answered

END_EVERY_S = 60.0
EXPIRE_HELD_EVERY_S = 1.0
FORGET_EVERY_S = 3600.0
_CLOCKS_APART_MS = 60_000
"""A sanction is marked as ended so long after it was: replicas' clocks may differ."""
_MS_PER_DAY = 86_400_000
POLICIES_KEPT_DAYS = 90
"""Of those that ask for nothing, and of slugs without rules: as long as the settings of a slug that nobody uses."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is over is kept, in days."""

    audit_days: int
    evidence_days: int


async def keep_ending(ports: Ports) -> None:
    """Mark the sanctions that ended by their time, every minute until cancelled."""
    await repeat(END_EVERY_S, lambda: until_answered("sanctions_not_ended", lambda: end_expired(ports)))


async def keep_expiring_held(ports: Ports) -> None:
    """Reject the messages that nobody has decided about in time, every second until cancelled."""
    await repeat(EXPIRE_HELD_EVERY_S, lambda: until_answered("held_messages_not_expired", lambda: expire_held(ports)))


async def keep_forgetting(ports: Ports) -> None:
    """Forget who was seen too long ago, every hour until cancelled."""
    await repeat(FORGET_EVERY_S, lambda: until_answered("sightings_not_forgotten", lambda: forget_last_seen(ports)))


async def keep_pruning(ports: Ports, retention: Retention) -> None:
    """Erase and delete what is too old of history, every hour until cancelled."""
    await repeat(FORGET_EVERY_S, lambda: until_answered("history_not_pruned", lambda: prune_history(ports, retention)))


async def end_expired(ports: Ports) -> None:
    """Mark the sanctions whose time was up a minute ago, and forget the messages that were decided about long before.
    Raises DatabaseUnavailable."""
    now_ms = ports.clock().wall_ms
    await ports.store.end_expired(now_ms - _CLOCKS_APART_MS)
    await ports.store.forget_holds(now_ms - KEPT_MS)


async def forget_last_seen(ports: Ports) -> None:
    """Delete what no sanction asks for any more. Raises DatabaseUnavailable."""
    await ports.store.forget_last_seen(ports.clock().wall_ms - LAST_SEEN_KEPT_MS)


async def prune_history(ports: Ports, retention: Retention) -> None:
    """Rows before evidence: what goes as a whole needs nothing erased first. Raises DatabaseUnavailable."""
    await forget_done(ports)
    now_ms = ports.clock().wall_ms
    await ports.store.prune_feed(now_ms=now_ms)
    await ports.store.forget_revocations(now_ms - _CLOCKS_APART_MS)
    await ports.store.forget_policies(now_ms - POLICIES_KEPT_DAYS * _MS_PER_DAY)
    await ports.store.forget_rules(now_ms - POLICIES_KEPT_DAYS * _MS_PER_DAY)
    audit_ms = now_ms - retention.audit_days * _MS_PER_DAY
    evidence_ms = now_ms - retention.evidence_days * _MS_PER_DAY
    await ports.store.delete_history(audit_ms)
    await ports.store.erase_evidence(evidence_ms, now_ms=now_ms)
    # Last: replicas read that they are over before their rows, or the names in these, go the next time.
    await ports.store.expire_warnings(audit_ms, anonymous_before_ms=evidence_ms, now_ms=now_ms)

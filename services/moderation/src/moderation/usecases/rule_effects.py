"""What follows from messages that rules hit, behind these: mutes are imposed, hits are counted and kept."""

import asyncio

import structlog

from chassis.errors import DatabaseUnavailable
from chassis.tasks import repeat
from moderation.domain.rule_hits import GIVEN_UP_AFTER_MS, RuleMute
from moderation.domain.rules import RuleAction, RuleMode
from moderation.ports import Ports
from moderation.usecases.execute import mute_by_rule
from moderation.usecases.refresh import until_answered

WRITE_HITS_EVERY_S = 1.0
RULES_AT_ONCE = 1
"""Whose hits are written in one transaction: whoever changes one of them waits for its end, and holds up all other
commands."""
MUTE_AGAIN_AFTER_S = 1.0

_log = structlog.get_logger()


async def keep_muting(ports: Ports) -> None:
    """Impose one after the other what rules ask for, until cancelled."""
    mutes = ports.admission.rules.mutes
    while True:
        mute = mutes.next()
        if mute is None:
            ports.mutes_wanted.clear()
            await ports.mutes_wanted.wait()
        elif await _is_settled(ports, mute):
            mutes.done(mute)
        else:
            await asyncio.sleep(MUTE_AGAIN_AFTER_S)


async def keep_writing_hits(ports: Ports) -> None:
    """Write what rules hit every second, until cancelled."""
    await repeat(WRITE_HITS_EVERY_S, lambda: until_answered("rule_hits_not_written", lambda: write_hits(ports)))


async def write_hits(ports: Ports) -> None:
    """Write all that waits. Raises DatabaseUnavailable; nothing that fits into memory is lost then. What fails for
    another reason would fail again, and is lost, so that the others are written."""
    hits = ports.admission.rules.hits
    async with ports.writing_hits:
        while (batch := hits.take(RULES_AT_ONCE)) is not None:
            try:
                await ports.store.write_hits(batch)
            except (DatabaseUnavailable, asyncio.CancelledError):
                hits.put_back(batch)
                raise


async def _is_settled(ports: Ports, mute: RuleMute) -> bool:
    """False: it is to be tried again."""
    if ports.clock().wall_ms - mute.at_ms > GIVEN_UP_AFTER_MS:
        _log.error("mute_by_rule_given_up", rule_id=mute.rule_id)
        return True
    try:
        rule = await ports.store.find_rule(mute.rule_id)
        if rule is not None and rule.rule.mode is RuleMode.ON and rule.rule.action is RuleAction.MUTE:
            await mute_by_rule(ports, mute)
    except DatabaseUnavailable as problem:
        _log.warning("mute_by_rule_postponed", rule_id=mute.rule_id, problem=str(problem))
        return False
    except Exception:  # noqa: BLE001 - a defect must not end the others; the log has the trace
        _log.error("mute_by_rule_failed", rule_id=mute.rule_id, exc_info=True)
    return True

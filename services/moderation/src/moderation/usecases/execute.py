"""Carrying out what people ask for: rights, database, memory, event, and the log of the room, in that order."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from chassis.errors import DatabaseUnavailable
from moderation.domain.admission import Now
from moderation.domain.cases import NoteOrder
from moderation.domain.commands import RULE_AUTHOR, ErasureOrder, Order, Receipt, SanctionOrder
from moderation.domain.erasures import Erasure, ErasureKind, LoggedMessage
from moderation.domain.holds import DENIED_AT_ONCE, DecideHeldOrder, HoldAction, HoldOrder, HoldState, decide_hold
from moderation.domain.kept_rules import EVERYWHERE, RuleEdit, RuleOrder, SaveRule, saving_problem
from moderation.domain.people import Moderator, Target, address_of_name
from moderation.domain.pins import PinAction, PinOrder, demand_change
from moderation.domain.policy import PolicyOrder, ShieldOrder
from moderation.domain.reports import ReportOrder, ResolveOrder
from moderation.domain.revocations import RevocationOrder
from moderation.domain.rights import (
    Change,
    decide,
    decide_by_rule,
    decide_deletion,
    demand_classifiers,
    erasure_of,
    may_change_policy,
    may_decide,
    may_edit_rules,
    may_erase_user,
    may_execute,
    may_lift,
    may_pin,
    may_revoke,
    may_set_role,
    may_shield,
    may_take_back,
    may_warn,
    still_there,
    take_back_all,
)
from moderation.domain.roles import RoleOrder
from moderation.domain.rule_hits import RuleMute
from moderation.domain.rules import RuleKind
from moderation.domain.sanction_cache import BANS
from moderation.domain.sanctions import Action, Command, Sanction, SanctionEvent, Scope, first_addresses
from moderation.domain.unban_requests import DecideOrder, UnbanOrder
from moderation.domain.undo import UndoOrder, decide_undo, may_undo
from moderation.domain.user_erasures import EraseUserOrder
from moderation.domain.warnings import WarningOrder, WarningReport
from moderation.errors import (
    HoldDecided,
    LogUnavailable,
    MessageNotFound,
    MessageWanted,
    NotPermitted,
    RuleNotFound,
    RuleRefused,
    SanctionIsOver,
    SanctionNotFound,
)
from moderation.ports import Ports, Urgency
from moderation.usecases.cases import change_note
from moderation.usecases.outbox import Progress, work
from moderation.usecases.reports import file_report, resolve_report
from moderation.usecases.rules import compile_outdated, hold_outdated, in_turn
from moderation.usecases.unban_requests import decide_unban_request, request_unban

_FOLLOWS_BACK_MS = 3_600_000
"""A sanction of a user holds for the addresses of the hour before it."""
LAST_SEEN_KEPT_MS = 86_400_000
"""How long a name without an address in it can be traced."""
TRIED_FOR_S = 1.5
"""So long a command waits for the log before it is answered: less than edges wait for the answer."""
_LOOKED_FOR_AT_MOST = 4
"""Messages that are read for one undo."""
_log = structlog.get_logger(__name__)
_Outcome = TypeVar("_Outcome", Receipt, Receipt | None)


async def execute(ports: Ports, order: Order | WarningReport | ReportOrder | UnbanOrder) -> Receipt:
    """Carry out a command; answered once it is stored, applied here and published, and what it takes back was tried.
    Raises NotPermitted, MessageNotFound, WarningNotFound, RuleNotFound, RuleRefused, TooManyRoles, TooManyRevocations,
    ReportNotFound, TooManyReports, AlreadyDecided, what usecases/unban_requests.py, cases.py, decide_undo and
    decide_hold raise, DatabaseUnavailable; OutcomeUnknown where it may be stored; LogUnavailable where it can't be said
    without the log whose message it is."""
    if isinstance(order, WarningReport):
        return await _detached(ports, _carry_out_report(ports, order))
    if isinstance(order, ReportOrder):
        return await _detached(ports, file_report(ports, order))
    if isinstance(order, UnbanOrder):
        return await _detached(ports, request_unban(ports, order))
    if order.origin.nonce:
        earlier = await ports.store.earlier(order, now_ms=ports.clock().wall_ms)
        if earlier is not None:
            return earlier
    return await _execute_new(ports, order)


async def _execute_new(ports: Ports, order: Order) -> Receipt:
    if isinstance(order, SanctionOrder):
        return await _change(ports, order)
    if isinstance(order, PolicyOrder):
        return await _change_policy(ports, order)
    if isinstance(order, ShieldOrder):
        return await _set_shield(ports, order)
    if isinstance(order, PinOrder):
        return await _change_pin(ports, order)
    if isinstance(order, WarningOrder):
        return await _warn(ports, order)
    if isinstance(order, UndoOrder):
        return await _undo(ports, order)
    if isinstance(order, RuleOrder):
        return await _change_rules(ports, order)
    if isinstance(order, RoleOrder):
        return await _set_role(ports, order)
    if isinstance(order, ResolveOrder | DecideOrder | NoteOrder):
        return await _detached(ports, _decide(ports, order))
    return await _execute_rarer(ports, order)


async def _execute_rarer(
    ports: Ports, order: ErasureOrder | RevocationOrder | EraseUserOrder | DecideHeldOrder
) -> Receipt:
    if isinstance(order, RevocationOrder):
        return await _revoke(ports, order)
    if isinstance(order, EraseUserOrder):
        return await _erase_user(ports, order)
    if isinstance(order, DecideHeldOrder):
        return await _decide_held(ports, order)
    return await _take_back(ports, order)


async def _change(ports: Ports, order: SanctionOrder) -> Receipt:
    """Impose or lift."""
    command = order.command
    if not may_execute(command):
        raise NotPermitted
    addresses = await _addresses_of_target(ports, command, ports.clock())
    decision = partial(decide, command, addresses=addresses)
    return await _detached(ports, _carry_out(ports, order, addresses, decision))


async def lift(ports: Ports, sanction_id: int, moderator: Moderator) -> Sanction:
    """End one sanction; one that is over stays as it is. Raises SanctionNotFound, NotPermitted, DatabaseUnavailable;
    OutcomeUnknown where it may be lifted."""
    now = ports.clock()
    sanction = await ports.store.find(sanction_id)
    if sanction is None:
        raise SanctionNotFound
    if not may_lift(moderator, sanction):
        raise NotPermitted
    if not sanction.is_in_force(now.wall_ms):
        return sanction
    only_this = partial(_lift_only, sanction_id)
    # Where somebody else has lifted it meanwhile, that is stored and published already.
    with suppress(SanctionIsOver):
        work = _carry_out(ports, SanctionOrder(Command.lifting(sanction, moderator)), sanction.addresses, only_this)
        await _detached(ports, work)
    return await ports.store.find(sanction_id) or sanction


async def mute_by_rule(ports: Ports, mute: RuleMute) -> Receipt | None:
    """Impose what a rule asks for, as if somebody had ordered it; None: they are muted there for as long already.
    Raises DatabaseUnavailable; OutcomeUnknown where it may be imposed."""
    now_ms = ports.clock().wall_ms
    command = Command(
        moderator=RULE_AUTHOR,
        action=Action.MUTE,
        target=mute.target,
        target_rank=None,
        scope=Scope.ROOM,
        slug=mute.slug,
        duration_minutes=mute.minutes,
        reason=f"Rule: {mute.rule_name}",
    )
    addresses = await _addresses_of_target(ports, command, ports.clock())
    decision = partial(decide_by_rule, command, addresses=addresses, now_ms=now_ms)
    try:
        return await _detached(ports, _carry_out(ports, SanctionOrder(command, by_rule=mute), addresses, decision))
    except SanctionIsOver:
        return None


async def finish(ports: Ports) -> None:
    """Wait for what callers have given up waiting for; the caller sets the deadline."""
    if ports.in_flight:
        await asyncio.wait(ports.in_flight)


async def _detached(ports: Ports, command: Coroutine[None, None, _Outcome]) -> _Outcome:
    """A caller that goes away must not leave a command that is stored, but neither applied nor published."""
    task = asyncio.create_task(command)
    ports.in_flight.add(task)
    task.add_done_callback(partial(_ended, ports))
    return await asyncio.shield(task)


def _ended(ports: Ports, task: asyncio.Task[Any]) -> None:
    ports.in_flight.discard(task)
    ports.feed_wanted.set()
    if not task.cancelled():
        task.exception()  # asyncio logs one that nobody has read; the caller gets it, where there still is one


async def _carry_out(
    ports: Ports, order: SanctionOrder, addresses: frozenset[str], decision: Callable[[list[Sanction]], Change]
) -> Receipt:
    now = ports.clock()
    receipt = await ports.store.change(order, addresses, decision, now_ms=now.wall_ms)
    if receipt.event is not None and not receipt.repeated:
        await _apply_and_publish(ports, receipt.event, now)
    await _publish_denied(ports, receipt)
    return await _tried(ports, receipt)


async def _publish_denied(ports: Ports, receipt: Receipt) -> None:
    """What a ban has denied of what its target has waiting; the rest is denied behind the answer, a part at a time."""
    await ports.events.publish_holds(receipt.denied)
    if len(receipt.denied) < DENIED_AT_ONCE or receipt.event is None:
        return
    rest = asyncio.create_task(_deny_rest(ports, receipt.event.imposed), name="deny the rest")
    ports.in_flight.add(rest)
    rest.add_done_callback(ports.in_flight.discard)


async def _deny_rest(ports: Ports, imposed: Sequence[Sanction]) -> None:
    """What is left where this fails nobody may allow, and it expires."""
    try:
        for ban in imposed:
            while denied := await ports.store.deny_held(ban, now_ms=ports.clock().wall_ms):
                await ports.events.publish_holds(denied)
                ports.feed_wanted.set()
    except DatabaseUnavailable:
        pass
    except Exception:  # noqa: BLE001 - nobody awaits what this raises
        _log.error("rest_not_denied", exc_info=True)


async def _change_policy(ports: Ports, order: PolicyOrder) -> Receipt:
    """Change fields of the room's policy."""
    if not may_change_policy(order.command):
        raise NotPermitted
    return await _detached(ports, _carry_out_policy(ports, order))


async def _set_shield(ports: Ports, order: ShieldOrder) -> Receipt:
    """Lay the shield over the room's policy, or take it away."""
    if not may_shield(order.command):
        raise NotPermitted
    on_policy = order.on_policy(ports.shield_preset, ports.clock().wall_ms)
    return await _detached(ports, _carry_out_policy(ports, on_policy))


async def lay_shield(ports: Ports, order: ShieldOrder) -> Receipt | None:
    """One that nobody has ordered; None: the policy does not ask for it, there is one, or somebody has taken one away
    lately. Raises DatabaseUnavailable; OutcomeUnknown where it may lie there."""
    return await _detached(ports, _carry_out_shield(ports, order))


async def _carry_out_shield(ports: Ports, order: ShieldOrder) -> Receipt | None:
    now_ms = ports.clock().wall_ms
    receipt = await ports.store.shield_by_itself(order.on_policy(ports.shield_preset, now_ms), now_ms=now_ms)
    if receipt is None:
        return None
    if receipt.policy is not None:
        ports.policies.apply(receipt.policy)
        await ports.settled()
    return await _tried(ports, receipt)


async def _carry_out_policy(ports: Ports, order: PolicyOrder) -> Receipt:
    """Applied here first; the other replicas read it. Where the outcome is not known this one does so too."""
    receipt = await ports.store.change_policy(order, now_ms=ports.clock().wall_ms)
    if receipt.policy is not None:
        ports.policies.apply(receipt.policy)
        await ports.settled()
    return await _tried(ports, receipt)


async def _change_pin(ports: Ports, order: PinOrder) -> Receipt:
    """Pin or unpin. Raises LogUnavailable where it can't be said whether there is the message that is to be pinned."""
    command = order.command
    if not may_pin(command):
        raise NotPermitted
    message = None
    if command.action is PinAction.PIN and order.log is not None:
        message = await ports.log.find(order.log, command.message_id)
    return await _detached(ports, _carry_out_pin(ports, order, message))


async def _carry_out_pin(ports: Ports, order: PinOrder, message: LoggedMessage | None) -> Receipt:
    demand = partial(demand_change, order=order, message=message)
    return await _tried(ports, await ports.store.change_pin(order, message, demand, now_ms=ports.clock().wall_ms))


async def _warn(ports: Ports, order: WarningOrder) -> Receipt:
    """Warn somebody."""
    if not may_warn(order.command):
        raise NotPermitted
    return await _detached(ports, _carry_out_warning(ports, order))


async def _carry_out_warning(ports: Ports, order: WarningOrder) -> Receipt:
    """Applied here first; the other replicas read it, as edges do that miss the event."""
    return await _told(ports, await ports.store.warn(order, now_ms=ports.clock().wall_ms))


async def _carry_out_report(ports: Ports, report: WarningReport) -> Receipt:
    """Told also where it had no effect: an edge that reports so may have missed what had."""
    return await _told(ports, await ports.store.report_warning(report, now_ms=ports.clock().wall_ms))


async def _told(ports: Ports, receipt: Receipt) -> Receipt:
    """Of a nonce that is repeated the warning may be as it was issued, or closed since: edges hear nothing old by
    its version."""
    changed = [warning for warning in (receipt.warning, *receipt.superseded) if warning is not None]
    ports.admission.warnings.apply(changed)
    await ports.settled()
    await ports.events.publish_warnings(changed)
    return receipt


async def hold(ports: Ports, order: HoldOrder) -> Receipt:
    """Have a message wait for a moderator; where its author has sent it before that one, with its entry where it was
    allowed. Raises HoldFull, NotPermitted, DatabaseUnavailable; OutcomeUnknown where it may wait."""
    return await _detached(ports, _carry_out_hold(ports, order))


async def _carry_out_hold(ports: Ports, order: HoldOrder) -> Receipt:
    now_ms = ports.clock().wall_ms
    if ports.cache.remaining_ms(order.message.author, order.slug, BANS, now_ms=now_ms) is not None:
        raise NotPermitted
    receipt = await ports.store.hold(order, now_ms=now_ms)
    if receipt.hold is not None and not receipt.repeated:
        await ports.events.publish_holds([receipt.hold])
    return receipt


async def _decide_held(ports: Ports, order: DecideHeldOrder) -> Receipt:
    """Publish a message that waits, or have it rejected."""
    if not may_decide(order.command):
        raise NotPermitted
    return await _detached(ports, _carry_out_decision(ports, order))


async def _carry_out_decision(ports: Ports, order: DecideHeldOrder) -> Receipt:
    """Told at once: who has heard of it gets what is published in the log. What the ban of its author has denied
    instead was decided by somebody else."""
    now_ms = ports.clock().wall_ms
    decide = partial(decide_hold, order, now_ms=now_ms)
    receipt = await ports.store.decide_hold(order, decide, now_ms=now_ms)
    if receipt.hold is not None and not receipt.repeated:
        await ports.events.publish_holds([receipt.hold])
        if order.command.action is HoldAction.ALLOW and receipt.hold.state is not HoldState.ALLOWED:
            raise HoldDecided(receipt.hold)
    return await _tried(ports, receipt)


async def expire_held(ports: Ports) -> None:
    """Reject what nobody has decided about in time. Raises DatabaseUnavailable."""
    while expired := await ports.store.expire_holds(now_ms=ports.clock().wall_ms):
        await ports.events.publish_holds(expired)


async def _undo(ports: Ports, order: UndoOrder) -> Receipt:
    """Take back what an action did."""
    if not may_undo(order.command.moderator):
        raise NotPermitted
    return await _detached(ports, _carry_out_undo(ports, order))


async def _carry_out_undo(ports: Ports, order: UndoOrder) -> Receipt:
    """A message that is to be pinned again is read before the transaction, which says which one that is."""
    receipt, now = await _undone(ports, order, {})
    if receipt.policy is not None:
        ports.policies.apply(receipt.policy)
        await ports.settled()
    if receipt.event is not None and not receipt.repeated:
        await _apply_and_publish(ports, receipt.event, now)
    if receipt.roles is not None:
        await ports.events.publish_roles(receipt.roles)
    await _publish_denied(ports, receipt)
    return await _tried(ports, await _told(ports, receipt))


async def _undone(ports: Ports, order: UndoOrder, found: dict[int, LoggedMessage | None]) -> tuple[Receipt, Now]:
    now = ports.clock()
    decision = partial(decide_undo, order.command, now_ms=now.wall_ms, found=found)
    try:
        return await ports.store.undo(order, decision, now_ms=now.wall_ms), now
    except MessageWanted as wanted:
        if order.log is None or len(found) == _LOOKED_FOR_AT_MOST:
            raise LogUnavailable from None  # the pin changes faster than it can be read
        read = {wanted.message_id: await ports.log.find(order.log, wanted.message_id)}
    return await _undone(ports, order, found | read)


async def _change_rules(ports: Ports, order: RuleOrder) -> Receipt:
    """Save or delete a rule: one that there is keeps its slug, whatever the order says."""
    command = order.command
    edit = RuleEdit.SAVE if isinstance(command, SaveRule) else RuleEdit.DELETE
    slug: str | None = command.slug
    if command.rule_id:
        slug = await ports.store.slug_of_rule(command.rule_id)
    if not may_edit_rules(command.moderator, edit, slug or EVERYWHERE):
        raise NotPermitted
    if slug is None:
        raise RuleNotFound
    if isinstance(command, SaveRule) and command.rule.kind is RuleKind.CLASSIFIER:
        demand_classifiers(command.moderator)
    if isinstance(command, SaveRule):
        problem = await in_turn(ports, Urgency.COMMANDS, saving_problem, command.rule, command.secret)
        if problem is None and command.rule.kind is RuleKind.CLASSIFIER:
            problem = await ports.classifier.problem(command.rule.url)
        if problem is not None:
            raise RuleRefused(problem)
    return await _detached(ports, _carry_out_rules(ports, replace(order, command=replace(command, slug=slug))))


async def _carry_out_rules(ports: Ports, order: RuleOrder) -> Receipt:
    """Applied here first; the other replicas read it. Where the outcome is not known this one does so too."""
    receipt = await ports.store.change_rules(order, now_ms=ports.clock().wall_ms)
    if receipt.rules is not None:
        ports.rules.apply(receipt.rules)
        await ports.settled()
        compile_outdated(ports)
        with suppress(DatabaseUnavailable):  # it is stored: this replica reads it as the others do
            await hold_outdated(ports)
    return receipt


async def _set_role(ports: Ports, order: RoleOrder) -> Receipt:
    """Give a role, or take it back."""
    if not may_set_role(order.command):
        raise NotPermitted
    return await _detached(ports, _carry_out_role(ports, order))


async def _carry_out_role(ports: Ports, order: RoleOrder) -> Receipt:
    """Nothing here goes by roles: edges do, which hear of it by the event, and tell with each question."""
    receipt = await ports.store.set_role(order, now_ms=ports.clock().wall_ms)
    if receipt.roles is not None:
        await ports.events.publish_roles(receipt.roles)
    return receipt


async def _decide(ports: Ports, order: ResolveOrder | DecideOrder | NoteOrder) -> Receipt:
    """Decide about what viewers ask of moderators, or write of somebody. What an approval lifts is applied and
    published as what an unban lifts."""
    if isinstance(order, ResolveOrder):
        return await resolve_report(ports, order)
    if isinstance(order, NoteOrder):
        return await change_note(ports, order)
    now = ports.clock()
    receipt = await decide_unban_request(ports, order)
    if receipt.event is not None and not receipt.repeated:
        await _apply_and_publish(ports, receipt.event, now)
    return receipt


async def _revoke(ports: Ports, order: RevocationOrder) -> Receipt:
    """Revoke tokens."""
    if not may_revoke(order.command):
        raise NotPermitted
    return await _detached(ports, _carry_out_revocation(ports, order))


async def _carry_out_revocation(ports: Ports, order: RevocationOrder) -> Receipt:
    """Edges apply it; told also where it is repeated, which is harmless."""
    now_ms = ports.clock().wall_ms
    revocation = order.command.revocation(now_ms=now_ms, token_life_ms=ports.token_life_ms)
    receipt = await ports.store.revoke(order, revocation, now_ms=now_ms)
    if receipt.revocation is not None:
        await ports.events.publish_revocation(receipt.revocation)
    return receipt


async def _erase_user(ports: Ports, order: EraseUserOrder) -> Receipt:
    """Erase a user."""
    if not may_erase_user(order.command):
        raise NotPermitted
    return await _detached(ports, _carry_out_user_erasure(ports, order))


async def _carry_out_user_erasure(ports: Ports, order: EraseUserOrder) -> Receipt:
    """What this replica has not written yet is not to come after it. The outbox takes up at once what it was given."""
    ports.last_seen.forget(order.command.user_id)
    ports.visits.forget(order.command.user_id)
    ports.admission.rules.hits.forget(order.command.user_id)
    receipt = await ports.store.erase_user(order, now_ms=ports.clock().wall_ms)
    if receipt.erased is not None:
        if receipt.event is not None:
            ports.cache.apply(receipt.event.imposed, receipt.event.lifted_ids)
            await ports.settled()
            await ports.events.publish(receipt.event)
        ports.admission.warnings.apply(receipt.erased.warnings)
        await ports.events.publish_warnings(receipt.erased.warnings)
        ports.outbox_wanted.set()
    return receipt


async def _take_back(ports: Ports, order: ErasureOrder) -> Receipt:
    """Delete, purge or clear."""
    if order.command.kind is ErasureKind.DELETE:
        erasure, message = await _deletion(ports, order)
    else:
        erasure, message = take_back_all(order), None
    return await _detached(ports, _carry_out_in_log(ports, order, erasure, message))


async def _deletion(ports: Ports, order: ErasureOrder) -> tuple[Erasure, LoggedMessage | None]:
    """Without the log nobody here can say whose the message is: where the caller knows it, and has said what rank its
    author has, the outbox reads it later. What is pinned is known here, also where the log has let go of it."""
    if order.log is None:
        raise MessageNotFound
    try:
        message = await ports.log.find(order.log, order.command.message_id)
    except LogUnavailable:
        if (message := await _pinned(ports, order)) is not None:
            return decide_deletion(order, message, now_ms=ports.clock().wall_ms), message
        if order.command.target_rank is None or not may_take_back(order.command):
            raise
        return erasure_of(order), None
    message = message or await _pinned(ports, order)
    return decide_deletion(order, message, now_ms=ports.clock().wall_ms), message


async def _pinned(ports: Ports, order: ErasureOrder) -> LoggedMessage | None:
    """The message of a deletion, if it is the one that is pinned."""
    for pin in await ports.store.pins_of([order.command.slug]):
        message = None if order.log is None else pin.message_in(order.log)
        if message is not None and message.id == order.command.message_id:
            return message
    return None


async def _carry_out_in_log(
    ports: Ports, order: ErasureOrder, erasure: Erasure, message: LoggedMessage | None
) -> Receipt:
    decision = partial(still_there, erasure=erasure, message=message)
    receipt = await ports.store.take_back(order, message, decision, now_ms=ports.clock().wall_ms)
    return await _tried(ports, receipt)


async def _tried(ports: Ports, receipt: Receipt) -> Receipt:
    """What is not done by then goes on without the caller."""
    if receipt.work is None:
        return receipt
    progress = Progress(receipt.work)
    working = asyncio.create_task(work(ports, progress), name=f"outbox {receipt.action_id}")
    ports.outbox_work.add(working)
    working.add_done_callback(ports.outbox_work.discard)
    await asyncio.wait({working}, timeout=TRIED_FOR_S)
    return replace(receipt, entry_id=progress.item.entry_id)


async def _addresses_of_target(ports: Ports, command: Command, now: Now) -> frozenset[str]:
    """Where the target was seen. Memory is read first: what leaves it meanwhile is found in the database."""
    target, slug = command.target, command.holds_in
    in_name = address_of_name(target.username)
    if in_name is not None:
        return frozenset({in_name})
    since_ms = _followed_since_ms(target, now)
    in_memory = [seen.address for seen in ports.last_seen.of(target, slug, since_ms=since_ms)]
    stored = await ports.store.seen_addresses(target, slug, since_ms=since_ms)
    return first_addresses(reversed(in_memory), stored)  # the last ones weigh most


def _followed_since_ms(target: Target, now: Now) -> int:
    """Addresses from which the target was seen earlier are somebody else's by now."""
    return now.wall_ms - (_FOLLOWS_BACK_MS if target.user_id else LAST_SEEN_KEPT_MS)


async def _apply_and_publish(ports: Ports, event: SanctionEvent, now: Now) -> None:
    """Apply it here first, then publish it. Who was seen while the database was busy is followed now."""
    ports.cache.apply(event.imposed, event.lifted_ids)
    for sanction in event.imposed:
        since_ms = _followed_since_ms(sanction.target, now)
        for seen in ports.last_seen.of(sanction.target, sanction.slug, since_ms=since_ms):
            ports.cache.follow(seen, now_ms=now.wall_ms)
    await ports.settled()
    await ports.events.publish(event)


def _lift_only(sanction_id: int, in_force: list[Sanction]) -> Change:
    lifted = tuple(s for s in in_force if s.id == sanction_id)
    if not lifted:
        raise SanctionIsOver
    return Change(lifted=lifted, imposes=False)

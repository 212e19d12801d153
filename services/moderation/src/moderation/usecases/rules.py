"""The rules of rooms: read and compiled before they are needed, and what people ask about them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from chassis.logs import LogSummary
from chassis.tasks import repeat, to_its_end
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RuleEdit
from moderation.domain.people import Moderator, Rank
from moderation.domain.rights import may_edit_classifiers, may_edit_rules
from moderation.domain.rule_book import CompiledRules, Match, cost_bytes, decisive
from moderation.domain.rule_hits import KeptHit
from moderation.errors import NotPermitted, RuleNotFound
from moderation.ports import Compilation, Ports, Urgency
from moderation.usecases.admit import Batch
from moderation.usecases.classify import try_classifiers
from moderation.usecases.queries import LARGEST_PAGE
from moderation.usecases.refresh import READ_AT_ONCE, READ_CHANGES_EVERY_S, until_answered

SETTLED_AFTER_S = 5.0
WAITED_FOR_S = 0.5
"""So long messages wait for the rules of their room, from when these were first asked for: edges wait 1.5 s for a
verdict, and whatever is asked behind them waits as well."""
USED_WITHIN_MS = 3_600_000
SIGHTINGS_READ = 10_000
_NS_PER_S = 1_000_000_000
_T = TypeVar("_T")
_log = structlog.get_logger()
_no_room = LogSummary(_log, "rules_dropped_for_others")
"""Messages of rooms whose rules gave way within the last minute, which go on without."""


async def keep_reading_rules(ports: Ports) -> None:
    """Read which slugs' rules were changed, by whichever replica, every 0.4 s until cancelled."""
    await repeat(READ_CHANGES_EVERY_S, lambda: until_answered("rules_not_read", lambda: read_rules(ports)))


async def read_rules(ports: Ports) -> None:
    """Take over what was changed since the last time, and compile again what is in use of it. Raises
    DatabaseUnavailable; what was read until then holds."""
    is_all = False
    while not is_all:
        part = await ports.store.rules_after(ports.rules.read_up_to, first=READ_AT_ONCE)
        ports.rules.read(part)
        is_all = len(part) < READ_AT_ONCE
    compile_outdated(ports)
    await hold_outdated(ports)
    if failure := ports.rules.take_failure():
        _log.error("rules_failed_at_a_text", exc_info=failure)


def compile_outdated(ports: Ports) -> None:
    """Begin to compile those again that are in use and were changed, and those for everywhere."""
    for slug in {*ports.rules.outdated(), *ports.rules.missing(())}:
        _begin(ports, slug, Urgency.MESSAGES)


async def hold_outdated(ports: Ports) -> None:
    """See that of rules in use that were changed nothing acts any more that is gone or off: what holds of the others is
    compiled behind that, when its turn comes. Raises DatabaseUnavailable."""
    for slug in ports.rules.unread():
        version, kept = await ports.store.rules_of(slug)
        ports.rules.hold_to(slug, version, kept)


async def in_turn(ports: Ports, urgency: Urgency, function: Callable[..., _T], *arguments: Any) -> _T:
    """What takes long, in a thread; nothing else of its kind runs meanwhile, also where nobody waits for it any
    more."""
    async with ports.compiling_turns.turn(lambda: urgency):
        return await to_its_end(asyncio.to_thread(function, *arguments))


class Patience:
    """How long the messages of one stream may wait for rules: half a second at once, and a tenth of the time after
    that. Whatever is asked behind them waits as well, and an edge gives a stream up that is late."""

    def __init__(self, now_ns: int) -> None:
        self._left_s = WAITED_FOR_S
        self._at_ns = now_ns

    def left_s(self, now_ns: int) -> float:
        """Of it, now."""
        refilled_s = self._left_s + (now_ns - self._at_ns) / _NS_PER_S / 10
        self._left_s, self._at_ns = min(refilled_s, WAITED_FOR_S), now_ns
        return self._left_s

    def spend(self, seconds: float) -> None:
        """They waited."""
        self._left_s = max(0.0, self._left_s - seconds)


async def settle(ports: Ports, timeout_s: float = SETTLED_AFTER_S) -> None:
    """Wait for what is being compiled, some seconds at most."""
    if ports.compiling:
        await asyncio.wait([each.task for each in ports.compiling.values()], timeout=timeout_s)


async def prepare_lately_used(ports: Ports) -> None:
    """Compile the rules of rooms in which somebody was within the last hour, the last ones first, as far as there is
    room, and wait for it, some seconds at most. Raises DatabaseUnavailable."""
    now = ports.clock()
    if ports.rules.is_in_use:
        for slug in await ports.store.slugs_seen(now.wall_ms - USED_WITHIN_MS, first=SIGHTINGS_READ):
            _begin_for_arrival(ports, slug, now.monotonic_ns)
        await settle(ports)


async def prepare(ports: Ports, batch: Batch, patience: Patience) -> None:
    """Have the rules of all rooms that a batch asks about compiled. Who comes is not kept waiting for them, and
    messages are for a moment only: then they are judged without."""
    slugs = {message.slug for message in batch.messages}
    missing = ports.rules.missing(slugs)
    now_ns = ports.clock().monotonic_ns
    for arrival in batch.arrivals:
        _begin_for_arrival(ports, arrival.slug, now_ns)
    begun = [each for slug in missing if (each := _begin_for_message(ports, slug, now_ns)) is not None]
    if not batch.messages or not begun:
        return
    waited_s = (now_ns - min(each.begun_ns for each in begun)) / _NS_PER_S
    timeout_s = min(WAITED_FOR_S - waited_s, patience.left_s(now_ns))
    if timeout_s > 0:
        await asyncio.wait([each.task for each in begun], timeout=timeout_s)
        patience.spend((ports.clock().monotonic_ns - now_ns) / _NS_PER_S)


async def list_rules(ports: Ports, actor: Moderator, slug: str) -> list[KeptRule]:
    """The rules of a slug, or those for EVERYWHERE, in the order in which they were made; who may not edit classifiers
    is not told where these are. Raises NotPermitted, DatabaseUnavailable."""
    _demand(actor, slug)
    _, rules = await ports.store.rules_of(slug)
    return rules if may_edit_classifiers(actor) else [replace(kept, rule=replace(kept.rule, url="")) for kept in rules]


async def try_text(ports: Ports, actor: Moderator, slug: str, text: str) -> tuple[list[Match], Match | None]:
    """What a text of somebody whom no rule exempts is against in that room, by the rules as they are stored, and which
    one decides; classifiers are asked. Raises NotPermitted, DatabaseUnavailable."""
    _demand(actor, slug)
    compiled = [await _stored(ports, each) for each in dict.fromkeys((EVERYWHERE, slug))]
    matches = await in_turn(ports, Urgency.TRIES, _matches, compiled, text)
    classifiers = [kept for rules in compiled for kept in rules.classifiers]
    matches += await try_classifiers(ports, classifiers, slug, text)
    return matches, decisive(matches)


async def list_hits(
    ports: Ports, actor: Moderator, rule_id: int, *, first: int, before_id: int | None
) -> list[KeptHit]:
    """A page of what a rule hit, newest first, of 0 to LARGEST_PAGE hits whatever `first` says. Raises NotPermitted,
    RuleNotFound, DatabaseUnavailable."""
    slug = await ports.store.slug_of_rule(rule_id)
    _demand(actor, slug or EVERYWHERE)
    if slug is None:
        raise RuleNotFound
    found = await ports.store.hits_of(rule_id, first=min(max(first, 0), LARGEST_PAGE), before_id=before_id)
    return [kept for kept in found if actor.may_know(kept.hit.at_ms)]


def _demand(actor: Moderator, slug: str) -> None:
    if not may_edit_rules(actor, RuleEdit.SAVE, slug):
        raise NotPermitted


async def _stored(ports: Ports, slug: str) -> CompiledRules:
    """Those in memory where they are the newest; else they are put there, where there is room."""
    version, kept = await ports.store.rules_of(slug)
    async with ports.compiling_turns.turn(lambda: Urgency.TRIES):
        known = ports.rules.at_version(slug, version)
        if known is not None:
            return known
        compiled = await to_its_end(asyncio.to_thread(CompiledRules, version, kept))
        if version >= ports.rules.version_of(slug) and ports.rules.has_room(slug, compiled.cost_bytes):
            ports.rules.put(slug, compiled)
        return compiled


def _matches(compiled: Iterable[CompiledRules], text: str) -> list[Match]:
    return [match for rules in compiled for match in rules.matches(text, Rank.ANONYMOUS)]


def _begin_for_arrival(ports: Ports, slug: str, now_ns: int) -> None:
    if ports.rules.needs(slug) and ports.rules.may_come(slug, now_ns):
        _begin(ports, slug, Urgency.ARRIVALS)


def _begin_for_message(ports: Ports, slug: str, now_ns: int) -> Compilation | None:
    """None: it was dropped just now, and others would have to give way for it to come back."""
    if not ports.rules.was_dropped_lately(slug, now_ns):
        return _begin(ports, slug, Urgency.MESSAGES)
    if ports.rules.may_come(slug, now_ns):
        return _begin(ports, slug, Urgency.ARRIVALS)
    _no_room.note(slug=slug)
    return None


def _begin(ports: Ports, slug: str, urgency: Urgency) -> Compilation:
    """One at a time a slug."""
    urgency = urgency if slug else Urgency.COMMANDS
    known = ports.compiling.get(slug)
    if known is None:
        known = ports.compiling[slug] = Compilation(ports.clock().monotonic_ns, urgency)
        known.task = asyncio.create_task(_compile(ports, slug, known), name=f"rules {slug}")
        known.task.add_done_callback(partial(_compiled, ports, slug))
    known.urgency = min(known.urgency, urgency)
    return known


def _compiled(ports: Ports, slug: str, _: asyncio.Task[None]) -> None:
    del ports.compiling[slug]


async def _compile(ports: Ports, slug: str, begun: Compilation) -> None:
    """Until there is nothing newer."""
    while ports.rules.needs(slug) and not (begun.is_too_large and begun.urgency is Urgency.ARRIVALS):
        await until_answered("rules_not_read", lambda: _compile_once(ports, slug, begun))


async def _compile_once(ports: Ports, slug: str, begun: Compilation) -> None:
    rules = ports.rules
    async with ports.compiling_turns.turn(lambda: begun.urgency):
        known = rules.version_of(slug)  # a database that was put back says less, and is right
        version, kept = await ports.store.rules_of(slug)
        needed_bytes = await to_its_end(asyncio.to_thread(cost_bytes, kept))
        if begun.urgency is Urgency.ARRIVALS and not rules.has_room(slug, needed_bytes):
            begun.is_too_large = True
            rules.was_too_large(slug, ports.clock().monotonic_ns)
            return
        compiled = await to_its_end(asyncio.to_thread(CompiledRules, max(version, known), kept))
        for rule_id, failure in compiled.left_out:
            _log.error("rule_left_out", rule_id=rule_id, exc_info=failure)
        rules.put(slug, compiled, ports.clock().monotonic_ns)

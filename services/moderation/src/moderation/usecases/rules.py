"""The rules of rooms: read and compiled before they are needed, and what people ask about them."""

import asyncio
from collections.abc import Iterable
from functools import partial

import structlog

from chassis.tasks import repeat
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RuleEdit
from moderation.domain.people import Moderator, Rank
from moderation.domain.rights import may_edit_rules
from moderation.domain.rule_book import CompiledRules, Match, decisive
from moderation.domain.rule_hits import KeptHit
from moderation.errors import NotPermitted, RuleNotFound
from moderation.ports import Compilation, Ports
from moderation.usecases.admit import Batch
from moderation.usecases.queries import LARGEST_PAGE
from moderation.usecases.refresh import READ_AT_ONCE, until_answered

SETTLED_AFTER_S = 5.0
READ_EVERY_S = 0.4
"""As of policies: a rule that was saved judges on every replica a second later."""
WAITED_FOR_S = 0.5
"""So long messages wait for the rules of their room, from when these were first asked for: edges wait 1.5 s for a
verdict, and whatever is asked behind them waits as well."""
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger()


async def keep_reading_rules(ports: Ports) -> None:
    """Read which slugs' rules were changed, by whichever replica, every 0.4 s until cancelled."""
    await repeat(READ_EVERY_S, lambda: until_answered("rules_not_read", lambda: read_rules(ports)))


async def read_rules(ports: Ports) -> None:
    """Take over what was changed since the last time, and compile again what is in use of it. Raises
    DatabaseUnavailable; what was read until then holds."""
    is_all = False
    while not is_all:
        part = await ports.store.rules_after(ports.rules.read_up_to, first=READ_AT_ONCE)
        ports.rules.read(part)
        is_all = len(part) < READ_AT_ONCE
    compile_outdated(ports)
    if failure := ports.rules.take_failure():
        _log.error("rules_failed_at_a_text", exc_info=failure)


def compile_outdated(ports: Ports) -> None:
    """Begin to compile those again that are in use and were changed, and those for everywhere."""
    for slug in {*ports.rules.outdated(), *ports.rules.missing(())}:
        _begin(ports, slug)


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


async def settle(ports: Ports) -> None:
    """Wait for what is being compiled, some seconds at most."""
    if ports.compiling:
        await asyncio.wait([each.task for each in ports.compiling.values()], timeout=SETTLED_AFTER_S)


async def prepare(ports: Ports, batch: Batch, patience: Patience) -> None:
    """Have the rules of all rooms that a batch asks about compiled. Who comes is not kept waiting for them, and
    messages are for a moment only: then they are judged without."""
    slugs = {message.slug for message in batch.messages}
    missing = ports.rules.missing(slugs)
    for arrival in batch.arrivals:
        if ports.rules.needs(arrival.slug):
            _begin(ports, arrival.slug)
    if not missing:
        return
    begun = [_begin(ports, slug) for slug in missing]
    if not batch.messages:
        return
    now_ns = ports.clock().monotonic_ns
    waited_s = (now_ns - min(each.begun_ns for each in begun)) / _NS_PER_S
    timeout_s = min(WAITED_FOR_S - waited_s, patience.left_s(now_ns))
    if timeout_s > 0:
        await asyncio.wait([each.task for each in begun], timeout=timeout_s)
        patience.spend((ports.clock().monotonic_ns - now_ns) / _NS_PER_S)


async def list_rules(ports: Ports, actor: Moderator, slug: str) -> list[KeptRule]:
    """The rules of a slug, or those for EVERYWHERE, in the order in which they were made. Raises NotPermitted,
    DatabaseUnavailable."""
    _demand(actor, slug)
    _, rules = await ports.store.rules_of(slug)
    return rules


async def try_text(ports: Ports, actor: Moderator, slug: str, text: str) -> tuple[list[Match], Match | None]:
    """What a text of somebody whom no rule exempts is against in that room, by the rules as they are stored, and which
    one decides. Raises NotPermitted, DatabaseUnavailable."""
    _demand(actor, slug)
    compiled = [await _stored(ports, each) for each in dict.fromkeys((EVERYWHERE, slug))]
    matches = await asyncio.to_thread(_matches, compiled, text)
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
    return await ports.store.hits_of(rule_id, first=min(max(first, 0), LARGEST_PAGE), before_id=before_id)


def _demand(actor: Moderator, slug: str) -> None:
    if not may_edit_rules(actor, RuleEdit.SAVE, slug):
        raise NotPermitted


async def _stored(ports: Ports, slug: str) -> CompiledRules:
    """Those in memory where they are the newest."""
    version, kept = await ports.store.rules_of(slug)
    known = ports.rules.at_version(slug, version)
    return known if known is not None else await asyncio.to_thread(CompiledRules, version, kept)


def _matches(compiled: Iterable[CompiledRules], text: str) -> list[Match]:
    return [match for rules in compiled for match in rules.matches(text, Rank.ANONYMOUS)]


def _begin(ports: Ports, slug: str) -> Compilation:
    """One at a time a slug."""
    known = ports.compiling.get(slug)
    if known is None:
        task = asyncio.create_task(_compile(ports, slug), name=f"rules {slug}")
        known = ports.compiling[slug] = Compilation(task, ports.clock().monotonic_ns)
        task.add_done_callback(partial(_compiled, ports, slug))
    return known


def _compiled(ports: Ports, slug: str, _: asyncio.Task[None]) -> None:
    del ports.compiling[slug]


async def _compile(ports: Ports, slug: str) -> None:
    """Until there is nothing newer."""
    while ports.rules.needs(slug):
        await until_answered("rules_not_read", lambda: _compile_once(ports, slug))


async def _compile_once(ports: Ports, slug: str) -> None:
    async with ports.compiling_turn:
        known = ports.rules.version_of(slug)  # a database that was put back says less, and is right
        version, kept = await ports.store.rules_of(slug)
        ports.rules.put(slug, await asyncio.to_thread(CompiledRules, max(version, known), kept))

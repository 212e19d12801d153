"""Asking classifiers about messages: each has so long, and who does not answer holds up nobody else."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

import structlog

from chassis.logs import LogSummary
from moderation.domain.classifiers import (
    Answer,
    Outcome,
    Subject,
    answer_of,
    answer_without,
    call_of,
    is_waited_for,
    rule_by,
)
from moderation.domain.kept_rules import KeptRule
from moderation.domain.rule_book import Match
from moderation.domain.rule_judge import Asked, AskedBehind
from moderation.domain.rules import Hit
from moderation.domain.verdicts import HELD, REPEATED, Decision, Verdict
from moderation.errors import ClassifierFailed
from moderation.ports import Ports

ASKED_FOR_S = 0.3
"""From the first step of the connection to the last byte of the answer. Edges wait 1.5 s for a verdict, of which
messages may have waited half a second for the rules of their room, and 0.4 s for each other."""
_log = structlog.get_logger()
_failed = LogSummary(_log, "classifier_failed")


def verdict_later(ports: Ports, verdict: Verdict) -> asyncio.Task[Verdict]:
    """The task that says what becomes of a message that waits; of one that is repeated the same."""
    number = verdict.waits_as
    known = ports.classifying.get(number)
    if known is None:
        known = ports.classifying[number] = asyncio.create_task(_classify(ports, number), name="classify a message")
        known.add_done_callback(lambda _: ports.classifying.pop(number, None))
    return known


def repeated(verdict: Verdict) -> Verdict:
    """Of a message that was sent again while it waited."""
    if verdict.decision is Decision.ADMITTED:
        return REPEATED._replace(text_open=verdict.text_open)
    return HELD if verdict.decision is Decision.HELD else verdict


def ask_behind(ports: Ports) -> None:
    """Begin to ask those that nothing waits for about what had its verdict."""
    behind = ports.admission.rules.behind
    while behind:
        asking = asyncio.create_task(_classify_behind(ports, behind.popleft()), name="classify behind a verdict")
        ports.classifying_behind.add(asking)
        asking.add_done_callback(ports.classifying_behind.discard)


async def try_classifiers(ports: Ports, rules: Sequence[KeptRule], slug: str, text: str) -> list[Match]:
    """What those rules say of a text that somebody tries, when it is its turn."""
    if not rules:
        return []
    async with ports.trying:
        return await _matches(ports, rules, Subject(text, slug, None))


async def _classify(ports: Ports, number: int) -> Verdict:
    asked = ports.admission.waiting[number].asked
    answers = await _matches(ports, asked.waits_for, _subject(asked))
    verdict = ports.admission.conclude(number, answers, ports.clock())
    if ports.admission.rules.mutes:
        ports.mutes_wanted.set()
    ask_behind(ports)
    return verdict


async def _classify_behind(ports: Ports, behind: AskedBehind) -> None:
    answers = await _matches(ports, behind.asked.behind, _subject(behind.asked))
    ports.admission.rules.conclude_behind(behind, answers)


def _subject(asked: Asked) -> Subject:
    return Subject(asked.text, asked.slug, asked.speaker)


async def _matches(ports: Ports, rules: Sequence[KeptRule], subject: Subject) -> list[Match]:
    answers = await asyncio.gather(*(_answer(ports, kept, subject) for kept in rules))
    return [match for kept, answer in zip(rules, answers, strict=True) if (match := _match(kept, answer)) is not None]


def _match(kept: KeptRule, answer: Answer) -> Match | None:
    rule = rule_by(kept.rule, answer)
    return None if rule is None else Match(replace(kept, rule=rule), Hit(rule, answer.reason))


async def _answer(ports: Ports, kept: KeptRule, subject: Subject) -> Answer:
    """What a classifier says, or stands for it."""
    lines, rule = ports.classifier_lines, kept.rule
    is_try = subject.author is None
    waits = is_waited_for(rule) and not is_try
    line = lines.begin(kept.id, rule.url, ports.clock().monotonic_ns, is_waited_for=waits, is_try=is_try)
    if line is None:
        return answer_without(rule)
    outcome, answer = None, None
    try:
        outcome, answer = await _asked(ports, kept, subject)
    finally:
        lines.end(line, outcome, ports.clock().monotonic_ns)
    return answer or answer_without(rule)


async def _asked(ports: Ports, kept: KeptRule, subject: Subject) -> tuple[Outcome, Answer | None]:
    now_ms, call_id = ports.clock().wall_ms, f"msg_{uuid.uuid4().hex}"
    try:
        call = call_of(kept.id, kept.rule, kept.secrets, subject, call_id=call_id, now_ms=now_ms)
        async with asyncio.timeout(ASKED_FOR_S):
            answer = answer_of(await ports.classifier.ask(call))
    except TimeoutError:
        _failed.note(rule_id=kept.id, problem="late")
        return Outcome.LATE, None
    except ClassifierFailed as problem:
        _failed.note(rule_id=kept.id, problem=str(problem))
        return Outcome.FAILED, None
    except Exception:  # noqa: BLE001 - a defect must not keep a message from its verdict; the log has the trace
        _log.error("classifier_not_asked", rule_id=kept.id, exc_info=True)
        return Outcome.FAILED, None
    if answer is None:
        _failed.note(rule_id=kept.id, problem="no verdict")
        return Outcome.FAILED, None
    return Outcome.ANSWERED, answer

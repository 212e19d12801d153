"""Judging what an edge gathered: the hot path of the service. Nothing here waits."""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from moderation.domain.admission import ArrivalCheck, CarriedAdmission, MessageCheck, ReleasedAdmission
from moderation.domain.people import Speaker
from moderation.domain.verdicts import Verdict
from moderation.domain.windows import CarryMatcher
from moderation.ports import Ports
from moderation.usecases.classify import ask_behind


class Batch(NamedTuple):
    """One request of an edge. Its parts are handled in this order."""

    carried: Sequence[CarriedAdmission]
    """First on a new stream: what this edge admitted lately, in any order."""
    released: Sequence[ReleasedAdmission]
    seen: Sequence[tuple[Speaker, str]]
    """Who is in which room (slug) just now."""
    arrivals: Sequence[ArrivalCheck]
    messages: Sequence[MessageCheck]
    admitted: Sequence[MessageCheck] = ()
    """What the edge admitted by itself, of which no verdict is asked. They count before all but what is carried."""


def admit(ports: Ports, batch: Batch, matcher: CarryMatcher) -> list[Verdict]:
    """One verdict for each arrival, then one for each message, in their order; all of them at the same time by our
    clock. WAITING: verdict_later says it. The matcher is the stream's."""
    admission, now = ports.admission, ports.clock()
    for carried in sorted(batch.carried, key=attrgetter("age_ms"), reverse=True):
        admission.carry(carried, now, matcher)
    for message in batch.admitted:
        admission.count(message, now)
    for released in batch.released:
        admission.release(released)
    for speaker, slug in batch.seen:
        admission.report_seen(speaker, slug, now)
    verdicts = [admission.judge_arrival(arrival, now) for arrival in batch.arrivals]
    judge = admission.judge_message
    verdicts += [judge(message, now) for message in batch.messages]
    if admission.rules.mutes:
        ports.mutes_wanted.set()
    if admission.rules.behind:
        ask_behind(ports)
    return verdicts

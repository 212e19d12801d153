"""The Admit stream: batches of checks in, verdicts out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol, TypeAlias

import grpc.aio

from moderation.api.grpc.convert import (
    admitted_from_proto,
    batch_from_proto,
    limits_to_proto,
    speaker_key_from_proto,
    verdict_to_proto,
    verdicts_to_proto,
)
from moderation.api.grpc.late_verdicts import LateVerdicts
from moderation.api.grpc.recalls import Recalls, Write
from moderation.domain.admission import MessageCheck
from moderation.domain.lending import Lessee, key_of
from moderation.domain.verdicts import ADMITTED, Decision, Verdict
from moderation.domain.windows import CarryMatcher
from moderation.ports import Ports
from moderation.usecases.admit import Batch, admit
from moderation.usecases.rules import Patience, prepare
from salon.moderation.v1 import moderation_pb2 as pb

AdmitContext: TypeAlias = "grpc.aio.ServicerContext[pb.AdmitRequest, pb.AdmitResponse]"


class Meter(Protocol):
    """What counts messages."""

    def count(self, verdicts: Iterable[Verdict]) -> None:
        """Verdicts that were given together."""

    def count_reported(self, messages: int) -> None:
        """So many were admitted by edges, by what they were lent."""


class AdmitStreams:
    """Serves the streams of all edges from one memory."""

    def __init__(self, ports: Ports, metrics: Meter, recalls: Recalls) -> None:
        self._ports = ports
        self._metrics = metrics
        self._recalls = recalls
        self._is_draining = False

    def drain(self) -> None:
        """Let every stream end after its next answer, so that edges turn to another replica with nothing lost."""
        self._is_draining = True

    async def serve(self, context: AdmitContext) -> None:
        """Limits first, then one answer for each request, in order; between them what is told later, and recalls. Read
        and written by hand: half the cost of generators."""
        await context.write(pb.AdmitResponse(limits=self._limits()))
        stream = _Stream(self._ports, context, self._recalls, self._metrics)
        try:
            while not self._is_draining:
                request = await context.read()
                if not isinstance(request, pb.AdmitRequest):  # the edge has finished
                    break
                await stream.answer(request)
            await stream.finish()
        finally:
            await stream.end()

    def _limits(self) -> pb.Limits:
        return limits_to_proto(self._ports.admission.limits, refuse_unjudged=self._ports.rules.refuses_unjudged)


class _Stream:
    """One stream of an edge worker."""

    def __init__(self, ports: Ports, context: AdmitContext, recalls: Recalls, metrics: Meter) -> None:
        self._ports, self._context, self._recalls, self._metrics = ports, context, recalls, metrics
        self._writing = asyncio.Lock()
        self._matcher = CarryMatcher()
        self._patience = Patience(ports.clock().monotonic_ns)
        self._lessee: Lessee | None = None
        self._write: Write = self._send
        self._late = LateVerdicts(ports, self._tell)
        self._aside = 0
        """Messages that wait for a window to be returned."""
        self._none_aside = asyncio.Event()
        self._none_aside.set()
        self._is_over = False

    async def answer(self, request: pb.AdmitRequest) -> None:
        """Count, judge, and say what is decided."""
        batch = batch_from_proto(request)
        lessee = self._heard_of(request)
        if lessee is not None and request.admitted:
            batch = batch._replace(admitted=_admitted(request, lessee))
        if self._ports.rules.is_in_use:
            await prepare(self._ports, batch, self._patience)
        await self._send(self._answer_to(batch, request, lessee))

    async def finish(self) -> None:
        """Have all told that is to be."""
        await self._none_aside.wait()
        await self._late.finish()

    async def end(self) -> None:
        """The stream is gone: the edge decides by itself about what it was not told."""
        self._is_over = True
        if self._lessee is not None:
            self._recalls.close(self._lessee, self._write)
        await self._late.abandon()

    def _heard_of(self, request: pb.AdmitRequest) -> Lessee | None:
        """The worker that sends it; None: one of before."""
        if not request.worker:
            return None
        lessee = self._ports.lending.lessee(request.worker, self._ports.clock().monotonic_ns)
        if lessee is not self._lessee:
            if self._lessee is not None:
                self._recalls.close(self._lessee, self._write)
            self._lessee = lessee
            self._recalls.open(lessee, self._write)
        return lessee

    def _answer_to(self, batch: Batch, request: pb.AdmitRequest, lessee: Lessee | None) -> pb.AdmitResponse:
        self._note_speakers(batch, lessee)
        if batch.admitted:
            self._metrics.count_reported(len(batch.admitted))
        if lessee is not None and (request.returned or request.returned_all):
            # What was said by what is returned counts before what waits for it is judged.
            told = Batch(batch.carried, batch.released, (), (), (), batch.admitted)
            admit(self._ports, told, self._matcher)
            batch = batch._replace(carried=(), released=(), admitted=())
            self._recalls.returned(lessee, [*map(speaker_key_from_proto, request.returned)], request.returned_all)
        at_once = [message for message in batch.messages if message.text_alone or not self._sets_aside(message, lessee)]
        verdicts = self._late.without_late(at_once, admit(self._ports, batch._replace(messages=at_once), self._matcher))
        self._metrics.count([verdict for verdict in verdicts if verdict is not None])
        if lessee is not None:
            self._lend(at_once, verdicts, lessee)
        if len(at_once) < len(batch.messages):
            known = dict(zip([m.number for m in at_once], verdicts[len(batch.arrivals) :], strict=True))
            verdicts = [*verdicts[: len(batch.arrivals)], *(known.get(m.number) for m in batch.messages)]
        return verdicts_to_proto(verdicts, request)

    def _note_speakers(self, batch: Batch, lessee: Lessee | None) -> None:
        now_ns, lending = self._ports.clock().monotonic_ns, self._ports.lending
        for carried in batch.carried:
            key = key_of(carried.speaker)
            lending.note_carried(key, lessee, now_ns - carried.age_ms * 1_000_000, now_ns)
            self._recalls.recall(key, lessee)  # whoever has it does not know of this
        for message in (*batch.admitted, *batch.messages):
            if not message.text_alone:
                lending.note_message(key_of(message.speaker), _counts_for(message, lessee), now_ns)

    def _lend(self, messages: list[MessageCheck], verdicts: list[Verdict | None], lessee: Lessee) -> None:
        """Of what is told at once, and so before any recall: with these verdicts windows are lent."""
        now = self._ports.clock()
        first = len(verdicts) - len(messages)
        for place, message in enumerate(messages, first):
            if verdicts[place] is ADMITTED and self._ports.admission.is_plain(message, now):
                lent_as = self._ports.lending.lend(message, lessee, now.monotonic_ns)
                verdicts[place] = Verdict(Decision.ADMITTED, lent_as=lent_as)

    def _sets_aside(self, message: MessageCheck, lessee: Lessee | None) -> bool:
        if not self._recalls.sets_aside(message, _counts_for(message, lessee), self._judge_later):
            return False
        self._aside += 1
        self._none_aside.clear()
        return True

    def _judge_later(self, message: MessageCheck) -> None:
        """One that was set aside: its verdict is told by itself."""
        self._aside -= 1
        if not self._aside:
            self._none_aside.set()
        if self._is_over:
            return
        (verdict,) = admit(self._ports, Batch((), (), (), (), [message]), self._matcher)
        self._late.tell_later(message, verdict)

    async def _tell(self, number: int, verdict: Verdict) -> None:
        self._metrics.count([verdict])
        await self._send(verdict_to_proto(number, verdict))

    async def _send(self, response: pb.AdmitResponse) -> None:
        async with self._writing:
            await self._context.write(response)


def _counts_for(message: MessageCheck, lessee: Lessee | None) -> Lessee | None:
    """Who knows that it counts, once it is admitted: an edge does not count what it asks about another face of its
    author."""
    return None if message.without_policy else lessee


def _admitted(request: pb.AdmitRequest, lessee: Lessee) -> list[MessageCheck]:
    """What is reported by a grant that is not known any more was carried to another home."""
    grants = lessee.grants
    return [admitted_from_proto(said, grants[said.lent]) for said in request.admitted if said.lent in grants]

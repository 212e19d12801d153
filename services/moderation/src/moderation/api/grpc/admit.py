"""The Admit stream: batches of checks in, verdicts out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import grpc.aio

from moderation.api.grpc.convert import batch_from_proto, limits_to_proto, verdict_to_proto, verdicts_to_proto
from moderation.api.grpc.late_verdicts import LateVerdicts
from moderation.domain.verdicts import Verdict
from moderation.domain.windows import CarryMatcher
from moderation.ports import Ports
from moderation.usecases.admit import Batch, admit
from moderation.usecases.rules import Patience, prepare
from salon.moderation.v1 import moderation_pb2 as pb

AdmitContext: TypeAlias = "grpc.aio.ServicerContext[pb.AdmitRequest, pb.AdmitResponse]"


class AdmitStreams:
    """Serves the streams of all edges from one memory."""

    def __init__(self, ports: Ports, count: Callable[[list[Verdict]], None]) -> None:
        self._ports = ports
        self._count = count
        self._is_draining = False

    def drain(self) -> None:
        """Let every stream end after its next answer, so that edges turn to another replica with nothing lost."""
        self._is_draining = True

    async def serve(self, stream: AdmitContext) -> None:
        """Limits first, then one answer for each request, in order; between them what is told later. Read and written
        by hand: half the cost of generators."""
        await stream.write(pb.AdmitResponse(limits=self._limits()))
        writing = asyncio.Lock()

        async def tell(number: int, verdict: Verdict) -> None:
            self._count([verdict])
            async with writing:
                await stream.write(verdict_to_proto(number, verdict))

        late = LateVerdicts(self._ports, tell)
        try:
            await self._serve(stream, late, writing)
            await late.finish()
        finally:
            await late.abandon()

    async def _serve(self, stream: AdmitContext, late: LateVerdicts, writing: asyncio.Lock) -> None:
        matcher, patience = CarryMatcher(), Patience(self._ports.clock().monotonic_ns)
        while not self._is_draining:
            request = await stream.read()
            if not isinstance(request, pb.AdmitRequest):  # the edge has finished
                return
            batch = batch_from_proto(request)
            if self._ports.rules.is_in_use:
                await prepare(self._ports, batch, patience)
            answer = self._answer(batch, request, matcher, late)
            async with writing:
                await stream.write(answer)

    def _limits(self) -> pb.Limits:
        return limits_to_proto(self._ports.admission.limits, refuse_unjudged=self._ports.rules.refuses_unjudged)

    def _answer(
        self, batch: Batch, request: pb.AdmitRequest, matcher: CarryMatcher, late: LateVerdicts
    ) -> pb.AdmitResponse:
        verdicts = late.without_late(batch.messages, admit(self._ports, batch, matcher))
        self._count([verdict for verdict in verdicts if verdict is not None])
        return verdicts_to_proto(verdicts, request)

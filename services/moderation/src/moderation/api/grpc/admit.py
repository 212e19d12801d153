"""The Admit stream: batches of checks in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import grpc.aio

from moderation.api.grpc.convert import batch_from_proto, limits_to_proto, verdicts_to_proto
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
        """Limits first, then one answer for each request, in order. Read and written by hand: half the cost of
        generators."""
        await stream.write(pb.AdmitResponse(limits=self._limits()))
        matcher, patience = CarryMatcher(), Patience(self._ports.clock().monotonic_ns)
        while not self._is_draining:
            request = await stream.read()
            if not isinstance(request, pb.AdmitRequest):  # the edge has finished
                return
            batch = batch_from_proto(request)
            if self._ports.rules.is_in_use:
                await prepare(self._ports, batch, patience)
            await stream.write(self._answer(batch, request, matcher))

    def _limits(self) -> pb.Limits:
        return limits_to_proto(self._ports.admission.limits, refuse_unjudged=self._ports.rules.refuses_unjudged)

    def _answer(self, batch: Batch, request: pb.AdmitRequest, matcher: CarryMatcher) -> pb.AdmitResponse:
        verdicts = admit(self._ports, batch, matcher)
        self._count(verdicts)
        return verdicts_to_proto(verdicts, request)

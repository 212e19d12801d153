"""The Admit stream: batches of checks in, verdicts out. The hot path of the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import grpc.aio

from moderation.api.grpc.convert import speaker_from
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.verdict import Verdict
from moderation.domain.window import Claims
from moderation.ports import Clock
from salon.moderation.v1 import moderation_pb2 as pb

AdmitContext: TypeAlias = "grpc.aio.ServicerContext[pb.AdmitRequest, pb.AdmitResponse]"


class AdmitStreams:
    """Serves the streams of all edges from one memory."""

    def __init__(self, admission: Admission, clock: Clock, count: Callable[[list[Verdict]], None]) -> None:
        self._admission = admission
        self._clock = clock
        self._count = count
        self._is_draining = False

    def drain(self) -> None:
        """Let every stream end after its next answer, so that edges turn to another replica with nothing lost."""
        self._is_draining = True

    async def serve(self, stream: AdmitContext) -> None:
        """Limits first, then one answer for each request, in order."""
        await stream.write(pb.AdmitResponse(limits=limits_to_message(self._admission.limits)))
        claims = Claims()
        while not self._is_draining:
            request = await stream.read()
            if not isinstance(request, pb.AdmitRequest):  # the edge has finished
                return
            await stream.write(self._answer(request, claims))

    def _answer(self, request: pb.AdmitRequest, claims: Claims) -> pb.AdmitResponse:
        now = self._clock.now()
        if request.carried:
            self._carry(request, now, claims)
        for sighting in request.sightings:
            self._admission.sight(speaker_from(sighting.speaker), sighting.slug, now.wall_ms)
        response = pb.AdmitResponse()
        verdicts: list[Verdict] = []
        for check in request.checks:
            verdict = self._admission.judge_arrival(speaker_from(check.speaker), check.slug, now, is_final=check.final)
            verdicts.append(verdict)
            _add(response, check.id, verdict)
        judge = self._admission.judge_message
        for message in request.messages:
            verdict = judge(speaker_from(message.speaker), message.slug, message.life, message.nonce, now)
            verdicts.append(verdict)
            _add(response, message.id, verdict)
        self._count(verdicts)
        return response

    def _carry(self, request: pb.AdmitRequest, now: Now, claims: Claims) -> None:
        for carried in sorted(request.carried, key=lambda c: c.age_ms, reverse=True):  # as Windows.carry wants it
            self._admission.carry(
                speaker_from(carried.speaker),
                carried.life,
                carried.nonce,
                now,
                age_ms=carried.age_ms,
                counts=carried.counts,
                claims=claims,
            )


def limits_to_message(limits: Limits) -> pb.Limits:
    """The limits as an edge wants them when it goes on alone."""
    return pb.Limits(
        messages_per_window=limits.messages_per_window,
        window_ms=limits.window_s * 1000,
        messages_per_address=limits.messages_per_address,
    )


def _add(response: pb.AdmitResponse, check_id: int, verdict: Verdict) -> None:
    decision, retry_after_ms = verdict
    if retry_after_ms:
        response.verdicts.add(id=check_id, decision=decision, retry_after_ms=retry_after_ms)
    else:
        response.verdicts.add(id=check_id, decision=decision)

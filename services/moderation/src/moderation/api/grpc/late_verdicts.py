"""Verdicts of one stream that are told later than those of what came with them: of messages that wait for classifiers,
and of whatever their authors said behind them in the same room, so that it stays in order. Nobody else waits."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import grpc.aio

from chassis.tasks import end_tasks
from moderation.domain.admission import MessageCheck
from moderation.domain.verdicts import Decision, Verdict
from moderation.ports import Ports
from moderation.usecases.classify import repeated, verdict_later

_Lane: TypeAlias = tuple[int | str, str]
"""An author in a room."""


class LateVerdicts:
    """Owned by the stream."""

    def __init__(self, ports: Ports, tell: Callable[[int, Verdict], Awaitable[None]]) -> None:
        """`tell` has the edge know a verdict, by the number of its check."""
        self._ports = ports
        self._tell = tell
        self._lanes: dict[_Lane, asyncio.Task[None]] = {}
        """By lane the last one that is to be told."""
        self._tasks: set[asyncio.Task[None]] = set()

    def without_late(self, messages: Sequence[MessageCheck], verdicts: Sequence[Verdict]) -> list[Verdict | None]:
        """Those that may be told at once; None: it is told later."""
        if not self._lanes and all(verdict.decision is not Decision.WAITING for verdict in verdicts):
            return [*verdicts]
        arrivals = len(verdicts) - len(messages)
        return [
            *verdicts[:arrivals],
            *(self._at_once(*each) for each in zip(messages, verdicts[arrivals:], strict=True)),
        ]

    async def finish(self) -> None:
        """Have all told that is to be."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def abandon(self) -> None:
        """The stream is gone: the edge decides by itself about what it was not told."""
        await end_tasks(self._tasks)

    def _at_once(self, message: MessageCheck, verdict: Verdict) -> Verdict | None:
        before = self._lanes.get(_lane_of(message))
        is_waiting = verdict.decision is Decision.WAITING
        if message.text_alone or message.without_policy or not (is_waiting or before):
            return verdict
        self.tell_later(message, verdict)
        return None

    def tell_later(self, message: MessageCheck, verdict: Verdict) -> None:
        """Tell it by itself, behind what else of its lane is to be told."""
        lane = _lane_of(message)
        before = self._lanes.get(lane)
        is_repeated = verdict.waits_as in self._ports.classifying
        later = verdict_later(self._ports, verdict) if verdict.decision is Decision.WAITING else None
        telling = asyncio.create_task(self._say(message.number, verdict, later, before, is_repeated=is_repeated))
        self._lanes[lane] = telling
        self._tasks.add(telling)
        telling.add_done_callback(lambda _: self._told(lane, telling))

    def _told(self, lane: _Lane, telling: asyncio.Task[None]) -> None:
        self._tasks.discard(telling)
        if self._lanes.get(lane) is telling:
            del self._lanes[lane]

    async def _say(
        self,
        number: int,
        verdict: Verdict,
        later: asyncio.Task[Verdict] | None,
        before: asyncio.Task[None] | None,
        *,
        is_repeated: bool,
    ) -> None:
        if later is not None:
            verdict = await asyncio.shield(later)
            verdict = repeated(verdict) if is_repeated else verdict
        if before is not None:
            await asyncio.wait({before})
        with suppress(grpc.aio.UsageError, grpc.aio.InternalError):  # the stream has ended
            await self._tell(number, verdict)


def _lane_of(message: MessageCheck) -> _Lane:
    return message.speaker.user_id or message.speaker.connection, message.slug

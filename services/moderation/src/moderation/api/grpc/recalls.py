"""Having back what was lent to edges: for the messages that others ask about meanwhile, and when something changes by
which messages are judged."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc.aio

from chassis.tasks import end_tasks
from moderation.api.grpc.convert import recall_all_to_proto, recall_to_proto
from moderation.domain.admission import Admission, MessageCheck, Now
from moderation.domain.lending import LEASE_NS, Lending, Lessee, SpeakerKey, key_of
from salon.moderation.v1 import moderation_pb2 as pb

Write: TypeAlias = Callable[[pb.AdmitResponse], Awaitable[None]]
Judge: TypeAlias = Callable[[MessageCheck], None]
_AGAIN_AFTER_S = 0.25
"""A recall is said again: the stream that it was said on may have gone with it."""
_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class _Wanted:
    """A window that is to be returned, and the messages that wait for it, in the order in which they came."""

    holder: Lessee
    asking: Lessee | None
    """Who asked first; None: an edge of before."""
    waiting: deque[tuple[MessageCheck, Lessee | None, Judge]] = field(default_factory=deque)
    timer: asyncio.TimerHandle | None = None


class Recalls:
    """Of one replica. `open` and `close` go around each stream of a worker."""

    def __init__(self, lending: Lending, admission: Admission, clock: Callable[[], Now]) -> None:
        self._lending, self._clock = lending, clock
        self._writers: dict[Lessee, list[Write]] = {}
        self._wanted: dict[SpeakerKey, _Wanted] = {}
        self._returned = asyncio.Event()
        self._is_changing = False
        self._tasks: set[asyncio.Task[None]] = set()
        admission.watch(self._changed)

    def open(self, lessee: Lessee, write: Write) -> None:
        """A worker can be asked over that stream. What it has not answered went with the one before, maybe."""
        self._writers.setdefault(lessee, []).append(write)
        if self._lending.owing(self._lending.changes, self._now_ns(), [lessee]):
            self._say(lessee, recall_all_to_proto(self._lending.changes))

    def close(self, lessee: Lessee, write: Write) -> None:
        """It has ended."""
        writers = self._writers[lessee]
        writers.remove(write)
        if not writers:
            del self._writers[lessee]

    def returned(self, lessee: Lessee, keys: list[SpeakerKey], change: int) -> None:
        """What a worker has given back: these, and all that was granted before that change; 0: no more than these."""
        for key in keys:
            self._lending.returned(key, lessee)
            self._judge_waiting(key)
        if change:
            self._lending.returned_all(lessee, change)
            self._returned.set()
            for key in [key for key, wanted in self._wanted.items() if wanted.holder is lessee]:
                self._judge_waiting(key)

    def sets_aside(self, message: MessageCheck, lessee: Lessee | None, judge: Judge) -> bool:
        """Whether somebody else may count what that speaker says just now: it is judged, by `judge`, once they do not
        any more, at the latest when their lease is over."""
        key = key_of(message.speaker)
        self.recall(key, lessee)
        wanted = self._wanted.get(key)
        if wanted is None:
            return False
        wanted.waiting.append((message, lessee, judge))
        return True

    def recall(self, key: SpeakerKey, asking: Lessee | None) -> None:
        """Have the window back, where somebody else has it."""
        if key in self._wanted:
            return
        holder = self._lending.holder(key, asking, self._now_ns())
        if holder is not None:
            self._wanted[key] = _Wanted(holder, asking)
            self._say_recall(key, self._wanted[key])

    async def settle(self) -> None:
        """Wait until no message is admitted any more by what held before the last change, for a lease at most: whoever
        has it renewed by an answer has heard of the change before, or has lost what was lent with its stream."""
        change = self._lending.changes
        until_ns = self._now_ns() + LEASE_NS
        while (now_ns := self._now_ns()) < until_ns and (owing := self._lending.owing(change, now_ns)):
            self._returned.clear()
            over_ns = min(until_ns, max(lessee.lease_over_ns() for lessee in owing))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._returned.wait(), (over_ns - now_ns) / _NS_PER_S)

    async def stop(self) -> None:
        """Nothing more is asked for."""
        for wanted in self._wanted.values():
            if wanted.timer is not None:
                wanted.timer.cancel()
        await end_tasks(self._tasks)

    def _now_ns(self) -> int:
        return self._clock().monotonic_ns

    def _changed(self) -> None:
        """Much may change at once: it is said once, before anything else happens."""
        owing = self._lending.change()
        if owing and not self._is_changing:
            self._is_changing = True
            asyncio.get_running_loop().call_soon(self._recall_all)

    def _recall_all(self) -> None:
        self._is_changing = False
        recall = recall_all_to_proto(self._lending.changes)
        for lessee in self._lending.owing(self._lending.changes, self._now_ns(), self._writers):
            self._say(lessee, recall)  # nothing to those who hang: what they have they use no more

    def _say_recall(self, key: SpeakerKey, wanted: _Wanted) -> None:
        self._say(wanted.holder, recall_to_proto(key))
        left_s = (wanted.holder.lease_over_ns() - self._now_ns()) / _NS_PER_S
        loop = asyncio.get_running_loop()
        wanted.timer = loop.call_later(min(max(left_s, 0.0), _AGAIN_AFTER_S), self._judge_waiting, key)

    def _judge_waiting(self, key: SpeakerKey) -> None:
        """Judge what waits for a window, until somebody else has it again."""
        wanted = self._wanted.get(key)
        if wanted is None:
            return
        if wanted.timer is not None:
            wanted.timer.cancel()
        asking = wanted.asking
        while wanted.waiting:
            message, asking, judge = wanted.waiting[0]
            if self._lending.holder(key, asking, self._now_ns()) is not None:
                break
            wanted.waiting.popleft()
            # Its nonce and its place in the window are known from now on.
            self._lending.note_message(key, asking, self._now_ns())
            judge(message)
        holder = self._lending.holder(key, asking, self._now_ns())
        if holder is None:
            del self._wanted[key]
        else:
            wanted.holder = holder
            self._say_recall(key, wanted)

    def _say(self, lessee: Lessee, response: pb.AdmitResponse) -> None:
        for write in self._writers.get(lessee, ()):
            task = asyncio.create_task(_written(write, response))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _written(write: Write, response: pb.AdmitResponse) -> None:
    with suppress(grpc.aio.UsageError, grpc.aio.InternalError):  # the stream has ended
        await write(response)

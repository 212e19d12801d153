"""One Admit stream to one replica of the moderation service: batches out, verdicts in."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias, TypeVar

import grpc.aio
import structlog

from salon.moderation.v1 import moderation_pb2 as pb
from salon.moderation.v1.moderation_pb2_grpc import ModerationServiceStub
from ws_edge.adapters.deadlines import Deadline
from ws_edge.adapters.grpc.convert import (
    UNAVAILABLE,
    claims_to_proto,
    limits_from_proto,
    speaker_to_proto,
    verdict_from_proto,
)
from ws_edge.adapters.grpc.lent_windows import LentWindows
from ws_edge.errors import ModerationUnavailable
from ws_edge.ports import AdmissionLimits, Verdict
from ws_edge.protocol.identity import Life, Slug, Speaker
from ws_edge.protocol.log import LogRef

_log = structlog.get_logger(__name__)

_GATHER_S = 0.004
_GATHER_ARRIVALS_S = 0.01
"""Where several wait: each batch costs as much as ten of them."""
_AT_REST_S = 0.02
"""A stream on which nothing was written for so long does not wait for more: one that carries little costs little either
way, and its messages have their verdict within one round trip."""
_OPEN_DEADLINE_S = 2.0
_VERDICT_DEADLINE_S = 1.5
_LOOK_EVERY_S = 0.2
_ARRIVAL_DEADLINE_S = 2.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_LAST_SEEN_LIMIT = 5_000
_CARRIED_PER_REQUEST = 1_000
_CHECKS_PER_REQUEST = 500
"""And sightings. A server takes 4 MiB: so many are less, however long texts and names are."""
_UNANSWERED_LIMIT = 50_000
_REPORT_S = 0.05
"""What was admitted by what is lent is reported so late at most. A batch costs as much as a hundred reports."""
_SEEN_S = 0.02
"""The same of who was seen."""
_RENEW_AFTER_S = 0.3
"""Where nothing else is sent."""

_Part = TypeVar("_Part")
_Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.AdmitRequest, pb.AdmitResponse]"
_serials = count(1)
_numbers = count(1)
"""Of checks: of one connection no two messages have the same, whichever stream they go to."""


@dataclass(slots=True)
class PendingMessage:
    """A message that waits for its verdict."""

    speaker: Speaker
    slug: Slug
    log: LogRef
    nonce: str
    done: Callable[[Verdict], None]
    key: str = ""
    """By which its stream was chosen."""
    without_policy: bool = False
    text_elsewhere: bool = False
    """The home of the room is another stream's."""
    admitted_as: int = 0
    """The number under which it was admitted, where its text alone is asked about; else 0."""
    asked_at_s: float = 0.0


def next_number() -> int:
    """Of a check, or of a message that the edge admits by itself."""
    return next(_numbers)


class AdmissionStream:
    """Owned by whoever runs `run`, which closes the channel at its end. `opened` is called before anything is asked,
    and may carry; `closed` before what waits is answered; `settle` once for each message: of those of one author in one
    room in the order of asking."""

    def __init__(
        self,
        address: str,
        channel: grpc.aio.Channel,
        *,
        opened: Callable[["AdmissionStream", AdmissionLimits], None],
        closed: Callable[["AdmissionStream"], None],
        settle: Callable[["AdmissionStream", PendingMessage, Verdict], None],
        worker: str = "",
    ) -> None:
        """`worker`: the incarnation of this process; empty: it asks for nothing to be lent."""
        self.address = address
        self.serial = 0
        """Another number each time that the stream is opened, unique in this process."""
        self.is_up = False
        self._opened, self._closed, self._settle = opened, closed, settle
        self._call: _Call | None = None
        self._messages: dict[int, PendingMessage] = {}
        self._arrivals: dict[int, asyncio.Future[bool]] = {}
        self._arrivals_end = Deadline[bool](_ARRIVAL_DEADLINE_S, _late)
        self._batch = pb.AdmitRequest()
        self._full: list[pb.AdmitRequest] = []
        """Those that go before it."""
        self._checks = self._sightings = 0
        """In the batch; in all of them."""
        self._carried: list[pb.CarriedAdmission] = []
        self._released: list[pb.ReleasedAdmission] = []
        self._worker = worker
        self._lent = LentWindows()
        self._must_renew = False
        self._write_due_s = float("inf")
        self._write_timer: asyncio.TimerHandle | None = None
        self._asked_at_s = self._written_at_s = float("-inf")
        self._last_trouble = ""
        self._is_leaving = False
        self._must_write = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self.stub = ModerationServiceStub(self._channel)

    async def run(self) -> None:
        """Keep the stream open until cancelled, or until `leave`."""
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._is_leaving:
                if await self._serve():
                    pause_s = _FIRST_PAUSE_S
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            await self._channel.close()

    def leave(self) -> None:
        """The replica is no more: `run` ends, and what waits is answered as unavailable."""
        self._is_leaving = True
        self._give_up("the replica has left")

    def ask_message(self, pending: PendingMessage, text: str) -> None:
        """Ask for one verdict; on a stream that is down it is unavailable, after those that are still to be told."""
        number = pending.admitted_as or next_number()
        pending.asked_at_s = self._loop.time()
        self._messages[number] = pending
        if not self.is_up:
            return
        # It is not to be returned because of quiet while it may be lent once more.
        self._lent.use(pending.speaker, pending.asked_at_s)
        message = self._open_batch().messages.add()
        message.id = number
        message.slug = pending.slug
        log = pending.log
        message.life = log.life
        if not pending.without_policy:
            message.room_id = log.room_id
            message.partition = log.partition
        if pending.nonce:
            message.nonce = pending.nonce
        if pending.text_elsewhere:
            message.text_elsewhere = True
        if pending.admitted_as:
            message.text_alone = True
        if pending.without_policy:
            message.without_policy = True
        else:
            message.text = text
            claims_to_proto(pending.speaker.identity, message)
        speaker_to_proto(pending.speaker, message.speaker)
        self._gather()
        if len(self._messages) > _UNANSWERED_LIMIT:
            self._give_up("too many messages without a verdict")

    def has_lent(self, speaker: Speaker, life: Life) -> bool:
        """Whether what that connection says there is admitted without a question, within the limits."""
        return self._lent.has(speaker, life, self._loop.time())

    def report_admitted(self, speaker: Speaker, life: Life, number: int, nonce: str, text: str) -> None:
        """A message was admitted because of what is lent: it counts there, before whatever is asked next."""
        self._lent.report(speaker, life, number, nonce, text, self._loop.time())
        self._write_within(_REPORT_S)

    async def ask_arrival(self, speaker: Speaker, slug: Slug, *, final: bool) -> bool:
        """Whether the speaker may enter. Raises ModerationUnavailable."""
        if not self.is_up:
            raise ModerationUnavailable("no stream")
        number = next_number()
        answer: asyncio.Future[bool] = self._loop.create_future()
        check = self._open_batch().checks.add(id=number, slug=slug, final=final)
        speaker_to_proto(speaker, check.speaker)
        self._arrivals[number] = answer
        self._gather(_GATHER_ARRIVALS_S if len(self._arrivals) > 1 else _GATHER_S)
        try:
            return await self._arrivals_end.watch(answer)
        finally:
            self._arrivals.pop(number, None)

    def report_seen(self, speaker: Speaker, slug: Slug) -> None:
        """Best effort: dropped on a stream that is down or far behind."""
        if self.is_up and self._sightings < _LAST_SEEN_LIMIT:
            self._sightings += 1
            speaker_to_proto(speaker, self._open_batch().sightings.add(slug=slug).speaker)
            self._write_within(_SEEN_S)

    def release(self, released: Iterable[pb.ReleasedAdmission]) -> None:
        """Tell, before whatever is asked next, and after what is carried, that these messages count no longer. The
        stream is up."""
        self._released += released
        if self._released:
            self._gather()

    def carry(self, carried: Iterable[pb.CarriedAdmission]) -> None:
        """Tell, before whatever is asked next, what was admitted elsewhere."""
        self._carried += carried
        if self._carried:
            self._gather()

    def _open_batch(self) -> pb.AdmitRequest:
        """Where the next check, or sighting, goes."""
        if self._checks >= _CHECKS_PER_REQUEST:
            self._full.append(self._batch)
            self._batch = pb.AdmitRequest()
            self._checks = 0
        self._checks += 1
        return self._batch

    def _take_batches(self) -> list[pb.AdmitRequest]:
        """What has come together, in its order; nothing is in it then."""
        batches = [*self._full, self._batch] if self._checks else []
        self._full, self._batch = [], pb.AdmitRequest()
        self._checks = self._sightings = 0
        return batches

    def _gather(self, within_s: float = _GATHER_S) -> None:
        """What is asked alone goes in this turn, with what else comes in it; on a stream in use, within `within_s`."""
        is_at_rest = self._loop.time() - self._asked_at_s > _AT_REST_S
        self._write_within(0.0 if is_at_rest else within_s)

    def _write_within(self, delay_s: float) -> None:
        """Write everything, once, at the latest after that."""
        due_s = self._loop.time() + delay_s
        if due_s >= self._write_due_s:
            return
        self._write_due_s = due_s
        if self._write_timer is not None:
            self._write_timer.cancel()
        if delay_s:
            self._write_timer = self._loop.call_later(delay_s, self._must_write.set)
        else:
            self._must_write.set()

    def _begin_writing(self) -> None:
        self._written_at_s = self._loop.time()
        self._write_due_s = float("inf")
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    async def _serve(self) -> bool:
        """One stream from its opening to its end; whether it was ever up."""
        call = self.stub.Admit()
        writer: asyncio.Task[None] | None = None
        was_up = False
        try:
            async with asyncio.timeout(_OPEN_DEADLINE_S):
                first = await call.read()
            if isinstance(first, pb.AdmitResponse) and not self._is_leaving:
                was_up = True
                self._begin(call, first.limits)
                writer = asyncio.create_task(self._write(call))
                await self._read(call)
        except grpc.aio.AioRpcError as reason:
            self._report(reason.code().name)
        except TimeoutError:
            self._report("no limits in time")
        except asyncio.CancelledError:
            # Our own call.cancel() looks like this as well.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            call.cancel()
            if writer is not None:
                writer.cancel()
                await asyncio.wait([writer])
            self._end()
        return was_up

    def _report(self, trouble: str) -> None:
        # It tries once a second: the same trouble is logged once.
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            _log.warning("moderation_stream_failed", replica=self.address, reason=trouble)

    def _begin(self, call: _Call, limits: pb.Limits) -> None:
        self._call = call
        self.serial = next(_serials)
        self._take_batches()
        self._carried = []
        self._released = []
        self._lent.forget()
        self._begin_writing()
        self._must_write.clear()
        self.is_up = True
        self._last_trouble = ""
        self._loop.call_later(_LOOK_EVERY_S, self._look, self.serial)
        _log.info("moderation_stream_up", replica=self.address)
        self._opened(self, limits_from_proto(limits))

    def _look(self, serial: int) -> None:
        """One timer for the stream: the oldest that waits is late if any is."""
        if serial != self.serial or not self.is_up:
            return
        oldest = next(iter(self._messages.values()), None)
        if oldest is not None and self._loop.time() - oldest.asked_at_s > _VERDICT_DEADLINE_S:
            self._give_up("no verdict in time")
            return
        self._keep_lent()
        self._loop.call_later(_LOOK_EVERY_S, self._look, serial)

    def _give_up(self, reason: str) -> None:
        _log.warning("moderation_stream_given_up", replica=self.address, reason=reason)
        if self._call is not None:
            self._call.cancel()
        self._end()

    def _end(self) -> None:
        """Answer all that waits, in order; what is asked from within those answers joins the end."""
        self._call = None
        self._lent.forget()
        if self.is_up:
            self.is_up = False
            _log.warning("moderation_stream_down", replica=self.address)
            self._closed(self)
        while self._messages:
            self._answer(self._messages.pop(next(iter(self._messages))), UNAVAILABLE)
        for answer in self._arrivals.values():
            if not answer.done():
                answer.set_exception(ModerationUnavailable("the stream was lost"))

    async def _write(self, call: _Call) -> None:
        with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while True:
                await self._must_write.wait()
                self._must_write.clear()
                self._begin_writing()
                for request in self._take_requests():
                    if self._worker:
                        request.worker = self._worker
                        request.sent_ms = int(self._written_at_s * 1000)
                    await call.write(request)

    def _take_requests(self) -> list[pb.AdmitRequest]:
        """All that is to be written, in the order in which it has to be heard."""
        carried, self._carried = self._carried, []
        released, self._released = self._released, []
        requests = [pb.AdmitRequest(carried=part) for part in _parts(carried, _CARRIED_PER_REQUEST)]
        requests += self._lent.take_requests(_CHECKS_PER_REQUEST)
        requests += [pb.AdmitRequest(released=part) for part in _parts(released, _CARRIED_PER_REQUEST)]
        if batches := self._take_batches():
            self._asked_at_s = self._written_at_s
            requests += batches
        if self._must_renew and not requests:
            requests.append(pb.AdmitRequest())
        self._must_renew = False
        return requests

    async def _read(self, call: _Call) -> None:
        while isinstance(response := await call.read(), pb.AdmitResponse):
            if response.heard_ms:
                self._lent.renew(response.heard_ms / 1000, self._loop.time())
            for verdict in response.verdicts:
                self._receive(verdict)
            if response.recalled or response.recalled_all:
                self._lent.recall(response.recalled, response.recalled_all)
                self._write_within(0.0)  # others wait for it

    def _keep_lent(self) -> None:
        """Return what is not used, and renew the lease of the rest."""
        now_s = self._loop.time()
        if self._lent.return_quiet(now_s) or (self._lent and now_s - self._written_at_s > _RENEW_AFTER_S):
            self._must_renew = True
            self._write_within(0.0)

    def _receive(self, verdict: pb.Verdict) -> None:
        pending = self._messages.pop(verdict.id, None)
        if pending is not None:
            if verdict.lent:
                self._lent.lend(pending.speaker, pending.log.life, verdict.lent, self._loop.time())
            self._answer(pending, verdict_from_proto(verdict))
            return
        answer = self._arrivals.get(verdict.id)
        if answer is not None and not answer.done():
            answer.set_result(verdict.decision != pb.Verdict.DECISION_SANCTIONED)

    def _answer(self, pending: PendingMessage, verdict: Verdict) -> None:
        try:
            self._settle(self, pending, verdict)
        except Exception:  # noqa: BLE001 - one message's mistake must not take the verdicts of all others with it
            _log.exception("verdict_not_handled")


def _parts(whole: list[_Part], size: int) -> list[list[_Part]]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _late() -> ModerationUnavailable:
    return ModerationUnavailable("no answer in time")

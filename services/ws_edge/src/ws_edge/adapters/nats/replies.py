"""Answers that come to a worker's inbox: stored messages that were asked for, acknowledgements of published ones."""

import asyncio
import base64
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from msgspec.structs import replace

from ws_edge.adapters.deadlines import Deadline
from ws_edge.adapters.nats.events import (
    decode_entry,
    erasures_subject,
    log_subject,
    read_number,
    read_status,
    read_text,
)
from ws_edge.adapters.nats.stream import stream_name
from ws_edge.errors import BusUnavailable
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import (
    PARTITIONS,
    Erasure,
    LogEntry,
    LogRef,
    MessageDeleted,
    MessagesPurged,
    RoomCleared,
    StoredMessage,
    entry_id,
    sequence_of,
)

_log = structlog.get_logger(__name__)

_END_OF_BATCH = 204
_NOT_FOUND = 404
_NO_MESSAGE = 10037
_ERASURES_AT_ONCE = 1000
_FEW = 50
"""A page of less costs no less."""
_RANGE_HOLDS = 1000
_RANGE_GROWS = 8
_RANGE_SHRINKS = 4
"""A range of sequences that is read for a page has at most so many entries, is at most so many times as long as the one
behind it, less where that was half full, and so many times shorter where it held too many."""
_DEADLINES_S = (0.5, 0.5, 1.0)
"""Of one question, which is asked again: any replica may get it, and one that is cut off answers nothing."""
_LEADER_LEASE_S = 3.0
"""After a word from the leader no replica has another one elected within 4 s; the rest is for what lies between."""
_LEADER_TRIES = 6
_LEADER_PAUSE_S = 0.25
"""One that was elected just now hears of the others within a second."""

Reply = tuple[bytes, bytes]
"""Raw headers and payload."""
_ACKS_LIMIT = 20_000
_FORGET_ACKS_AFTER_S = 5.0


class _Question:
    """Gathers the replies to one request."""

    def __init__(self, *, is_batch: bool) -> None:
        self.replies: list[Reply] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_batch = is_batch

    def receive(self, headers: bytes, payload: bytes) -> None:
        status = read_status(headers)
        if not status:
            self.replies.append((headers, payload))
        if self.done.done() or (self._is_batch and not status):
            return
        if status in (0, _END_OF_BATCH, _NOT_FOUND):
            self.done.set_result(None)
        else:
            self.done.set_exception(BusUnavailable(f"the stream answered {status}"))


class NatsHistory:
    """Answers come to one inbox; `ask` publishes a request (subject, reply, payload) and may raise BusUnavailable."""

    def __init__(self, ask: Callable[[str, str, bytes], None], inbox: str) -> None:
        self._ask = ask
        self._inbox = inbox
        self._next = 0
        self._questions: dict[int, _Question] = {}
        self._deadlines = [Deadline[None](within_s, TimeoutError) for within_s in _DEADLINES_S]
        self._led_until_s: dict[int, float] = {}
        self._asking_leader: dict[int, asyncio.Lock] = {}

    def receive(self, subject: bytes, headers: bytes, payload: bytes) -> None:
        """Handle one reply."""
        question = self._questions.get(int(subject.rpartition(b".")[2]))
        if question is not None:
            question.receive(headers, payload)

    def fail(self) -> None:
        """The connection is lost: nobody need wait for the deadline."""
        for question in self._questions.values():
            if not question.done.done():
                question.done.set_exception(BusUnavailable("the connection was lost"))

    async def entry(self, log: LogRef, entry: MessageId) -> LogEntry | None:
        """One entry of a log by its id, as the stream's leader has it; its prev_id is that of the one before it which
        is still stored. None: there is none. Raises BusUnavailable."""
        if entry % PARTITIONS != log.partition:
            return None
        message = await self._ask_leader(log, {"seq": sequence_of(entry)})
        if message is None or message["subject"] != log_subject(log):
            return None
        headers = f"NATS/1.0\r\nNats-Sequence: {message['seq']}\r\nNats-Time-Stamp: {message['time']}\r\n\r\n"
        prev = await self._last_up_to(log, log_subject(log), sequence_of(entry) - 1)
        return _decode((headers.encode(), base64.b64decode(message.get("data", ""))), log, prev)

    async def entries_after(self, log: LogRef, after: MessageId, *, limit: int) -> list[LogEntry]:
        """At most `limit` entries with higher ids, in order. Any replica answers, and one that lags gives fewer: they
        are all only where they reach last_id. Raises BusUnavailable.

        The first one's prev_id is the newest entry up to `after`; where none of those is kept any more, and there were
        some, it is the id before its own, so that the gap shows."""
        subject = log_subject(log)
        prev = await self._last_up_to(log, subject, sequence_of(after))
        # From there on, not from behind it: the replica that answers may be another one, and may have let go of it.
        query = {"seq": prev or sequence_of(after) + 1, "next_by_subj": subject, "batch": limit + bool(prev)}
        found = _of_subject(await self._get(log, query, is_batch=True), subject)
        is_kept = not after or (bool(prev) and bool(found) and _sequence(found[0]) == prev)
        entries: list[LogEntry] = []
        for reply in found:
            if (sequence := _sequence(reply)) <= sequence_of(after):
                continue
            known = prev if entries or is_kept else sequence - 1
            entry = _decode(reply, log, known)
            entries.append(entry if entries or is_kept else _joined(entry, after))
            prev = sequence
        return entries

    async def messages_before(self, log: LogRef, before: MessageId | None, *, limit: int) -> list[StoredMessage]:
        """The newest `limit` messages with lower ids, in order; what else stands in the log is passed over. A direct
        get reads forwards alone: so this reads ranges of sequences, each below the one before it, longer where that had
        few of this log, and shorter where it has too many. Raises BusUnavailable."""
        last = sequence_of(await self.last_id(log))
        end = last if before is None else min(last, (before - 1 - log.partition) // PARTITIONS)
        first = await self._first(log) if end > 0 else 1
        page: list[StoredMessage] = []
        few = max(limit, _FEW)
        span, longest, most = few, last, 2 * few
        while end >= first and len(page) < limit:
            begin = max(first, end - span + 1)
            replies = await self._range(log, begin, end, at_most=most)
            if replies is None:
                span = longest = max(few, span // _RANGE_SHRINKS)
                continue
            found = (_decode(reply, log, 0) for reply in replies)
            page[:0] = [entry for entry in found if isinstance(entry, StoredMessage)]
            most = min(2 * most, _RANGE_HOLDS) if 4 * len(replies) > most else 2 * few
            grows = min(_RANGE_GROWS, most // (2 * len(replies))) if replies else _RANGE_GROWS
            end, longest = begin - 1, 2 * longest
            span = min(span * max(grows, 1), longest)
        return page[-limit:]

    async def _first(self, log: LogRef) -> int:
        """The oldest sequence of the log. Raises BusUnavailable."""
        replies = await self._get(log, {"seq": 1, "next_by_subj": log_subject(log), "batch": 1}, is_batch=True)
        if not replies:
            raise BusUnavailable("the stream gives less than it has")
        return _sequence(replies[0])

    async def _range(self, log: LogRef, begin: int, end: int, *, at_most: int) -> list[Reply] | None:
        """All entries of the log in a range of sequences below its last; None: they are more than `at_most`. Any
        replica answers, and is believed where it has something at the end of the range or behind it. Raises
        BusUnavailable."""
        subject = log_subject(log)
        batch = min(at_most, end - begin + 1) + 1  # one more than may be in it: what lies behind it, or too many
        query = {"seq": begin, "next_by_subj": subject, "batch": batch}
        replies = _of_subject(await self._get(log, query, is_batch=True), subject)
        reached = _sequence(replies[-1]) if replies else begin - 1
        if reached < end and len(replies) < batch:
            raise BusUnavailable("the stream gives less than it has")  # a replica that lags has answered
        inside = [reply for reply in replies if _sequence(reply) <= end]
        return None if len(inside) > at_most else inside

    async def last_id(self, log: LogRef) -> MessageId:
        """The id of the newest entry, or 0, as the stream's leader has it. Raises BusUnavailable."""
        return entry_id(await self._last(log, log_subject(log)), log.partition)

    async def erasures(self, log: LogRef) -> list[Erasure]:
        """What takes messages back, in order, as far as the stream's leader knew when this was asked. Raises
        BusUnavailable, also where the replica that answers lags."""
        subject = erasures_subject(log)
        last, sequence, found = await self._last(log, subject), 0, []
        while sequence < last:
            query = {"seq": sequence + 1, "next_by_subj": subject, "batch": _ERASURES_AT_ONCE}
            replies = _of_subject(await self._get(log, query, is_batch=True), subject)
            if not replies:
                raise BusUnavailable("the stream gives less than it has")
            found += [entry for reply in replies if isinstance(entry := _decode(reply, log, 0), Erasure)]
            sequence = _sequence(replies[-1])
        return found

    async def _last(self, log: LogRef, subject: str) -> int:
        """The newest sequence of a subject as the stream's leader has it; 0: none."""
        message = await self._ask_leader(log, {"last_by_subj": subject})
        return 0 if message is None else int(message["seq"])

    async def _ask_leader(self, log: LogRef, query: dict[str, Any]) -> dict[str, Any] | None:
        """One stored message as the stream's leader has it; None: there is none."""
        answer = await self._ask_api(f"STREAM.MSG.GET.{stream_name(log.partition)}", query)
        await self._demand_leader(log.partition)
        if "message" in answer:
            found: dict[str, Any] = answer["message"]
            return found
        if answer.get("error", {}).get("err_code") != _NO_MESSAGE:
            raise BusUnavailable("the stream does not answer")
        return None

    async def _demand_leader(self, partition: int) -> None:
        """Make sure that who has just answered as the stream's leader was that: one that is cut off from the other
        replicas answers for some ten seconds more, without what the next one has stored meanwhile. It was if it heard
        of enough of the others so lately that they cannot have elected another one. Raises BusUnavailable."""
        answered_s = time.monotonic()
        async with self._asking_leader.setdefault(partition, asyncio.Lock()):
            for _ in range(_LEADER_TRIES):
                if self._led_until_s.get(partition, 0.0) >= answered_s:
                    return
                info = await self._ask_api(f"STREAM.INFO.{stream_name(partition)}", {})
                silent_s = _silence_of_majority_s(info)
                if silent_s <= _LEADER_LEASE_S:
                    self._led_until_s[partition] = answered_s + _LEADER_LEASE_S - silent_s
                    return
                await asyncio.sleep(_LEADER_PAUSE_S)
        raise BusUnavailable("the stream's leader is cut off from the other replicas")

    async def _ask_api(self, request: str, query: dict[str, Any]) -> dict[str, Any]:
        ((_, payload),) = await self._ask_for(f"$JS.API.{request}", query)
        answer: dict[str, Any] = json.loads(payload)
        return answer

    async def _last_up_to(self, log: LogRef, subject: str, sequence: int) -> int:
        """The newest sequence that is not newer than this one: what the headers of a direct get do not tell."""
        if sequence < 1:
            return 0
        query = {"multi_last": [subject], "up_to_seq": sequence, "batch": 1}
        replies = await self._get(log, query, is_batch=True)
        return _sequence(replies[0]) if replies else 0

    async def _get(self, log: LogRef, query: dict[str, Any], *, is_batch: bool = False) -> list[Reply]:
        subject = f"$JS.API.DIRECT.GET.{stream_name(log.partition)}"
        return await self._ask_for(subject, query, is_batch=is_batch)

    async def _ask_for(self, subject: str, query: dict[str, Any], *, is_batch: bool = False) -> list[Reply]:
        for deadline in self._deadlines:
            with suppress(TimeoutError):
                return await self._ask_once(subject, query, deadline, is_batch=is_batch)
        raise BusUnavailable("no answer from the stream")

    async def _ask_once(
        self, subject: str, query: dict[str, Any], deadline: Deadline[None], *, is_batch: bool
    ) -> list[Reply]:
        self._next += 1
        number = self._next
        question = self._questions[number] = _Question(is_batch=is_batch)
        try:
            self._ask(subject, f"{self._inbox}.{number}", json.dumps(query).encode())
            await deadline.watch(question.done)
        finally:
            del self._questions[number]
        return question.replies


def _silence_of_majority_s(info: dict[str, Any]) -> float:
    """For how long a stream's leader has not heard of as many others as make a majority with it; 0 where it is alone.
    Raises BusUnavailable where this is no answer of a leader."""
    if "error" in info:
        raise BusUnavailable("the stream does not answer")
    replicas = (info.get("cluster") or {}).get("replicas") or []
    silences_s = sorted(replica.get("active", math.inf) / 1e9 for replica in replicas)
    return silences_s[(len(replicas) + 1) // 2 - 1] if replicas else 0.0


def _sequence(reply: Reply) -> int:
    return read_number(reply[0], b"Nats-Sequence: ")


def _joined(first: LogEntry, after: MessageId) -> LogEntry:
    """What takes back an entry up to `after` is still there, so nothing between them was let go of by the stream."""
    match first:
        case MessageDeleted(message_id=reaches) | MessagesPurged(up_to_id=reaches) | RoomCleared(up_to_id=reaches):
            return replace(first, prev_id=after) if reaches <= after else first
        case _:
            return first


def _of_subject(replies: list[Reply], subject: str) -> list[Reply]:
    """In order, and without what somebody else was answered."""
    return [reply for reply in sorted(replies, key=_sequence) if read_text(reply[0], b"Nats-Subject: ") == subject]


def _decode(reply: Reply, log: LogRef, prev: int) -> LogEntry:
    return decode_entry(*reply, log.partition, prev_id=entry_id(prev, log.partition))


class DuplicateAcks:
    """Remembers who is to hear of a duplicate, for some seconds and up to a limit.

    Whoever hears nothing looks the outcome up, so that the oldest may be forgotten when there are too many.
    `not_stored` is called with what the stream answered where it did not take a message.
    """

    def __init__(self, not_stored: Callable[[str], None]) -> None:
        self._not_stored = not_stored
        self._next = 0
        self._waiting: OrderedDict[int, tuple[float, Callable[[int], None]]] = OrderedDict()

    def expect(self, duplicate: Callable[[int], None], *, now_s: float) -> int:
        """A number for the reply subject of one message; `duplicate` is called with the sequence it is stored under."""
        self._drop_old(now_s)
        self._next += 1
        self._waiting[self._next] = (now_s, duplicate)
        return self._next

    def receive(self, subject: bytes, headers: bytes, payload: bytes) -> None:
        """Handle one acknowledgement: only duplicates are of interest, errors are counted and left to the look-up."""
        waiting = self._waiting.pop(int(subject.rpartition(b".")[2]), None)
        if waiting is None:
            return
        if b'"error"' in payload or not payload:
            self._not_stored((payload or headers)[:200].decode(errors="replace"))
        elif b'"duplicate"' in payload:
            answer = json.loads(payload)
            if answer.get("duplicate"):
                waiting[1](int(answer["seq"]))

    def clear(self) -> None:
        """The connection is lost, and with it every acknowledgement on its way."""
        self._waiting.clear()

    def _drop_old(self, now_s: float) -> None:
        while self._waiting:
            number, (since_s, _) = next(iter(self._waiting.items()))
            if len(self._waiting) < _ACKS_LIMIT and since_s > now_s - _FORGET_ACKS_AFTER_S:
                return
            del self._waiting[number]

"""Answers that come to a worker's inbox: stored messages that were asked for, acknowledgements of published ones."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from ws_edge.adapters.nats.events import decode_message, read_number, read_status, read_text, stored_subject
from ws_edge.adapters.nats.stream import STREAM
from ws_edge.errors import BusUnavailable
from ws_edge.protocol.identity import Life, MessageId, RoomId
from ws_edge.protocol.rooms import StoredMessage

_log = structlog.get_logger(__name__)

_END_OF_BATCH = 204
_NOT_FOUND = 404
_NO_MESSAGE = 10037
_SUBJECT_PREFIX = "salon.v1.room."
_DEADLINE_S = 2.0

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

    async def message(self, message_id: MessageId) -> StoredMessage | None:
        """One message by its id. Raises BusUnavailable."""
        replies = await self._get({"seq": message_id})
        if not replies:
            return None
        headers, payload = replies[0]
        subject = read_text(headers, b"Nats-Subject: ")
        if not subject.startswith(_SUBJECT_PREFIX):
            return None
        return _decode(headers, payload, await self._last_up_to(subject, message_id - 1))

    async def messages_after(self, room_id: RoomId, life: Life, after: MessageId, *, limit: int) -> list[StoredMessage]:
        """At most `limit` messages of the room with higher ids, in order. Any replica answers, and one that lags gives
        fewer: they are all only where they reach last_message_id. Raises BusUnavailable.

        The first one's prev_id is the newest message up to `after`; where none of those is kept any more, and there
        were some, it is the id before its own, so that the gap shows."""
        subject = stored_subject(room_id, life)
        prev_id = await self._last_up_to(subject, after)
        # From there on, not from behind it: the replica that answers may be another one, and may have let go of it.
        query = {"seq": prev_id or after + 1, "next_by_subj": subject, "batch": limit + bool(prev_id)}
        replies = sorted(await self._get(query, is_batch=True), key=_sequence)
        found = [reply for reply in replies if read_text(reply[0], b"Nats-Subject: ") == subject]
        is_kept = not after or (bool(prev_id) and bool(found) and _sequence(found[0]) == prev_id)
        messages: list[StoredMessage] = []
        for headers, payload in found:
            if (sequence := _sequence((headers, payload))) <= after:
                continue
            known = prev_id if messages or is_kept else MessageId(sequence - 1)
            if (message := _decode(headers, payload, known)) is not None:
                messages.append(message)
                prev_id = message.id
        return messages

    async def messages_before(
        self, room_id: RoomId, life: Life, before: MessageId | None, *, limit: int
    ) -> list[StoredMessage]:
        """The newest `limit` messages of the room with lower ids, in order. A direct get reads forwards alone, so that
        this asks once for each of them. Raises BusUnavailable."""
        subject = stored_subject(room_id, life)
        last_id = await self.last_message_id(room_id, life)
        up_to = last_id if before is None else min(last_id, before - 1)
        newest_first: list[Reply] = []
        while up_to > 0 and len(newest_first) < limit:
            replies = await self._get({"multi_last": [subject], "up_to_seq": up_to, "batch": 1}, is_batch=True)
            if up_to == last_id and (not replies or _sequence(replies[0]) != last_id):
                raise BusUnavailable("the stream gives less than it has")  # a replica that lags has answered
            if not replies:
                break
            newest_first.append(replies[0])
            up_to = _sequence(replies[0]) - 1
        prev_id = MessageId(0)
        messages = []
        for headers, payload in reversed(newest_first):
            if (message := _decode(headers, payload, prev_id)) is not None:
                messages.append(message)
                prev_id = message.id
        return messages

    async def last_message_id(self, room_id: RoomId, life: Life) -> MessageId:
        """The id of the room's newest message, or 0, as the stream's leader has it. Raises BusUnavailable."""
        query = {"last_by_subj": stored_subject(room_id, life)}
        ((_, payload),) = await self._ask_for(f"$JS.API.STREAM.MSG.GET.{STREAM}", query)
        answer = json.loads(payload)
        if "message" in answer:
            return MessageId(answer["message"]["seq"])
        if answer.get("error", {}).get("err_code") != _NO_MESSAGE:
            raise BusUnavailable("the stream does not answer")
        return MessageId(0)

    async def _last_up_to(self, subject: str, message_id: int) -> MessageId:
        """The newest message that is not newer than this one: what the headers of a direct get do not tell."""
        if message_id < 1:
            return MessageId(0)
        replies = await self._get({"multi_last": [subject], "up_to_seq": message_id, "batch": 1}, is_batch=True)
        return MessageId(read_number(replies[0][0], b"Nats-Sequence: ")) if replies else MessageId(0)

    async def _get(self, query: dict[str, Any], *, is_batch: bool = False) -> list[Reply]:
        return await self._ask_for(f"$JS.API.DIRECT.GET.{STREAM}", query, is_batch=is_batch)

    async def _ask_for(self, subject: str, query: dict[str, Any], *, is_batch: bool = False) -> list[Reply]:
        self._next += 1
        number = self._next
        question = self._questions[number] = _Question(is_batch=is_batch)
        try:
            self._ask(subject, f"{self._inbox}.{number}", json.dumps(query).encode())
            async with asyncio.timeout(_DEADLINE_S):
                await question.done
        except TimeoutError as reason:
            raise BusUnavailable("no answer from the stream") from reason
        finally:
            del self._questions[number]
        return question.replies


def _sequence(reply: Reply) -> int:
    return read_number(reply[0], b"Nats-Sequence: ")


def _decode(headers: bytes, payload: bytes, prev_id: MessageId) -> StoredMessage | None:
    """None for what somebody else has put into the stream: it was not fanned out either."""
    try:
        return decode_message(headers, payload, prev_id=prev_id)
    except (DecodeError, ValueError) as reason:
        _log.warning("stored_message_malformed", reason=repr(reason))
        return None


class DuplicateAcks:
    """Remembers who is to hear of a duplicate, for some seconds and up to a limit.

    Whoever hears nothing looks the outcome up, so that the oldest may be forgotten when there are too many.
    `not_stored` is called with what the stream answered where it did not take a message.
    """

    def __init__(self, not_stored: Callable[[str], None]) -> None:
        self._not_stored = not_stored
        self._next = 0
        self._waiting: OrderedDict[int, tuple[float, Callable[[MessageId], None]]] = OrderedDict()

    def expect(self, duplicate: Callable[[MessageId], None], *, now_s: float) -> int:
        """A number for the reply subject of one message."""
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
                waiting[1](MessageId(int(answer["seq"])))

    def clear(self) -> None:
        """The connection is lost, and with it every acknowledgement on its way."""
        self._waiting.clear()

    def _drop_old(self, now_s: float) -> None:
        while self._waiting:
            number, (since_s, _) = next(iter(self._waiting.items()))
            if len(self._waiting) < _ACKS_LIMIT and since_s > now_s - _FORGET_ACKS_AFTER_S:
                return
            del self._waiting[number]

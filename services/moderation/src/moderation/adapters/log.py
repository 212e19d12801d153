"""The logs of rooms in JetStream: one subject a life, in one stream a partition.

What decides is asked of the stream's leader; what is many is read in batches from any of its replicas. One that lags
gives fewer, so that a batch counts for what lies before its last message, and reading ends only where the leader said
that it ends."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.nats_connection import NATS_TROUBLES, NatsConnection
from chassis.traces import trace_headers
from moderation.adapters.log_entries import Stored, encode_change, message_of, takes_back
from moderation.domain.commands import LogChange, OutboxItem
from moderation.domain.erasures import Erasure, LoggedMessage, LogRef
from moderation.domain.holds import Publication
from moderation.domain.reports import Neighbours
from moderation.errors import ClaimLost, LogUnavailable

PARTITIONS = 256
_DEADLINE_S = 2.0
_BATCH = 100
"""Messages of one answer: the client reads one after the other before anything else has its turn."""
_LAG_PAUSE_S = 0.1
_LAG_PAUSES = 50
_CLOCKS_APART_MS = 60_000
_NO_MESSAGE = 10037
_SEQUENCE_NOT_FOUND = 10043
_END_OF_BATCH, _NOT_FOUND = "204", "404"
_NOT_THE_LAST = (10071, 10164)
_KEY = "Nats-Msg-Id"
_LAST, _LAST_OF = "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_LOOKED_BACK = (64, 512, 4_096)
"""Sequences of the stream, for the messages before one: JetStream reads forwards alone, rooms are more or less busy,
and by time a busy one would have no bound."""
_NEIGHBOURS_WITHIN_MS = 600_000


class NatsLog:
    """The port RoomLog, on a connection that its owner runs."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def find(self, log: LogRef, message_id: int) -> LoggedMessage | None:
        """See RoomLog."""
        sequence, partition = divmod(message_id, PARTITIONS)
        if sequence < 1 or partition != log.partition:
            return None
        found = await self._stored(log, {"seq": sequence})
        if found is None:
            await self._demand_leader(log)
            found = await self._stored(log, {"seq": sequence})
        return None if found is None else message_of(found)

    async def neighbours(self, log: LogRef, message: LoggedMessage, *, count: int) -> Neighbours:
        """See RoomLog."""
        before: deque[int] = deque(maxlen=count)
        for back in _LOOKED_BACK:
            before.clear()
            async for batch in self._entries(log, message.id, max(message.id - back * PARTITIONS, 0), None):
                of_room = [found for stored in batch if (found := message_of(stored)) is not None]
                since_ms = message.at_ms - _NEIGHBOURS_WITHIN_MS
                before.extend(found.id for found in of_room if found.id < message.id and found.at_ms >= since_ms)
            if len(before) == count:
                break
        query = {"next_by_subj": _subject(log), "batch": _BATCH, "seq": message.id // PARTITIONS + 1}
        replies = await self._batch(f"$JS.API.DIRECT.GET.{_stream(log)}", query)
        following = [found.id for reply in replies if (found := message_of(_from_reply(log, reply))) is not None]
        return Neighbours(tuple(before), tuple(following[:count]))

    async def last_id(self, log: LogRef) -> int:
        """See RoomLog."""
        await self._demand_leader(log)
        found = await self._stored(log, {"last_by_subj": _subject(log)})
        return 0 if found is None else found.id

    async def messages(
        self, log: LogRef, up_to_id: int, *, since_ms: int | None = None
    ) -> AsyncIterator[list[LoggedMessage]]:
        """See RoomLog."""
        async for batch in self._entries(log, up_to_id, 0, since_ms):
            yield [message for stored in batch if (message := message_of(stored)) is not None]

    async def announce(self, item: OutboxItem, erasure: Erasure) -> None:
        """See RoomLog."""
        *older, told = erasure.parts
        for number, part in enumerate(older):
            await self._publish(item, part, ".erasures", f"{item.key}.erasures.{number}")
        await self._publish(item, told, ".erasures", f"{item.key}.erasures")

    async def bar(self, log: LogRef, key: str) -> int:
        """See RoomLog. An empty message on a subject of its own, which `append` names as the last one that it knows. It
        is purged with the log."""
        answer = await self._request(_bar(log, key), b"", {"Nats-Expected-Stream": _stream(log)})
        return _sequence(answer)

    async def append(self, item: OutboxItem, *, barred_at: int = 0) -> int:
        """See RoomLog."""
        change = item.change
        if isinstance(change, Publication):
            expected = {_LAST: str(barred_at), _LAST_OF: _bar(change.log, item.key)}
            return await self._publish(item, change, "", item.key, expected)
        told = change.parts[-1] if isinstance(change, Erasure) else change
        return await self._publish(item, told, "", item.key)

    async def find_entry(self, item: OutboxItem) -> int | None:
        """See RoomLog."""
        log, after_id, since_ms = item.change.log, item.change.last_id, None
        if isinstance(item.change, Publication):  # it may stand anywhere behind the decision
            since_ms = item.made_at_ms - _CLOCKS_APART_MS
        last_id = await self.last_id(log)
        if last_id <= after_id:
            return None
        async for batch in self._entries(log, last_id, after_id, since_ms):
            for stored in batch:
                if stored.key == item.key:
                    return stored.id
                if isinstance(item.change, Publication) and _is_taken_back(stored, item, item.change):
                    return stored.id
        return None

    async def erase(self, log: LogRef, message_id: int, *, overwrite: bool) -> None:
        """See RoomLog."""
        query = {"seq": message_id // PARTITIONS, "no_erase": not overwrite}
        answer = await self._ask(f"$JS.API.STREAM.MSG.DELETE.{_stream(log)}", query)
        if "error" in answer and answer["error"].get("err_code") not in (_SEQUENCE_NOT_FOUND, _NO_MESSAGE):
            raise LogUnavailable(str(answer["error"].get("description")))

    async def erase_up_to(self, log: LogRef, last_id: int) -> None:
        """See RoomLog."""
        query = {"filter": _subject(log), "seq": last_id // PARTITIONS + 1}
        answer = await self._ask(f"$JS.API.STREAM.PURGE.{_stream(log)}", query)
        if "error" in answer:
            raise LogUnavailable(str(answer["error"].get("description")))

    async def _demand_leader(self, log: LogRef) -> None:
        """Have the stream store something: one that is cut off from the other replicas cannot, and would go on to
        answer as the leader, without what the next one has stored."""
        answer = await self._request(f"salon.v1.log.{log.partition}.fence", b"", {"Nats-Expected-Stream": _stream(log)})
        sequence = _sequence(answer)
        with suppress(LogUnavailable):  # it has told what it was for, and the next one goes
            await self._ask(f"$JS.API.STREAM.MSG.DELETE.{_stream(log)}", {"seq": sequence, "no_erase": True})

    async def _publish(
        self, item: OutboxItem, part: LogChange, ending: str, key: str, expected: Mapping[str, str] = _NOTHING
    ) -> int:
        log = part.log
        headers = {_KEY: key, "Nats-Expected-Stream": _stream(log), **expected, **(trace_headers() or {})}
        payload = encode_change(item.action_id, part)
        answer = await self._request(_subject(log) + ending, payload, headers)
        if answer.get("error", {}).get("err_code") in _NOT_THE_LAST:
            raise ClaimLost
        return _sequence(answer) * PARTITIONS + log.partition

    async def _stored(self, log: LogRef, query: dict[str, Any]) -> Stored | None:
        """What the leader has, if it is an entry of that log."""
        answer = await self._ask(f"$JS.API.STREAM.MSG.GET.{_stream(log)}", query)
        if "message" not in answer:
            if answer.get("error", {}).get("err_code") == _NO_MESSAGE:
                return None
            raise LogUnavailable(str(answer.get("error", {}).get("description", "no message")))
        message = answer["message"]
        if message["subject"] != _subject(log):
            return None
        headers = base64.b64decode(message.get("hdrs", "")).decode("utf-8", "replace")
        return Stored(
            int(message["seq"]) * PARTITIONS + log.partition,
            _unix_ms(message["time"]),
            _header(headers, _KEY),
            base64.b64decode(message.get("data", "")),
        )

    async def _entries(
        self, log: LogRef, up_to_id: int, after_id: int, since_ms: int | None
    ) -> AsyncIterator[list[Stored]]:
        """Every entry behind `after_id` up to one that the leader has, or to one behind it. A replica that lags has
        ended too early: whoever answers next goes on."""
        at, pauses = after_id // PARTITIONS + 1, 0
        while pauses < _LAG_PAUSES:
            query = {"next_by_subj": _subject(log), "batch": _BATCH}
            query |= {"seq": at} if since_ms is None else {"start_time": _rfc3339(since_ms)}
            found = [
                _from_reply(log, reply) for reply in await self._batch(f"$JS.API.DIRECT.GET.{_stream(log)}", query)
            ]
            if meant := [stored for stored in found if stored.id <= up_to_id]:
                yield meant
            if found and found[-1].id >= up_to_id:
                return
            if found:
                at, since_ms = found[-1].id // PARTITIONS + 1, None
            elif await self._is_all(log, up_to_id, at, since_ms):
                return
            else:
                pauses += 1
                await asyncio.sleep(_LAG_PAUSE_S)
        raise LogUnavailable("the stream gives less than it has")

    async def _is_all(self, log: LogRef, up_to_id: int, at: int, since_ms: int | None) -> bool:
        """Whether the leader, too, has nothing there: the entry up to which to read may have been erased meanwhile."""
        if since_ms is not None:
            last = await self._stored(log, {"last_by_subj": _subject(log)})
            return last is None or last.at_ms < since_ms
        following = await self._stored(log, {"seq": at, "next_by_subj": _subject(log)})
        return following is None or following.id > up_to_id

    async def _ask(self, subject: str, query: dict[str, Any]) -> dict[str, Any]:
        return await self._request(subject, json.dumps(query).encode(), None)

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        async with self._answering() as client:
            reply = await client.request(subject, payload, timeout=_DEADLINE_S, headers=headers)
            answer: dict[str, Any] = json.loads(reply.data or b"{}")
            return answer

    async def _batch(self, subject: str, query: dict[str, Any]) -> list[Msg]:
        """The answers to one question that has many."""
        replies: list[Msg] = []
        status: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def receive(reply: Msg) -> None:
            said = (reply.headers or {}).get("Status")
            if said is None:
                replies.append(reply)
            elif not status.done():
                status.set_result(said)

        async with self._answering() as client:
            inbox = client.new_inbox()
            subscription = await client.subscribe(inbox, cb=receive)
            try:
                await client.publish(subject, json.dumps(query).encode(), reply=inbox)
                async with asyncio.timeout(_DEADLINE_S):
                    said = await status
            finally:
                await subscription.unsubscribe()
        if said not in (_END_OF_BATCH, _NOT_FOUND):
            raise LogUnavailable(f"the stream answered {said}")
        return replies

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[Client]:
        if not self._connection.is_connected:
            raise LogUnavailable("NATS is away")
        try:
            yield self._connection.client
        except (*NATS_TROUBLES, ValueError) as problem:
            raise LogUnavailable(f"no answer from the stream: {type(problem).__name__}") from problem


def _is_taken_back(stored: Stored, item: OutboxItem, change: Publication) -> bool:
    return takes_back(stored, item.key, change.message.target, since_ms=item.made_at_ms)


def _sequence(acknowledgement: dict[str, Any]) -> int:
    if "seq" not in acknowledgement or "error" in acknowledgement:
        raise LogUnavailable(str(acknowledgement.get("error", {}).get("description", "no acknowledgement")))
    return int(acknowledgement["seq"])


def _bar(log: LogRef, key: str) -> str:
    return f"{_subject(log)}.barred.{key}"


def _stream(log: LogRef) -> str:
    return f"SALON_LOG_{log.partition}"


def _subject(log: LogRef) -> str:
    return f"salon.v1.log.{log.partition}.{log.room_id}.{log.life}"


def _from_reply(log: LogRef, reply: Msg) -> Stored:
    headers = reply.headers or {}
    sequence, at = int(headers["Nats-Sequence"]), headers["Nats-Time-Stamp"]
    return Stored(sequence * PARTITIONS + log.partition, _unix_ms(at), headers.get(_KEY, ""), reply.data)


def _header(headers: str, name: str) -> str:
    begin = f"{name}: "
    return next((line.removeprefix(begin) for line in headers.split("\r\n") if line.startswith(begin)), "")


def _unix_ms(text: str) -> int:
    """Of RFC 3339 with up to nine digits of a second, in UTC."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1000 + int((fraction + "000")[:3])


def _rfc3339(unix_ms: int) -> str:
    seconds, ms = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03}Z"

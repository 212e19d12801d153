"""The bus over NATS: the logs of rooms stored and ordered by JetStream, everything else on core subjects."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from uuid import uuid4

import structlog
from nats.js.errors import APIError

from chassis.logs import LogSummary
from chassis.nats_connection import NATS_TROUBLES, NatsAccess
from chassis.tasks import Tasks
from chassis.traces import hold_trace
from salon.events.v1.events_pb2 import EmotesChanged, LogReached, ParticipantReturned, RoomDeleted
from salon.moderation.v1.moderation_pb2 import (
    FeedReached,
    HoldEvent,
    RevocationEvent,
    RoomRoles as RoomRolesMessage,
    SanctionEvent as SanctionEventMessage,
    WarningEvent,
)
from ws_edge.adapters.deadlines import Deadline
from ws_edge.adapters.grpc.convert import (
    event_from_proto,
    holds_from_proto,
    revocations_from_proto,
    roles_from_proto,
    warnings_from_proto,
)
from ws_edge.adapters.nats.events import (
    decode_entry,
    decode_presence,
    decode_reactions,
    decode_typing,
    encode_message,
    encode_reactions,
    encode_typing,
    live_subject,
    log_subject,
    read_trace_header,
)
from ws_edge.adapters.nats.replies import DuplicateAcks, NatsHistory
from ws_edge.adapters.nats.stream import DEFAULT_MAX_BYTES, LogStream, LogStreams
from ws_edge.adapters.nats.wire import Handler, WireClient
from ws_edge.errors import BusUnavailable, RoomsUnavailable, StreamUnsettled
from ws_edge.ports import Incident, LogMemory, RoomListener, WorkerListener
from ws_edge.protocol.identity import Life, MessageId, Slug, Speaker
from ws_edge.protocol.log import Erasure, LogEntry, LogRef, StoredMessage, entry_id, message_key, sequence_of
from ws_edge.protocol.reactions import ReactionSums
from ws_edge.protocol.rooms import TypingChanged

_log = structlog.get_logger(__name__)

_DEADLINE_S = 2.0
_RECONNECT_WAIT_S = 0.2
_CONNECT_TIMEOUT_S = 2
_PING_INTERVAL_S = 3
_TROUBLES_LIMIT = 100
_BROADCAST = "salon.v1.broadcast"
_ENSURE_DEADLINE_S = 10.0
_LOOK_EVERY_S = 3.0
_LOOK_AT_MOST_EVERY_S = 0.2
_FAILED_LOOKS = 2
"""So many in a row, and the stream counts as away: one may have been lost."""


class NatsBus:
    """Implements Bus. Call `listen` once, then `start`. `edge` is the worker's incarnation; `max_bytes`, `replicas`:
    see LogStream; `count` is called with incidents."""

    def __init__(
        self,
        access: NatsAccess,
        edge: str,
        *,
        memory: LogMemory,
        unix_s: Callable[[], float],
        max_bytes: int = 0,
        replicas: int = 0,
        count: Callable[[Incident], None] = lambda _: None,
    ) -> None:
        self._access = access
        self._edge = edge
        self._inbox = f"_INBOX.salon.{edge}.{uuid4().hex[:8]}"
        self._wire = WireClient()
        self._confirmed = Deadline[bool](_DEADLINE_S, TimeoutError)
        self._acks = DuplicateAcks(self._not_stored)
        self._history = NatsHistory(self._ask, f"{self._inbox}.get")
        self._listener: WorkerListener | None = None
        self._is_subscribed = False
        self._first_ready = asyncio.Event()
        self._link_up = asyncio.Event()
        self._link_closed = asyncio.Event()
        self._link_number = 0
        self._highest_ids: dict[int, MessageId] = {}
        self._reported: set[str] = set()
        self._streams = LogStreams(
            lambda partition: LogStream(
                partition,
                memory,
                max_bytes=max_bytes,
                replicas=replicas,
                seen=partial(self._highest_sequence, partition),
                unix_s=unix_s,
            ),
            began_anew=self._began_anew,
        )
        self._max_bytes = max_bytes
        self._count = count
        self._not_stored_log = LogSummary(_log, "message_not_stored")
        self._suspicion = asyncio.Event()
        self._restored = asyncio.Event()
        self._owes_subscriptions = True
        self._refused: set[int] = set()
        self._tasks = Tasks()

    @property
    def is_connected(self) -> bool:
        """NATS answers, the subscriptions stand and the stream of partition 0 is there. The other partitions are each
        there or not, and none is away because another one is."""
        return self._can_use(0)

    @property
    def is_stream_refused(self) -> bool:
        """NATS answers, and does not let the stream of some partition be as it has to be."""
        return bool(self._refused)

    @property
    def highest_sequences(self) -> Mapping[int, int]:
        """The highest sequence of each partition's stream that this worker has heard of."""
        return {partition: sequence_of(entry) for partition, entry in self._highest_ids.items()}

    def listen(self, listener: WorkerListener) -> None:
        """Who hears what is not of one room; before start, once."""
        self._listener = listener
        self._wire.add("salon.v1.moderation.sanction", self._receive_sanction)
        self._wire.add("salon.v1.moderation.warning", self._receive_warnings)
        self._wire.add("salon.v1.moderation.roles", self._receive_roles)
        self._wire.add("salon.v1.moderation.tokens", self._receive_revocations)
        self._wire.add("salon.v1.moderation.feed", self._receive_feed)
        self._wire.add("salon.v1.moderation.hold", self._receive_holds)
        self._wire.add("salon.v1.rooms.deleted", self._receive_deletion)
        self._wire.add("salon.v1.rooms.emotes", self._receive_emotes)
        self._wire.add(_BROADCAST, lambda _subject, _headers, payload: listener.broadcast_received(payload))

    async def start(self) -> None:
        """Begin connecting, for as long as it takes; waits a moment so that a NATS that is there is used at once."""
        self._wire.add(f"{self._inbox}.ack.*", self._acks.receive)
        self._wire.add(f"{self._inbox}.get.*", self._history.receive)
        self._tasks.spawn(self._keep_connected(), "nats connection")
        self._tasks.spawn(self._keep_prepared(), "nats preparation")
        self._tasks.spawn(self._watch_streams(), "message streams")
        self._tasks.spawn(self._tell_restored(), "restored streams")
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEADLINE_S):
                await self._first_ready.wait()

    async def stop(self) -> None:
        """Write out what is left and disconnect."""
        await self._tasks.stop()
        self._is_subscribed = False
        with suppress(*NATS_TROUBLES):
            if self._wire.is_connected:
                await self._confirmed.watch(self._wire.confirm())
        with suppress(*NATS_TROUBLES):
            async with asyncio.timeout(_DEADLINE_S):
                await self._wire.close()
        self._wire.drop()
        self._wire.abandon()

    async def subscribe(self, log: LogRef, listener: RoomListener) -> Callable[[], None]:
        """See ports.Bus: all who ask in one turn share one question to the server."""
        if not self._wire.is_connected:
            raise BusUnavailable("not connected")
        if log.partition not in self._streams:
            await self._add_stream(log.partition)
        sid = self._wire.add(live_subject(log, "*"), self._room_handler(log.partition, listener))
        try:
            is_confirmed = await self._confirmed.watch(self._wire.confirm())
        except TimeoutError as reason:
            self._wire.remove(sid)
            raise BusUnavailable("the subscription was not confirmed") from reason
        except BaseException:
            self._wire.remove(sid)
            raise
        if not is_confirmed:
            self._wire.remove(sid)
            raise BusUnavailable("the connection was lost")
        return lambda: self._wire.remove(sid)

    def publish_message(
        self,
        log: LogRef,
        speaker: Speaker,
        text: str,
        *,
        token: int,
        nonce: str,
        reply_to: MessageId | None = None,
        max_shown: int = 0,
        delay_ms: int = 0,
        duplicate: Callable[[MessageId], None],
    ) -> None:
        """See ports.Bus. Raises BusUnavailable."""
        subject = log_subject(log)
        payload = encode_message(
            speaker,
            text,
            edge=self._edge,
            token=token,
            nonce=nonce,
            reply_to=reply_to,
            max_shown=max_shown,
            delay_ms=delay_ms,
        )
        self._demand_stream(log)
        if not nonce:
            self._publish(subject, payload, may_wait=True)
            return
        self._demand_room()
        number = self._acks.expect(lambda at: duplicate(entry_id(at, log.partition)), now_s=time.monotonic())
        headers = f"NATS/1.0\r\nNats-Msg-Id: {message_key(speaker, log.life, nonce)}\r\n\r\n".encode()
        sizes = f"{len(headers)} {len(headers) + len(payload)}"
        head = f"HPUB {subject} {self._inbox}.ack.{number} {sizes}\r\n".encode()
        self._wire.send(b"".join((head, headers, payload, b"\r\n")), may_wait=True)

    def publish_typing(self, log: LogRef, change: TypingChanged) -> None:
        """See ports.Bus. Raises BusUnavailable."""
        self._publish(live_subject(log, "typing"), encode_typing(change))

    def publish_reactions(self, log: LogRef, sums: ReactionSums) -> None:
        """See ports.Bus. Raises BusUnavailable."""
        self._publish(live_subject(log, "reactions"), encode_reactions(sums, edge=self._edge))

    def publish_returned(self, log: LogRef, key: str, version: int) -> None:
        """See ports.Bus. Raises BusUnavailable."""
        event = ParticipantReturned(key=key, version=version)
        self._publish(live_subject(log, "returned"), event.SerializeToString())

    def publish_reached(self, log: LogRef, last_id: MessageId) -> None:
        """See ports.Bus. Raises BusUnavailable."""
        self._publish(live_subject(log, "reached"), LogReached(last_id=last_id).SerializeToString())

    def publish_broadcast(self, payload: bytes) -> None:
        """See ports.Bus. Raises BusUnavailable."""
        self._publish(_BROADCAST, payload)

    async def entry(self, log: LogRef, entry: MessageId) -> LogEntry | None:
        """See ports.Bus."""
        self._demand_stream(log)
        return await self._history.entry(log, entry)

    async def entries_after(self, log: LogRef, after: MessageId, *, limit: int) -> list[LogEntry]:
        """See ports.Bus."""
        self._demand_stream(log)
        return await self._history.entries_after(log, after, limit=limit)

    async def messages_before(self, log: LogRef, before: MessageId | None, *, limit: int) -> list[StoredMessage]:
        """See ports.Bus."""
        self._demand_stream(log)
        return await self._history.messages_before(log, before, limit=limit)

    async def last_id(self, log: LogRef) -> MessageId:
        """See ports.Bus."""
        self._demand_stream(log)
        return await self._history.last_id(log)

    async def erasures(self, log: LogRef) -> list[Erasure]:
        """See ports.Bus."""
        self._demand_stream(log)
        return await self._history.erasures(log)

    def epoch(self, log: LogRef) -> str:
        """See ports.Bus."""
        return f"{log.life}.{self._streams.epoch(log.partition)}"

    def _publish(self, subject: str, payload: bytes, *, may_wait: bool = False) -> None:
        self._demand_room()
        self._wire.send(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload), may_wait=may_wait)

    def _ask(self, subject: str, reply: str, payload: bytes) -> None:
        self._demand_room()
        self._wire.send(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(payload), payload))

    @property
    def _is_linked(self) -> bool:
        return self._is_subscribed and self._wire.is_connected

    def _can_use(self, partition: int) -> bool:
        return self._is_linked and self._streams.is_settled(partition)

    def _demand_room(self) -> None:
        if not self._is_linked or not self._wire.has_room:
            raise BusUnavailable("NATS takes nothing more" if self._is_linked else "not connected")

    def _demand_stream(self, log: LogRef) -> None:
        if not self._can_use(log.partition):
            raise BusUnavailable("the stream of this partition is not there" if self._is_linked else "not connected")

    def _highest_sequence(self, partition: int) -> int:
        return sequence_of(self._highest_ids.get(partition, MessageId(0)))

    def _room_handler(self, partition: int, listener: RoomListener) -> Handler:
        """The hot path: one call per event of a room."""
        highest_ids = self._highest_ids

        def receive(subject: bytes, headers: bytes, payload: bytes) -> None:
            if subject.endswith(b".log"):
                entry = decode_entry(headers, payload, partition)
                highest = highest_ids.get(partition, 0)
                if entry.id > highest:
                    highest_ids[partition] = entry.id
                elif entry.id < highest:
                    self._suspicion.set()  # the stream gives out what it had given out already
                listener.entry_stored(entry)
            elif subject.endswith(b".typing"):
                listener.typing_changed(decode_typing(payload))
            elif subject.endswith(b".presence"):
                listener.presence_changed(decode_presence(payload))
            else:
                self._receive_rare(subject, payload, listener)

        return receive

    def _receive_rare(self, subject: bytes, payload: bytes, listener: RoomListener) -> None:
        if subject.endswith(b".reactions"):
            edge, reacted = decode_reactions(payload)
            if edge != self._edge:
                listener.reactions_heard(reacted)
        elif subject.endswith(b".returned"):
            event = ParticipantReturned.FromString(payload)
            listener.participant_returned(event.key, event.version)
        elif subject.endswith(b".reached"):
            listener.log_reached(MessageId(LogReached.FromString(payload).last_id))

    def _not_stored(self, answer: str) -> None:
        self._count(Incident.MESSAGE_NOT_STORED)
        self._not_stored_log.note(answer=answer)
        self._suspicion.set()

    def _receive_sanction(self, _subject: bytes, headers: bytes, payload: bytes) -> None:
        with hold_trace(read_trace_header(headers)):
            event = event_from_proto(SanctionEventMessage.FromString(payload))
            _log.info("sanction_received", event_id=event.event_id)
            self._worker.sanction_changed(event)

    def _receive_warnings(self, _subject: bytes, headers: bytes, payload: bytes) -> None:
        with hold_trace(read_trace_header(headers)):
            self._worker.warnings_changed(warnings_from_proto(WarningEvent.FromString(payload).warnings))

    def _receive_roles(self, _subject: bytes, headers: bytes, payload: bytes) -> None:
        with hold_trace(read_trace_header(headers)):
            message = RoomRolesMessage.FromString(payload)
            _log.info("roles_received", version=message.version)
            self._worker.roles_changed(Slug(message.slug), roles_from_proto(message))

    def _receive_revocations(self, _subject: bytes, headers: bytes, payload: bytes) -> None:
        with hold_trace(read_trace_header(headers)):
            revocations = revocations_from_proto(RevocationEvent.FromString(payload).revocations)
            _log.info("tokens_revoked", count=len(revocations))
            self._worker.tokens_revoked(revocations)

    def _receive_feed(self, _subject: bytes, _headers: bytes, payload: bytes) -> None:
        self._worker.feed_reached({Slug(head.slug): head.event_id for head in FeedReached.FromString(payload).heads})

    def _receive_holds(self, _subject: bytes, headers: bytes, payload: bytes) -> None:
        with hold_trace(read_trace_header(headers)):
            self._worker.holds_changed(holds_from_proto(HoldEvent.FromString(payload).holds))

    def _receive_deletion(self, _subject: bytes, headers: bytes, payload: bytes) -> None:
        with hold_trace(read_trace_header(headers)):
            life = Life(RoomDeleted.FromString(payload).life)
            _log.info("room_deleted", life=life)
            self._worker.room_deleted(life)

    def _receive_emotes(self, _subject: bytes, _headers: bytes, payload: bytes) -> None:
        self._worker.emotes_changed(Slug(EmotesChanged.FromString(payload).slug))

    async def _keep_connected(self) -> None:
        """nats-py reconnects by itself, but gives up when the server refuses; then this begins anew."""
        while True:
            self._link_closed.clear()
            try:
                await self._wire.connect(
                    **self._access.options,
                    name=f"ws_edge {self._edge}",
                    error_cb=self._report,
                    disconnected_cb=self._went_down,
                    reconnected_cb=self._came_up,
                    closed_cb=self._closed,
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # declared int, used as seconds
                    max_reconnect_attempts=-1,
                    ping_interval=_PING_INTERVAL_S,
                )
            except NATS_TROUBLES as reason:
                self._wire.drop()
                await self._report(reason)
            else:
                await self._came_up()
                await self._link_closed.wait()
            await asyncio.sleep(_RECONNECT_WAIT_S)

    async def _keep_prepared(self) -> None:
        """After every (re)connect: the subscriptions stand, and each stream is there before anything is published to
        it."""
        while True:
            await self._link_up.wait()
            self._link_up.clear()
            pause_s = _RECONNECT_WAIT_S
            while self._wire.is_connected and not await self._prepare():
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._link_up.wait()
                pause_s = min(2 * pause_s, _LOOK_EVERY_S)
                self._link_up.clear()

    async def _prepare(self) -> bool:
        """Whether nothing is left to do."""
        link = self._link_number
        try:
            if self._owes_subscriptions:
                self._wire.resubscribe()
                self._owes_subscriptions = False
            await self._confirmed.watch(self._wire.confirm())
        except NATS_TROUBLES as reason:
            await self._report(reason)
            return False
        if link != self._link_number:
            return False
        self._is_subscribed = True
        await asyncio.gather(*(self._mend(partition) for partition in self._streams.due))
        return link == self._link_number and self._streams.are_settled

    async def _mend(self, partition: int) -> None:
        """Each by itself: what is the matter with one partition keeps none of the others waiting."""
        was_settled = self._streams.is_settled(partition)
        try:
            async with asyncio.timeout(_ENSURE_DEADLINE_S):
                is_restored = await self._settle(partition)
        except APIError:
            return  # reported already
        except (*NATS_TROUBLES, RoomsUnavailable, StreamUnsettled) as reason:
            await self._report(reason)
            return
        if partition == 0 and not was_settled and self.is_connected:
            self._reported.clear()
            _log.info("nats_ready")
            self._first_ready.set()
        if is_restored:
            self._restored.set()

    async def _add_stream(self, partition: int) -> None:
        """The first room of a partition opens here. Raises BusUnavailable; then it is tried again and again."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await self._settle(partition)
        except (*NATS_TROUBLES, RoomsUnavailable, StreamUnsettled) as reason:
            await self._report(reason)
            raise BusUnavailable("the stream of this partition is not there") from reason
        finally:
            if not self._streams.is_settled(partition):
                self._link_up.set()

    async def _settle(self, partition: int) -> bool:
        """See LogStreams.settle."""
        try:
            is_restored = await self._streams.settle(partition, self._wire.jsm())
        except APIError as refusal:
            if partition not in self._refused:
                limit = self._max_bytes or DEFAULT_MAX_BYTES
                _log.error("stream_refused", partition=partition, reason=str(refusal), max_bytes=limit)
            self._refused.add(partition)
            raise
        self._refused.discard(partition)
        return is_restored

    def _began_anew(self, partition: int) -> None:
        _log.warning("stream_began_anew", partition=partition)
        self._count(Incident.STREAM_BEGAN_ANEW)

    async def _watch_streams(self) -> None:
        """No event says that a stream was deleted, emptied or restored: look every few seconds, and at once where what
        arrives does not fit."""
        failures: Counter[int] = Counter()
        while True:
            await asyncio.sleep(_LOOK_AT_MOST_EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._suspicion.wait()
            self._suspicion.clear()
            if not self._is_linked:
                continue
            await asyncio.gather(*(self._look_at(partition, failures) for partition in self._streams.settled))
            for partition in self._streams.take_new_leaders():
                _log.info("stream_leader_changed", partition=partition)
                self._tell(self._worker.leader_changed, partition)
            if self._streams.due:
                self._link_up.set()

    async def _look_at(self, partition: int, failures: Counter[int]) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                is_whole = await self._streams.is_whole(partition, self._wire.jsm())
        except NATS_TROUBLES as reason:
            failures[partition] += 1
            await self._report(reason)
            is_whole = failures[partition] < _FAILED_LOOKS
        else:
            failures[partition] = 0
        if not is_whole:
            failures[partition] = 0
            self._streams.unsettle(partition)

    async def _tell_restored(self) -> None:
        """Streams that are mended together are told of together, but for the first."""
        while True:
            await self._restored.wait()
            self._restored.clear()
            self._tell(self._worker.bus_restored)
            await asyncio.sleep(_RECONNECT_WAIT_S)

    @property
    def _worker(self) -> WorkerListener:
        assert self._listener is not None
        return self._listener

    def _tell(self, what: Callable[..., None], *args: int) -> None:
        try:
            what(*args)
        except Exception:  # noqa: BLE001 - the listener's mistake must not end this task
            _log.exception("nats_handler_failed", subject="")

    async def _came_up(self) -> None:
        self._link_up.set()

    async def _went_down(self) -> None:
        if self._is_subscribed:
            _log.warning("nats_disconnected")
        self._is_subscribed = False
        self._streams.unsettle_all()
        self._refused.clear()
        self._owes_subscriptions = True
        self._link_number += 1
        self._wire.abandon()
        self._wire.forget_input()
        self._acks.clear()
        self._history.fail()

    async def _closed(self) -> None:
        self._link_closed.set()

    async def _report(self, error: Exception) -> None:
        # It tries each server five times a second: the same trouble is reported once.
        trouble = repr(error)
        if trouble not in self._reported and len(self._reported) < _TROUBLES_LIMIT:
            self._reported.add(trouble)
            if isinstance(error, RoomsUnavailable):
                _log.warning("stream_waits_for_rooms", error=trouble)
            else:
                _log.warning("nats_error", error=trouble)

"""The JetStream streams that store, order and republish the logs of rooms: one for each partition, whose sequences
become the ids of its entries."""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import replace

import structlog
from nats.js import JetStreamManager
from nats.js.api import DiscardPolicy, RePublish, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from ws_edge.errors import RoomsUnavailable, StreamUnsettled
from ws_edge.ports import LogMemory

_log = structlog.get_logger(__name__)

DEFAULT_MAX_BYTES = 512 * 1024 * 1024
"""Of a stream that has no limit; fits every configuration in deploy/."""
_LEAST_MAX_BYTES = 64 * 1024 * 1024
"""Of a stream for whose limit the server has no room: with less than this it is not made."""
LOG_LIMIT = 20_000
"""Entries of one log; the oldest go."""
_DAY_S = 24 * 60 * 60
_DUPLICATE_WINDOW_S = 120
_STREAM_NAME_IN_USE = 10058
_SEQUENCES_PER_S = 10_000
"""No stream takes as many messages a second for long: one that begins at the clock begins above all before it."""
_ROUNDS = 10


def stream_name(partition: int) -> str:
    """Of the stream that holds a partition of the logs."""
    return f"SALON_LOG_{partition}"


def _wanted(partition: int) -> StreamConfig:
    subjects = f"salon.v1.log.{partition}"
    return StreamConfig(
        name=stream_name(partition),
        subjects=[f"{subjects}.>"],
        republish=RePublish(src=f"{subjects}.*.*", dest="salon.v1.live.{{wildcard(1)}}.{{wildcard(2)}}.log"),
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=LOG_LIMIT,
        max_age=_DAY_S,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_direct=True,
    )


class LogStream:
    """Sees to it that the stream of a partition is there and goes on above every sequence that was ever given out.

    `max_bytes` 0: what the stream has, else DEFAULT_MAX_BYTES. `replicas` 0: what the stream has, else 1.
    `seen` is the highest sequence that this worker has heard of, asked for when it is needed.
    """

    def __init__(
        self,
        partition: int,
        memory: LogMemory,
        *,
        max_bytes: int,
        replicas: int,
        seen: Callable[[], int],
        unix_s: Callable[[], float],
    ) -> None:
        self._partition = partition
        self._name = stream_name(partition)
        self._wanted = _wanted(partition)
        self._memory = memory
        self._max_bytes = max_bytes
        self._replicas = replicas
        self._seen = seen
        self._unix_s = unix_s
        self._created: datetime.datetime | None = None
        self._known: int | None = None
        self._resumed = 0
        self._leader: tuple[str, datetime.datetime | None] | None = None
        self._has_new_leader = False
        self._end = 0
        self.is_verified = False
        """The rooms service was asked how far the stream had come."""

    @property
    def was_there(self) -> bool:
        """It has been seen to before."""
        return self._created is not None

    @property
    def epoch(self) -> str:
        """Another one wherever something that was stored is gone: the stream was made anew, or purged because it ended
        below what had been given out. The same for all workers."""
        made_us = 0 if self._created is None else int(self._created.timestamp() * 1_000_000)
        return f"{made_us:x}.{self._resumed:x}"

    async def ensure(self, manager: JetStreamManager) -> bool:
        """Create the stream, or bring an existing one to these settings; whatever else was chosen for it stays.
        Returns whether it is another one than at the last time, or lost some of its messages since.

        Several workers may do this at the same time. Raises nats.errors.Error, RoomsUnavailable, StreamUnsettled.
        """
        began_anew = False
        for _ in range(_ROUNDS):
            # In this order: a stream that is looked at later cannot end below this, unless it has lost something.
            highest = await self._remembered()
            info = await self._fitted(manager, highest + 1)
            if info is None:
                continue
            if info.state.last_seq >= highest:
                if await self._was_resumed():
                    continue  # another worker has purged it meanwhile
                began_anew |= self._created not in (None, info.created)
                self._created = info.created
                self._note(info)
                return began_anew
            decision = await self._memory.resume_log(self._partition, highest, behind=highest)
            purge_to, self._resumed = decision.purge_to, max(self._resumed, decision.resumed)
            if purge_to:
                _log.warning(
                    "stream_behind", stream=self._name, last=info.state.last_seq, remembered=highest, purge_to=purge_to
                )
                # May be repeated, also late: nothing that was stored at or above it is touched.
                await manager.purge_stream(self._name, seq=purge_to)
                began_anew = True
        raise StreamUnsettled

    async def is_whole(self, manager: JetStreamManager) -> bool:
        """Whether the stream is still there, the same, and reaches up to what was heard of it. Raises
        nats.errors.Error."""
        seen = max(self._seen(), self._known or 0)
        try:
            info = await manager.stream_info(self._name)
        except NotFoundError:
            return False
        if info.created != self._created or info.state.last_seq < seen:
            return False
        if info.state.first_seq > self._end + 1:
            self.is_verified = False  # perhaps purged for what it had lost, by a worker that had heard more of it
        self._note(info)
        return True

    def take_new_leader(self) -> bool:
        """Whether it has come to be led anew since this was last asked: what its leader stored last before may not have
        been republished by anybody."""
        was_led_anew, self._has_new_leader = self._has_new_leader, False
        return was_led_anew

    def _note(self, info: StreamInfo) -> None:
        self._end = info.state.last_seq
        if info.cluster is not None and info.cluster.leader:
            leader = (info.cluster.leader, info.cluster.leader_since)
            self._has_new_leader |= self._leader not in (None, leader)
            self._leader = leader

    async def _remembered(self) -> int:
        """While the rooms service is away a worker goes by its last answer and by what it has seen since. Joins fail
        meanwhile, so a worker that never had an answer has no members and may wait."""
        seen = self._seen()
        try:
            found = await self._memory.resume_log(self._partition, max(seen, self._known or 0))
        except RoomsUnavailable:
            self.is_verified = False
            if self._known is None:
                raise
            return max(seen, self._known)
        self.is_verified = True
        self._known = max(seen, found.highest)
        self._resumed = max(self._resumed, found.resumed)  # an older rooms service sends none
        return self._known

    async def _was_resumed(self) -> bool:
        """Whether there was a decision about this stream since _remembered asked."""
        before = self._resumed
        await self._remembered()
        return self._resumed != before

    async def _fitted(self, manager: JetStreamManager, above: int) -> StreamInfo | None:
        """The stream with our settings; None: it has to be looked at again."""
        try:
            info = await manager.stream_info(self._name)
        except NotFoundError:
            await self._create(manager, first_seq=max(above, int(self._unix_s() * _SEQUENCES_PER_S)))
            return None
        # first_seq is for creating alone: where an update raises it the server empties the stream at its next start.
        present = replace(info.config, first_seq=None)
        fitted = self._fit(present)
        if fitted != present:
            await _update(manager, present, fitted)
        return info

    def _fit(self, present: StreamConfig) -> StreamConfig:
        """The placement is the operator's; storage cannot be changed."""
        wanted = self._wanted
        return replace(
            present,
            subjects=wanted.subjects,
            republish=wanted.republish,
            discard=wanted.discard,
            max_msgs_per_subject=wanted.max_msgs_per_subject,
            max_age=wanted.max_age,
            max_bytes=self._limit(present.max_bytes),
            num_replicas=self._replicas or present.num_replicas,
            duplicate_window=wanted.duplicate_window,
            allow_direct=wanted.allow_direct,
        )

    def _limit(self, present: int | None) -> int:
        if self._max_bytes:
            return self._max_bytes
        return present if present is not None and present > 0 else DEFAULT_MAX_BYTES

    async def _create(self, manager: JetStreamManager, *, first_seq: int) -> None:
        limit = self._limit(None)
        try:
            wanted = replace(self._wanted, num_replicas=self._replicas or None, first_seq=first_seq)
            kept = await _add(manager, wanted, limit)
        except APIError as refusal:
            if refusal.err_code != _STREAM_NAME_IN_USE:
                raise
            # Another worker was quicker; if with other settings, the next look finds and corrects them.
        else:
            _log.info("stream_created", stream=self._name, first_seq=first_seq, max_bytes=kept)


class LogStreams:
    """The streams that a worker uses: that of partition 0 from its start on, others from their first room on.
    `began_anew` is called where one has lost something."""

    def __init__(self, make: Callable[[int], LogStream], *, began_anew: Callable[[int], None]) -> None:
        self._make = make
        self._began_anew = began_anew
        self._streams = {0: make(0)}
        self._settled: set[int] = set()
        self._settling: dict[int, asyncio.Lock] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._streams

    @property
    def settled(self) -> list[int]:
        """The partitions whose streams are there."""
        return list(self._settled)

    @property
    def are_settled(self) -> bool:
        """All are there."""
        return len(self._settled) == len(self._streams)

    @property
    def due(self) -> list[int]:
        """The partitions that have to be settled: not there, or the rooms service was not asked how far they had
        come."""
        return [
            partition
            for partition, stream in self._streams.items()
            if partition not in self._settled or not stream.is_verified
        ]

    def is_settled(self, partition: int) -> bool:
        """Its stream is there."""
        return partition in self._settled

    def epoch(self, partition: int) -> str:
        """See LogStream.epoch."""
        return self._streams[partition].epoch

    async def settle(self, partition: int, manager: JetStreamManager) -> bool:
        """See to one of them, which is used from now on. Returns whether it was there, was away, and is there again.
        Raises as LogStream.ensure does."""
        settled = self._settled
        if partition not in self._streams:
            self._streams[partition] = self._make(partition)
        stream = self._streams[partition]
        async with self._settling.setdefault(partition, asyncio.Lock()):
            if partition in settled and stream.is_verified:
                return False
            was_there = stream.was_there
            if await stream.ensure(manager):
                self._began_anew(partition)
            is_restored = was_there and partition not in settled and settled is self._settled
            settled.add(partition)
            return is_restored

    def unsettle(self, partition: int) -> None:
        """It has to be seen to again."""
        self._settled.discard(partition)

    def unsettle_all(self) -> None:
        """Also what is being settled at this moment, over a connection that is lost."""
        self._settled = set()

    async def is_whole(self, partition: int, manager: JetStreamManager) -> bool:
        """See LogStream.is_whole."""
        return await self._streams[partition].is_whole(manager)

    def take_new_leaders(self) -> list[int]:
        """The partitions of which LogStream.take_new_leader says so."""
        return [partition for partition, stream in self._streams.items() if stream.take_new_leader()]


async def _add(manager: JetStreamManager, wanted: StreamConfig, limit: int) -> int:
    """Make it with the limit, or where the server has no room for that with a smaller one: less is kept then, and that
    is better than no chat. Returns the limit."""
    tried, reason = limit, ""
    while True:
        try:
            await manager.add_stream(replace(wanted, max_bytes=tried))
        except APIError as refusal:
            smaller = min(tried // 2, DEFAULT_MAX_BYTES)
            if "insufficient storage" not in (refusal.description or "") or smaller < _LEAST_MAX_BYTES:
                raise
            reason, tried = str(refusal), smaller
        else:
            if tried != limit:
                _log.error("stream_limit_refused", stream=wanted.name, max_bytes=limit, kept=tried, reason=reason)
            return tried


async def _update(manager: JetStreamManager, present: StreamConfig, fitted: StreamConfig) -> None:
    try:
        await manager.update_stream(fitted)
    except APIError as refusal:
        kept = replace(fitted, max_bytes=present.max_bytes, num_replicas=present.num_replicas)
        if kept == fitted:
            raise
        if kept != present:
            await manager.update_stream(kept)
        # The server has no room for that limit, or the cluster not as many servers: chat goes on with what there is.
        wanted = {"max_bytes": fitted.max_bytes, "replicas": fitted.num_replicas}
        _log.error("stream_limit_refused", stream=fitted.name, **wanted, kept=present.max_bytes, reason=str(refusal))

"""The Events port on NATS: published at once or lost, but for the last presence event of each room, which comes
later."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator

import nats.errors
import nats.js.errors
import structlog

from chassis.nats_connection import NatsAccess, NatsConnection
from chassis.tasks import Tasks
from chassis.traces import trace_headers
from rooms.domain.people import Slug
from rooms.domain.presence import Announced, Changes, PresenceChanged
from rooms.domain.rooms import LifeEnded
from salon.events.v1 import events_pb2

STREAM_OF_BEFORE = "SALON_MESSAGES"
DELETED = "salon.v1.rooms.deleted"
EMOTES_CHANGED = "salon.v1.rooms.emotes"
_PRESENCE = "presence"
_EVENTS_WAITING = 10_000
_ROOMS_LOST = 10_000
_PEOPLE_BYTES = 48 * 1024
"""Of the people in one event: the servers take 64 KiB and more."""
_FRAMING_BYTES = 4
_PURGE_DEADLINE_S = 2.0
_log = structlog.get_logger()


class NatsEvents:
    """Start with `start`, which does not wait for NATS, and end with `close`. Reconnects forever."""

    def __init__(self, access: NatsAccess, *, count: Callable[[str, str], None] = lambda _kind, _outcome: None) -> None:
        """`count`: hears of each event its kind and what became of it, see telemetry.py."""
        self._count = count
        self._connection = NatsConnection(access, "rooms", connected=self._publish_lost)
        self._outgoing: asyncio.Queue[tuple[str, str, bytes, dict[str, str]]] = asyncio.Queue(_EVENTS_WAITING)
        self._lost: OrderedDict[str, tuple[bytes, dict[str, str]]] = OrderedDict()
        self._tasks = Tasks()

    def start(self) -> None:
        """Connect in the background."""
        self._tasks.spawn(self._connection.run(), "nats connection")
        self._tasks.spawn(self._publish_all(), "events")

    async def close(self) -> None:
        """Send what is buffered, then disconnect."""
        try:
            async with asyncio.timeout(0.5):
                await self._outgoing.join()
        except TimeoutError:
            _log.warning("events_lost_at_exit", waiting=self._outgoing.qsize())
        await self._tasks.stop()

    @property
    def is_connected(self) -> bool:
        """Whether events reach NATS just now."""
        return self._connection.is_connected

    def publish(self, changes: Changes) -> None:
        """What a transaction did, once it is committed."""
        for change in changes.presence:
            self.publish_presence(change)

    def publish_presence(self, change: PresenceChanged) -> None:
        """To the edges with members in the room."""
        subject = f"salon.v1.live.{change.room_id}.{change.life}.presence"
        for part in _parts(change):
            self._publish(_PRESENCE, subject, part.SerializeToString())

    def publish_room_deleted(self, ended: LifeEnded) -> None:
        """To every edge."""
        event = events_pb2.RoomDeleted(room_id=ended.room_id, life=ended.life, slug=ended.slug)
        self._publish("deleted", DELETED, event.SerializeToString())

    def publish_emotes_changed(self, slug: Slug) -> None:
        """To every edge."""
        self._publish("emotes", EMOTES_CHANGED, events_pb2.EmotesChanged(slug=slug).SerializeToString())

    async def purge(self, ended: LifeEnded) -> bool:
        """Whether nothing of the log of this life is stored any more; else it is to be tried again."""
        stream, subjects = _stored(ended)
        context = self._connection.client.jetstream(timeout=_PURGE_DEADLINE_S)
        try:
            for subject in subjects:
                await context.purge_stream(stream, subject=subject)
        except nats.js.errors.NotFoundError:
            return True  # no edge has made the stream yet
        except Exception as problem:  # noqa: BLE001 - whatever it was, other lives are to be purged
            self._count("purge", "failed")
            _log.warning("purge_failed", life=ended.life, reason=type(problem).__name__)
            return False
        self._count("purge", "published")
        return True

    def _publish(self, kind: str, subject: str, payload: bytes) -> None:
        """The trace is taken here: the task that sends holds none."""
        self._enqueue(kind, subject, payload, trace_headers())

    def _enqueue(self, kind: str, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        try:
            self._outgoing.put_nowait((kind, subject, payload, headers))
        except asyncio.QueueFull:
            self._lose(kind, subject, payload, headers)

    def _lose(self, kind: str, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        self._count(kind, "lost")
        if kind == _PRESENCE:
            self._keep(subject, payload, headers)

    async def _publish_all(self) -> None:
        """In the order of the queue, and only while connected: an edge that was cut off reads again anyway."""
        while True:
            kind, subject, payload, headers = await self._outgoing.get()
            try:
                is_published = await self._try_to_publish(subject, payload, headers)
            except nats.errors.MaxPayloadError:
                # It would be refused again and again. The next event of the room shows the gap.
                self._count(kind, "lost")
                _log.error("event_too_large", subject=subject, bytes=len(payload))
                self._outgoing.task_done()
                continue
            if not is_published:
                self._lose(kind, subject, payload, headers)
            else:
                self._count(kind, "published")
                if self._outgoing.empty():
                    self._publish_lost()
            self._outgoing.task_done()

    def _keep(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """An edge that was not cut off itself would notice nothing until somebody comes or goes again: the last event
        of a room, published late, closes the gap or shows it. Whoever knows better goes by the version."""
        self._lost.pop(subject, None)
        self._lost[subject] = (payload, headers)
        if len(self._lost) > _ROOMS_LOST:
            self._lost.popitem(last=False)

    def _publish_lost(self) -> None:
        """When NATS is back, and when a queue that was full has been worked off."""
        lost, self._lost = self._lost, OrderedDict()
        for subject, (payload, headers) in lost.items():
            self._enqueue(_PRESENCE, subject, payload, headers)

    async def _try_to_publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bool:
        if not self._connection.is_connected:
            return False
        try:
            await self._connection.client.publish(subject, payload, headers=headers or None)
        except nats.errors.MaxPayloadError:
            raise
        except Exception as problem:  # noqa: BLE001 - whatever it was, the events behind this one are to be published
            _log.warning("event_lost", subject=subject, reason=type(problem).__name__)
            return False
        return True


def _stored(ended: LifeEnded) -> tuple[str, list[str]]:
    """The stream, and the subjects in it, that hold the messages of a life and what stands beside them."""
    if ended.partition is None:
        return STREAM_OF_BEFORE, [f"salon.v1.room.{ended.room_id}.{ended.life}.message"]
    log = f"salon.v1.log.{ended.partition}.{ended.room_id}.{ended.life}"
    return f"SALON_LOG_{ended.partition}", [log, f"{log}.>"]


def _parts(change: PresenceChanged) -> Iterator[events_pb2.Presence]:
    """One event, or several that follow on each other and together cover the same versions: everybody who is announced
    has a version of their own, so that there is one to end at behind each of them."""
    people = [_person(person) for person in change.joined or change.left]
    first_version, begin, size = change.first_version, 0, 0
    for place, person in enumerate(people):
        size += person.ByteSize() + _FRAMING_BYTES
        if size > _PEOPLE_BYTES and place > begin:
            # The connections that came between two people are nobody's first, and go with the first of the two.
            last = change.joined[place].version - 1 if change.joined else change.first_version + place - 1
            yield _presence(change, people[begin:place], first_version, last, count=place - begin)
            first_version, begin, size = last + 1, place, person.ByteSize() + _FRAMING_BYTES
    yield _presence(change, people[begin:], first_version, change.version, count=_counted(change) - begin)


def _counted(change: PresenceChanged) -> int:
    return change.joined_count if change.joined else change.left_count


def _presence(
    change: PresenceChanged, people: list[events_pb2.Person], first_version: int, version: int, *, count: int
) -> events_pb2.Presence:
    """`people` came or went, `count` with those who are not announced."""
    return events_pb2.Presence(
        first_version=first_version,
        version=version,
        connection_count=change.connection_count,
        crowded=change.crowded,
        joined=people if change.joined else [],
        left=[] if change.joined else people,
        joined_count=count if change.joined else change.joined_count,
        left_count=change.left_count if change.joined else count,
        at_ms=change.at_ms,
    )


def _person(person: Announced) -> events_pb2.Person:
    return events_pb2.Person(
        key=person.key, user_id=person.user_id or 0, username=person.username, version=person.version
    )

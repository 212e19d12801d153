"""What goes on behind the answers: reading sanctions again, writing sightings, following addresses."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from moderation.domain.admission import Admission
from moderation.domain.book import SanctionBook
from moderation.domain.sightings import SightingBuffer
from moderation.ports import Clock, DatabaseUnavailable, Events, Store
from moderation.usecases.desk import SIGHTINGS_KEPT_MS

READ_EVERY_S = 30.0
READ_EVERY_WITHOUT_EVENTS_S = 3.0
WRITE_EVERY_S = 0.5
FORGET_EVERY_S = 3600.0
END_EVERY_S = 60.0
_CLOCKS_APART_MS = 60_000
"""A sanction is marked as ended so long after it was: replicas' clocks may differ."""
_MS_PER_DAY = 86_400_000
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 8.0
"""After a failure: doubled each time, and scattered, so that a database that recovers is not met by all at once."""
_ROWS_AT_ONCE = 500
READ_AT_ONCE = 500
"""Sanctions of one question: however many there are, none takes long, and messages are judged in between."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is over is kept, in days."""

    audit_days: int
    evidence_days: int


class Upkeep:
    """Keeps memory and database together. run owns its tasks; flush is for the end."""

    def __init__(
        self,
        store: Store,
        events: Events,
        clock: Clock,
        book: SanctionBook,
        sightings: SightingBuffer,
        admission: Admission,
        retention: Retention,
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._book = book
        self._sightings = sightings
        self._admission = admission
        self._retention = retention
        self._read_soon = asyncio.Event()
        self._writing = asyncio.Lock()
        self._failing: set[str] = set()

    @property
    def is_store_answering(self) -> bool:
        """Whether the last question of every kind was answered."""
        return not self._failing

    def read_soon(self) -> None:
        """Events may have been missed, or a change's outcome is not known: read the sanctions again. Those who ask
        while that is under way share the next reading."""
        self._read_soon.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_reading())
            tasks.create_task(self._keep_writing())
            tasks.create_task(self._keep_ending())
            tasks.create_task(self._keep_forgetting())

    async def read(self) -> None:
        """Take over the sanctions in force. Raises DatabaseUnavailable; what was known then stands."""
        now_ms = self._clock.now().wall_ms
        self._book.start_reading()
        try:
            last_id, is_done = 0, False
            while not is_done:
                part = await self._store.standing(after_id=last_id, first=READ_AT_ONCE, now_ms=now_ms)
                self._book.take_in(part)
                await asyncio.sleep(0)
                is_done = len(part) < READ_AT_ONCE
                last_id = part[-1].id if part else last_id
        except BaseException:
            self._book.abandon_reading()
            raise
        self._book.finish_reading()

    async def flush(self) -> None:
        """Write what is in memory. Raises DatabaseUnavailable; nothing is lost then."""
        async with self._writing:
            await self._write_sightings()
            await self._follow_addresses()

    async def _write_sightings(self) -> None:
        while batch := self._sightings.take(_ROWS_AT_ONCE):
            try:
                await self._store.write_sightings(batch)
            except BaseException:
                self._sightings.put_back()
                raise
            self._sightings.written()
            # A sanction may have come while these were on their way: neither memory nor database showed them.
            for sighting, at_ms in batch.items():
                self._admission.follow(sighting, at_ms)

    async def _follow_addresses(self) -> None:
        while (following := self._admission.next_followed()) is not None:
            event = await self._store.follow(*following, now_ms=self._clock.now().wall_ms)
            self._admission.followed(*following)
            if event is not None:
                self._book.apply(event.imposed, event.lifted_ids)
                await self._events.publish(event)

    async def _keep_reading(self) -> None:
        while True:
            wait_s = READ_EVERY_S if self._events.is_connected else READ_EVERY_WITHOUT_EVENTS_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._read_soon.wait()
            except TimeoutError:
                pass
            self._read_soon.clear()
            await self._until_answered("sanctions_not_read", self.read)
            await asyncio.sleep(_scattered(RETRY_FIRST_S))  # however often it is asked for

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self._until_answered("sightings_not_written", self.flush)

    async def _keep_ending(self) -> None:
        while True:
            await self._until_answered("sanctions_not_ended", self._end)
            await asyncio.sleep(END_EVERY_S)

    async def _keep_forgetting(self) -> None:
        while True:
            await self._until_answered("sightings_not_forgotten", self._forget)
            await self._until_answered("history_not_pruned", self._prune)
            await asyncio.sleep(FORGET_EVERY_S)

    async def _end(self) -> None:
        await self._store.end_expired(self._clock.now().wall_ms - _CLOCKS_APART_MS)

    async def _forget(self) -> None:
        await self._store.forget_sightings(self._clock.now().wall_ms - SIGHTINGS_KEPT_MS)

    async def _prune(self) -> None:
        """Rows before evidence: what goes as a whole needs nothing erased first."""
        now_ms = self._clock.now().wall_ms
        await self._store.delete_history(now_ms - self._retention.audit_days * _MS_PER_DAY)
        await self._store.erase_evidence(now_ms - self._retention.evidence_days * _MS_PER_DAY, now_ms=now_ms)

    async def _until_answered(self, failure: str, question: Callable[[], Awaitable[None]]) -> None:
        """Ask until the database answers, more and more seldom. A mistake of ours must not end the service either: it
        goes on from memory, and says what it was."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                await question()
            except DatabaseUnavailable as problem:
                _log.warning(failure, problem=str(problem))
            except Exception:  # noqa: BLE001 - whatever it is, it is logged and asked again
                _log.error(failure, exc_info=True)
            else:
                self._failing.discard(failure)
                return
            self._failing.add(failure)
            await asyncio.sleep(_scattered(pause_s))
            pause_s = min(2 * pause_s, RETRY_LONGEST_S)


def _scattered(pause_s: float) -> float:
    return random.uniform(pause_s / 2, pause_s)  # noqa: S311 - no secret

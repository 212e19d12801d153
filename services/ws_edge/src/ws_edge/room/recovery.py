"""Reads again what a room may have missed, until that succeeds, as long as somebody here is in the room."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeVar

import structlog

from chassis.logs import LogSummary
from chassis.tasks import Tasks
from ws_edge.errors import BusUnavailable, RoomsUnavailable
from ws_edge.ports import Bus, Incident, Meter, Rooms
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, StoredMessage
from ws_edge.room.outcomes import Outcomes
from ws_edge.room.pins import unread_pins, with_messages
from ws_edge.room.room import Room
from ws_edge.room.sampling import second_of

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

READS_AT_ONCE = 32
"""After an interruption every room of the worker reads: the services behind it are not asked all at once."""
LOOK_UP_S = 2.0
"""How long the look-up of a message may take, the waiting for its turn included."""
_COPIES_ON_THEIR_WAY = 10
"""So often a room that is behind is looked at, 20 ms after one another, before the stream is read for it."""
CATCH_UP_S = 4.0
"""How long a room may take to catch up with its log."""
PRESENCE_GRACE_S = 0.1
"""Events of two transactions may overtake each other on their way; a gap mostly closes by itself."""
MESSAGES_LIMIT = 500
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
LAGGING_TRIES = 6
"""How often a stream is read that does not give all it has; about five seconds."""
SECOND_AT_ONCE = 200
"""Messages that are read at once of a second that had begun."""
HOLD_BACK_S = 10.0
"""For so long live messages wait for those that lie before them; then they are shown with the gap, which prev_id
shows."""


@dataclass(slots=True)
class _LookUps:
    """The look-ups of one room, one at a time."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


@dataclass(slots=True)
class _CatchUp:
    """The questions of one room, one at a time, each for all who came before it."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: int = 0
    """When the last one that was answered was asked, in numbers of Recovery."""
    wanted: int = 0


class Recovery:
    """Implements GapReader: the reads of one worker."""

    def __init__(self, bus: Bus, rooms: Rooms, outcomes: Outcomes, tasks: Tasks, meter: Meter) -> None:
        self._bus = bus
        self._rooms = rooms
        self._outcomes = outcomes
        self._tasks = tasks
        self._meter = meter
        # Two, so that a stream that does not answer delays no presence.
        self._message_turns = asyncio.Semaphore(READS_AT_ONCE)
        self._presence_turns = asyncio.Semaphore(READS_AT_ONCE)
        self._gaps = LogSummary(_log, "gap_not_filled")
        self._look_ups: dict[Room, _LookUps] = {}
        self._catch_ups: dict[Room, _CatchUp] = {}
        self._arrivals = count(1)

    def entries_missed(self, room: Room) -> None:
        """See GapReader."""
        self._tasks.spawn(self._fill_gap(room), "fetch missed entries")

    def logs_to_compare(self, rooms: Sequence[Room]) -> None:
        """See GapReader."""
        self._tasks.spawn(self._compare_logs(rooms), "compare logs")

    def log_reaches(self, room: Room, last_id: MessageId) -> None:
        """See GapReader."""
        self._tasks.spawn(self._take_in_soon(room, last_id), "take in a log")

    def presence_missed(self, room: Room) -> None:
        """See GapReader."""
        self._tasks.spawn(self._read_presence(room), "fetch missed presence")

    def second_begun(self, room: Room, first: LogEntry) -> None:
        """See GapReader."""
        self._tasks.spawn(self._read_second(room, first), "read the begin of a second")

    def second_ends(self, room: Room, second: str) -> None:
        """See GapReader."""
        self._tasks.spawn(self._end_second(room, second), "end a second")

    def look_up_overdue(self) -> None:
        """Read the stream for the published messages that were not seen again in time."""
        for room, tokens in self._outcomes.overdue().items():
            self._tasks.spawn(self._find_outcomes(room, tokens), "look up outcomes")

    async def look_up(self, room: Room) -> list[LogEntry]:
        """What the stream has by now after the last message that the room has shown, within LOOK_UP_S. Raises
        BusUnavailable."""
        look_ups = self._look_ups.setdefault(room, _LookUps())
        look_ups.wanted += 1
        try:
            async with asyncio.timeout(LOOK_UP_S), look_ups.turn:
                while True:
                    missed, is_all = await self._missed_by(room)
                    if is_all:
                        return await self._with_messages(room, missed)
                    await asyncio.sleep(FIRST_PAUSE_S)
        except TimeoutError as reason:
            raise BusUnavailable("the stream was not read in time") from reason
        finally:
            look_ups.wanted -= 1
            if not look_ups.wanted:
                del self._look_ups[room]

    async def catch_up(self, room: Room) -> None:
        """Have the room take in all that the stream's leader had when this was asked, and know what was taken back
        before it was opened here: then nothing is at hand that had been taken back by then, and whoever reads stored
        text leaves out what room.erasures covers. Within CATCH_UP_S. Raises BusUnavailable."""
        catch_up = self._catch_ups.setdefault(room, _CatchUp())
        catch_up.wanted += 1
        came = next(self._arrivals)
        try:
            async with asyncio.timeout(CATCH_UP_S), catch_up.turn:
                if catch_up.asked < came:  # else somebody before has asked since, and this is answered as well
                    asked = next(self._arrivals)
                    await self._catch_up(room)
                    catch_up.asked = asked
        except TimeoutError as reason:
            raise BusUnavailable("the room did not catch up with its log in time") from reason
        finally:
            catch_up.wanted -= 1
            if not catch_up.wanted:
                del self._catch_ups[room]

    async def _catch_up(self, room: Room) -> None:
        last_id = await self._bus.last_id(room.log)
        while room.last_id < last_id or not room.erasures.is_read:
            if room.is_closed:
                raise BusUnavailable("nobody is in the room any more")
            if not room.erasures.is_read:
                await self._read_erasures(room)
                continue
            await self._take_in(room, last_id)

    async def _take_in(self, room: Room, last_id: MessageId) -> None:
        """Copies that are on their way are waited for; then the stream is read for what has not come."""
        patience = _COPIES_ON_THEIR_WAY
        while room.last_id < last_id and not room.is_closed:
            patience -= 1
            if patience < 0:
                room.recover()
            await asyncio.sleep(FIRST_PAUSE_S / 10)

    async def _take_in_soon(self, room: Room, last_id: MessageId) -> None:
        """What does not come in that time has gone from the stream, or the next entry shows the gap."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await self._take_in(room, last_id)

    async def _compare_logs(self, rooms: Sequence[Room]) -> None:
        """So many at once as are read at once; the rest of them wait, and are shown meanwhile what comes."""
        for start in range(0, len(rooms), READS_AT_ONCE):
            await asyncio.gather(*map(self._compare_log, rooms[start : start + READS_AT_ONCE]))

    async def _compare_log(self, room: Room) -> None:
        pause_s = FIRST_PAUSE_S
        while not room.is_closed:
            try:
                room.log_reached(await self._bus.last_id(room.log))
            except BusUnavailable:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return

    async def _read_erasures(self, room: Room) -> None:
        room.erasures.is_read = True  # first: what is missed while this reads makes it false again
        try:
            room.take_back(await self._bus.erasures(room.log))
        except BaseException:
            room.erasures.is_read = False
            raise

    async def _find_outcomes(self, room: Room, tokens: list[int]) -> None:
        """What the stream has is shown, which resolves it, or waits until it is; the rest was not stored, as far as
        anybody can tell."""
        waiting: set[int] = set()
        was_read = False
        try:
            found = await self.look_up(room)
            room.entries_found(found)
            waiting = {m.token for m in found if m.edge == self._outcomes.edge and room.is_held_back(m.id)}
            was_read = True
            if found:  # other edges may not have been told of it either
                self._bus.publish_reached(room.log, found[-1].id)
        except BusUnavailable:
            pass  # perhaps stored: that is what "unavailable" says
        finally:
            self._outcomes.expire((token for token in tokens if token not in waiting), are_missing=was_read)

    async def _fill_gap(self, room: Room) -> None:
        """Fill a gap, and let the room go on."""
        missed: Sequence[LogEntry] = ()
        pause_s = FIRST_PAUSE_S
        tries = 0
        try:
            async with asyncio.timeout(HOLD_BACK_S):
                while not room.is_closed:
                    try:
                        missed, is_all = await self._missed_by(room)
                        tries += 1
                        if is_all or tries == LAGGING_TRIES:
                            missed = await self._with_messages(room, missed)
                        if is_all:
                            return
                        if tries == LAGGING_TRIES:
                            break
                    except BusUnavailable:
                        pass
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                else:
                    return
            self._go_on_without(room, "the stream gives less than it has")
        except TimeoutError:
            self._go_on_without(room, "the stream could not be read")
        finally:
            room.entries_restored(missed)

    async def _with_messages(self, room: Room, missed: Sequence[LogEntry]) -> list[LogEntry]:
        """With the messages of all pins among these and among what is held back, where they are added: no pin waits for
        its message when this returns."""
        entries = list(missed)
        while True:
            known = {entry.id for entry in entries}
            entries += (pin for pin in room.unread_pins if pin.id not in known)
            if not unread_pins(entries):
                return entries
            if not room.erasures.is_read:
                await self._read_erasures(room)
            entries = await with_messages(self._bus, room, entries)

    async def _read_second(self, room: Room, first: LogEntry) -> None:
        """Every edge judges a second by all its messages, those from before it opened the room included."""
        read: list[StoredMessage] = []
        try:
            with self._second_bounded(room):
                async with asyncio.timeout(HOLD_BACK_S):
                    read = await self._until_read(room, partial(self._messages_of_second, room, first)) or []
        finally:
            room.second_read(first, read)

    async def _messages_of_second(self, room: Room, first: LogEntry) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        while True:
            before = found[0].id if found else first.id
            page = await self._bus.messages_before(room.log, before, limit=SECOND_AT_ONCE)
            found = page + found
            if len(page) < SECOND_AT_ONCE or second_of(page[0]) < second_of(first):
                return found

    async def _end_second(self, room: Room, second: str) -> None:
        """The stream's clock is in a later second by now: what its leader does not have yet belongs to that."""
        try:
            with self._second_bounded(room):
                async with asyncio.timeout(HOLD_BACK_S):
                    last_id = await self._until_read(room, partial(self._bus.last_id, room.log))
                    if last_id is not None:
                        await self._take_in(room, last_id)
        finally:
            room.second_over(second)

    async def _until_read(self, room: Room, read: Callable[[], Awaitable[_T]]) -> _T | None:
        """None: nobody is in the room any more."""
        pause_s = FIRST_PAUSE_S
        while not room.is_closed:
            try:
                async with self._message_turns:
                    return await read()
            except BusUnavailable:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return None

    @contextmanager
    def _second_bounded(self, room: Room) -> Iterator[None]:
        """Who waits for a second is shown what is known of it, where the stream cannot be read for so long."""
        try:
            yield
        except TimeoutError:
            self._go_on_without(room, "the stream could not be read")

    def _go_on_without(self, room: Room, reason: str) -> None:
        """The room goes on with what is known."""
        self._meter.incident(Incident.GAP_NOT_FILLED)
        self._gaps.note(room_id=room.room_id, life=room.life, last_id=room.last_id, reason=reason)

    async def _read_presence(self, room: Room) -> None:
        """Have the room announce who came and went meanwhile."""
        pause_s = PRESENCE_GRACE_S
        snapshot = None
        try:
            while snapshot is None and not room.is_closed:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                try:
                    async with self._presence_turns:
                        snapshot = await self._rooms.snapshot(room.life)
                except RoomsUnavailable:
                    continue
        finally:
            room.presence_restored(snapshot)

    async def _missed_by(self, room: Room) -> tuple[list[LogEntry], bool]:
        """What the stream gives after last_id, and whether that is all. Any replica may have given it, also one that
        lags; so it has to reach what is held back, or else what the stream's leader says is the last."""
        async with self._message_turns:
            missed: list[LogEntry] = []
            if room.holds_back:
                missed = await self._bus.entries_after(room.log, room.last_id, limit=MESSAGES_LIMIT)
                if room.is_closed_by(missed):
                    return missed, True
            last_id = await self._bus.last_id(room.log)
            if not missed and last_id > room.last_id:
                missed = await self._bus.entries_after(room.log, room.last_id, limit=MESSAGES_LIMIT)
            return missed, last_id <= max((message.id for message in missed), default=room.last_id)

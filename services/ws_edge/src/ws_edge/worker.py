"""One edge process: hears the bus, keeps the rooms whole, looks after what nobody else is awake for, and drains."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import structlog

from chassis.tasks import SLICE, in_slices
from ws_edge.context import Context
from ws_edge.fanout.audience import Audience, Member
from ws_edge.fanout.hub import Occupant
from ws_edge.fanout.room import Room
from ws_edge.joining import HeldRoom, HeldRooms, Joining
from ws_edge.live import LiveConnection, LiveRoom
from ws_edge.moderating import Moderation
from ws_edge.ports import BusUnavailable, HeldConnection
from ws_edge.posting import Posting
from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import ConnectionId, Life
from ws_edge.protocol.sanction import SanctionEvent
from ws_edge.recovery import Recovery

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)

TICK_S = 0.5
PROGRESS_S = 1.0
SANCTIONS_S = 30.0
SIGHTINGS_S = 600.0
SIGHTINGS_AT_ONCE = 500
SIGHTINGS_PAUSE_S = 0.1


class Worker:
    """Implements WorkerListener for the bus, and Host for the rooms."""

    def __init__(self, context: Context) -> None:
        self.edge = context.edge
        self.context = context
        self.rooms = HeldRooms(context, self)
        self.joining = Joining(context, self.rooms)
        self.posting = Posting(context)
        self.moderation = Moderation(context, self.rooms)
        self.live = LiveRoom(context, Audience(self.call_soon))
        self._recovery = Recovery(context, self.rooms.holds)
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin the duties that repeat. What holds everywhere is read before anybody needs it."""
        self.context.tasks.spawn(self.moderation.refresh(), "sanctions at the start")
        for work, name in (
            (self._every(TICK_S, self._look_for_overdue), "outcomes"),
            (self._every(PROGRESS_S, self._check_progress), "slow readers"),
            (self._every(SIGHTINGS_S, self._sight_all), "sightings"),
            (self._every(SANCTIONS_S, self.moderation.refresh), "sanctions"),
        ):
            self.context.tasks.spawn(work, name)

    async def drain(self, seconds: float) -> None:
        """Close every client with 1012, evenly spread over so many seconds, so that they do not return as one."""
        guests: list[Callable[[], None]] = []
        for occupant in self.context.hub:
            guests.append(partial(_restart, occupant))
        for listener in self.live.audience:
            if isinstance(listener, LiveConnection):
                guests.append(partial(listener.end, CloseCode.SERVICE_RESTART))
        started_s = self.now_s()
        for number, close in enumerate(guests):
            ahead_s = started_s + seconds * number / len(guests) - self.now_s()
            if ahead_s > 0.001:
                await asyncio.sleep(ahead_s)
            close()

    # --- what the rooms service's adapter asks and tells -----------------------------------------------------------

    def held_connections(self) -> Iterator[HeldConnection]:
        """All memberships of this worker, those of connections that are not inside yet included; not those that end
        while they are listed."""
        hub = self.context.hub
        for o in hub:
            if (m := o.membership) is not None and hub.get(o.id) is o:
                yield HeldConnection(o.id, m.room_id, m.life, m.slug, o.speaker.identity)

    def held_count(self) -> int:
        """How many memberships these are: asked with every heartbeat."""
        return self.context.hub.member_count

    def membership_lost(self, connection: ConnectionId) -> None:
        """While this worker was cut off the slug began another life: the client has to join again."""
        if occupant := self.context.hub.get(connection):
            _restart(occupant)

    # --- WorkerListener --------------------------------------------------------------------------------------------

    def sanction_changed(self, event: SanctionEvent) -> None:
        """A moderator acted somewhere."""
        self.moderation.obey(event)

    def room_deleted(self, life: Life) -> None:
        """deleteChatRoom: those inside are closed, and those who are on their way in, also if nobody here knows yet
        whose way leads there."""
        self.rooms.note_deleted(life)
        self._go_through(self.context.hub.of_life(life), _delete, "close a deleted room")

    def broadcast_received(self, payload: bytes) -> None:
        """Something for everybody on /live/ws."""
        self.live.broadcast_received(payload)

    def bus_restored(self) -> None:
        """Read again whatever may have been missed."""
        self._go_through(list(self.rooms.by_life.values()), _recover, "recover rooms")
        self.context.tasks.spawn(self.moderation.refresh(), "sanctions after an interruption")

    # --- Host ------------------------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.context.clock.now_s()

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return int(self.context.clock.unix_s() * 1000)

    def call_soon(self, callback: Callable[[], None]) -> object:
        """Run at the end of this loop turn."""
        return self._loop.call_soon(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Run after that time."""
        return self._loop.call_later(delay_s, callback)

    def members_of(self, key: str) -> Iterable[Member]:
        """This worker's connections of one participant."""
        return self.context.hub.of_participant(key)

    def settle(self, token: int) -> Member | None:
        """A message of this worker is stored."""
        return self.posting.settle(token)

    def messages_missed(self, room: Room) -> None:
        """Fetch what the room has not shown."""
        self.context.tasks.spawn(self._recovery.messages(room), "fetch missed messages")

    def presence_missed(self, room: Room) -> None:
        """Read who is in the room."""
        self.context.tasks.spawn(self._recovery.presence(room), "fetch missed presence")

    # --- duties that repeat ----------------------------------------------------------------------------------------

    async def _every(self, interval_s: float, duty: Callable[[], Awaitable[None] | None]) -> None:
        """A duty that fails is logged, and done again when it is due the next time."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                if (going_on := duty()) is not None:
                    await going_on
            except Exception:  # noqa: BLE001 - whatever it was, the duty is due again
                _log.exception("duty_failed", duty=duty.__name__)

    def _go_through(self, items: list[_T], do: Callable[[_T], object], name: str) -> None:
        """Begin at once, and leave the loop free between slices where there are many."""
        for item in items[:SLICE]:
            do(item)
        if rest := items[SLICE:]:
            self.context.tasks.spawn(in_slices(rest, do), name)

    def _look_for_overdue(self) -> None:
        for room, tokens in self.posting.overdue().items():
            self.context.tasks.spawn(self._find_outcomes(room, tokens), "look up outcomes")

    async def _find_outcomes(self, room: Room, tokens: list[int]) -> None:
        """What the stream has is shown, which settles it; the rest was not stored, as far as anybody can tell."""
        lost = set(tokens)
        try:
            found = await self._recovery.look_up(room)
            room.messages_found(found)
            lost -= {message.token for message in found if message.edge == self.edge}
        except BusUnavailable:
            pass  # perhaps stored: that is what "unavailable" says
        finally:
            self.posting.give_up(sorted(lost))

    async def _check_progress(self) -> None:
        await in_slices(list(self.rooms.by_life.values()), lambda held: held.room.check_progress())
        self.live.audience.check_progress(self.now_s())

    async def _sight_all(self) -> None:
        """A part at a time: the stream to moderation drops what is more than it can carry at once."""
        for number, occupant in enumerate(self.context.hub, start=1):
            if occupant.room is not None:
                self.context.moderation.sight(occupant.speaker, occupant.room.slug)
            if number % SIGHTINGS_AT_ONCE == 0:
                await asyncio.sleep(SIGHTINGS_PAUSE_S)


def _recover(held: HeldRoom) -> None:
    """Have an open room read what it may have missed; one that opens does so when it is open."""
    if held.opened.done():
        held.room.recover()
        held.room.reread_presence()
    else:
        held.was_interrupted = True


def _delete(occupant: Occupant) -> None:
    """Close it; who is still joining has heard nothing and is told why."""
    occupant.end(CloseCode.NOT_FOUND, None if occupant.room is not None else ErrorCode.NOT_FOUND)


def _restart(occupant: Occupant) -> None:
    """Have it connect again; who is still joining has heard nothing and is told why."""
    occupant.end(CloseCode.SERVICE_RESTART, None if occupant.room is not None else ErrorCode.UNAVAILABLE)

"""How a connection gets into a room: one order of steps, and whatever was taken on the way is given back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ws_edge.context import Context
from ws_edge.fanout.room import Host, Room
from ws_edge.ports import (
    BusUnavailable,
    JoinRefusal,
    Membership,
    ModerationUnavailable,
    RoomsUnavailable,
)
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Slug, Speaker
from ws_edge.protocol.reference import ById, BySlug, ByVideo, RoomRef
from ws_edge.protocol.sanction import Action, Sanction

SANCTIONS_FRESH_S = 60.0
"""How old the sanctions of a room may be for joins to go on while moderation is away."""
SLUGS_PER_READ = 1000

UNAVAILABLE = (RoomsUnavailable, ModerationUnavailable, BusUnavailable)


class TurnedAway(Exception):
    """The connection may not enter; `code` says why."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.value)
        self.code = code


@dataclass(slots=True, eq=False)
class HeldRoom:
    """A room on this worker, and how many connections hold it: those inside and those on their way in."""

    room: Room
    opened: asyncio.Future[None]
    holders: int = 0
    unsubscribe: Callable[[], None] | None = None
    was_interrupted: bool = False
    """The bus was away while the room was opening: what was read may be too old."""
    was_deleted: bool = False
    """Somebody deleted the room while it was held here: whoever gets to it now comes too late."""


@dataclass(slots=True)
class HeldRooms:
    """The rooms of one worker, each subscribed once for all who are in it."""

    context: Context
    host: Host
    by_life: dict[Life, HeldRoom] = field(default_factory=dict)
    slugs: dict[Slug, dict[Life, Room]] = field(default_factory=dict)
    _wanted: dict[Slug, asyncio.Future[None]] = field(default_factory=dict)
    _reading_everywhere: asyncio.Lock = field(default_factory=asyncio.Lock)

    def find_slug(self, slug: Slug) -> list[Room]:
        """The rooms held under a slug: one, or two for the moment in which a life follows another."""
        return list(self.slugs.get(slug, {}).values())

    def holds(self, room: Room) -> bool:
        """Whether anybody here is in the room, or on the way in."""
        held = self.by_life.get(room.life)
        return held is not None and held.room is room

    async def hold(self, membership: Membership) -> HeldRoom:
        """Hold the room of a membership; returns when its subscription stands. Raises what is unavailable, and
        TurnedAway where the room was deleted meanwhile."""
        held = self.by_life.get(membership.life)
        if held is None:
            held = HeldRoom(Room(membership, self.host), asyncio.get_running_loop().create_future())
            self.by_life[membership.life] = held
            self.slugs.setdefault(membership.slug, {})[membership.life] = held.room
            self.context.tasks.spawn(self._open(held, membership), "open a room")
        held.holders += 1
        try:
            await asyncio.shield(held.opened)
            if held.was_deleted:
                raise TurnedAway(ErrorCode.NOT_FOUND)
        except BaseException:
            self.release(held)
            raise
        return held

    def note_deleted(self, life: Life) -> None:
        """The room was deleted: nobody gets in any more."""
        if held := self.by_life.get(life):
            held.was_deleted = True

    def release(self, held: HeldRoom) -> None:
        """One holder less; without holders the room is forgotten."""
        held.holders -= 1
        if held.holders == 0 and self.by_life.get(held.room.life) is held:
            self._forget(held)

    def _forget(self, held: HeldRoom) -> None:
        del self.by_life[held.room.life]
        if held.unsubscribe is not None:
            held.unsubscribe()
            held.unsubscribe = None
        slug = held.room.slug
        del self.slugs[slug][held.room.life]
        if not self.slugs[slug]:
            del self.slugs[slug]
            self.context.book.forget(slug)

    async def read_sanctions(self, slugs: list[Slug]) -> None:
        """Read the sanctions in force for these slugs into the book. Raises ModerationUnavailable."""
        context = self.context
        for start in range(0, len(slugs), SLUGS_PER_READ):
            part = slugs[start : start + SLUGS_PER_READ]
            asked_at_s = context.clock.now_s()
            context.book.replace(part, await context.moderation.active(part), read_at_s=asked_at_s)
            for slug in part:
                if slug not in self.slugs:  # left while the answer was on its way
                    context.book.forget(slug)
            self._apply_heard_since(asked_at_s)

    async def read_sanctions_everywhere(self) -> None:
        """Read the sanctions that hold everywhere into the book. Raises ModerationUnavailable."""
        context = self.context
        asked_at_s = context.clock.now_s()
        context.book.replace_everywhere(await context.moderation.active_everywhere(), read_at_s=asked_at_s)
        self._apply_heard_since(asked_at_s)

    def _apply_heard_since(self, asked_at_s: float) -> None:
        """The answer may have been made before these."""
        for heard_at_s, event in self.context.recent_events:
            if heard_at_s >= asked_at_s:
                self.context.book.apply(event)

    async def _open(self, held: HeldRoom, membership: Membership) -> None:
        """Subscribe first: what happens from then on is heard, and what happened before is read."""
        room = held.room
        try:
            held.unsubscribe = await self.context.bus.subscribe(room.room_id, room.life, room)
            last_id, snapshot, _ = await asyncio.gather(
                self.context.bus.last_message_id(room.room_id, room.life),
                self.context.rooms.snapshot(room.life),
                self._read_sanctions(room.slug),
            )
            if snapshot.deleted or held.was_deleted:
                raise TurnedAway(ErrorCode.NOT_FOUND)
            if not snapshot.version:
                raise RoomsUnavailable("the room ended while it was entered")
            room.presence_restored(snapshot)
            room.opened(last_id)
        except BaseException as failure:
            # Whatever it was, those who wait must not wait for ever.
            _fail(held.opened, failure)
            if not isinstance(failure, (*UNAVAILABLE, TurnedAway)):
                raise
        else:
            held.opened.set_result(None)
            if held.was_interrupted:
                room.recover()
                room.reread_presence()
        finally:
            if held.holders == 0 and held.unsubscribe is not None:
                held.unsubscribe()  # everybody left while it was opening

    async def _read_sanctions(self, slug: Slug) -> None:
        """Rooms that open at the same time share one question to moderation."""
        if slug in self.context.book.read_at_s:
            return
        wanted = self._wanted.get(slug)
        if wanted is None:
            if not self._wanted:
                self.context.tasks.spawn(self._read_wanted(), "read sanctions")
            wanted = self._wanted[slug] = asyncio.get_running_loop().create_future()
        await asyncio.shield(wanted)

    async def _read_wanted(self) -> None:
        await asyncio.sleep(0)  # everything of this turn goes along
        wanted, self._wanted = self._wanted, {}
        slugs = list(wanted)
        try:
            await self._know_everywhere()
            await self.read_sanctions(slugs)
        except BaseException as failure:
            for future in wanted.values():
                _fail(future, failure)
            if not isinstance(failure, ModerationUnavailable):
                raise
        else:
            for future in wanted.values():
                future.set_result(None)

    async def _know_everywhere(self) -> None:
        """Rooms that open before it was read wait for one reading; after that events and the refresh keep it."""
        async with self._reading_everywhere:
            if self.context.book.everywhere_read_at_s is None:
                await self.read_sanctions_everywhere()


def _fail(future: asyncio.Future[None], failure: BaseException) -> None:
    """Those who wait raise what is unavailable, or that they are turned away; nobody may be waiting any more."""
    is_told = isinstance(failure, (*UNAVAILABLE, TurnedAway))
    future.set_exception(failure if is_told else RoomsUnavailable("not opened"))
    future.exception()


class Joining:
    """The steps of one join, for Connection to run."""

    __slots__ = ("_context", "_rooms")

    def __init__(self, context: Context, rooms: HeldRooms) -> None:
        self._context = context
        self._rooms = rooms

    async def find_slug(self, ref: RoomRef) -> Slug:
        """The slug that sanctions of this room are held against. Raises RoomsUnavailable."""
        match ref:
            case BySlug(slug):
                return slug
            case ByVideo(video_id):
                return Slug(f"video-{video_id}")
            case ById():
                return await self._context.rooms.resolve(ref)

    async def check(self, speaker: Speaker, slug: Slug, *, final: bool) -> None:
        """Raises TurnedAway for who is banned, ModerationUnavailable where nobody can say.

        The first check keeps a banned user from making a room, or being announced in it; where this edge has just
        read the room's sanctions it knows by itself. The final one is always moderation's: it comes after the
        subscription, so that no ban falls between the two.
        """
        if final or not self._is_fresh(slug):
            try:
                if not await self._context.moderation.check_arrival(speaker, slug, final=final):
                    raise TurnedAway(ErrorCode.ACCESS_DENIED)
            except ModerationUnavailable:
                if not self._is_fresh(slug):
                    raise
        if self._banned(speaker, slug):
            raise TurnedAway(ErrorCode.ACCESS_DENIED)

    async def become_member(self, connection: ConnectionId, ref: RoomRef, identity: Identity) -> Membership:
        """Raises TurnedAway and RoomsUnavailable; the caller owes a leave in every case."""
        outcome = await self._context.rooms.join(connection, ref, identity)
        match outcome:
            case Membership():
                return outcome
            case JoinRefusal.NOT_FOUND:
                raise TurnedAway(ErrorCode.NOT_FOUND)
            case JoinRefusal.ACCESS_DENIED:
                raise TurnedAway(ErrorCode.ACCESS_DENIED)
            case JoinRefusal.UNAVAILABLE:
                raise TurnedAway(ErrorCode.UNAVAILABLE)

    async def hold(self, membership: Membership) -> HeldRoom:
        """Hold the room; the caller owes a release. Raises what is unavailable, and TurnedAway."""
        return await self._rooms.hold(membership)

    def release(self, held: HeldRoom) -> None:
        """Give the room back."""
        self._rooms.release(held)

    def _is_fresh(self, slug: Slug) -> bool:
        book, oldest_s = self._context.book, self._context.clock.now_s() - SANCTIONS_FRESH_S
        return all(
            read_at_s is not None and read_at_s >= oldest_s
            for read_at_s in (book.read_at_s.get(slug), book.everywhere_read_at_s)
        )

    def _banned(self, speaker: Speaker, slug: Slug) -> Sanction | None:
        return self._context.book.find(Action.BAN, speaker, slug, now_s=self._context.clock.unix_s())

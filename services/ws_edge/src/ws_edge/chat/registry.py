"""Which rooms this worker holds, by life and slug, and which connections it has, by user and address."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from chassis.tasks import Tasks
from ws_edge.chat.emotes import EmoteReader
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.errors import (
    BusUnavailable,
    CloseCode,
    ErrorCode,
    RoomsUnavailable,
    TurnedAway,
    Unavailable,
)
from ws_edge.ports import Bus, Clock, Rooms
from ws_edge.protocol.emotes import EmoteCache
from ws_edge.protocol.identity import ConnectionId, Life, MessageId, Rank, Slug, Speaker, UserId
from ws_edge.protocol.log import PARTITIONS, LogEntry, LogRef, StoredMessage
from ws_edge.protocol.policies import LONGEST_DELAY_S, PolicyCache
from ws_edge.protocol.reactions import ReactionSums
from ws_edge.protocol.rooms import Membership
from ws_edge.protocol.sanctions import SanctionEvent
from ws_edge.protocol.warnings import RoomWarning
from ws_edge.room.delay import stored_ms, visible_ms
from ws_edge.room.member import Member
from ws_edge.room.outcomes import Outcomes
from ws_edge.room.pins import with_messages
from ws_edge.room.room import GapReader, Room

DELAYED_LATELY_S = LONGEST_DELAY_S + 4.0
"""So long ago a message was stored at most that has to wait still; clocks may differ."""
TAIL_AT_ONCE = 200
TAIL_READS = 80
"""More than WAITING_LIMIT entries, and some that a lagging replica answers."""
TAIL_PAUSE_S = 0.05
_K = TypeVar("_K", bound=Hashable)


class Connection(Member, Protocol):
    """A chat connection, from its arrival to its end."""

    @property
    def id(self) -> ConnectionId:
        """Its number in this worker."""

    speaker: Speaker
    """Who holds it."""

    @property
    def slug(self) -> Slug | None:
        """Where it is or wants to be; None: not resolved yet."""

    @property
    def membership(self) -> Membership | None:
        """What the rooms service gave it; None: not yet."""

    @property
    def room(self) -> Room | None:
        """The room that it is in; None: still joining."""

    @property
    def is_of_document(self) -> bool:
        """Whether its client may know nothing of warnings."""

    def warn(self, warning: RoomWarning) -> bool:
        """Send a warning; False: it was sent before."""

    def was_warned(self, warning_id: int) -> bool:
        """Whether it was sent that warning."""

    def close_warning(self, warning_id: int) -> None:
        """Tell that a warning which was sent needs no acknowledging any more; once."""

    def settle_rank(self) -> None:
        """Go by what its user ranks as in its room from now on."""

    def stop_typing(self) -> None:
        """End the typing that others are shown, if there is any."""

    def give_way(self) -> None:
        """The participant is on a newer connection: close with 1012."""

    def end(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        """Leave registry and room, send the error if there is one, and close."""


class ConnectionRegistry:
    """Indexes over the open connections. Whatever closes a connection takes it out of here first."""

    __slots__ = ("_by_address", "_by_id", "_by_life", "_by_name", "_by_user", "_returned", "member_count")

    def __init__(self) -> None:
        self._by_id: dict[ConnectionId, Connection] = {}
        self._by_user: dict[UserId, dict[Connection, None]] = {}
        self._by_address: dict[str, dict[Connection, None]] = {}
        """Those without a token, as in the next one: a token may carry any name."""
        self._by_name: dict[str, dict[Connection, None]] = {}
        self._returned: dict[str, dict[Connection, None]] = {}
        """By participant those who came back as one: their keys name their first connections."""
        self._by_life: dict[Life, dict[Connection, None]] = {}
        self.member_count = 0
        """How many have a membership."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_id.values()))

    def add(self, connection: Connection) -> None:
        """Before anything else happens to a connection, so that a sanction finds it."""
        self._by_id[connection.id] = connection
        user_id = connection.speaker.identity.user_id
        if user_id is not None:
            _put(self._by_user, user_id, connection)
            return
        for face in connection.speaker.faces:
            _put(self._by_address, face.address, connection)
            _put(self._by_name, face.identity.username, connection)
        if connection.speaker.here is not None:
            _put(self._returned, connection.speaker.key, connection)

    def replace_speaker(self, connection: Connection, speaker: Speaker) -> None:
        """An anonymous connection without a membership turned out to be somebody else."""
        self.discard(connection)
        connection.speaker = speaker
        self.add(connection)

    def note_membership(self, connection: Connection) -> None:
        """A connection that is here was given its membership, which it keeps to its end."""
        assert connection.membership is not None
        _put(self._by_life, connection.membership.life, connection)
        self.member_count += 1

    def discard(self, connection: Connection) -> None:
        """The connection is over, or about to be."""
        if self._by_id.pop(connection.id, None) is None:
            return
        user_id = connection.speaker.identity.user_id
        if user_id is not None:
            _take(self._by_user, user_id, connection)
        else:
            for face in connection.speaker.faces:
                _take(self._by_address, face.address, connection)
                _take(self._by_name, face.identity.username, connection)
            if connection.speaker.here is not None:
                _take(self._returned, connection.speaker.key, connection)
        if connection.membership is not None:
            _take(self._by_life, connection.membership.life, connection)
            self.member_count -= 1

    def get(self, number: ConnectionId) -> Connection | None:
        """One connection by its number, if it is still here."""
        return self._by_id.get(number)

    def of_life(self, life: Life) -> list[Connection]:
        """The connections with a membership of that life."""
        return list(self._by_life.get(life, ()))

    def of_participant(self, key: str) -> list[Connection]:
        """The connections of "u:<id>", or those of "c:<edge>:<connection>": the first one, and who came back as it."""
        kind, _, rest = key.partition(":")
        if kind == "u":
            return list(self._by_user.get(UserId(int(rest)), ()))
        first = self._by_id.get(ConnectionId(int(rest.rpartition(":")[2])))
        found = dict.fromkeys(self._returned.get(key, ()))
        if first is not None and first.speaker.key == key:
            found[first] = None
        return list(found)

    def named(self, life: Life, names: Set[str]) -> dict[str, list[Connection]]:
        """The connections with a membership of that life whose names are these in lower case."""
        found: dict[str, list[Connection]] = {}
        for one in self._by_life.get(life, ()):
            if (name := one.speaker.identity.username.casefold()) in names:
                found.setdefault(name, []).append(one)
        return found

    def connected_rank(self, user_id: UserId | None, username: str | None, slug: Slug | None) -> Rank | None:
        """The highest rank that somebody is connected with here; slug None: anywhere."""
        known: Iterable[Connection] = ()
        if user_id is not None:
            known = self._by_user.get(user_id, ())
        elif username is not None:
            known = self._by_name.get(username, ())
        ranks = [one.speaker.identity.rank for one in known if slug is None or one.slug == slug]
        return max(ranks, default=None)

    def of_target(self, user_id: UserId | None, username: str | None) -> list[Connection]:
        """The connections of a user, or of anonymous people who have, or would have here, that name."""
        if user_id is not None:
            return list(self._by_user.get(user_id, ()))
        return [] if username is None else list(self._by_name.get(username, ()))

    def of_users(self, user_ids: Iterable[UserId]) -> list[Connection]:
        """The connections of all of these."""
        return [connection for user_id in user_ids for connection in self._by_user.get(user_id, ())]

    def within_reach(self, event: SanctionEvent) -> list[Connection]:
        """Connections that the event may be about: candidates, whom Sanction.holds then judges."""
        found = self.of_target(event.target_user_id, event.target_username)
        for sanction in event.imposed:
            for address in sanction.addresses:
                found += self._by_address.get(address, ())
        return list(dict.fromkeys(found))


@dataclass(slots=True, eq=False)
class HeldRoom:
    """A room on this worker, and how many hold it: connections inside and on their way in, and the opening itself while
    it lasts."""

    room: Room
    opened: asyncio.Future[None]
    holders: int = 1
    unsubscribe: Callable[[], None] | None = None
    was_interrupted: bool = False
    """The bus was away while the room was opening: what was read may be too old."""
    was_deleted: bool = False
    """Somebody deleted the room while it was held here: a join that gets to it now is refused."""

    def recover(self) -> None:
        """Read what may have been missed; a room that opens does so when it is open."""
        if self.opened.done():
            self.room.recover()
            self.room.reread_presence()
        else:
            self.was_interrupted = True


class RoomRegistry:
    """The rooms of one worker by life and slug, each subscribed once for all who are in it."""

    def __init__(
        self,
        *,
        bus: Bus,
        rooms: Rooms,
        clock: Clock,
        tasks: Tasks,
        connections: ConnectionRegistry,
        sanction_reader: SanctionReader,
        emote_reader: EmoteReader,
        emotes: EmoteCache,
        policies: PolicyCache,
        outcomes: Outcomes,
        gaps: GapReader,
        crowded_flush_s: float,
    ) -> None:
        self._bus = bus
        self._rooms = rooms
        self._clock = clock
        self._tasks = tasks
        self._connections = connections
        self._sanction_reader = sanction_reader
        self._emote_reader = emote_reader
        self._emotes = emotes
        self._policies = policies
        self._outcomes = outcomes
        self._gaps = gaps
        self._crowded_flush_s = crowded_flush_s
        self.by_life: dict[Life, HeldRoom] = {}
        self.by_slug: dict[Slug, dict[Life, Room]] = {}

    def find_slug(self, slug: Slug) -> list[Room]:
        """The rooms held under a slug: one, or two for the moment in which a life follows another."""
        return list(self.by_slug.get(slug, {}).values())

    async def hold(self, membership: Membership) -> HeldRoom:
        """Hold the room of a membership; returns when its subscription stands, and the caller owes a release. Raises
        what is unavailable, and TurnedAway where the room was deleted meanwhile; then nothing is owed."""
        held = self.by_life.get(membership.life)
        if held is None:
            held = HeldRoom(self.new_room(membership), asyncio.get_running_loop().create_future())
            self.by_life[membership.life] = held
            self.by_slug.setdefault(membership.slug, {})[membership.life] = held.room
            self._sanction_reader.keep(membership.slug)
            self._emote_reader.keep(membership.slug)
            self._tasks.spawn(self._open(held), "open a room")
        held.holders += 1
        try:
            if not held.opened.done():
                await asyncio.shield(held.opened)
            held.opened.result()
            if held.was_deleted:
                raise TurnedAway(ErrorCode.NOT_FOUND)
        except BaseException:
            self.release(held)
            raise
        return held

    def release(self, held: HeldRoom) -> None:
        """One holder less; without holders the room is forgotten."""
        held.holders -= 1
        if held.holders == 0 and self.by_life.get(held.room.life) is held:
            self._forget(held)

    def delete(self, life: Life) -> None:
        """The room was deleted: those inside are closed, and those who are on their way in, also where their
        membership is not known here yet."""
        if held := self.by_life.get(life):
            held.was_deleted = True
        self._tasks.go_through(self._connections.of_life(life), close_deleted, "close a deleted room")

    def close_older(self, log: LogRef, key: str, version: int) -> None:
        """An anonymous participant came back on the connection that made this version: older ones here are closed. A
        newer one is told of to whoever believes to be it, who may have come in after that was told."""
        for one in self._connections.of_participant(key):
            member = one.membership
            if member is None or member.life != log.life or member.version == version:
                continue
            if member.version < version:
                one.give_way()
            else:
                with suppress(BusUnavailable):
                    self._bus.publish_returned(log, key, member.version)

    def recover(self) -> None:
        """Every room may have missed something."""
        self._tasks.go_through(list(self.by_life.values()), HeldRoom.recover, "recover rooms")

    def compare_logs(self, partition: int) -> None:
        """Rooms of that partition may lack the end of their logs; one that opens reads it when it is open."""
        of_partition = [held for held in self.by_life.values() if held.room.log.partition == partition]
        for held in of_partition:
            held.was_interrupted |= not held.opened.done()
        self._gaps.logs_to_compare([held.room for held in of_partition if held.opened.done()])

    def new_room(self, membership: Membership) -> Room:
        """A room that nothing was read of yet."""
        return Room(
            membership,
            participants=self._connections,
            gaps=self._gaps,
            resolve=self._outcomes.resolve_copy,
            policy_heard=self._sanction_reader.policy_heard,
            deleted=self.delete,
            returned=self.close_older,
            reacted=self._tell_reactions,
            epoch=self._bus.epoch,
            emotes=self._emotes.of,
            clock=self._clock,
            timers=asyncio.get_running_loop(),
            crowded_flush_s=self._crowded_flush_s,
        )

    def _tell_reactions(self, log: LogRef, sums: ReactionSums) -> None:
        """Those of a moment in which NATS is away are seen here alone."""
        with suppress(BusUnavailable):
            self._bus.publish_reactions(log, sums)

    async def _open(self, held: HeldRoom) -> None:
        """Subscribe first: what happens from then on arrives, and what happened before is read."""
        room = held.room
        try:
            held.unsubscribe = await self._bus.subscribe(room.log, room)
            (last_id, tail), snapshot, _ = await asyncio.gather(
                self._read_state(room), self._rooms.snapshot(room.life), self._emote_reader.demand_read(room.slug)
            )
            if snapshot.deleted or held.was_deleted:
                raise TurnedAway(ErrorCode.NOT_FOUND)
            if not snapshot.version:
                raise RoomsUnavailable("the room ended while it was entered")
            room.presence_restored(snapshot)
            room.opened(last_id, tail)
        except BaseException as failure:
            # Whatever it was, those who wait must not wait for ever.
            is_expected = isinstance(failure, Unavailable | TurnedAway)
            held.opened.set_exception(failure if is_expected else RoomsUnavailable("not opened"))
            held.opened.exception()  # or asyncio logs it where nobody waits any more
            if not is_expected:
                raise
        else:
            held.opened.set_result(None)
            if held.was_interrupted:
                held.recover()
        finally:
            self.release(held)

    async def _read_state(self, room: Room) -> tuple[MessageId, list[LogEntry]]:
        """Up to where the log reaches, and what of it has to wait still. What holds is read after that: a pin is not
        older than what nobody is shown."""
        last_id = await self._bus.last_id(room.log)
        await self._sanction_reader.demand_read(room.slug)
        return last_id, await self._read_tail(room, last_id) if last_id and self._may_wait(room.slug) else []

    def _may_wait(self, slug: Slug) -> bool:
        """Whether the policy of the room delays messages, or did so lately: versions are no lower than the time."""
        now_s = self._clock.unix_s()
        held_before = self._policies.find(slug, now_s - DELAYED_LATELY_S)
        delays = self._policies.find(slug, now_s).delay_seconds or held_before.delay_seconds
        return bool(delays) or held_before.version > (now_s - DELAYED_LATELY_S) * 1000

    async def _read_tail(self, room: Room, last_id: MessageId) -> list[LogEntry]:
        """From the first message on that has to wait. Raises BusUnavailable."""
        now_ms = int(self._clock.unix_s() * 1000)
        waiting: list[StoredMessage] = []
        before = MessageId(last_id + 1)
        while True:
            page = await self._messages_before(room, before)
            waiting = [message for message in page if visible_ms(message, now_ms) > now_ms] + waiting
            if len(page) < TAIL_AT_ONCE or stored_ms(page[0]) < now_ms - DELAYED_LATELY_S * 1000:
                break
            before = page[0].id
        if waiting:
            room.take_back(await self._bus.erasures(room.log))
        tail: list[LogEntry] = []
        for _ in range(TAIL_READS if waiting else 0):
            after = tail[-1].id if tail else MessageId(waiting[0].id - PARTITIONS)
            page_after = await self._bus.entries_after(room.log, after, limit=TAIL_AT_ONCE)
            tail += page_after
            if tail and tail[-1].id >= last_id:
                return await with_messages(self._bus, room, tail)
            if not page_after:
                await asyncio.sleep(TAIL_PAUSE_S)  # a replica lags
        if waiting:
            raise BusUnavailable("the end of the log could not be read")
        return []

    async def _messages_before(self, room: Room, before: MessageId) -> list[StoredMessage]:
        """A replica that lags says that the stream cannot be read. Raises BusUnavailable."""
        for _ in range(TAIL_READS - 1):
            with suppress(BusUnavailable):
                return await self._bus.messages_before(room.log, before, limit=TAIL_AT_ONCE)
            await asyncio.sleep(TAIL_PAUSE_S)
        return await self._bus.messages_before(room.log, before, limit=TAIL_AT_ONCE)

    def _forget(self, held: HeldRoom) -> None:
        room = held.room
        room.is_closed = True
        del self.by_life[room.life]
        if held.unsubscribe is not None:
            held.unsubscribe()
            held.unsubscribe = None
        del self.by_slug[room.slug][room.life]
        if not self.by_slug[room.slug]:
            del self.by_slug[room.slug]
            self._sanction_reader.forget(room.slug)
            self._emote_reader.forget(room.slug)


def close_deleted(connection: Connection) -> None:
    """The room was deleted; who is still joining was sent nothing yet and gets the reason as an error."""
    connection.end(CloseCode.NOT_FOUND, None if connection.room is not None else ErrorCode.NOT_FOUND)


def _put(index: dict[_K, dict[Connection, None]], key: _K, connection: Connection) -> None:
    index.setdefault(key, {})[connection] = None


def _take(index: dict[_K, dict[Connection, None]], key: _K, connection: Connection) -> None:
    connections = index[key]
    del connections[connection]
    if not connections:
        del index[key]

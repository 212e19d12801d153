"""Commands of this worker's clients to moderation: they go out, what was decided comes in and is applied."""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from chassis.logs import place_of
from chassis.tasks import Tasks, in_slices
from chassis.traces import begin_trace, hold_trace
from ws_edge.chat.feed import Feeds
from ws_edge.chat.holds import Holds
from ws_edge.chat.registry import Connection, ConnectionRegistry, RoomRegistry
from ws_edge.chat.reports import file_report
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.chat.warnings import Warnings
from ws_edge.errors import BusUnavailable, CloseCode, ErrorCode, ModerationUnavailable, RoomsUnavailable
from ws_edge.ports import CommandRefusal, CommandRequest, CommandResult, Ports, Undone
from ws_edge.protocol import codec
from ws_edge.protocol.commands import (
    ChangeSanction,
    Command,
    DecideHeld,
    DeleteMessage,
    IssueWarning,
    PurgeMessages,
    Target,
)
from ws_edge.protocol.holds import Decided, HeldMessage
from ws_edge.protocol.identity import MessageId, Rank, Slug, UserId
from ws_edge.protocol.log import CommandEntry, LogEntry, MessagePinned, PolicyChanged, StoredMessage
from ws_edge.protocol.rooms import Membership
from ws_edge.protocol.sanctions import Action, SanctionEvent, Scope
from ws_edge.protocol.session import Acknowledge, FileReport, Moderate, WatchFeed
from ws_edge.protocol.warnings import RoomWarning
from ws_edge.room.member import Member
from ws_edge.room.outcomes import Author, Outcomes
from ws_edge.room.pins import with_messages
from ws_edge.room.room import Room

_log = structlog.get_logger(__name__)

ACTIONS_WAITING = 16
"""Actions of one client that wait for their turn."""
REMEMBERED_EVENTS = 1000
"""An event may come twice: from NATS, and as the answer to the action."""
_REFUSALS = {
    CommandRefusal.NOT_PERMITTED: ErrorCode.NOT_MODERATOR,
    CommandRefusal.NOT_FOUND: ErrorCode.NOT_FOUND,
    CommandRefusal.CANNOT_UNDO: ErrorCode.CANNOT_UNDO,
    CommandRefusal.ALREADY_UNDONE: ErrorCode.ALREADY_UNDONE,
    CommandRefusal.NOTHING_TO_UNDO: ErrorCode.NOTHING_TO_UNDO,
    CommandRefusal.NONCE_TAKEN: ErrorCode.NONCE_TAKEN,
    CommandRefusal.ROOM_GONE: ErrorCode.ROOM_GONE,
}


class ModerationActions:
    """Carries out moderation_action frames, and applies the events that follow from them."""

    __slots__ = (
        "_acting",
        "_applied",
        "_catch_up",
        "_connections",
        "_held_rooms",
        "_outcomes",
        "_ports",
        "_sanction_reader",
        "feeds",
        "holds",
        "warnings",
    )

    def __init__(
        self,
        ports: Ports,
        connections: ConnectionRegistry,
        sanction_reader: SanctionReader,
        held_rooms: RoomRegistry,
        outcomes: Outcomes,
        catch_up: Callable[[Room], Awaitable[None]],
        warnings: Warnings,
        feeds: Feeds,
        holds: Holds,
    ) -> None:
        """`catch_up`: see Recovery."""
        self._ports = ports
        self._catch_up = catch_up
        self._outcomes = outcomes
        self._connections = connections
        self._sanction_reader = sanction_reader
        self._held_rooms = held_rooms
        self._applied: OrderedDict[int, None] = OrderedDict()
        self.warnings = warnings
        self.feeds = feeds
        self.holds = holds
        self._acting: dict[int, tuple[Moderator, str]] = {}
        """Whose action moderation is asked for, and its nonce, by token."""

    async def carry_out(self, client: "Moderator", action: "Queued") -> ErrorCode | None:
        """Have one action decided, under a trace of its own; None: done, and sent to the room, or on its way there."""
        with hold_trace(begin_trace()):
            try:
                if isinstance(action, Acknowledge):
                    return await self.warnings.acknowledge(client, action.warning_id)
                if isinstance(action, FileReport):
                    return await file_report(self._ports.moderation, client, action)
                if isinstance(action, WatchFeed):
                    return await self.feeds.watch(client, action)
                return await self._decide(client, action)
            except (ModerationUnavailable, BusUnavailable, RoomsUnavailable):
                return ErrorCode.UNAVAILABLE
            except Exception as failure:  # noqa: BLE001 - the moderator is answered, and their next action has its turn
                # The exception's words may be a client's: its kind and place are enough.
                _log.error("moderation_action_failed", kind=type(failure).__name__, place=place_of(failure))
                return ErrorCode.UNAVAILABLE

    def apply(self, event: SanctionEvent) -> None:
        """Notify the rooms concerned, then close whom a ban holds, and end the typing of whom a mute holds. Once for
        each event, whichever way it comes first."""
        if event.event_id in self._applied:
            return
        self._applied[event.event_id] = None
        if len(self._applied) > REMEMBERED_EVENTS:
            self._applied.popitem(last=False)
        self._sanction_reader.apply(event)
        reached = self._connections.within_reach(event)
        if not event.silent:
            self._announce(event, reached)
        self._ports.tasks.go_through(reached, self._enforce, "enforce a sanction")

    def ranks_changed(self, slug: Slug, users: Iterable[UserId]) -> None:
        """These users have, or may have, another role in the rooms of a slug: what they do from now on is judged by it,
        and what a sanction of before forbids to their new rank ends."""
        of_users = (one for user_id in users for one in self._connections.of_participant(f"u:{user_id}"))
        reached = [one for one in of_users if one.slug == slug]
        for connection in reached:
            connection.settle_rank()
        self._ports.tasks.go_through(reached, self._enforce, "enforce a change of roles")

    async def refresh(self) -> None:
        """Read what holds everywhere and in every held room again, and enforce what of it was missed. Who comes while
        everybody is looked at is looked at by their own join."""
        try:
            await self._sanction_reader.read_all()
        except ModerationUnavailable:
            return  # what was read before goes on to hold; joins end when it is 60 s old
        if self._ports.cache.by_id:
            await in_slices(self._connections, self._enforce)
        await self.warnings.deliver_all()
        self.holds.deliver_missed()

    async def _decide(self, client: "Moderator", action: Moderate) -> ErrorCode | None:
        """Raises ModerationUnavailable, BusUnavailable."""
        room = client.room
        if room is None:
            return None  # gone meanwhile: nobody is to be answered
        target = await self._target_of(room, action.command)
        rank = None if target is None else await self._rank_of_target(client, room, action.command, target)
        token = self._outcomes.expect(client, room, action.nonce)
        self._acting[token] = (client, action.nonce)
        try:
            return await self._execute(client, room, action, target, rank, token)
        finally:
            del self._acting[token]

    async def _execute(
        self, client: "Moderator", room: Room, action: Moderate, target: Target | None, rank: Rank | None, token: int
    ) -> ErrorCode | None:
        try:
            request = CommandRequest(
                client.speaker,
                room.slug,
                room.log,
                action.command,
                target,
                rank,
                action.reason,
                action.nonce,
                self._outcomes.edge,
                token,
            )
            result = await self._ports.moderation.execute(request)
        except BaseException:
            self._outcomes.resolve(token)
            raise
        if isinstance(result, CommandRefusal):
            self._outcomes.resolve(token)
            return _REFUSALS[result]
        if isinstance(result, Decided):
            self._outcomes.resolve(token)
            client.refuse(ErrorCode.ALREADY_DECIDED, nonce=action.nonce, decided=result)
            return None
        return await self._follow(client, room, action, result, token)

    async def _follow(
        self, client: "Moderator", room: Room, action: Moderate, result: CommandResult, token: int
    ) -> ErrorCode | None:
        """It holds: apply what it changed here, and have the client see it. Raises BusUnavailable."""
        if result.is_repeated:
            self._outcomes.resolve(token)
            return await self._show_again(client, room, result, action.nonce)
        if _brings_entry(action.command) if result.undone is None else result.undone.brings_entry:
            self._outcomes.entry_due(token, is_answered=result.undone is not None)
        else:
            self._outcomes.resolve(token)
        if result.event is not None:
            self.apply(result.event)
        if result.warning is not None:
            self._confirm_warning(client, room, result.warning, action.nonce)
        if result.undone is not None:
            self._answer_undo(client, room, result, result.undone, action.nonce)
        if result.hold is not None:
            self._confirm_decision(client, room, result.hold, action.nonce, result.action_id)
        return None

    def _confirm_warning(self, client: "Moderator", room: Room, warning: RoomWarning, nonce: str) -> None:
        """Tell the target, and who warned them: the room is told nothing."""
        self.warnings.apply([warning])
        user_id = client.speaker.identity.user_id
        if user_id is not None:
            room.write_waiting(client)
            client.write(codec.warning_issued(warning, user_id, nonce=nonce))

    def _confirm_decision(self, client: "Moderator", room: Room, hold: HeldMessage, nonce: str, action_id: int) -> None:
        """Tell the author, and who had it rejected: the room is told nothing of that."""
        self.holds.apply([hold])
        user_id = client.speaker.identity.user_id
        if user_id is not None and hold.state.is_rejected:
            room.write_waiting(client)
            client.write(codec.held_denied(hold, user_id, nonce=nonce, action_id=action_id))

    async def _show_again(self, client: "Moderator", room: Room, result: CommandResult, nonce: str) -> ErrorCode | None:
        """What the first one with this nonce has brought, to this client alone. Raises BusUnavailable."""
        entry = None if result.entry_id is None else await self._entry(room, result.entry_id)
        if result.warning is not None:
            self._confirm_warning(client, room, result.warning, nonce)
            return None
        if result.hold is not None and result.hold.state.is_rejected:
            self._confirm_decision(client, room, result.hold, nonce, result.action_id)
            return None
        room.write_waiting(client)
        if isinstance(entry, StoredMessage) and entry.allowed is not None:
            copy = codec.allowed_entry(
                entry,
                entry.allowed,
                room.room_id,
                nonce=nonce,
                emotes=room.emotes,
                visible_ms=room.visible_ms(entry.id),
                is_besides=room.is_to_come(client, entry),
            )
            client.write(copy)
            return None
        if result.event is not None:
            client.write(_frame_of(result.event, nonce=nonce, action_id=result.action_id))
        if isinstance(entry, CommandEntry):
            copy = codec.entry(
                entry,
                room.room_id,
                nonce=nonce,
                action_id=result.action_id,
                emotes=room.emotes,
                visible_ms=room.visible_ms(entry.id),
                is_besides=room.is_to_come(client, entry),
            )
            client.write(copy)
        if result.undone is not None:
            self._answer_undo(client, room, result, result.undone, nonce)
        elif result.event is None and not isinstance(entry, CommandEntry):
            return self._tell_without_entry(client, room, result, nonce)
        return None

    def _tell_without_entry(
        self, client: "Moderator", room: Room, result: CommandResult, nonce: str
    ) -> ErrorCode | None:
        """The log does not have the entry: not yet; or not any more, as it was in another life of the room, or was
        cleared. A policy holds all the same."""
        user_id = client.speaker.identity.user_id
        if result.entry_id is None or user_id is None:
            return ErrorCode.UNAVAILABLE
        if result.policy is None:
            return ErrorCode.NOT_FOUND
        at = codec.rfc3339(result.at_ms)
        changed = PolicyChanged(result.entry_id, MessageId(0), at, result.policy, user_id)
        client.write(codec.entry(changed, room.room_id, nonce=nonce, action_id=result.action_id, is_besides=True))
        return None

    async def _entry(self, room: Room, number: MessageId) -> LogEntry | None:
        """As it may be shown. Raises BusUnavailable."""
        entry = await self._ports.bus.entry(room.log, number)
        if not isinstance(entry, MessagePinned | StoredMessage):
            return entry
        await self._catch_up(room)
        (entry,) = await with_messages(self._ports.bus, room, [entry])
        return room.erasures.shown(entry)

    def _answer_undo(self, client: "Moderator", room: Room, result: CommandResult, undone: Undone, nonce: str) -> None:
        """Behind what the room is told of it, where that is known here."""
        room.write_waiting(client)
        client.write(codec.undone(result.action_id, undone.action_id, undone.not_undone, nonce=nonce))

    async def _target_of(self, room: Room, command: Command) -> Target | None:
        """None: nobody, or of a message that is not there. Raises BusUnavailable."""
        if isinstance(command, ChangeSanction | PurgeMessages | IssueWarning):
            return command.target
        message: LogEntry | None = None
        if isinstance(command, DeleteMessage):
            pinned = room.pinned  # known also where the log has let go of it
            if pinned is not None and pinned.id == command.message_id:
                message = pinned
            else:
                message = await self._ports.bus.entry(room.log, command.message_id)
        if not isinstance(message, StoredMessage):
            return None
        return Target(message.user_id, message.username if message.user_id is None else None)

    async def _rank_of_target(self, client: "Moderator", room: Room, command: Command, target: Target) -> Rank | None:
        is_everywhere = isinstance(command, ChangeSanction) and command.scope is Scope.EVERYWHERE
        where = None if is_everywhere else room.slug
        here = self._connections.connected_rank(target.user_id, target.username, where)
        try:
            anywhere = await self._ports.rooms.connected_rank(target.user_id, target.username, where)
        except RoomsUnavailable:
            if isinstance(command, DeleteMessage | PurgeMessages) or _purges(command):
                raise  # what is erased cannot be brought back
            anywhere = None  # moderation itself never lets a sanction, or a warning, bind an equal or higher rank
        ranks = [rank for rank in (here, anywhere) if rank is not None]
        if ranks and client.membership is not None:
            # The rooms service is told of a role after the edge that the target is on knows it.
            by_room = self._ports.roles.rank(client.membership, target.user_id)
            ranks += [] if by_room is None else [by_room]
        return max(ranks, default=None)

    def _announce(self, event: SanctionEvent, reached: list[Connection]) -> None:
        rooms: dict[Room, None] = {}
        if event.slug is not None:
            rooms.update(dict.fromkeys(self._held_rooms.find_slug(event.slug)))
        if event.scope is Scope.EVERYWHERE:
            rooms.update((c.room, None) for c in reached if c.room is not None)
        frame = _frame_of(event)
        is_ours = event.edge == self._outcomes.edge
        author, nonce = self._acting.get(event.token, (None, "")) if is_ours else (None, "")
        for room in rooms:
            instead: dict[Member, bytes] = {}
            if author is not None and author.room is room:
                instead[author] = _frame_of(event, nonce=nonce, action_id=event.event_id)
            room.broadcast(frame, instead)
            for member in instead:
                room.write_waiting(member)

    def _enforce(self, connection: Connection) -> None:
        slug = connection.slug
        if slug is None:
            return
        cache, now_s = self._ports.cache, self._ports.clock.unix_s()
        if cache.is_banned(connection.speaker, slug, now_s=now_s):
            # A connection that is still joining was sent nothing of the room: it gets the error of a later join.
            connection.end(CloseCode.FORBIDDEN, None if connection.room is not None else ErrorCode.ACCESS_DENIED)
        elif cache.find(Action.MUTE, connection.speaker, slug, now_s=now_s):
            connection.stop_typing()


def _brings_entry(command: Command) -> bool:
    if isinstance(command, DecideHeld):
        return command.allows
    return _purges(command) if isinstance(command, ChangeSanction | IssueWarning) else True


def _purges(command: Command) -> bool:
    return isinstance(command, ChangeSanction) and command.purge


def _frame_of(event: SanctionEvent, *, nonce: str = "", action_id: int = 0) -> bytes:
    return codec.moderation_action(
        event.action.word,
        event.target_user_id,
        event.target_username,
        event.moderator_user_id,
        event.duration_minutes,
        codec.rfc3339(event.at_ms),
        nonce=nonce,
        action_id=action_id,
    )


Queued = Moderate | Acknowledge | FileReport | WatchFeed
"""What is carried out one after the other."""


class Moderator(Author, Connection, Protocol):
    """A connection whose actions are carried out."""

    @property
    def membership(self) -> Membership | None:
        """With whose room it is; None: not in one yet."""


class ActionQueue:
    """The actions of one client, carried out one after the other."""

    __slots__ = ("_actions", "_client", "_is_running", "_tasks", "_waiting")

    def __init__(self, client: Moderator, actions: ModerationActions, tasks: Tasks) -> None:
        self._client = client
        self._actions = actions
        self._tasks = tasks
        self._waiting: deque[Queued] = deque()
        self._is_running = False

    def add(self, action: Queued) -> None:
        """Carry it out after those before it; refused where too many wait."""
        if len(self._waiting) >= ACTIONS_WAITING:
            self._client.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=1000, nonce=action.nonce)
            return
        self._waiting.append(action)
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn(self._run(), "moderate")

    async def _run(self) -> None:
        client = self._client
        try:
            while self._waiting and client.room is not None:
                action = self._waiting.popleft()
                refusal = await self._actions.carry_out(client, action)
                if refusal is not None:
                    client.refuse(refusal, nonce=action.nonce)
        finally:
            self._is_running = False
            self._waiting.clear()

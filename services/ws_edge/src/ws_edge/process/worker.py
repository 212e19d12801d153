"""One worker: its parts, put together in order, the duties that repeat, and the drain at its end."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from chassis.tasks import in_slices, repeat
from ws_edge.chat.emotes import EmoteReader
from ws_edge.chat.feed import Feeds
from ws_edge.chat.history import Histories
from ws_edge.chat.holds import Holds
from ws_edge.chat.live import LiveConnection, LiveRoom
from ws_edge.chat.moderate import ModerationActions
from ws_edge.chat.post import Posting
from ws_edge.chat.react import Reactions
from ws_edge.chat.registry import Connection, ConnectionRegistry, RoomRegistry
from ws_edge.chat.revocations import RevocationReader
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.chat.warnings import Warnings
from ws_edge.errors import CloseCode, ErrorCode
from ws_edge.ports import Ports
from ws_edge.protocol.holds import HeldMessage
from ws_edge.protocol.identity import ConnectionId, Life, Slug
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.roles import RoomRoles
from ws_edge.protocol.rooms import HeldConnection
from ws_edge.protocol.sanctions import SanctionEvent
from ws_edge.protocol.warnings import RoomWarning
from ws_edge.room.audience import Audience
from ws_edge.room.outcomes import Outcomes
from ws_edge.room.recovery import Recovery
from ws_edge.room.replay import ReplayReader

TICK_S = 0.5
PROGRESS_S = 1.0
SANCTIONS_S = 30.0
EMOTES_S = 1.0
REVOCATIONS_S = 1.0
"""How often a worker asks what was revoked: an event may have been lost."""
ENDED_REVOCATIONS_S = 3600.0
LAST_SEEN_S = 600.0
LAST_SEEN_AT_ONCE = 500
LAST_SEEN_PAUSE_S = 0.1


class Worker:
    """Implements WorkerListener for the bus, and MembershipListener for the rooms service's adapter. Needs a running
    event loop."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.connections = ConnectionRegistry()
        self.outcomes = Outcomes(ports.edge, ports.clock, ports.meter)
        self.recovery = Recovery(ports.bus, ports.rooms, self.outcomes, ports.tasks, ports.meter)
        self.sanction_reader = SanctionReader(
            ports.moderation,
            ports.cache,
            ports.policies,
            ports.pins,
            ports.warnings,
            ports.roles,
            ports.holds,
            ports.clock,
            ports.tasks,
            ranks_changed=lambda slug, users: self.actions.ranks_changed(slug, users),
            warnings_closed=lambda warnings: self.actions.warnings.closed(warnings),
        )
        self.emote_reader = EmoteReader(ports.rooms, ports.emotes, ports.clock, ports.tasks)
        self.held_rooms = RoomRegistry(
            bus=ports.bus,
            rooms=ports.rooms,
            clock=ports.clock,
            tasks=ports.tasks,
            connections=self.connections,
            sanction_reader=self.sanction_reader,
            emote_reader=self.emote_reader,
            emotes=ports.emotes,
            policies=ports.policies,
            outcomes=self.outcomes,
            gaps=self.recovery,
            crowded_flush_s=ports.crowded_flush_s,
        )
        self.warnings = Warnings(ports, self.connections, self.sanction_reader)
        self.feeds = Feeds(ports)
        self.holds = Holds(ports, self.connections, self.sanction_reader)
        self.posting = Posting(ports, self.outcomes, self.recovery.catch_up, self.warnings.missed, self.holds)
        self.actions = ModerationActions(
            ports,
            self.connections,
            self.sanction_reader,
            self.held_rooms,
            self.outcomes,
            self.recovery.catch_up,
            self.warnings,
            self.feeds,
            self.holds,
        )
        self.revocations = RevocationReader(ports, self.connections)
        self.replays = ReplayReader(ports.bus, self.recovery.catch_up)
        self.reactions = Reactions(ports, self.recovery.catch_up)
        self.histories = Histories(ports.bus, self.recovery.catch_up)
        self.live = LiveRoom(ports, Audience(ports.clock, asyncio.get_running_loop()))

    def start(self) -> None:
        """Begin the duties that repeat, each at once: what holds everywhere is read before anybody needs it."""
        for every_s, duty, name in (
            (TICK_S, self.look_up_overdue, "outcomes"),
            (TICK_S, self.warnings.lapse_due, "warnings"),
            (TICK_S, self.feeds.dismiss, "moderators who left"),
            (PROGRESS_S, self.check_progress, "slow consumers"),
            (LAST_SEEN_S, self.report_all_seen, "last seen"),
            (SANCTIONS_S, self.actions.refresh, "sanctions"),
            (EMOTES_S, self.emote_reader.refresh, "emotes"),
            (REVOCATIONS_S, self.revocations.refresh, "revoked tokens"),
            (ENDED_REVOCATIONS_S, self.revocations.drop_ended, "ended revocations"),
        ):
            self.ports.tasks.spawn(repeat(every_s, duty), name)
        self.ports.tasks.spawn(self.feeds.keep_reading(), "moderators' feeds")

    async def drain(self, seconds: float) -> None:
        """Close every client with 1012, evenly spread over so many seconds, so that they do not return as one."""
        clock = self.ports.clock
        closes: list[Callable[[], None]] = [partial(_restart, connection) for connection in self.connections]
        for listener in self.live.audience:
            if isinstance(listener, LiveConnection):
                closes.append(partial(listener.end, CloseCode.SERVICE_RESTART))
        started_s = clock.now_s()
        for number, close in enumerate(closes):
            ahead_s = started_s + seconds * number / len(closes) - clock.now_s()
            if ahead_s > 0.001:
                await asyncio.sleep(ahead_s)
            close()

    # --- MembershipListener ----------------------------------------------------------------------------------------

    def held_connections(self) -> Iterator[HeldConnection]:
        """Those of connections that are not inside yet included."""
        for c in self.connections:
            if (m := c.membership) is not None and self.connections.get(c.id) is c:
                key = c.speaker.key if c.speaker.here is not None else ""
                yield HeldConnection(c.id, m.room_id, m.life, m.slug, c.speaker.identity, m.partition, key)

    def held_count(self) -> int:
        """See MembershipListener."""
        return self.connections.member_count

    def membership_lost(self, connection: ConnectionId) -> None:
        """See MembershipListener."""
        if found := self.connections.get(connection):
            _restart(found)

    # --- WorkerListener --------------------------------------------------------------------------------------------

    def sanction_changed(self, event: SanctionEvent) -> None:
        """A moderator acted somewhere."""
        self.actions.apply(event)

    def warnings_changed(self, changed: Sequence[RoomWarning]) -> None:
        """See WorkerListener."""
        self.warnings.apply(changed)

    def tokens_revoked(self, revocations: Sequence[Revocation]) -> None:
        """See WorkerListener."""
        self.revocations.apply(revocations)

    def feed_reached(self, heads: Mapping[Slug, int]) -> None:
        """See WorkerListener."""
        self.feeds.reached(heads)

    def holds_changed(self, changed: Sequence[HeldMessage]) -> None:
        """See WorkerListener."""
        self.holds.apply(changed)

    def emotes_changed(self, slug: Slug) -> None:
        """See WorkerListener."""
        self.emote_reader.changed(slug)

    def roles_changed(self, slug: Slug, roles: RoomRoles) -> None:
        """See WorkerListener."""
        self.sanction_reader.roles_heard(slug, roles)

    def room_deleted(self, life: Life) -> None:
        """See WorkerListener."""
        self.held_rooms.delete(life)

    def broadcast_received(self, payload: bytes) -> None:
        """Something for everybody on /live/ws."""
        self.live.broadcast_received(payload)

    def bus_restored(self) -> None:
        """Read again whatever may have been missed."""
        self.held_rooms.recover()
        self.feeds.read_soon()
        self.ports.tasks.spawn(self.actions.refresh(), "sanctions after an interruption")

    def leader_changed(self, partition: int) -> None:
        """Look whether rooms of that partition have missed something."""
        self.held_rooms.compare_logs(partition)

    # --- duties that repeat ----------------------------------------------------------------------------------------

    async def look_up_overdue(self) -> None:
        """Look up the published messages that have had no outcome in time."""
        self.recovery.look_up_overdue()

    async def check_progress(self) -> None:
        """Close the slow consumers."""
        await in_slices(list(self.held_rooms.by_life.values()), lambda held: held.room.check_progress())
        self.live.audience.check_progress(self.ports.clock.now_s())

    async def report_all_seen(self) -> None:
        """A part at a time: the stream to moderation drops what is more than it can carry at once."""
        for number, connection in enumerate(self.connections, start=1):
            if connection.room is not None:
                self.ports.moderation.report_seen(connection.speaker, connection.room.slug)
            if number % LAST_SEEN_AT_ONCE == 0:
                await asyncio.sleep(LAST_SEEN_PAUSE_S)


def _restart(connection: Connection) -> None:
    """Have it connect again; who is still joining was sent nothing yet and gets the reason as an error."""
    connection.end(CloseCode.SERVICE_RESTART, None if connection.room is not None else ErrorCode.UNAVAILABLE)

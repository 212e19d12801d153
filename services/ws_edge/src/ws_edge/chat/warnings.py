"""Warnings on one worker: told to their targets, on every connection once, and acknowledged by them, or by time."""

import asyncio
import heapq
from collections.abc import Iterable
from contextlib import suppress
from itertools import count

from chassis.tasks import in_slices
from chassis.traces import begin_trace, hold_trace
from ws_edge.chat.registry import Connection, ConnectionRegistry
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.errors import ErrorCode, ModerationUnavailable
from ws_edge.ports import Ports, WarningStep
from ws_edge.protocol import codec
from ws_edge.protocol.identity import Slug, Speaker
from ws_edge.protocol.warnings import RoomWarning

LAPSES_AFTER_S = 30.0
"""So long a client that knows nothing of warnings has one before it counts as acknowledged."""
LAPSE_AGAIN_S = 2.0
"""After moderation was away."""
LOOK_AGAIN_S = 1.0
"""The warnings of one room are read for a client's sake no more often."""


class Warnings:
    """Tells warnings, and moderation what became of them.

    Moderation stores a warning before it is told. Edges hear of it by an event, and read the open ones with the
    sanctions of a room: when that opens, every 30 s, and when a message is refused for one that is not known here.
    """

    __slots__ = ("_connections", "_lapses", "_looking", "_numbers", "_ports", "_sanction_reader")

    def __init__(self, ports: Ports, connections: ConnectionRegistry, sanction_reader: SanctionReader) -> None:
        self._ports = ports
        self._connections = connections
        self._sanction_reader = sanction_reader
        self._numbers = count()
        # When which warning counts as acknowledged on which connection; without one it did, and moderation is to know.
        self._lapses: list[tuple[float, int, Connection | None, Speaker, int]] = []
        self._looking: dict[Slug, tuple[float, asyncio.Future[None]]] = {}

    def apply(self, changed: Iterable[RoomWarning]) -> None:
        """Take over what was changed in rooms that are held here, and tell the targets; the same twice is harmless."""
        now_s = self._ports.clock.now_s()
        for warning in changed:
            if warning.slug in self._sanction_reader.slugs:
                self._ports.warnings.apply(warning, now_s=now_s)
                self._tell(warning)

    def closed(self, warnings: Iterable[RoomWarning]) -> None:
        """Tell their targets: the event that would have was missed."""
        for warning in warnings:
            self._close(warning)

    async def deliver_all(self) -> None:
        """Send every open warning to whoever lacks it: events may have been missed."""
        await in_slices(self._ports.warnings, self._tell)

    def greet(self, connection: Connection, slug: Slug) -> None:
        """Somebody has come in: send what they have to acknowledge."""
        for warning in self._ports.warnings.pending(connection.speaker, slug):
            self._deliver(connection, warning)

    def missed(self, slug: Slug) -> None:
        """Moderation knows of a warning there that is not known here."""
        self._ports.tasks.spawn(self._look_again(slug), "read warnings")

    async def acknowledge(self, client: Connection, warning_id: int) -> ErrorCode | None:
        """In the name of whoever the client is; None: it is, or was before, and the client is told so. Raises
        ModerationUnavailable."""
        room = client.room
        if room is None:
            return None
        if not self._is_pending(client, room.slug, warning_id):
            if not client.was_warned(warning_id):
                await self._look_again(room.slug)  # known to the client from elsewhere, if it ever was
            if not self._is_pending(client, room.slug, warning_id):
                return self._answer(client, warning_id)
        found = await self._ports.moderation.report_warning(
            client.speaker, room.slug, warning_id, WarningStep.ACKNOWLEDGE
        )
        if found is None:
            return ErrorCode.NOT_FOUND
        self.apply([found])
        return None

    async def lapse_due(self) -> None:
        """Take those for acknowledged that were told long enough ago to clients that know nothing of warnings."""
        now_s, warnings = self._ports.clock.now_s(), self._ports.warnings
        while self._lapses and self._lapses[0][0] <= now_s:
            _, _, connection, speaker, warning_id = heapq.heappop(self._lapses)
            warning = warnings.get(warning_id)
            if warning is None:
                continue
            if connection is None or (_lapses_on(connection, warning) and warnings.note_lapsed(warning_id)):
                self._ports.tasks.spawn(self._lapse(speaker, warning), "a warning lapses")

    def _answer(self, client: Connection, warning_id: int) -> ErrorCode | None:
        if not client.was_warned(warning_id):
            return ErrorCode.NOT_FOUND
        client.write(codec.warning_closed(warning_id))
        return None

    def _is_pending(self, client: Connection, slug: Slug, warning_id: int) -> bool:
        warning = self._ports.warnings.get(warning_id)
        return warning is not None and warning.binds(client.speaker, slug)

    def _close(self, warning: RoomWarning) -> None:
        for connection in self._connections.of_target(warning.target_user_id, warning.target_username):
            connection.close_warning(warning.id)

    def _tell(self, warning: RoomWarning) -> None:
        if not warning.is_open:
            self._close(warning)
            return
        for connection in self._connections.of_target(warning.target_user_id, warning.target_username):
            if connection.room is not None and self._is_pending(connection, connection.room.slug, warning.id):
                self._deliver(connection, warning)

    def _deliver(self, connection: Connection, warning: RoomWarning) -> None:
        if not connection.warn(warning):
            return
        at_s = self._ports.clock.now_s() + LAPSES_AFTER_S
        heapq.heappush(self._lapses, (at_s, next(self._numbers), connection, connection.speaker, warning.id))
        if self._ports.warnings.note_delivered(warning.id):
            self._ports.tasks.spawn(self._report_delivery(connection.speaker, warning), "a warning was delivered")

    async def _report_delivery(self, speaker: Speaker, warning: RoomWarning) -> None:
        """For moderators who look at it later: nothing goes by it, so it is not said twice."""
        with suppress(ModerationUnavailable), hold_trace(begin_trace()):
            await self._ports.moderation.report_warning(speaker, warning.slug, warning.id, WarningStep.DELIVER)

    async def _lapse(self, speaker: Speaker, warning: RoomWarning) -> None:
        """Again and again until moderation knows, as long as the room is held here."""
        try:
            with hold_trace(begin_trace()):
                found = await self._ports.moderation.report_warning(
                    speaker, warning.slug, warning.id, WarningStep.LAPSE
                )
        except ModerationUnavailable:
            at_s = self._ports.clock.now_s() + LAPSE_AGAIN_S
            heapq.heappush(self._lapses, (at_s, next(self._numbers), None, speaker, warning.id))
        else:
            self.apply([] if found is None else [found])

    async def _look_again(self, slug: Slug) -> None:
        """Read the warnings of a room, where that was not done just now; who wants it at the same time shares it."""
        now_s = self._ports.clock.now_s()
        for each, (read_at_s, done) in list(self._looking.items()):
            if done.done() and read_at_s + LOOK_AGAIN_S <= now_s:
                del self._looking[each]
        if slug in self._looking:
            await asyncio.shield(self._looking[slug][1])
            return
        done = asyncio.get_running_loop().create_future()
        self._looking[slug] = (now_s, done)
        try:
            with suppress(ModerationUnavailable):
                await self._sanction_reader.read([slug])
            for warning in self._ports.warnings.of_slug(slug):
                self._tell(warning)
        finally:
            done.set_result(None)


def _lapses_on(connection: Connection, warning: RoomWarning) -> bool:
    room = connection.room
    return room is not None and connection.is_of_document and warning.binds(connection.speaker, room.slug)

"""A bus on a nats-server of the test's own."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from real_nats import NatsServer

from chassis.nats_connection import NatsSettings
from ws_edge.adapters.nats.bus import NatsBus
from ws_edge.errors import RoomsUnavailable
from ws_edge.ports import Incident, LogResumption
from ws_edge.protocol.holds import HeldMessage
from ws_edge.protocol.identity import Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogEntry, LogRef
from ws_edge.protocol.reactions import Reacted
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.roles import RoomRoles
from ws_edge.protocol.rooms import PresenceChanged, TypingChanged
from ws_edge.protocol.sanctions import SanctionEvent
from ws_edge.protocol.warnings import RoomWarning

ROOM, LIFE = RoomId(1), Life(2)
LOG = LogRef(ROOM, LIFE)
EDGE, OTHER_EDGE = "e" * 32, "f" * 32


class Listener:
    """Hears everything, in one list."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self._news = asyncio.Event()
        self.fails = False
        self.on_event: Callable[[], None] = lambda: None

    def _hear(self, what: Any) -> None:
        self.on_event()
        self.heard.append(what)
        self._news.set()
        if self.fails:
            raise RuntimeError("a listener with a mistake in it")

    def entry_stored(self, entry: LogEntry) -> None:
        self._hear(entry)

    def typing_changed(self, change: TypingChanged) -> None:
        self._hear(change)

    def presence_changed(self, change: PresenceChanged) -> None:
        self._hear(change)

    def participant_returned(self, key: str, version: int) -> None:
        self._hear(("returned", key, version))

    def reactions_heard(self, reacted: Sequence[Reacted]) -> None:
        self._hear(list(reacted))

    def log_reached(self, last_id: MessageId) -> None:
        self._hear(("reached", last_id))

    def sanction_changed(self, event: SanctionEvent) -> None:
        self._hear(event)

    def holds_changed(self, changed: Sequence[HeldMessage]) -> None:
        self._hear(changed)

    def warnings_changed(self, changed: Sequence[RoomWarning]) -> None:
        self._hear(changed)

    def tokens_revoked(self, revocations: Sequence[Revocation]) -> None:
        self._hear(revocations)

    def feed_reached(self, heads: Mapping[Slug, int]) -> None:
        self._hear(dict(heads))

    def emotes_changed(self, slug: Slug) -> None:
        self._hear(("emotes", slug))

    def roles_changed(self, slug: Slug, roles: RoomRoles) -> None:
        self._hear((slug, roles))

    def room_deleted(self, life: Life) -> None:
        self._hear(("deleted", life))

    def broadcast_received(self, payload: bytes) -> None:
        self._hear(payload)

    def bus_restored(self) -> None:
        self._hear("restored")

    def leader_changed(self, partition: int) -> None:
        self._hear(("leader changed", partition))

    async def hears(self, count: int) -> list[Any]:
        """Waits for so many."""
        async with asyncio.timeout(30):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


class Memory:
    """Implements LogMemory as the rooms service does."""

    def __init__(self) -> None:
        self.highest = 0
        self.resumed = 0
        self.is_away = False
        self.asked: list[int] = []

    async def resume_log(self, partition: int, seen: int, *, behind: int = 0) -> LogResumption:
        if self.is_away:
            raise RoomsUnavailable
        self.asked.append(behind)
        self.highest = max(self.highest, seen)
        if not behind or behind != self.highest:
            return LogResumption(self.highest, 0, self.resumed)
        if self.resumed != self.highest:
            self.highest = self.resumed = self.highest + 1000
        return LogResumption(self.highest, self.highest + 1, self.resumed)


def open_bus(
    server: NatsServer,
    edge: str = EDGE,
    *,
    memory: Memory | None = None,
    unix_s: float = 0.0,
    max_bytes: int = 0,
    replicas: int = 0,
    incidents: list[Incident] | None = None,
) -> NatsBus:
    """A bus whose stream begins at 1, unless the time is said."""
    return NatsBus(
        NatsSettings(server.url).access,
        edge,
        memory=memory or Memory(),
        unix_s=lambda: unix_s,
        max_bytes=max_bytes,
        replicas=replicas,
        count=(incidents if incidents is not None else []).append,
    )


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for here announces itself to nobody
            await asyncio.sleep(0.005)


def speaker(user_id: int | None = 5, connection: str = f"{EDGE}:1") -> Speaker:
    user = None if user_id is None else UserId(user_id)
    return Speaker(Identity(user, "ana", None, (), Rank.USER, None), "10.0.0.1", connection)


def say(
    bus: NatsBus,
    text: str,
    *,
    log: LogRef = LOG,
    token: int = 0,
    nonce: str = "",
    who: Speaker | None = None,
    duplicate: Callable[[MessageId], None] = lambda _: None,
) -> None:
    bus.publish_message(log, who or speaker(), text, token=token, nonce=nonce, duplicate=duplicate)

"""The moderators' feed on one worker: what moderators are told who asked for it, in the order that moderation gives it.

Moderation keeps the events, and says on NATS no more than that a feed has gone on. What that was is read from there,
for all feeds of this worker at once and behind the last event that their clients were sent: so what NATS loses comes
later, and nothing is missed, sent twice or out of order. Where this worker could not read for so long that events are
not kept any more, those who missed some begin anew."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import structlog

from chassis.logs import place_of
from ws_edge.chat.registry import Connection
from ws_edge.errors import ErrorCode, ModerationUnavailable
from ws_edge.ports import SLUGS_PER_READ, Ports
from ws_edge.protocol import codec
from ws_edge.protocol.feed import FeedEvent, FeedState
from ws_edge.protocol.identity import Rank, Slug
from ws_edge.protocol.session import WatchFeed
from ws_edge.room.room import Room

READ_EVERY_S = 3.0
"""Where NATS says nothing: it may have lost what it was to say."""
READ_AGAIN_S = 0.5
"""After moderation was away."""
GATHER_S = 0.05
"""Between two reads: what comes meanwhile goes together."""

_log = structlog.get_logger(__name__)


class _Watcher:
    """Somebody who is told."""

    __slots__ = ("client", "has_missed", "known_id", "room", "up_to_id")

    def __init__(self, client: Connection, room: Room, event_id: int) -> None:
        self.client = client
        self.room = room
        self.known_id = event_id
        """The last event that they know."""
        self.up_to_id = event_id
        """Up to there the feed was read for them."""
        self.has_missed = False
        """There were events behind the last one that they know which are not kept any more."""

    @property
    def is_entitled(self) -> bool:
        """Whether they are still there, and look after the room."""
        return self.client.room is self.room and _may_watch(self.client)


class Feeds:
    """Those who are told, at most once each connection; nothing is kept of what they were told."""

    __slots__ = ("_ports", "_wanted", "_watchers")

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._watchers: dict[Connection, _Watcher] = {}
        self._wanted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._watchers)

    async def watch(self, client: Connection, wish: WatchFeed) -> ErrorCode | None:
        """Begin to tell somebody, anew where they were told before, or end it; None: they are answered. Raises
        ModerationUnavailable."""
        self._watchers.pop(client, None)
        room = client.room
        if room is None:
            return None
        if not wish.on:
            client.write(codec.moderation_feed_closed(nonce=wish.nonce))
            return None
        state = await self._ports.moderation.open_feed(client.speaker, room.slug, wish.since)
        if client.room is not room:
            return None
        if state is None or not _may_watch(client):
            return ErrorCode.NOT_MODERATOR
        self._begin(client, room, state, is_resumed=wish.since is not None, nonce=wish.nonce)
        return None

    def reached(self, heads: Mapping[Slug, int]) -> None:
        """These feeds have gone on, as far as is known."""
        if any(heads.get(each.room.slug, 0) > each.up_to_id for each in self._watchers.values()):
            self._wanted.set()

    def read_soon(self) -> None:
        """Something may have been missed."""
        self._wanted.set()

    async def dismiss(self) -> None:
        """Tell those no more who have left, or look after their room no longer."""
        self._dismiss()

    async def keep_reading(self) -> None:
        """Pass on what comes, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(READ_EVERY_S):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.read()
            except ModerationUnavailable:
                self._wanted.set()
                await asyncio.sleep(READ_AGAIN_S)
            except Exception as failure:  # noqa: BLE001 - a defect must not end the feeds of all
                _log.error("feed_not_read", kind=type(failure).__name__, place=place_of(failure))
                await asyncio.sleep(READ_AGAIN_S)
            else:
                await asyncio.sleep(GATHER_S)

    async def read(self) -> None:
        """Pass on what came behind what was read for whoever knows least. Raises ModerationUnavailable."""
        self._dismiss()
        watchers = list(self._watchers.values())
        if not watchers:
            return
        after = min(each.up_to_id for each in watchers)
        by_slug: dict[Slug, list[_Watcher]] = {}
        for each in watchers:
            by_slug.setdefault(each.room.slug, []).append(each)
        all_slugs = list(by_slug)
        for start in range(0, len(all_slugs), SLUGS_PER_READ):
            slugs = all_slugs[start : start + SLUGS_PER_READ]
            part = await self._ports.moderation.read_feeds(slugs, after)
            self._dismiss()
            for event in part.events:
                self._tell(event, by_slug.get(event.slug, ()))
            for slug in slugs:
                for each in by_slug[slug]:
                    each.up_to_id = max(each.up_to_id, part.up_to_id)
            if part.has_more:
                self._wanted.set()
        await self._begin_anew()

    def _begin(self, client: Connection, room: Room, state: FeedState, *, is_resumed: bool, nonce: str = "") -> None:
        policy = self._ports.policies.find(room.slug, self._ports.clock.unix_s())
        room.write_waiting(client)
        client.write(codec.moderation_feed(state, policy, is_resumed=is_resumed, nonce=nonce))
        for event in state.events:
            if not event.is_report_about(client.speaker.identity.user_id):
                client.write(codec.moderation_event(event.data))
        self._watchers[client] = _Watcher(client, room, state.event_id)
        self._wanted.set()

    async def _begin_anew(self) -> None:
        """As whoever comes back after too long: they are told that something is missing. Raises ModerationUnavailable;
        they are told nothing until it is there."""
        for each in [each for each in self._watchers.values() if each.has_missed]:
            state = await self._ports.moderation.open_feed(each.client.speaker, each.room.slug, each.known_id)
            self._dismiss()
            if self._watchers.get(each.client) is not each:
                continue  # they have ended it, or begun anew themselves
            if state is None:
                del self._watchers[each.client]
                each.client.write(codec.moderation_feed_closed())
            else:
                self._begin(each.client, each.room, state, is_resumed=True)

    def _tell(self, event: FeedEvent, watchers: Iterable[_Watcher]) -> None:
        frame = None
        for each in watchers:
            if event.id > each.known_id and self._watchers.get(each.client) is each:
                each.has_missed |= event.previous_id > each.known_id
                if each.has_missed:
                    continue
                each.known_id = event.id
                if not event.is_report_about(each.client.speaker.identity.user_id):
                    frame = frame or codec.moderation_event(event.data)
                    each.client.write(frame)

    def _dismiss(self) -> None:
        for client, each in list(self._watchers.items()):
            if not each.is_entitled:
                del self._watchers[client]
                if client.room is each.room:
                    client.write(codec.moderation_feed_closed())


def _may_watch(client: Connection) -> bool:
    """Whether somebody looks after the room that they are in."""
    return client.speaker.identity.rank >= Rank.MODERATOR

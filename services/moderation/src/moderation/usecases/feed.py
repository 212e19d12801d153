"""The moderators' feed: what a moderator begins with, what came since, and telling edges that there is more."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from chassis.errors import DatabaseUnavailable
from chassis.tasks import repeat
from moderation.domain.audit import may_read, may_read_everywhere
from moderation.domain.feed import FeedPart, FeedState, newest_within
from moderation.domain.people import Moderator
from moderation.errors import NotPermitted
from moderation.ports import Ports
from moderation.usecases.refresh import until_answered

LOOK_EVERY_S = 0.2
"""For what other replicas and the service itself have appended; what was commanded here is told at once."""
HEADS_AT_ONCE = 1_000
EVENTS_AT_ONCE = 100
REPLAY_BYTES = 256 * 1024
TELL_FLAGS_EVERY_S = 1.0
SLUGS_AT_ONCE = 100
"""Whose flags are told in one transaction, which holds the lock of commands."""


async def open_feed(ports: Ports, reader: Moderator, slug: str, since: int | None, *, token_rank: int) -> FeedState:
    """What somebody begins with who looks after a room; `since`: the last event that they know, `token_rank`: see
    may_read_everywhere. Raises NotPermitted, DatabaseUnavailable."""
    if reader.user_id == 0 or not may_read(reader.rank, slug):
        raise NotPermitted
    state = await ports.store.feed_state(
        slug,
        since,
        reader_id=reader.user_id,
        with_everywhere=may_read_everywhere(token_rank),
        now_ms=ports.clock().wall_ms,
        owned_since_ms=reader.owned_since_ms,
    )
    events = newest_within(state.events, REPLAY_BYTES)
    return state._replace(events=events, recovered=state.recovered and len(events) == len(state.events))


async def read_feed(ports: Ports, slugs: Sequence[str], after_id: int) -> FeedPart:
    """What came behind an id in the rooms of these slugs. Raises DatabaseUnavailable."""
    return await ports.store.feed_after(slugs, after_id, first=EVENTS_AT_ONCE)


async def keep_telling_feed(ports: Ports) -> None:
    """Tell edges whose feeds have gone on, whichever replica appended to them, until cancelled. What came while nobody
    did this is found by edges themselves."""
    known = FeedTail(ports)
    while True:
        await until_answered("feed_not_read", known.tell)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await ports.feed_wanted.wait()
        ports.feed_wanted.clear()


class FeedTail:
    """How far edges were told."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._up_to: int | None = None

    async def tell(self) -> None:
        """Raises DatabaseUnavailable."""
        store = self._ports.store
        if self._up_to is None:
            self._up_to = await store.last_feed_event_id()
        heads = await store.feed_heads_after(self._up_to, first=HEADS_AT_ONCE)
        if heads:
            self._up_to = heads[-1].event_id
            await self._ports.events.publish_feed(heads)


async def keep_telling_flags(ports: Ports) -> None:
    """Append what rules flagged and refused to the feeds, every second until cancelled."""
    await repeat(TELL_FLAGS_EVERY_S, lambda: until_answered("flags_not_told", lambda: tell_flags(ports)))


async def tell_flags(ports: Ports) -> None:
    """Those of some slugs: once a second none waits long for another one. Raises DatabaseUnavailable; nothing that fits
    into memory is lost then."""
    flags = ports.admission.rules.flags
    if not (batches := flags.take(SLUGS_AT_ONCE)):
        return
    try:
        await ports.store.append_flags(batches, now_ms=ports.clock().wall_ms)
    except DatabaseUnavailable:
        flags.put_back(batches)
        raise

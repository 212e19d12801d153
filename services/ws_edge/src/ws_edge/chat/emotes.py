"""The emotes that one worker knows: read when a room opens, and again where they have changed.

Nothing waits for them but the opening of a room, and that only for an answer: a room whose emotes could not be read
opens without, and they are read a moment later.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from chassis.tasks import Tasks
from ws_edge.chat.shared_reading import SharedReading
from ws_edge.errors import RoomsUnavailable
from ws_edge.ports import SLUGS_PER_READ, Clock, Rooms
from ws_edge.protocol.emotes import EVERYWHERE, EmoteCache
from ws_edge.protocol.identity import Slug

ASK_EVERY_S = 5.0
"""How often an edge asks what has changed: an event may have been lost."""
OUTDATED_AGAIN_S = 30.0
"""So long after a rooms service of before has answered nothing is read."""


class EmoteReader:
    """Keeps the cache true for the slugs of the rooms that are held here, and for everywhere."""

    def __init__(self, rooms: Rooms, cache: EmoteCache, clock: Clock, tasks: Tasks) -> None:
        self._rooms = rooms
        self._cache = cache
        self._clock = clock
        self._slugs: dict[Slug, None] = {}
        self._reading = SharedReading(self._read_opened, RoomsUnavailable, tasks, "read emotes")
        self._stale: dict[Slug, None] = {EVERYWHERE: None}
        """Of those that are kept, which are to be read again."""
        self._version: int | None = None
        self._asked_at_s = float("-inf")
        self._outdated_until_s = float("-inf")
        self._numbers = count(1)
        self._read_as: dict[Slug, int] = {}
        """Which reading gave what the cache has of each."""

    def keep(self, slug: Slug) -> None:
        """A room of this slug is held from now on."""
        self._slugs[slug] = None

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self._slugs.pop(slug, None)
        self._stale.pop(slug, None)
        self._read_as.pop(slug, None)
        self._cache.forget(slug)

    def changed(self, slug: Slug) -> None:
        """Read these again with the next `refresh`, if they are kept."""
        if slug in self._slugs or slug == EVERYWHERE:
            self._stale[slug] = None

    async def demand_read(self, slug: Slug) -> None:
        """Returns once the emotes of a slug were read, or could not be."""
        with suppress(RoomsUnavailable):  # only a defect: what is away is read again later
            await self._reading.ask(slug)

    async def refresh(self) -> None:
        """Read what has changed, as far as events tell; every few seconds ask for the rest. Called about once a
        second."""
        now_s = self._clock.now_s()
        if now_s - self._asked_at_s >= ASK_EVERY_S:
            self._asked_at_s = now_s
            await self._ask()
        if self._stale and now_s >= self._outdated_until_s:
            await self._read(list(self._stale))

    async def _ask(self) -> None:
        try:
            found = await self._rooms.changed_emotes(self._version)
        except RoomsUnavailable:
            return
        # The first version is of no use for what was read before it, nor is a lower one, of a database put back.
        is_all = self._version is None or found.has_more or found.version < self._version
        self._version = found.version
        for slug in (EVERYWHERE, *self._slugs) if is_all else found.slugs:
            self.changed(slug)

    async def _read_opened(self, slugs: list[Slug]) -> None:
        await self._read([*slugs, *([EVERYWHERE] if EVERYWHERE in self._stale else [])])

    async def _read(self, slugs: list[Slug]) -> None:
        """What changes meanwhile is stale again."""
        for start in range(0, len(slugs), SLUGS_PER_READ):
            unread: Sequence[Slug] = slugs[start : start + SLUGS_PER_READ]
            for slug in unread:
                self._stale.pop(slug, None)
            while unread:
                unread = await self._read_some(unread)

    async def _read_some(self, slugs: Sequence[Slug]) -> Sequence[Slug]:
        """Those that are left; what cannot be read now is stale again. Readings go on side by side, and the one that
        began last holds."""
        number = next(self._numbers)
        try:
            answer = await self._rooms.emotes(slugs)
        except RoomsUnavailable:
            answer = None
        else:
            if answer is None:  # of before, beside others perhaps: what is known stays meanwhile
                self._outdated_until_s = self._clock.now_s() + OUTDATED_AGAIN_S
        if answer is None:
            for slug in slugs:
                self.changed(slug)
            return ()
        for slug in slugs:
            is_kept = slug in self._slugs or slug == EVERYWHERE
            if slug not in answer.unread and is_kept and self._read_as.get(slug, 0) < number:
                self._read_as[slug] = number
                self._cache.replace(slug, answer.found.get(slug, {}))
        return answer.unread

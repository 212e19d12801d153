"""The sanctions, policies, pins, warnings, held messages and roles that one worker knows: read when a room opens, read
again and again, followed by events and entries of the log in between."""

from collections import deque
from collections.abc import Callable, Iterable

from chassis.tasks import Tasks
from ws_edge.chat.shared_reading import SharedReading
from ws_edge.errors import Banned, ModerationUnavailable
from ws_edge.ports import SLUGS_PER_READ, Clock, Moderation
from ws_edge.protocol.holds import HoldCache
from ws_edge.protocol.identity import Slug, Speaker, UserId
from ws_edge.protocol.pins import PinCache
from ws_edge.protocol.policies import Policy, PolicyCache
from ws_edge.protocol.roles import RoleCache, RoomRoles
from ws_edge.protocol.sanctions import SanctionCache, SanctionEvent
from ws_edge.protocol.warnings import RoomWarning, WarningCache

FRESH_S = 60.0
"""How old the sanctions of a room may be for joins to go on while moderation is away."""
EVENTS_REMEMBERED = 1000


class SanctionReader:
    """Keeps the cache, the policies, the warnings and the roles true for the slugs of the rooms that are held here."""

    def __init__(
        self,
        moderation: Moderation,
        cache: SanctionCache,
        policies: PolicyCache,
        pins: PinCache,
        warnings: WarningCache,
        roles: RoleCache,
        holds: HoldCache,
        clock: Clock,
        tasks: Tasks,
        *,
        ranks_changed: Callable[[Slug, Iterable[UserId]], None],
        warnings_closed: Callable[[Iterable[RoomWarning]], None],
    ) -> None:
        """`ranks_changed`: these users have, or may have, another role in the rooms of a slug; `warnings_closed`: these
        are open no longer, which no event has told."""
        self._moderation = moderation
        self._cache = cache
        self._policies = policies
        self._pins = pins
        self._warnings = warnings
        self._roles = roles
        self._ranks_changed = ranks_changed
        self._warnings_closed = warnings_closed
        self._holds = holds
        self._clock = clock
        self.slugs: dict[Slug, None] = {}
        """Whose sanctions are kept, in the order in which their rooms were first held."""
        self.recent_events: deque[tuple[float, SanctionEvent]] = deque(maxlen=EVENTS_REMEMBERED)
        """Events with the monotonic seconds of their arrival."""
        self._reading = SharedReading(self._read_opened, ModerationUnavailable, tasks, "read sanctions")

    def keep(self, slug: Slug) -> None:
        """A room of this slug is held from now on."""
        self.slugs[slug] = None

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self.slugs.pop(slug, None)
        self._forget(slug)

    def apply(self, event: SanctionEvent) -> None:
        """Apply one event to the cache, and once more to each answer that may have been made before it."""
        self.recent_events.append((self._clock.now_s(), event))
        self._cache.apply(event)

    def policy_heard(self, slug: Slug, policy: Policy) -> None:
        """The log of a room tells a policy, which may be older than what is known; what a room reads that was left
        meanwhile is not kept."""
        if slug in self.slugs:
            self._policies.apply(slug, policy)

    def roles_heard(self, slug: Slug, roles: RoomRoles) -> None:
        """The roles of a slug, which may be older than what is known."""
        if slug in self.slugs and (users := self._roles.apply(slug, roles)):
            self._ranks_changed(slug, users)

    async def demand_entry(self, speaker: Speaker, slug: Slug, *, final: bool) -> None:
        """Raises Banned for who is, ModerationUnavailable where nobody can say.

        The first check keeps a banned user from making a room, or being announced in it; where this edge has just
        read the room's sanctions it knows by itself. The final one is always moderation's: it comes after the
        subscription, so that no ban falls between the two.
        """
        if final or not self._is_fresh(slug):
            try:
                for face in speaker.faces:
                    if not await self._moderation.check_arrival(face, slug, final=final):
                        raise Banned
            except ModerationUnavailable:
                if not self._is_fresh(slug):
                    raise
        if self._cache.is_banned(speaker, slug, now_s=self._clock.unix_s()):
            raise Banned

    async def demand_read(self, slug: Slug) -> None:
        """Returns once the sanctions of a slug, and those that hold everywhere, were read after this was called: what
        was read before a room has subscribed may lack what was told meanwhile. Raises ModerationUnavailable where
        nothing fresh is known either."""
        try:
            await self._reading.ask(slug)
        except ModerationUnavailable:
            if not self._is_fresh(slug):
                raise

    async def read_all(self) -> None:
        """Read what holds everywhere and in every held room again. Raises ModerationUnavailable."""
        await self.read_everywhere()
        await self.read(list(self.slugs))

    async def read(self, slugs: list[Slug]) -> None:
        """Read the sanctions in force for these slugs, their policies, warnings and roles. Raises
        ModerationUnavailable."""
        for start in range(0, len(slugs), SLUGS_PER_READ):
            part = slugs[start : start + SLUGS_PER_READ]
            asked_at_s = self._clock.now_s()
            found = await self._moderation.active(part)
            self._cache.replace(part, found.sanctions, read_at_s=asked_at_s)
            for slug, policy in found.policies.items():
                self._policies.apply(slug, policy)
            for slug, (life, pin) in found.pins.items():
                self._pins.apply(slug, life, pin)
            if found.warnings is not None:
                self._warnings_closed(self._warnings.replace(part, found.warnings, asked_at_s=asked_at_s))
            if found.holds is not None:
                self._holds.replace(part, found.holds, asked_at_s=asked_at_s)
            self._policies.rules_read(part, found.ruled, everywhere=found.ruled_everywhere)
            for slug, roles in found.roles.items():
                self.roles_heard(slug, roles)
            for slug in part:
                if slug not in self.slugs:  # left while the answer was on its way
                    self._forget(slug)
            self._apply_events_since(asked_at_s)

    async def read_everywhere(self) -> None:
        """Read the sanctions that hold everywhere. Raises ModerationUnavailable."""
        asked_at_s = self._clock.now_s()
        self._cache.replace_everywhere(await self._moderation.active_everywhere(), read_at_s=asked_at_s)
        self._apply_events_since(asked_at_s)

    def _forget(self, slug: Slug) -> None:
        self._cache.forget(slug)
        self._policies.forget(slug)
        self._pins.forget(slug)
        self._warnings.forget(slug)
        self._roles.forget(slug)
        self._holds.forget(slug)

    async def _read_opened(self, slugs: list[Slug]) -> None:
        if self._cache.everywhere_read_at_s is None:  # after that events and read_all keep it
            await self.read_everywhere()
        await self.read(slugs)

    def _apply_events_since(self, asked_at_s: float) -> None:
        """The answer to a question of that time may have been made before these."""
        for received_at_s, event in self.recent_events:
            if received_at_s >= asked_at_s:
                self._cache.apply(event)

    def _is_fresh(self, slug: Slug) -> bool:
        oldest_s = self._clock.now_s() - FRESH_S
        here_s, everywhere_s = self._cache.read_at_s.get(slug), self._cache.everywhere_read_at_s
        return here_s is not None and everywhere_s is not None and min(here_s, everywhere_s) >= oldest_s

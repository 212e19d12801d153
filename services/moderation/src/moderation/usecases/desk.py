"""Where orders are carried out: rules, database, memory, event, in that order."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial

from moderation.domain.address import address_of_name
from moderation.domain.admission import Admission, Now
from moderation.domain.book import SanctionBook
from moderation.domain.order import Change, Moderator, NotPermitted, Order, check, decide, may_lift
from moderation.domain.people import Target
from moderation.domain.sanction import Sanction, SanctionEvent, held_addresses
from moderation.domain.sightings import SightingBuffer
from moderation.ports import Clock, Events, OutcomeUnknown, Store

_FOLLOWS_BACK_MS = 3_600_000
"""A sanction of a user holds for the addresses of the hour before it."""
SIGHTINGS_KEPT_MS = 86_400_000
"""How long a name without an address in it can be traced."""


class SanctionNotFound(Exception):
    """There never was a sanction with that id."""


class _IsOver(Exception):
    """The sanction was no longer in force when it was this order's turn."""


class Desk:
    """Imposes and lifts."""

    def __init__(
        self,
        store: Store,
        events: Events,
        clock: Clock,
        book: SanctionBook,
        sightings: SightingBuffer,
        admission: Admission,
        *,
        outcome_unknown: Callable[[], None],
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._book = book
        self._sightings = sightings
        self._admission = admission
        self._outcome_unknown = outcome_unknown
        self._open: set[asyncio.Task[SanctionEvent]] = set()  # as many as there are calls

    async def act(self, order: Order) -> SanctionEvent:
        """Carry out an order. Raises NotPermitted, DatabaseUnavailable."""
        check(order)
        addresses = await self._addresses(order, self._clock.now())
        return await self._finish(self._carry_out(order, addresses, lambda standing: decide(order, standing)))

    async def lift(self, sanction_id: int, moderator: Moderator) -> Sanction:
        """End one sanction; one that is over stays as it is. Raises SanctionNotFound, NotPermitted and
        DatabaseUnavailable."""
        now = self._clock.now()
        sanction = await self._store.find(sanction_id)
        if sanction is None:
            raise SanctionNotFound
        if not may_lift(moderator, sanction):
            raise NotPermitted
        if not sanction.is_in_force(now.wall_ms):
            return sanction
        order = _lifting(sanction, moderator)
        only_this = partial(_only, sanction_id)
        # Where somebody else has lifted it meanwhile, that is stored and told already.
        with suppress(_IsOver):
            await self._finish(self._carry_out(order, sanction.addresses, only_this))
        return await self._store.find(sanction_id) or sanction

    async def finish(self) -> None:
        """Wait for what callers have given up waiting for; the caller sets the deadline."""
        if self._open:
            await asyncio.wait(self._open)

    async def _finish(self, carrying_out: Coroutine[None, None, SanctionEvent]) -> SanctionEvent:
        """A caller that goes away must not leave a sanction that is stored, but neither obeyed nor told."""
        task = asyncio.create_task(carrying_out)
        self._open.add(task)
        task.add_done_callback(self._closed)
        return await asyncio.shield(task)

    def _closed(self, task: asyncio.Task[SanctionEvent]) -> None:
        self._open.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits is told it; else it is nobody's

    async def _carry_out(
        self, order: Order, addresses: frozenset[str], decision: Callable[[list[Sanction]], Change]
    ) -> SanctionEvent:
        now = self._clock.now()
        try:
            event = await self._store.change(order, addresses, decision, now_ms=now.wall_ms)
        except OutcomeUnknown:
            self._outcome_unknown()
            raise
        await self._tell(event, now)
        return event

    async def _addresses(self, order: Order, now: Now) -> frozenset[str]:
        """Where the target was seen. Memory first: what leaves it meanwhile is in the database then."""
        told = address_of_name(order.target.username)
        if told is not None:
            return frozenset({told})
        in_memory = [s.address for s in self._sightings.of(order.target, order.holds_in)]
        back_ms = _FOLLOWS_BACK_MS if order.target.user_id else SIGHTINGS_KEPT_MS
        stored = await self._store.seen_addresses(order.target, order.holds_in, since_ms=now.wall_ms - back_ms)
        return held_addresses(reversed(in_memory), stored)  # the last ones weigh most

    async def _tell(self, event: SanctionEvent, now: Now) -> None:
        """Obey first, then tell the others. Who was seen while the database was busy is followed now."""
        self._book.apply(event.imposed, event.lifted_ids)
        for sanction in event.imposed:
            for sighting in self._sightings.of(sanction.target, sanction.slug):
                self._admission.follow(sighting, now.wall_ms)
        await self._events.publish(event)


def _lifting(sanction: Sanction, moderator: Moderator) -> Order:
    return Order(
        moderator=moderator,
        action=sanction.kind.opposite,
        target=Target(*sanction.target),
        target_rank=None,
        scope=sanction.scope,
        slug=sanction.slug or "",
        duration_minutes=0,
        reason="",
    )


def _only(sanction_id: int, standing: list[Sanction]) -> Change:
    lifted = tuple(s for s in standing if s.id == sanction_id)
    if not lifted:
        raise _IsOver
    return Change(lifted=lifted, imposes=False)

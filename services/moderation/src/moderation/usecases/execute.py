"""Carrying out what moderators ask for: rights, database, memory, event, in that order."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial

from chassis.errors import OutcomeUnknown
from moderation.domain.admission import Now
from moderation.domain.people import Moderator, address_of_name
from moderation.domain.rights import Change, decide, may_execute, may_lift
from moderation.domain.sanctions import Command, Sanction, SanctionEvent, first_addresses
from moderation.errors import NotPermitted, SanctionIsOver, SanctionNotFound
from moderation.ports import Ports

_FOLLOWS_BACK_MS = 3_600_000
"""A sanction of a user holds for the addresses of the hour before it."""
LAST_SEEN_KEPT_MS = 86_400_000
"""How long a name without an address in it can be traced."""


async def execute(ports: Ports, command: Command) -> SanctionEvent:
    """Impose or lift as a moderator asks; answered once it is stored, applied here and published. Raises NotPermitted,
    DatabaseUnavailable; OutcomeUnknown where it may be stored."""
    if not may_execute(command):
        raise NotPermitted
    addresses = await _addresses_of_target(ports, command, ports.clock())
    decision = partial(decide, command, addresses=addresses)
    return await _detached(ports, _carry_out(ports, command, addresses, decision))


async def lift(ports: Ports, sanction_id: int, moderator: Moderator) -> Sanction:
    """End one sanction; one that is over stays as it is. Raises SanctionNotFound, NotPermitted, DatabaseUnavailable;
    OutcomeUnknown where it may be lifted."""
    now = ports.clock()
    sanction = await ports.store.find(sanction_id)
    if sanction is None:
        raise SanctionNotFound
    if not may_lift(moderator, sanction):
        raise NotPermitted
    if not sanction.is_in_force(now.wall_ms):
        return sanction
    only_this = partial(_lift_only, sanction_id)
    # Where somebody else has lifted it meanwhile, that is stored and published already.
    with suppress(SanctionIsOver):
        work = _carry_out(ports, Command.lifting(sanction, moderator), sanction.addresses, only_this)
        await _detached(ports, work)
    return await ports.store.find(sanction_id) or sanction


async def finish(ports: Ports) -> None:
    """Wait for what callers have given up waiting for; the caller sets the deadline."""
    if ports.in_flight:
        await asyncio.wait(ports.in_flight)


async def _detached(ports: Ports, work: Coroutine[None, None, SanctionEvent]) -> SanctionEvent:
    """A caller that goes away must not leave a sanction that is stored, but neither applied nor published."""
    task = asyncio.create_task(work)
    ports.in_flight.add(task)
    task.add_done_callback(partial(_ended, ports))
    return await asyncio.shield(task)


def _ended(ports: Ports, task: asyncio.Task[SanctionEvent]) -> None:
    ports.in_flight.discard(task)
    if not task.cancelled():
        task.exception()  # asyncio logs one that nobody has read; the caller gets it, where there still is one


async def _carry_out(
    ports: Ports, command: Command, addresses: frozenset[str], decision: Callable[[list[Sanction]], Change]
) -> SanctionEvent:
    now = ports.clock()
    try:
        event = await ports.store.change(command, addresses, decision, now_ms=now.wall_ms)
    except OutcomeUnknown:
        ports.refresh_wanted.set()
        raise
    await _apply_and_publish(ports, event, now)
    return event


async def _addresses_of_target(ports: Ports, command: Command, now: Now) -> frozenset[str]:
    """Where the target was seen. Memory is read first: what leaves it meanwhile is found in the database."""
    target, slug = command.target, command.holds_in
    in_name = address_of_name(target.username)
    if in_name is not None:
        return frozenset({in_name})
    in_memory = [seen.address for seen in ports.last_seen.of(target, slug)]
    back_ms = _FOLLOWS_BACK_MS if target.user_id else LAST_SEEN_KEPT_MS
    stored = await ports.store.seen_addresses(target, slug, since_ms=now.wall_ms - back_ms)
    return first_addresses(reversed(in_memory), stored)  # the last ones weigh most


async def _apply_and_publish(ports: Ports, event: SanctionEvent, now: Now) -> None:
    """Apply it here first, then publish it. Who was seen while the database was busy is followed now."""
    ports.cache.apply(event.imposed, event.lifted_ids)
    for sanction in event.imposed:
        for seen in ports.last_seen.of(sanction.target, sanction.slug):
            ports.cache.follow(seen, now_ms=now.wall_ms)
    await ports.events.publish(event)


def _lift_only(sanction_id: int, in_force: list[Sanction]) -> Change:
    lifted = tuple(s for s in in_force if s.id == sanction_id)
    if not lifted:
        raise SanctionIsOver
    return Change(lifted=lifted, imposes=False)

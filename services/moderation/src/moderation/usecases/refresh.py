"""Keeping memory and database together: sanctions, policies and warnings are read into memory again and again, and what
memory alone knows is written: who was last seen where, and the addresses that sanctions followed to."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from chassis.errors import DatabaseUnavailable
from chassis.tasks import repeat
from moderation.ports import Ports

READ_EVERY_S = 30.0
READ_EVERY_WITHOUT_EVENTS_S = 3.0
READ_POLICIES_EVERY_S = 0.4
"""A change of a policy, or of a warning, holds on every replica a second after it was told."""
WRITE_EVERY_S = 0.5
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 8.0
"""After a failure: doubled each time, and scattered, so that a database that recovers is not met by all at once."""
READ_AT_ONCE = 500
"""Sanctions of one question: however many there are, none takes long, and messages are judged in between."""
_ROWS_AT_ONCE = 500

_log = structlog.get_logger()


async def keep_refreshing(ports: Ports) -> None:
    """Refresh the cache every 30 s, every 3 s without events, and when it is wanted, until cancelled. Whoever wants it
    while it is under way shares the next one."""
    while True:
        wait_s = READ_EVERY_S if ports.events.is_connected else READ_EVERY_WITHOUT_EVENTS_S
        try:
            async with asyncio.timeout(wait_s):
                await ports.refresh_wanted.wait()
        except TimeoutError:
            pass
        ports.refresh_wanted.clear()
        await until_answered("sanctions_not_read", lambda: refresh(ports))
        await asyncio.sleep(_scattered(RETRY_FIRST_S))  # between two refreshes, however often one is wanted


async def keep_reading_policies(ports: Ports) -> None:
    """Read the policies that were changed, by whichever replica, every 0.4 s until cancelled; also where the database
    did not answer: another replica may have changed one as soon as it does."""
    await repeat(READ_POLICIES_EVERY_S, lambda: read_policies(ports))


async def keep_reading_warnings(ports: Ports) -> None:
    """The same of the warnings."""
    await repeat(READ_POLICIES_EVERY_S, lambda: read_warnings(ports))


async def keep_writing(ports: Ports) -> None:
    """Write what memory alone knows every half second, until cancelled."""
    await repeat(WRITE_EVERY_S, lambda: until_answered("sightings_not_written", lambda: write(ports)))


async def refresh(ports: Ports) -> None:
    """Take over the sanctions in force. Raises DatabaseUnavailable; what was known stays then."""
    now_ms = ports.clock().wall_ms
    ports.cache.begin_refresh()
    try:
        after_id: int | None = 0
        while after_id is not None:
            part, after_id = await ports.store.in_force_after(after_id, first=READ_AT_ONCE, now_ms=now_ms)
            ports.cache.add_to_refresh(part)
            await asyncio.sleep(0)
    except BaseException:
        ports.cache.abandon_refresh()
        raise
    ports.cache.finish_refresh()


async def read_policies(ports: Ports) -> None:
    """Take over the policies that were changed since the last time. Raises DatabaseUnavailable; what was read until
    then holds."""
    is_all = False
    while not is_all:
        part = await ports.store.policies_after(ports.policies.read_up_to, first=READ_AT_ONCE)
        ports.policies.read(part)
        is_all = len(part) < READ_AT_ONCE


async def read_warnings(ports: Ports) -> None:
    """The same of warnings."""
    known, is_all = ports.admission.warnings, False
    while not is_all:
        part = await ports.store.warnings_after(known.read_up_to, first=READ_AT_ONCE)
        known.read(part)
        is_all = len(part) < READ_AT_ONCE


async def write(ports: Ports) -> None:
    """Write what memory alone knows. Raises DatabaseUnavailable; nothing is lost then."""
    async with ports.writing:
        await _write_last_seen(ports)
        await _write_followed(ports)


async def until_answered(failure: str, question: Callable[[], Awaitable[None]]) -> None:
    """Ask until the database answers, more and more seldom; `failure` is the event in the log meanwhile. A defect must
    not end the service either: it goes on from memory, and the log has the trace."""
    pause_s = RETRY_FIRST_S
    while True:
        try:
            await question()
        except DatabaseUnavailable as problem:
            _log.warning(failure, problem=str(problem))
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and asked again
            _log.error(failure, exc_info=True)
        else:
            return
        await asyncio.sleep(_scattered(pause_s))
        pause_s = min(2 * pause_s, RETRY_LONGEST_S)


async def _write_last_seen(ports: Ports) -> None:
    while batch := ports.last_seen.take(_ROWS_AT_ONCE):
        try:
            await ports.store.write_last_seen(batch)
        except BaseException:
            ports.last_seen.put_back()
            raise
        ports.last_seen.written()
        # A sanction may have come while these were on their way: neither memory nor database showed them.
        for seen, at_ms in batch.items():
            ports.cache.follow(seen, now_ms=at_ms)


async def _write_followed(ports: Ports) -> None:
    while (unsaved := ports.cache.next_unsaved()) is not None:
        event = await ports.store.follow(*unsaved, now_ms=ports.clock().wall_ms)
        ports.cache.saved(*unsaved)
        if event is not None:
            ports.cache.apply(event.imposed, event.lifted_ids)
            await ports.events.publish(event)


def _scattered(pause_s: float) -> float:
    return random.uniform(pause_s / 2, pause_s)  # noqa: S311 - no secret

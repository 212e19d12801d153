"""Keeping memory and database together: changes of sanctions, policies and warnings are read into memory as they come,
and what memory alone knows is written: who was last seen where, and the addresses that sanctions followed to."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from chassis.errors import DatabaseUnavailable
from chassis.tasks import in_slices, repeat
from moderation.ports import ChangedSanctions, Ports

READ_CHANGES_EVERY_S = 0.4
"""A change of a policy, a sanction, a warning or a rule holds on every replica a second after it was told, also where
NATS told this one nothing."""
DROP_ENDED_EVERY_S = 30.0
WRITE_EVERY_S = 0.5
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 8.0
"""After a failure: doubled each time, and scattered, so that a database that recovers is not met by all at once."""
READ_ALL_AT_ONCE = 2000
READ_AT_ONCE = 500
"""Rows of one question: however many there are, none takes long, and messages are judged in between."""
_ROWS_AT_ONCE = 500

_log = structlog.get_logger()


async def keep_reading_sanctions(ports: Ports) -> None:
    """Read the sanctions that were changed, by whichever replica, every 0.4 s until cancelled: events are quicker, and
    may be lost."""
    await repeat(READ_CHANGES_EVERY_S, lambda: read_sanctions(ports))


async def keep_dropping_ended(ports: Ports) -> None:
    """Let go of the sanctions that are over, every 30 s until cancelled."""
    await repeat(DROP_ENDED_EVERY_S, lambda: drop_ended(ports))


async def keep_reading_policies(ports: Ports) -> None:
    """Read the policies that were changed, by whichever replica, every 0.4 s until cancelled; also where the database
    did not answer: another replica may have changed one as soon as it does."""
    await repeat(READ_CHANGES_EVERY_S, lambda: read_policies(ports))


async def keep_reading_warnings(ports: Ports) -> None:
    """The same of the warnings."""
    await repeat(READ_CHANGES_EVERY_S, lambda: read_warnings(ports))


async def keep_writing(ports: Ports) -> None:
    """Write what memory alone knows every half second, until cancelled."""
    await repeat(WRITE_EVERY_S, lambda: until_answered("sightings_not_written", lambda: write(ports)))


async def read_sanctions(ports: Ports) -> None:
    """Take over the sanctions that were changed since the last time. All of them the first time, and where the database
    cannot say what was changed. Raises DatabaseUnavailable; what was known stays then."""
    is_all = False
    while not is_all:
        changed = await _changed_sanctions(ports)
        if changed is None:
            await _read_all_sanctions(ports)
            return
        ports.cache.read_changes(changed.in_force, changed.ended_ids, up_to=changed.last_action_id)
        is_all = changed.is_all


async def drop_ended(ports: Ports) -> None:
    """Let go of the sanctions that are over, so many at once."""
    now_ms = ports.clock().wall_ms
    await in_slices(ports.cache.ids(), lambda sanction_id: ports.cache.drop_ended(sanction_id, now_ms=now_ms))


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
        await _write_visits(ports)
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


async def _changed_sanctions(ports: Ports) -> ChangedSanctions | None:
    """None: all have to be read, also where a row is one that this version cannot read, which must not keep it from
    those behind it."""
    read_up_to = ports.cache.read_up_to
    if read_up_to is None:
        return None
    try:
        return await ports.store.changed_after(read_up_to, first=READ_AT_ONCE, now_ms=ports.clock().wall_ms)
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is logged and gone round
        _log.error("sanctions_not_followed", read_up_to=read_up_to, exc_info=True)
        return None


async def _read_all_sanctions(ports: Ports) -> None:
    now_ms = ports.clock().wall_ms
    up_to = await ports.store.last_action_id()  # what happens from here on is read again by read_sanctions
    ports.cache.begin_reading()
    try:
        after_id: int | None = 0
        while after_id is not None:
            part, after_id = await ports.store.in_force_after(after_id, first=READ_ALL_AT_ONCE, now_ms=now_ms)
            ports.cache.add(part)
            await asyncio.sleep(0)
    except BaseException:
        ports.cache.abandon_reading()
        raise
    ports.cache.finish_reading(up_to=up_to)


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


async def _write_visits(ports: Ports) -> None:
    while batch := ports.visits.take(_ROWS_AT_ONCE):
        try:
            await ports.store.write_visits(batch)
        except BaseException:
            ports.visits.put_back(batch)
            raise


async def _write_followed(ports: Ports) -> None:
    while (unsaved := ports.cache.next_unsaved()) is not None:
        event = await ports.store.follow(*unsaved, now_ms=ports.clock().wall_ms)
        ports.cache.saved(*unsaved)
        if event is not None:
            ports.cache.apply(event.imposed, event.lifted_ids)
            await ports.events.publish(event)


def _scattered(pause_s: float) -> float:
    return random.uniform(pause_s / 2, pause_s)  # noqa: S311 - no secret

"""Doing in the logs of rooms what commands have decided, until it is done, whatever is restarted in between.

One item is these steps, each of which may be repeated: read from the log what its entry is to say (resolve), store that
for those who read the log (announce), store the entry (append), erase. An item is worked on by who has claimed it;
where that one is gone, by who looks next."""

import asyncio
import random
from collections.abc import Callable, Set as AbstractSet
from dataclasses import replace

import structlog

from chassis.errors import DatabaseUnavailable
from chassis.tasks import end_tasks, repeat, to_its_end
from moderation.domain.commands import OutboxItem
from moderation.domain.erasures import KEYS_REMEMBERED_MS, Erasure, ErasureKind, LoggedMessage
from moderation.errors import ClaimLost, LogUnavailable
from moderation.ports import Ports

LOOK_EVERY_S = 1.0
COUNT_EVERY_S = 5.0
ITEMS_AT_ONCE = 8
"""Of one replica: a large purge does not keep the others from theirs."""
RETRY_FIRST_S = 0.5
RETRY_LONGEST_S = 8.0
GIVEN_UP_AFTER_MS = 25 * 3_600_000
"""A log keeps its entries for 24 hours: nothing of what was meant is left then."""
KEPT_DONE_MS = 3_600_000
"""Who repeats a nonce is told of the entry that the first command brought."""
LOOKED_FOR_AFTER_MS = 60_000
"""So long the stream surely knows what it has stored. It does for two minutes; clocks may differ."""
_ERASED_AT_ONCE = 8
_log = structlog.get_logger()


async def keep_working(ports: Ports) -> None:
    """Take up what nobody works on, every second and when it is wanted, until cancelled. What is in work then is broken
    off, and taken up by another replica, or at the next start."""
    running: set[asyncio.Task[None]] = set()
    rests = Rests()
    try:
        while True:
            await _take_up(ports, running, rests)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await ports.outbox_wanted.wait()
            except TimeoutError:
                pass
            ports.outbox_wanted.clear()
    finally:
        await end_tasks(running)


async def keep_counting(ports: Ports, told: Callable[[int, float], None]) -> None:
    """Tell how many wait, and for how many seconds the oldest has, every few seconds until cancelled."""

    async def count() -> None:
        backlog = await ports.outbox.backlog()
        now_ms = ports.clock().wall_ms
        told(backlog.waiting, 0.0 if backlog.oldest_ms is None else max(0, now_ms - backlog.oldest_ms) / 1000)

    await repeat(COUNT_EVERY_S, count)


class Rests:
    """The partitions whose streams did not answer: left alone for longer each time, up to RETRY_LONGEST_S, so that what
    waits for them does not keep the others from being worked on. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._rests: dict[int, tuple[int, int]] = {}
        """By partition: until when, and the how manyth it is."""

    def note(self, partition: int, *, answered: bool, now_ms: int) -> None:
        """One item was worked on. Those that were under way together count as one."""
        until_ms, number = self._rests.get(partition, (0, 0))
        if answered:
            self._rests.pop(partition, None)
        elif now_ms >= until_ms:
            self._rests[partition] = (now_ms + int(1000 * _longer_s(number)), number + 1)

    def resting(self, now_ms: int) -> AbstractSet[int]:
        """Those to be left alone just now."""
        return {partition for partition, (until_ms, _) in self._rests.items() if now_ms < until_ms}


class Progress:
    """An item as far as it has come."""

    def __init__(self, item: OutboxItem) -> None:
        self.item = item


async def work(ports: Ports, progress: Progress) -> bool:
    """Do it as far as it goes at present. What could not be done is done later, by who looks for it. Returns whether
    the log answered."""
    action_id = progress.item.action_id
    try:
        await _work(ports, progress)
    except ClaimLost:
        _log.info("outbox_claim_lost", action_id=action_id)
    except asyncio.CancelledError:
        await to_its_end(_let_go(ports, progress.item, pause_s=0.0))
        raise
    except (LogUnavailable, DatabaseUnavailable) as problem:
        _log.warning("outbox_postponed", action_id=action_id, attempts=progress.item.attempts, problem=str(problem))
        await _let_go(ports, progress.item, pause_s=_pause_s(progress.item))
        return not isinstance(problem, LogUnavailable)
    except Exception:  # noqa: BLE001 - a defect must not end the others; it is tried again, and the log has the trace
        _log.error("outbox_failed", action_id=action_id, exc_info=True)
        await _let_go(ports, progress.item, pause_s=RETRY_LONGEST_S)
    return True


async def forget_done(ports: Ports) -> None:
    """Delete what was done an hour ago. Raises DatabaseUnavailable."""
    while await ports.outbox.forget_done(ports.clock().wall_ms - KEPT_DONE_MS):
        pass


async def _take_up(ports: Ports, running: set[asyncio.Task[None]], rests: Rests) -> None:
    """While NATS is away nothing is taken up: it could only be put back."""
    free = ITEMS_AT_ONCE - len(running)
    if not free or not ports.events.is_connected:
        return
    now_ms = ports.clock().wall_ms
    try:
        items = await ports.outbox.claim(first=free, except_partitions=rests.resting(now_ms), now_ms=now_ms)
    except DatabaseUnavailable as problem:
        _log.warning("outbox_not_read", problem=str(problem))
        return
    except Exception:  # noqa: BLE001 - a defect must not end the outbox; it looks again, and the log has the trace
        _log.error("outbox_not_read", exc_info=True)
        return

    async def do(item: OutboxItem) -> None:
        answered = await work(ports, Progress(item))
        rests.note(item.erasure.log.partition, answered=answered, now_ms=ports.clock().wall_ms)

    for item in items:
        task = asyncio.create_task(do(item), name=f"outbox {item.action_id}")
        running.add(task)
        task.add_done_callback(running.discard)


async def _work(ports: Ports, progress: Progress) -> None:
    item = progress.item
    if ports.clock().wall_ms - item.made_at_ms > GIVEN_UP_AFTER_MS:
        _log.error("outbox_given_up", action_id=item.action_id)
        await ports.outbox.done(item, now_ms=ports.clock().wall_ms)
        return
    if not item.erasure.is_resolved:
        resolved = await _resolve(ports, item)
        if resolved is None:  # gone before it could be read: there is nothing to tell
            await ports.outbox.done(item, now_ms=ports.clock().wall_ms)
            return
        progress.item = item = resolved
    if not item.entry_id:
        entry_id = await _append(ports, item)
        progress.item = item = replace(item, entry_id=entry_id)
        await ports.outbox.appended(item, entry_id, now_ms=ports.clock().wall_ms)
    await _erase(ports, item)
    await ports.outbox.done(item, now_ms=ports.clock().wall_ms)


async def _resolve(ports: Ports, item: OutboxItem) -> OutboxItem | None:
    """What the entry says is stored before it is published: whoever repeats a step says the same."""
    message, erasure = None, item.erasure
    if erasure.kind is ErasureKind.DELETE:
        message = await ports.log.find(erasure.log, erasure.message_id)
        if message is None:
            return None
        erasure = erasure.of(message)
    else:
        erasure = await _up_to_now(ports, erasure)
    now_ms = ports.clock().wall_ms
    await ports.outbox.resolved(item, erasure, message, now_ms=now_ms)
    return replace(item, erasure=erasure, resolved_at_ms=now_ms)


async def _up_to_now(ports: Ports, erasure: Erasure) -> Erasure:
    """With all that the log has at this moment."""
    last_id = await ports.log.last_id(erasure.log)
    recent: list[LoggedMessage] = []
    async for batch in ports.log.messages(erasure.log, last_id, since_ms=ports.clock().wall_ms - KEYS_REMEMBERED_MS):
        recent += filter(erasure.takes, batch)
    known = erasure.up_to(last_id, recent)
    if known.kind is ErasureKind.CLEAR or known.username:
        return known
    return erasure.up_to(last_id, recent, username=await _name(ports, known))


async def _name(ports: Ports, erasure: Erasure) -> str:
    """By which the author spoke; empty: the log has nothing of theirs."""
    async for batch in ports.log.messages(erasure.log, erasure.last_id):
        for message in batch:
            if erasure.takes(message):
                return message.username
    return ""


async def _append(ports: Ports, item: OutboxItem) -> int:
    """Once, however often it is tried: where the stream may have forgotten what it has stored, it is looked for."""
    await ports.log.announce(item)
    since_ms = ports.clock().wall_ms - (item.resolved_at_ms or 0)
    if since_ms > LOOKED_FOR_AFTER_MS:
        found = await ports.log.find_entry(item)
        if found is not None:
            return found
        await ports.outbox.renew(item, now_ms=ports.clock().wall_ms)
    return await ports.log.append(item)


async def _erase(ports: Ports, item: OutboxItem) -> None:
    erasure = item.erasure
    if erasure.kind is ErasureKind.DELETE:
        await ports.log.erase(erasure.log, erasure.message_id, overwrite=True)
    elif erasure.kind is ErasureKind.CLEAR:
        await ports.log.erase_up_to(erasure.log, erasure.last_id)
    else:
        await _erase_all_of_author(ports, item)


async def _erase_all_of_author(ports: Ports, item: OutboxItem) -> None:
    """Until the log, read up to the entry itself, has none left. A replica that lags may show what is gone."""
    erasure, gone = item.erasure, set[int]()
    found_any = True
    while found_any:
        found_any = False
        async for batch in ports.log.messages(erasure.log, item.entry_id):
            left = [message.id for message in batch if erasure.takes(message) and message.id not in gone]
            for start in range(0, len(left), _ERASED_AT_ONCE):
                part = left[start : start + _ERASED_AT_ONCE]
                await asyncio.gather(*(ports.log.erase(erasure.log, id_, overwrite=False) for id_ in part))
                gone.update(part)
            found_any |= bool(left)
            await ports.outbox.renew(item, now_ms=ports.clock().wall_ms)


def _pause_s(item: OutboxItem) -> float:
    pause_s = _longer_s(item.attempts)
    return random.uniform(pause_s / 2, pause_s)  # noqa: S311 - no secret


def _longer_s(attempts: int) -> float:
    return min(RETRY_FIRST_S * (1 << min(attempts, 8)), RETRY_LONGEST_S)


async def _let_go(ports: Ports, item: OutboxItem, *, pause_s: float) -> None:
    """Where that fails the claim runs out by itself."""
    try:
        await ports.outbox.postpone(item, until_ms=ports.clock().wall_ms + int(1000 * pause_s))
    except (ClaimLost, DatabaseUnavailable):
        _log.info("outbox_claim_left", action_id=item.action_id)

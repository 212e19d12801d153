"""Doing in the logs of rooms what commands have decided, until it is done, whatever is restarted in between.

One item is these steps, each of which may be repeated: read from the log what its entry is to say (resolve), store that
for those who read the log (announce), store the entry (append), erase. Where nothing is erased the entry is all. An
item is worked on by who has claimed it; where that one is gone, by who looks next."""

import asyncio
import random
from collections.abc import Callable, Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from functools import partial

import structlog

from chassis.errors import DatabaseUnavailable
from chassis.tasks import end_tasks, repeat, to_its_end
from moderation.domain.commands import OutboxItem
from moderation.domain.erasures import KEYS_REMEMBERED_MS, Erasure, ErasureKind, LoggedMessage
from moderation.domain.holds import Publication
from moderation.domain.pins import PinChange
from moderation.errors import ClaimLost, LogUnavailable, TurnAwaited
from moderation.ports import Ports

LOOK_EVERY_S = 1.0
COUNT_EVERY_S = 5.0
ITEMS_AT_ONCE = 8
"""Of one replica: a large purge does not keep the others from theirs."""
TRIED_AT_ONCE = 2
"""Of logs that did not answer, besides those."""
RETRY_FIRST_S = 0.5
RETRY_LONGEST_S = 8.0
GIVEN_UP_AFTER_MS = 25 * 3_600_000
"""A log keeps its entries for 24 hours: nothing of what was meant is left then."""
PIN_TRIES = 5
"""So often a change of a pin that fails by a defect is tried."""
KEPT_DONE_MS = 3_600_000
"""Who repeats a nonce is told of the entry that the first command brought."""
LOOKED_FOR_AFTER_MS = 60_000
"""So long the stream surely knows what it has stored. It does for two minutes; clocks may differ."""
_ERASED_AT_ONCE = 8
_TURN_PAUSE_S = 0.05
_TURN_PAUSES = 20
_log = structlog.get_logger()


async def keep_working(ports: Ports) -> None:
    """Take up what nobody works on, every second and when it is wanted, until cancelled. What is in work then is broken
    off, and taken up by another replica, or at the next start."""
    turns = _Turns()
    try:
        while True:
            await _take_up(ports, turns)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await ports.outbox_wanted.wait()
            except TimeoutError:
                pass
            ports.outbox_wanted.clear()
    finally:
        await end_tasks(turns.tasks)


async def keep_counting(ports: Ports, told: Callable[[int, float], None]) -> None:
    """Tell how many wait, and for how many seconds the oldest has, every few seconds until cancelled."""

    async def count() -> None:
        backlog = await ports.outbox.backlog()
        now_ms = ports.clock().wall_ms
        told(backlog.waiting, 0.0 if backlog.oldest_ms is None else max(0, now_ms - backlog.oldest_ms) / 1000)

    await repeat(COUNT_EVERY_S, count)


class LogAnswer(Enum):
    """What came of working on an item."""

    ANSWERED = auto()
    SILENT = auto()
    """Its log is not to be had at present."""
    NOT_ASKED = auto()


class PartitionBackoff:
    """The partitions whose streams do not answer. Each is tried with one item at a time, less often each time, up to
    every RETRY_LONGEST_S, until one is answered. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._silent: dict[int, tuple[int, int]] = {}
        """By partition: when it is to be tried again, and how often it was silent in a row."""

    @property
    def silent(self) -> AbstractSet[int]:
        """All of them."""
        return self._silent.keys()

    def due(self, now_ms: int) -> list[int]:
        """Those to be tried by now, the longest due first."""
        return sorted((p for p, (due_ms, _) in self._silent.items() if due_ms <= now_ms), key=self._silent.__getitem__)

    def forget(self, partition: int) -> None:
        """There is nothing to try it with: what comes next has a turn as any other."""
        self._silent.pop(partition, None)

    def note(self, partition: int, answer: LogAnswer, *, now_ms: int) -> None:
        """What came of one item. Those that were under way together count once."""
        due_ms, attempts = self._silent.get(partition, (0, 0))
        if answer is LogAnswer.ANSWERED:
            self.forget(partition)
        elif answer is LogAnswer.SILENT and due_ms <= now_ms:
            self._silent[partition] = (now_ms + int(1000 * _backoff_s(attempts)), attempts + 1)


class _Turns:
    """What is under way of one replica."""

    def __init__(self) -> None:
        self.backoff = PartitionBackoff()
        self.working: set[asyncio.Task[None]] = set()
        self.trying: dict[int, asyncio.Task[None]] = {}
        """By partition that was silent, the item that it is tried with."""

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return [*self.working, *self.trying.values()]


class Progress:
    """An item as far as it has come."""

    def __init__(self, item: OutboxItem) -> None:
        self.item = item


async def work(ports: Ports, progress: Progress) -> LogAnswer:
    """Do it as far as it goes at present. What could not be done is done later, by who looks for it."""
    action_id = progress.item.action_id
    try:
        return await _work(ports, progress)
    except ClaimLost:
        _log.info("outbox_claim_lost", action_id=action_id)
    except asyncio.CancelledError:
        await to_its_end(_let_go(ports, progress.item, pause_s=0.0))
        raise
    except TurnAwaited:
        await _let_go(ports, progress.item, pause_s=_pause_s(progress.item))
    except (LogUnavailable, DatabaseUnavailable) as problem:
        _log.warning("outbox_postponed", action_id=action_id, attempts=progress.item.attempts, problem=str(problem))
        await _let_go(ports, progress.item, pause_s=_pause_s(progress.item))
        if isinstance(problem, LogUnavailable):
            return LogAnswer.SILENT
    except Exception:  # noqa: BLE001 - a defect must not end the others; it is tried again, and the log has the trace
        _log.error("outbox_failed", action_id=action_id, exc_info=True)
        await _after_defect(ports, progress.item)
    return LogAnswer.NOT_ASKED


async def _after_defect(ports: Ports, item: OutboxItem) -> None:
    """Later changes of a pin wait for the earlier ones. One that fails again and again keeps them no longer: moderation
    tells what is pinned besides the log."""
    if isinstance(item.change, PinChange) and item.attempts >= PIN_TRIES:
        _log.error("outbox_given_up", action_id=item.action_id)
        with suppress(ClaimLost, DatabaseUnavailable):
            await ports.outbox.done(item, now_ms=ports.clock().wall_ms)
    else:
        await _let_go(ports, item, pause_s=RETRY_LONGEST_S)


async def forget_done(ports: Ports) -> None:
    """Delete what was done an hour ago. Raises DatabaseUnavailable."""
    while await ports.outbox.forget_done(ports.clock().wall_ms - KEPT_DONE_MS):
        pass


async def _take_up(ports: Ports, turns: _Turns) -> None:
    """While NATS is away nothing is taken up: it could only be put back."""
    if not ports.events.is_connected:
        return
    now_ms = ports.clock().wall_ms
    try:
        await _work_on_what_answers(ports, turns, now_ms)
        await _try_the_silent(ports, turns, now_ms)
    except DatabaseUnavailable as problem:
        _log.warning("outbox_not_read", problem=str(problem))
    except Exception:  # noqa: BLE001 - a defect must not end the outbox; it looks again, and the log has the trace
        _log.error("outbox_not_read", exc_info=True)


async def _work_on_what_answers(ports: Ports, turns: _Turns, now_ms: int) -> None:
    free = ITEMS_AT_ONCE - len(turns.working)
    if not free:
        return
    silent = frozenset(turns.backoff.silent)
    for item in await ports.outbox.claim(first=free, now_ms=now_ms, not_of=silent):
        task = asyncio.create_task(_take_turn(ports, turns, item), name=f"outbox {item.action_id}")
        turns.working.add(task)
        task.add_done_callback(turns.working.discard)


async def _try_the_silent(ports: Ports, turns: _Turns, now_ms: int) -> None:
    """Besides the turns of the others, so that none of them is taken up by what may not answer."""
    for partition in turns.backoff.due(now_ms):
        if len(turns.trying) == TRIED_AT_ONCE:
            return
        if partition in turns.trying:
            continue
        items = await ports.outbox.claim(first=1, now_ms=now_ms, of=frozenset({partition}))
        if not items:  # what is left, if anything, is not due yet, or another replica has it
            turns.backoff.forget(partition)
            continue
        task = asyncio.create_task(_take_turn(ports, turns, items[0]), name=f"outbox {items[0].action_id}")
        turns.trying[partition] = task
        task.add_done_callback(partial(_tried, turns, partition))


def _tried(turns: _Turns, partition: int, _: asyncio.Task[None]) -> None:
    del turns.trying[partition]


async def _take_turn(ports: Ports, turns: _Turns, item: OutboxItem) -> None:
    answer = await work(ports, Progress(item))
    turns.backoff.note(item.change.log.partition, answer, now_ms=ports.clock().wall_ms)


async def _work(ports: Ports, progress: Progress) -> LogAnswer:
    item = progress.item
    if ports.clock().wall_ms - item.made_at_ms > GIVEN_UP_AFTER_MS:
        _log.error("outbox_given_up", action_id=item.action_id)
        await ports.outbox.done(item, now_ms=ports.clock().wall_ms)
        return LogAnswer.NOT_ASKED
    change = item.change
    if isinstance(change, Erasure) and not change.is_resolved:
        resolved = await _resolve(ports, item, change)
        if resolved is None:  # gone before it could be read: there is nothing to tell
            await ports.outbox.done(item, now_ms=ports.clock().wall_ms)
            return LogAnswer.ANSWERED
        progress.item = item = resolved
    if not item.entry_id:
        if isinstance(change, PinChange):
            await _await_turn(ports, item)
        entry_id = await _append(ports, item)
        progress.item = item = replace(item, entry_id=entry_id)
        await ports.outbox.appended(item, entry_id, now_ms=ports.clock().wall_ms)
    if isinstance(item.change, Erasure):
        await _erase(ports, item, item.change)
    await ports.outbox.done(item, now_ms=ports.clock().wall_ms)
    return LogAnswer.ANSWERED


async def _await_turn(ports: Ports, item: OutboxItem) -> None:
    """Changes of a pin are told in the order in which they were made: the last one holds. Raises TurnAwaited."""
    for _ in range(_TURN_PAUSES):
        if not await ports.outbox.is_preceded(item):
            return
        await asyncio.sleep(_TURN_PAUSE_S)
    raise TurnAwaited


async def _resolve(ports: Ports, item: OutboxItem, erasure: Erasure) -> OutboxItem | None:
    """What the entry says is stored before it is published: whoever repeats a step says the same."""
    message = None
    if erasure.kind is ErasureKind.DELETE:
        message = await ports.log.find(erasure.log, erasure.message_id)
        if message is None:
            return None
        erasure = erasure.of(message)
    else:
        erasure = await _up_to_now(ports, erasure)
    now_ms = ports.clock().wall_ms
    await ports.outbox.resolved(item, erasure, message, now_ms=now_ms)
    return replace(item, change=erasure, resolved_at_ms=now_ms)


async def _up_to_now(ports: Ports, erasure: Erasure) -> Erasure:
    """With all that the log has at this moment, and will have of what was allowed before."""
    for key in erasure.ended_keys:
        await ports.log.bar(erasure.log, key)
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
    if isinstance(item.change, Erasure):
        await ports.log.announce(item, item.change)
    since_ms, barred_at = ports.clock().wall_ms - (item.resolved_at_ms or 0), 0
    is_tried_again = isinstance(item.change, Publication) and item.attempts > 0  # it may be erased already
    if is_tried_again:
        barred_at = await ports.log.bar(item.change.log, item.key)
    if since_ms > LOOKED_FOR_AFTER_MS or is_tried_again:
        found = await ports.log.find_entry(item)
        if found is not None:
            return found
        await ports.outbox.renew(item, now_ms=ports.clock().wall_ms)
    return await ports.log.append(item, barred_at=barred_at)


async def _erase(ports: Ports, item: OutboxItem, erasure: Erasure) -> None:
    if erasure.kind is ErasureKind.DELETE:
        await ports.log.erase(erasure.log, erasure.message_id, overwrite=True)
    elif erasure.kind is ErasureKind.CLEAR:
        await ports.log.erase_up_to(erasure.log, erasure.last_id)
    else:
        await _erase_all_of_author(ports, item, erasure)


async def _erase_all_of_author(ports: Ports, item: OutboxItem, erasure: Erasure) -> None:
    """Until the log, read up to the entry itself, has none left. A replica that lags may show what is gone."""
    gone = set[int]()
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
    pause_s = _backoff_s(item.attempts)
    return random.uniform(pause_s / 2, pause_s)  # noqa: S311 - no secret


def _backoff_s(attempts: int) -> float:
    return min(RETRY_FIRST_S * (1 << min(attempts, 8)), RETRY_LONGEST_S)


async def _let_go(ports: Ports, item: OutboxItem, *, pause_s: float) -> None:
    """Where that fails the claim runs out by itself."""
    try:
        await ports.outbox.postpone(item, until_ms=ports.clock().wall_ms + int(1000 * pause_s))
    except (ClaimLost, DatabaseUnavailable):
        _log.info("outbox_claim_left", action_id=item.action_id)

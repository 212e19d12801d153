"""One run: people talk, listen and come in, something is done, and what they saw is judged."""

import asyncio
import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chat_client import person

from chaos.checker import check
from chaos.faults import happen
from chaos.history import Entry, Findings, History, Reading
from chaos.holding import Sluice
from chaos.leftovers import leftovers, wrong_counts
from chaos.moderating import Desk
from chaos.people import Doors, Eraser, Listener, Lost, Newcomers, Sender, Way, read_history
from chaos.place import Place, place_for
from chaos.scenarios import Scenario

KEPT = 500
"""Messages of a room that the log keeps at least."""
SETTLED_WITHIN_S = 40.0
GONE_WITHIN_S = 120.0
WARM_UP_MESSAGES = 3


@dataclass(frozen=True, slots=True)
class Load:
    """How many people there are in each room, and at which pace they talk and come in."""

    rooms: int = 2
    senders: int = 4
    listeners: int = 3
    pace_s: float = 0.25
    newcomers_s: float = 0.5
    erasing_s: float = 1.0
    moderating_s: float = 0.5
    after_s: float = 5.0
    """How long everybody goes on when all is well again."""
    until_purged: bool = True
    """Whether to wait, at the end, until the logs of rooms that have ended are purged: more than a minute."""


QUICK_LOAD = Load(rooms=1, senders=3, listeners=2, after_s=2.0, until_purged=False)


@dataclass(slots=True)
class Crowd:
    """The people of one room."""

    room: str
    senders: list[Sender]
    listeners: list[Listener]
    newcomers: Newcomers
    way: Way
    eraser: Eraser = field(init=False)

    def __post_init__(self) -> None:
        who = person(f"{self.room}-eraser", "moderator")
        self.eraser = Eraser(self.room, who, self.way, self._some_message)

    @property
    def stay(self) -> list[Sender | Listener | Eraser]:
        """Those who are there to the end."""
        return [*self.senders, *self.listeners, self.eraser]

    def _some_message(self) -> int | None:
        """One of the last that are still there."""
        gone = {deletion.id for deletion in self.eraser.deletions}
        last = [append.id for sender in self.senders for append in sender.appends[-5:]]
        return random.choice([number for number in last if number is not None and number not in gone] or [None])


@dataclass(slots=True)
class Result:
    """What came of a run."""

    name: str
    acknowledged: int = 0
    deleted: int = 0
    moderated: Counter[str] = field(default_factory=Counter)
    """What else moderators were answered, by kind."""
    unknown: int = 0
    """Messages whose senders never learned what became of them."""
    reconnections: int = 0
    recoveries: int = 0
    findings: Findings = field(default_factory=Findings)
    longest_send_s: float = 0.0
    longest_join_s: float = 0.0
    counts_right_s: float = 0.0
    """How long after the last message until counts and presence were right."""
    wrong: list[str] = field(default_factory=list)
    """What was never right about them."""
    left: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Everything that is not as promised."""
        unknown = [f"{self.unknown} messages have no outcome"] if self.unknown else []
        return [*self.findings.faults, *unknown, *self.wrong, *self.left, *self.problems]


def _nothing() -> None:
    """Nobody waits for it."""


async def run(
    scenario: Scenario, folder: Path, load: Load | None = None, on_gone: Callable[[], None] = _nothing
) -> Result:
    """Everything that a scenario is, on processes of its own. `on_gone` is called when everybody has left, and all that
    is still to come is a look at what is left over."""
    async with place_for(scenario, folder) as place:
        await place.start()
        result = await under_load(
            place,
            load or Load(),
            lambda: happen(scenario, place),
            scenario.name,
            may_forget=scenario.may_forget,
            on_gone=on_gone,
        )
    result.problems += place.problems
    return result


async def under_load(
    place: Place,
    load: Load,
    fault: Callable[[], Awaitable[None]],
    name: str,
    *,
    may_forget: bool = False,
    doors: list[str] | None = None,
    on_gone: Callable[[], None] = _nothing,
) -> Result:
    """Let people in, do something, let them out, and judge. `doors`: where they get in, the edges without it; what is
    done may change that."""
    result = Result(name)
    before = await asyncio.to_thread(place.subscriptions)
    ways = doors if doors is not None else [edge.ws for edge in place.edges]
    crowds = [_crowd(f"{place.salon.folder.name}-{at}", load, ways) for at in range(load.rooms)]
    sluice = Sluice(f"{place.salon.folder.name}-sluice", Way(Doors(ways)))
    desks = (Desk(f"{place.salon.folder.name}-desk", Way(Doors(ways))), sluice)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listeners: list[Listener] = [each for crowd in crowds for each in crowd.listeners]
        listeners += [each for at in desks for each in at.witnesses]
        listening = [group.create_task(each.listen()) for each in listeners]
        await until(lambda: all(each.connections for each in listeners), SETTLED_WITHIN_S)
        await sluice.open()
        talking = [group.create_task(s.talk(load.pace_s, stop)) for crowd in crowds for s in crowd.senders]
        await until(lambda: _is_warm(crowds), SETTLED_WITHIN_S)
        talking += [group.create_task(each) for each in _work_of(crowds, desks, load, stop)]
        await fault()
        await place.until_ready()
        await asyncio.sleep(load.after_s)
        stop.set()
        await asyncio.gather(*talking)
        await until(lambda: all(_has_settled(crowd) for crowd in crowds), SETTLED_WITHIN_S)
        await _judge(result, place, crowds, desks, may_forget=may_forget)
        for task in listening:
            task.cancel()
    await asyncio.gather(*(each.leave() for crowd in crowds for each in crowd.stay))
    await asyncio.gather(*(at.leave() for at in desks))
    await asyncio.gather(
        *(way.visitors.close() for way in (*(at.way for at in desks), *(crowd.way for crowd in crowds)))
    )
    on_gone()
    result.left = await leftovers(place, before, within_s=GONE_WITHIN_S, logs=load.until_purged)
    return result


def _work_of(
    crowds: Sequence[Crowd], desks: Sequence[Desk | Sluice], load: Load, stop: asyncio.Event
) -> Iterator[Coroutine[None, None, None]]:
    """What goes on beside those who talk."""
    for crowd in crowds:
        yield crowd.newcomers.come_and_go(load.newcomers_s, stop)
        yield crowd.eraser.erase(load.erasing_s, stop)
    for desk in desks:
        yield desk.work(load.moderating_s, stop)


async def _judge(
    result: Result, place: Place, crowds: Sequence[Crowd], desks: Sequence[Desk | Sluice], *, may_forget: bool
) -> None:
    """Everything that is wrong while all are still there."""
    ended = time.monotonic()
    result.wrong = await _until_right(place, crowds)
    result.counts_right_s = time.monotonic() - ended
    for desk in desks:
        result.problems += await desk.judge(logs=not may_forget)
        result.moderated += desk.done
    for crowd in crowds:
        _add(result, crowd, await _history(crowd, may_forget=may_forget))


def _crowd(room: str, load: Load, doors: list[str]) -> Crowd:
    way = Way(Doors(doors))
    senders = [Sender(room, person(f"{room}-sender-{at}"), way) for at in range(load.senders)]
    listeners = [Listener(room, person(f"{room}-listener-{at}"), way) for at in range(load.listeners)]
    return Crowd(room, senders, listeners, Newcomers(room, way), way)


def _is_warm(crowds: Sequence[Crowd]) -> bool:
    return all(len(each.appends) >= WARM_UP_MESSAGES for crowd in crowds for each in crowd.senders)


def _last_id(crowd: Crowd) -> int:
    return max((append.id or 0 for sender in crowd.senders for append in sender.appends), default=0)


def _has_settled(crowd: Crowd) -> bool:
    last = _last_id(crowd)
    return all(listener.last >= last and listener.link is not None for listener in crowd.listeners)


async def _wrong(place: Place, crowds: Sequence[Crowd]) -> list[str]:
    """Whether a newcomer is told the right count, what rooms has agrees with itself, and nobody is shown as present
    who has gone."""
    found = []
    for crowd in crowds:
        counting = person(f"{crowd.room}-counting")
        link = await crowd.way.try_door(next(crowd.way.doors.tour()), crowd.room, counting)
        if link is None:
            return [f"nobody gets into {crowd.room}"]
        count = link.joined["connection_count"]
        await link.leave()
        if count != len(crowd.stay) + 1:
            found.append(f"{crowd.room} counts {count}, and {len(crowd.stay) + 1} are there")
        found += await wrong_counts(place, crowd.room)
        names = {counting.username, *(each.who.username for each in crowd.stay)}
        for each in crowd.listeners:
            ghosts = [name for name, shown in each.present.items() if shown > 0 and name not in names]
            found += [f"{each.who.username} is shown {ghosts}, who have gone"] * bool(ghosts)
    return found


async def _history(crowd: Crowd, *, may_forget: bool) -> History:
    log, reading = await _read_log(crowd)
    readings = [*reading, *(page for listener in crowd.listeners for page in listener.readings)]
    appends = [append for sender in crowd.senders for append in sender.appends]
    return History(
        tuple(appends),
        tuple(listener.view for listener in crowd.listeners),
        tuple(readings),
        tuple(crowd.eraser.deletions),
        log=log,
        whole=len(log) < KEPT,
        may_forget=may_forget,
    )


async def _read_log(crowd: Crowd) -> tuple[tuple[Entry, ...], list[Reading]]:
    """All that a newcomer can read."""
    for _ in range(10):
        link = await crowd.way.enter(crowd.room, person(f"{crowd.room}-reader"))
        pages: list[Reading] = []
        with contextlib.suppress(Lost):
            await read_history(link, 0, lambda _: None, pages.append)
            await link.leave()
            return tuple(entry for page in reversed(pages) for entry in page.entries), pages
    raise AssertionError(f"history of {crowd.room} cannot be read")


def _add(result: Result, crowd: Crowd, history: History) -> None:
    found = check(history)
    for name in ("lost", "doubled", "disordered", "deleted_shown", "invented", "stale", "forgotten"):
        getattr(result.findings, name).extend(getattr(found, name))
    acknowledged = [append for append in history.appends if append.id is not None]
    result.acknowledged += len(acknowledged)
    result.deleted += sum(1 for deletion in history.deletions if math.isfinite(deletion.confirmed_s))
    result.problems += [] if history.may_forget else crowd.eraser.refusals
    result.unknown += len(history.appends) - len(acknowledged)
    result.reconnections += sum(listener.connections - 1 for listener in crowd.listeners)
    result.recoveries += sum(listener.recoveries for listener in crowd.listeners)
    waits = [append.ended_s - append.began_s for append in history.appends]
    result.longest_send_s = max(result.longest_send_s, *waits)
    joins = [entrance.took_s for entrance in crowd.newcomers.entrances]
    result.longest_join_s = max(result.longest_join_s, *joins, 0.0)


async def until(is_so: Callable[[], bool], within_s: float) -> bool:
    """Look again and again, at what tells nobody when it happens; whether it did."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def _until_right(place: Place, crowds: Sequence[Crowd]) -> list[str]:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while True:
        wrong = await _wrong(place, crowds)
        if not wrong or time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(0.5)

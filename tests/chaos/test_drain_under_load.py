"""An edge with two thousand clients is told to stop."""

import asyncio
import signal
import time
from pathlib import Path

import pytest
from chaos.checker import check
from chaos.history import History
from chaos.people import Doors, Listener, Patience, Sender, Way
from chaos.place import NO_LIMITS, running
from chaos.run import until
from chat_client import person
from salon_processes import Edge, Salon

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOMS = 200
LISTENERS = 10
"""In each room."""
DRAIN_S = 10
PACE_S = 5.0
CALM = Patience(ping_after_s=60, given_up_after_s=120, pause_s=5)
"""Two thousand clients in one process, which the machine keeps waiting, ping and try again only where they must."""


async def come_in(listeners: list[Listener], group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
    """A hundred at a time."""
    tasks = []
    for at in range(0, len(listeners), 100):
        part = listeners[at : at + 100]
        tasks += [group.create_task(listener.listen()) for listener in part]
        assert await until(lambda part=part: all(listener.connections for listener in part), 60)  # type: ignore[misc] # mypy cannot infer a lambda's default
    return tasks


async def drain(leaving: Edge, senders: list[Sender], listeners: list[Listener]) -> float:
    """While all talk: SIGTERM, exit 0, and everybody has what was said up to the end. Gives the time of the signal."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        talking = [group.create_task(sender.talk(PACE_S, stop)) for sender in senders]
        told_s = time.monotonic()
        leaving.process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(leaving.process.wait) == 0
        stop.set()
        await asyncio.gather(*talking)
    last = {sender.room: sender.appends[-1].id or 0 for sender in senders}
    assert await until(lambda: all(each.last >= last[each.room] for each in listeners), 120)
    return told_s


def early(listeners: list[Listener], told_s: float) -> list[float]:
    """How many seconds clients were closed before their turn, if the closing is spread evenly over the drain. A client
    may learn of it late, on a machine that keeps it waiting, and never before it was done."""
    closed = sorted(at for listener in listeners for at, _ in listener.ends)
    turns = (told_s + DRAIN_S * number / len(closed) for number in range(len(closed)))
    return [turn - at for turn, at in zip(turns, closed, strict=True) if at < turn - 0.05]


async def test_two_thousand_clients_are_closed_with_1012_one_after_the_other_and_miss_nothing(tmp_path: Path) -> None:
    async with running(Salon(tmp_path, {**NO_LIMITS, "WS_EDGE_DRAIN_SECONDS": str(DRAIN_S)})) as place:
        await place.start()
        leaving, staying = place.edges
        here, there = Way(Doors([leaving.ws]), CALM), Way(Doors([staying.ws]), CALM)
        rooms = [f"{tmp_path.name}-{at}" for at in range(ROOMS)]
        senders = [Sender(room, person(f"{room}-sender"), there) for room in rooms]
        listeners = [Listener(room, person(f"{room}-{at}"), here) for room in rooms for at in range(LISTENERS)]
        await asyncio.gather(*(sender.say() for sender in senders))
        async with asyncio.TaskGroup() as group:
            listening = await come_in(listeners, group)
            here.doors.urls[:] = [staying.ws]
            told_s = await drain(leaving, senders, listeners)
            for task in listening:
                task.cancel()
        place.edges.remove(leaving)
        await asyncio.gather(here.visitors.close(), there.visitors.close())
    assert [codes for each in listeners if (codes := [code for _, code in each.ends]) != [1012]] == []
    assert early(listeners, told_s) == []
    assert sum(listener.recoveries for listener in listeners) > len(listeners) / 2  # a log read late sends to history
    for sender in senders:
        views = tuple(listener.view for listener in listeners if listener.room == sender.room)
        assert check(History(tuple(sender.appends), views)).faults == []
    assert place.problems == []

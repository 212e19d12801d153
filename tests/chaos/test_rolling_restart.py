"""Every program of a Salon with replicas is replaced under load, old and new side by side."""

import asyncio
import signal
from pathlib import Path

import pytest
from chaos.place import NO_LIMITS, Place, running
from chaos.run import Load, under_load
from real_postgres import Postgres
from salon_processes import Process, Salon, Shape

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def restart(place: Place, process: Process) -> None:
    """SIGTERM, its end, and its start."""
    process.signal(signal.SIGTERM)
    status = await asyncio.to_thread(process.wait)
    assert status in ((0, 1) if process.name.startswith("nats") else (0,)), (process.name, status)
    await place.again(process)
    await place.until_ready()


async def replace_edge(place: Place, doors: list[str]) -> None:
    """A new one beside the oldest, which is drained then."""
    new = await asyncio.to_thread(place.salon.start_edge)
    doors.append(new.ws)
    old = place.edges[0]
    doors.remove(old.ws)
    old.process.signal(signal.SIGTERM)
    assert await asyncio.to_thread(old.process.wait) == 0
    place.edges.remove(old)


async def test_a_rolling_restart_of_everything_loses_nothing(tmp_path: Path, postgres_server: Postgres) -> None:
    async def roll(place: Place, doors: list[str]) -> None:
        for process in (*place.salon.rooms.members, *place.salon.moderation.members):
            await restart(place, process)
        for process in place.salon.nats.members:
            await restart(place, process)
            await place.until_replicated()
        for _ in range(2):
            await replace_edge(place, doors)

    shape = Shape(nats=3, rooms=2, moderation=2, workers=2, postgres=postgres_server)
    async with running(Salon(tmp_path, NO_LIMITS, shape)) as place:
        await place.start()
        doors = [edge.ws for edge in place.edges]
        result = await under_load(place, Load(), lambda: roll(place, doors), "rolling restart", doors=doors)
    assert [*result.faults, *place.problems] == []
    assert result.recoveries > 0

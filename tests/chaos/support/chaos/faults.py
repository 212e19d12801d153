"""Doing to the processes what a scenario says."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import process_tree
from salon_processes import Process

from chaos.place import Place
from chaos.scenarios import Scenario

_CHUNK = bytes(65_536)


async def happen(scenario: Scenario, place: Place) -> None:
    """Do it, wait for as long as it lasts, and undo it."""
    if scenario.done == "parted":
        (line,) = place.lines.values()
        line.hold()
        await asyncio.sleep(scenario.for_s)
        line.go_on()
    elif scenario.whom == "the disk of NATS":
        await _fill(place, scenario.for_s)
    elif scenario.whom == "PostgreSQL":
        await _to_postgres(scenario, place)
    elif scenario.done == "stopped":
        process = await _process(scenario, place)
        assert process.popen is not None
        with process_tree.frozen([process.popen.pid]):
            await asyncio.sleep(scenario.for_s)
    else:
        deleted = place.salon.folder / "js" if "files deleted" in scenario.done else None
        await kill(place, await _process(scenario, place), scenario.for_s, deleted=deleted)


async def kill(place: Place, process: Process, for_s: float, *, deleted: Path | None = None) -> None:
    """`kill -9` with all its children, and start it again."""
    assert process.popen is not None
    process_tree.kill_tree(process.popen.pid)
    await asyncio.to_thread(process.wait)
    if deleted is not None:
        await asyncio.to_thread(shutil.rmtree, deleted)
    await asyncio.sleep(for_s)
    await place.again(process)


async def _process(scenario: Scenario, place: Place) -> Process:
    if scenario.whom.startswith("the leader"):
        return await place.leader()
    found: dict[str, Callable[[], Process]] = {
        "an edge": lambda: place.edges[0].process,
        "rooms": lambda: place.salon.rooms.members[0],
        "moderation": lambda: place.salon.moderation.members[0],
        "the only NATS server": lambda: place.salon.nats.members[0],
    }
    return found[scenario.whom]()


async def _to_postgres(scenario: Scenario, place: Place) -> None:
    server = place.salon.shape.postgres
    assert server is not None
    if scenario.done == "stopped":
        with server.frozen():
            await asyncio.sleep(scenario.for_s)
        return
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(scenario.for_s)
    await asyncio.to_thread(server.start)


async def _fill(place: Place, for_s: float) -> None:
    """Write until nothing more fits, delete that, and restart the server: until then its stream answers every message
    with the error of the first that did not fit, whatever room there is (2.15.1)."""
    filler = place.salon.folder / "js" / "filler"
    await asyncio.to_thread(_write_all, filler)
    for _ in range(int(for_s * 5)):  # what the server itself makes room for is filled again
        await asyncio.sleep(0.2)
        await asyncio.to_thread(_write_all, filler)
    filler.unlink()
    await kill(place, place.salon.nats.members[0], 0)


def _write_all(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(_CHUNK)

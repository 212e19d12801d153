"""Clients whose connections are dropped at random, in the middle of a frame and late, a thousand times."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from chaos.faults import kill
from chaos.place import NO_LIMITS, Place, running
from chaos.run import Load, under_load, until
from salon_processes import Salon, Shape
from tcp_line import Fate, TcpLine

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CUTS = 1_000
LOAD = Load(rooms=1, senders=4, listeners=10, after_s=2)
LIMITS = {**NO_LIMITS, "ROOMS_EMPTY_GRACE_SECONDS": "10"}
"""A room that all have left for a moment would have another life and another log: that is not what is tried here."""
BYTES = (200, 8_000)
"""From the handshake's answer to some thirty messages: a connection ends behind any of them, and inside each."""


@asynccontextmanager
async def behind_bad_lines(folder: Path) -> AsyncIterator[tuple[Place, list[TcpLine]]]:
    """Two edges of two workers, and a line to each that lets every connection end somewhere."""
    chance = Random(1)

    def fate() -> Fate:
        return Fate(ends_after_bytes=chance.randint(*BYTES), delay_s=chance.choice((0.0, 0.0, 0.01, 0.05)))

    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(running(Salon(folder, LIMITS, Shape(workers=2))))
        await place.start()
        lines = [TcpLine([edge.port], fate=fate) for edge in place.edges]
        for line in lines:
            await line.open()
            stack.push_async_callback(line.cut)
        yield place, lines
    assert place.problems == []


async def until_cut(lines: list[TcpLine], times: int) -> None:
    """So often, and then leave connections alone."""
    assert await until(lambda: sum(line.drops for line in lines) >= times, 300)
    for line in lines:
        line.fate = Fate


async def test_every_entry_is_seen_once_and_in_order_over_a_thousand_random_cuts(tmp_path: Path) -> None:
    async with behind_bad_lines(tmp_path) as (place, lines):
        doors = [f"ws://127.0.0.1:{line.port}" for line in lines]
        result = await under_load(place, LOAD, lambda: until_cut(lines, CUTS), "random cuts", doors=doors)
    assert result.faults == []
    assert result.recoveries > CUTS / 4


async def test_every_entry_is_seen_once_and_in_order_while_edges_are_killed_again_and_again(tmp_path: Path) -> None:
    async def kill_in_turn(place: Place, lines: list[TcpLine]) -> None:
        for turn in range(8):
            await kill(place, place.edges[turn % 2].process, 1)
            await asyncio.sleep(2)
        await until_cut(lines, 0)

    async with behind_bad_lines(tmp_path) as (place, lines):
        doors = [f"ws://127.0.0.1:{line.port}" for line in lines]
        result = await under_load(place, LOAD, lambda: kill_in_turn(place, lines), "killed in turn", doors=doors)
    assert result.faults == []
    assert result.recoveries > 20

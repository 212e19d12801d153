"""A worker in memory for every test that asks for one."""

from collections.abc import AsyncIterator

import pytest
from edge_world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.context.tasks.stop()

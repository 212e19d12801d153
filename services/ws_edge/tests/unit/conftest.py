"""A worker in memory for every test that asks for one."""

from collections.abc import AsyncIterator

import pytest
from edge_world import World


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Settings that are not the usual ones are its parameter, as keywords of World."""
    world = World(**getattr(request, "param", {}))
    yield world
    await world.ports.tasks.stop()

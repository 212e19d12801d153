"""Processes that end with the test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_processes import Starter
from salon_processes import RUNNING


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts processes is marked so."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    """Starts NATS servers and services."""
    found = Starter(tmp_path, os.environ)
    yield found
    found.end()
    RUNNING[:] = [process for process in RUNNING if process not in found.started]

"""One running stack for all tests here, which run in the order of the file; gone afterwards with its volumes."""

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_stack import Stack, compose_commands, missing_engine, say


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only `make compose-test` runs these."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.containers)


@pytest.fixture(scope="session")
def engine() -> None:
    """Without one there is nothing to see, and that is no success."""
    why = missing_engine()
    if why is not None:
        pytest.exit(f"make compose-test needs a Docker engine with compose, and has none: {why}", returncode=3)


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up and ready."""
    chosen = os.environ.get("COMPOSE", "")
    compose = shlex.split(chosen) if chosen else compose_commands()[0]
    stack = Stack(tmp_path_factory.mktemp("compose") / "secrets", compose)
    stack.run("build")
    started = time.monotonic()
    try:
        stack.up()
        say(f"{' '.join(compose)}: up and ready in {time.monotonic() - started:.0f} s")
        yield stack
    finally:
        stack.run("down", "-v", "-t", "5")

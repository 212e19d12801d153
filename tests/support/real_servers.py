"""Real servers for the tests of the chassis and of every service."""

from collections.abc import Iterator

import pytest
from real_nats import NatsServer
from real_postgres import Postgres, postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    """Of the end-to-end tests, here because a folder's own conftest is read too late for it."""
    parser.addoption(
        "--replicas",
        action="store_true",
        help="run the end-to-end tests on 2 rooms, 2 moderation, edges of 2 workers, PostgreSQL and 3 NATS servers",
    )


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A NATS server that runs, and that the test may stop and start."""
    server = NatsServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests; each has a database of its own there."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_socket(postgres_server: Postgres) -> str:
    """The folder of its socket."""
    return postgres_server.socket

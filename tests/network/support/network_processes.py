"""NATS servers and the three services as processes, each with the settings that a test of their links wants."""

import json
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from printed_secrets import printed_secrets
from salon_processes import Edge, Process, readiness

from tools.ports import held_port

DEADLINE_S = 120.0
OURS = ("WS_EDGE_", "ROOMS_", "MODERATION_", "SALON_", "NATS_", "JWT_")


def until(is_so: Callable[[], bool], what: str, processes: Iterable[Process] = ()) -> None:
    """Look again and again, for what tells nobody when it happens."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{process.name}:\n{process.text()[-3000:]}" for process in processes)
            raise AssertionError(f"not within {DEADLINE_S} s: {what}\n{logs}")
        time.sleep(0.05)


def environment(inherited: Mapping[str, str], **settings: str) -> dict[str, str]:
    """What a service is started with: nothing of the caller's own settings."""
    kept = {k: v for k, v in inherited.items() if not k.startswith(OURS) and not k.lower().endswith("_proxy")}
    return {**kept, "PYTHONUNBUFFERED": "1", "NATS_URL": "nats://127.0.0.1:1", **settings}


@dataclass(slots=True)
class Starter:
    """Starts processes in a folder of their own, and ends them all."""

    folder: Path
    inherited: Mapping[str, str]
    started: list[Process] = field(default_factory=list)

    def nats(self, config: str, *, name: str = "nats", port: int = 0) -> "Nats":
        """A NATS server with JetStream and whatever its configuration says."""
        port = port or held_port()
        store = f'jetstream {{ store_dir: "{self.folder / name}" }}'
        return self.nats_as_it_is(f'listen: "127.0.0.1:{port}"\n{store}\n{config}\n', name=name, port=port)

    def nats_as_it_is(self, config: str, *, name: str, port: int) -> "Nats":
        """A NATS server with this configuration, in which it finds its name as HOSTNAME."""
        path = self.folder / f"{name}.conf"
        path.write_text(config)
        server = Path(sysconfig.get_path("scripts")) / "nats-server"
        process = Process(name, [str(server), "-c", str(path)], {"HOSTNAME": name}, self.folder / f"{name}.log")
        self._start(process)
        return Nats(process, port, path)

    def service(self, service: str, **settings: str) -> "Service":
        """One of the three, on a free port."""
        port = held_port()
        name = f"{service}-{port}"
        own = {f"{service.upper()}_PORT": str(port), "WS_EDGE_DRAIN_SECONDS": "0", "JWT_SECRET": "j" * 40}
        if service != "ws_edge":
            own[f"{service.upper()}_DATABASE_URL"] = f"sqlite://{self.folder / name}.sqlite3"
        env = environment(self.inherited, **own | settings)
        process = Process(name, [sys.executable, "-m", service], env, self.folder / f"{name}.log")
        self._start(process)
        return Service(service, process, port)

    def trio(self, host: str = "127.0.0.1", **settings: str) -> "Trio":
        """Moderation, rooms and an edge, which call each other by this name of the loopback."""
        moderation = self.service("moderation", **settings)
        rooms = self.service("rooms", ROOMS_MODERATION_ADDRESSES=f"{host}:{moderation.port}", **settings)
        edge = self.service("ws_edge", **edge_links(rooms, moderation, host), **settings)
        return Trio(moderation, rooms, edge)

    def end(self) -> None:
        """End everything that runs; nobody may have printed a secret."""
        running = [process for process in self.started if process.is_running]
        for process in running:
            process.signal(15)
        for process in running:
            process.wait()
        printed = [each for p in self.started for each in printed_secrets(p.name, p.text(), p.environment)]
        assert not printed, "\n".join(printed)

    def _start(self, process: Process) -> None:
        process.start()
        self.started.append(process)


def edge_links(rooms: "Service", moderation: "Service", host: str = "127.0.0.1") -> dict[str, str]:
    """The settings by which an edge finds them."""
    return {
        "WS_EDGE_ROOMS_ADDRESS": f"{host}:{rooms.port}",
        "WS_EDGE_MODERATION_ADDRESSES": f"{host}:{moderation.port}",
    }


@dataclass(slots=True)
class Nats:
    """A NATS server that can go away and come back, also with another configuration."""

    process: Process
    port: int
    config: Path

    @property
    def url(self) -> str:
        """Without a login."""
        return f"nats://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it and wait."""
        self.process.signal(15)
        self.process.wait()


@dataclass(slots=True)
class Service:
    """A running service."""

    kind: str
    process: Process
    port: int

    def events(self) -> list[dict[str, object]]:
        """What it logged, line by line."""
        lines = self.process.text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def has_logged(self, event: str) -> bool:
        """Whether such an event is in its log."""
        return any(entry["event"] == event for entry in self.events())

    def until_serving(self) -> "Service":
        """Until it listens."""
        event = "listening" if self.kind == "ws_edge" else "serving"
        until(lambda: self._is_alive() and self.has_logged(event), f"{self.kind} serves", [self.process])
        return self

    def _is_alive(self) -> bool:
        assert self.process.is_running, f"{self.kind} ended:\n{self.process.text()}"
        return True

    def is_nats_up(self, channel: grpc.Channel | None = None) -> bool:
        """What its health says of NATS."""
        if self.kind == "ws_edge":
            return "nats" not in self.failing()
        name = "nats" if self.kind == "rooms" else ""
        return health(self.port, name, channel) == health_pb2.HealthCheckResponse.SERVING

    def is_ready(self) -> bool:
        """An edge whose three dependencies answer."""
        return readiness(Edge(self.process, self.port))[0] == 200

    def failing(self) -> set[str]:
        """The dependencies that an edge misses; all where it does not answer."""
        body = readiness(Edge(self.process, self.port))[1]
        return set(json.loads(body)["failing"]) if body else {"nats", "rooms", "moderation"}


@dataclass(slots=True)
class Trio:
    """The three services."""

    moderation: Service
    rooms: Service
    edge: Service

    @property
    def all(self) -> list[Service]:
        """In the order of their start."""
        return [self.moderation, self.rooms, self.edge]

    @property
    def processes(self) -> list[Process]:
        """Of all three."""
        return [service.process for service in self.all]

    def until_ready(self) -> None:
        """Until the edge can serve."""
        for service in self.all:
            service.until_serving()
        until(self.edge.is_ready, "the edge is ready", self.processes)

    def until_nats(self, *, is_up: bool) -> None:
        """Until the health of each says so."""
        for service in self.all:
            what = f"health of {service.kind}: NATS is {'there' if is_up else 'away'}"
            until(lambda s=service: s.is_nats_up() is is_up, what, self.processes)  # type: ignore[misc] # mypy cannot infer a lambda's default


def health(port: int, name: str, channel: grpc.Channel | None = None) -> int:
    """What the standard health service says of a name; 0 where it does not answer."""
    link = channel or grpc.insecure_channel(f"127.0.0.1:{port}")
    try:
        stub = health_pb2_grpc.HealthStub(link)  # type: ignore[no-untyped-call] # generated
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=2)
        return int(answer.status)
    except grpc.RpcError:
        return 0
    finally:
        if channel is None:
            link.close()

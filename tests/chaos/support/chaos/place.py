"""The processes of a run: two edges, and of everything else what the scenario asks for."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.js.api import StreamInfo
from real_postgres import Postgres, postgres
from salon_processes import RUNNING, Edge, Process, Salon, Shape, readiness, stop_all, wait_for_port, wait_until_ready
from tcp_line import TcpLine

from chaos.scenarios import Scenario
from tools.ports import held_port

NO_LIMITS = {"MODERATION_MESSAGES_PER_WINDOW": "1000000", "WS_EDGE_FRAMES_PER_WINDOW": "0"}
DISK_BYTES = 96 * 2**20
STREAM_BYTES = 16 * 2**20


@dataclass(slots=True)
class Place:
    """A Salon with two edges; `lines` stand between the first edge and what it may be parted from. `problems`: what
    was wrong with the way in which the programs ended, and in their logs."""

    salon: Salon
    lines: dict[str, TcpLine] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def edges(self) -> list[Edge]:
        """The two edges."""
        return self.salon.edges

    async def start(self, edges: int = 2) -> None:
        """Everything, until the edges are ready."""
        await asyncio.to_thread(self.salon.start, 0)
        ports = {"nats": self.salon.ports["nats"][0], "rooms": self.salon.ports["rooms door"][0]}
        for line_of in self.lines:
            self.lines[line_of].targets = [ports[line_of]]
            await self.lines[line_of].open()
        for at in range(edges):
            await asyncio.to_thread(self.salon.start_edge, self._links() if at == 0 else None)

    def _links(self) -> dict[str, str]:
        names = {"nats": ("NATS_URL", "nats://127.0.0.1:{}"), "rooms": ("WS_EDGE_ROOMS_ADDRESS", "127.0.0.1:{}")}
        return {names[each][0]: names[each][1].format(line.port) for each, line in self.lines.items()}

    async def again(self, process: Process) -> None:
        """Start a program that was killed, and wait until it serves."""
        process.start()
        for edge in self.edges:
            if edge.process is process:
                await asyncio.to_thread(wait_until_ready, edge)
        for name in ("nats", "rooms", "moderation"):
            for port, each in zip(self.salon.ports[name], getattr(self.salon, name).members, strict=True):
                if each is process:
                    await asyncio.to_thread(wait_for_port, port, process)

    async def until_ready(self) -> None:
        """Until both edges say that they can serve."""
        for edge in self.edges:
            await asyncio.to_thread(wait_until_ready, edge)

    async def until_replicated(self) -> None:
        """Until every stream has a leader, and the others have all that it has."""
        for _ in range(300):
            if await self._is_replicated():
                return
            await asyncio.sleep(0.2)
        raise AssertionError("a stream is not replicated")

    async def _is_replicated(self) -> bool:
        try:
            async with self._stream_infos() as infos:
                clusters = [info.cluster for info in infos if info.cluster is not None]
        except (nats.errors.Error, TimeoutError, OSError):
            return False
        replicas = [replica for cluster in clusters for replica in cluster.replicas or ()]
        return all(cluster.leader for cluster in clusters) and all(replica.current for replica in replicas)

    async def leader(self) -> Process:
        """The NATS server that leads the stream with the most messages."""
        async with self.streams() as streams:
            (leader, _) = max(streams, key=lambda each: each[1])
        return next(process for process in self.salon.nats.members if process.name == leader)

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[list[tuple[str, int]]]:
        """The leader of each stream, and how many messages it has."""
        async with self._stream_infos() as infos:
            yield [(info.cluster.leader or "" if info.cluster else "", info.state.messages) for info in infos]

    @contextlib.asynccontextmanager
    async def _stream_infos(self) -> AsyncIterator[list[StreamInfo]]:
        client = await nats.connect([f"nats://127.0.0.1:{port}" for port in self.salon.ports["nats"]])
        try:
            yield await client.jetstream().streams_info()
        finally:
            await client.close()

    def subscriptions(self) -> Counter[str]:
        """What anybody listens for on NATS, inboxes left out."""
        found: Counter[str] = Counter()
        for port in self.salon.ports["nats monitor"]:
            for connection in _json(f"http://127.0.0.1:{port}/connz?subs=1&limit=1000")["connections"]:
                subjects = connection.get("subscriptions_list", [])
                found.update(subject for subject in subjects if not subject.startswith("_INBOX"))
        return found

    def gauge(self, edge: Edge, name: str) -> float:
        """A number of an edge's metrics, over its workers."""
        text = _text(f"{edge.http}/metrics")
        values = re.findall(rf"^salon_ws_edge_{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    def is_ready(self) -> bool:
        """Whether both edges can serve."""
        return all(readiness(edge)[0] == 200 for edge in self.edges)


@contextlib.asynccontextmanager
async def place_for(scenario: Scenario, folder: Path) -> AsyncIterator[Place]:
    """What the scenario needs, not started."""
    async with AsyncExitStack() as stack:
        server: Postgres | None = None
        if scenario.whom == "PostgreSQL":
            server = await asyncio.to_thread(stack.enter_context, postgres())
        settings = dict(NO_LIMITS)
        if scenario.whom == "the disk of NATS":
            stack.enter_context(_small_disk(folder / "js"))
            settings["WS_EDGE_STREAM_MAX_BYTES"] = str(STREAM_BYTES)
        shape = Shape(nats=3 if "three" in scenario.whom else 1, postgres=server)
        place = await stack.enter_async_context(running(Salon(folder, settings, shape)))
        if scenario.done == "parted":
            other = "nats" if "NATS" in scenario.whom else "rooms"
            place.lines[other] = TcpLine([0], held_port())
        yield place


@contextlib.asynccontextmanager
async def running(salon: Salon) -> AsyncIterator[Place]:
    """A place that is stopped in the end."""
    place = Place(salon)
    try:
        yield place
    finally:
        for line in place.lines.values():
            line.go_on()
            await line.cut()
        if hasattr(salon, "nats"):
            place.problems += await asyncio.to_thread(_end, salon)


def _end(salon: Salon) -> list[str]:
    try:
        stop_all([salon])
    except AssertionError as problems:
        return str(problems).splitlines()
    finally:
        RUNNING[:] = [process for process in RUNNING if process not in salon.processes]
    return []


@contextlib.contextmanager
def _small_disk(folder: Path) -> Any:
    """A file system of its own, which takes root."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "salon-chaos", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _text(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def _json(url: str) -> Any:
    return json.loads(_text(url))

"""The edge as operators start it: one process or several on one port, their signals, exit codes and log."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools.ports import held_port
from ws_edge.process.processes import exit_code, restart_after_s

pytestmark = pytest.mark.integration

Start = Callable[..., Awaitable["Run"]]

UNCONNECTED = {"WS_EDGE_PORT": "0", "NATS_URL": "nats://127.0.0.1:1", "WS_EDGE_DRAIN_SECONDS": "0"}
LIVE_HANDSHAKE = (
    b"GET /live/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass
class Run:
    """One edge; nothing that it depends on is there."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def listening(self, count: int = 1) -> int:
        """The port that so many workers have told that they listen on."""
        ports = {event["port"] for event in await self.events("listening", count)}
        assert len(ports) == 1
        return int(ports.pop())

    async def events(self, name: str, count: int) -> list[dict[str, Any]]:
        """So many lines of the log with this event, as soon as they are there."""
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            while sum(f'"{name}"' in line for line in self.lines) < count:
                line = await self.process.stdout.readline()
                assert line, await self.errors()
                self.lines.append(line.decode())
        return [event for event in map(json.loads, self.lines) if event["event"] == name]

    async def ended(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            self.lines += (await self.process.stdout.read()).decode().splitlines(keepends=True)
            return await self.process.wait()

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    def limits(self) -> str:
        return Path(f"/proc/{self.process.pid}/limits").read_text()

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    runs: list[Run] = []

    async def begin(*how: str, **settings: str) -> Run:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(how or ("-m", "ws_edge")),
            env=inherited | UNCONNECTED | settings,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        runs.append(Run(process))
        return runs[-1]

    yield begin
    for run in runs:
        with suppress(ProcessLookupError):
            run.process.kill()
        await run.ended()  # and with it its workers, whose ends of the pipes are closed then
        await run.errors()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def answer_of(port: int) -> bytes:
    return await get(port, "/chat/ws/room/1?token=SECRET-TOKEN")


async def value_of(metric: str, port: int) -> float | None:
    found = re.search(rf"^{metric} (\S+)$", (await get(port, "/metrics")).decode(), re.MULTILINE)
    return float(found[1]) if found else None


async def shows(metric: str, value: float, port: int) -> None:
    """A scrape gives this value, if not at once then within the time that gauges may be old."""
    async with asyncio.timeout(60):
        while await value_of(metric, port) != value:  # noqa: ASYNC110 - a scrape is all that tells
            await asyncio.sleep(0.05)


async def test_sigterm_ends_the_edge_with_0_and_its_log_is_one_json_line_an_event_without_a_token(
    start: Start,
) -> None:
    run = await start()
    port = await run.listening()
    assert (await answer_of(port)).startswith(b"HTTP/1.1 426")
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert await run.errors() == ""
    events = [json.loads(line) for line in run.lines]
    assert {event["service"] for event in events} == {"ws_edge"}
    assert not [event for event in events if event["logger"].startswith("sanic")]
    assert "SECRET-TOKEN" not in "".join(run.lines)


async def test_several_workers_share_the_port_that_the_system_chose_and_sigterm_ends_all_with_0(start: Start) -> None:
    run = await start(WS_EDGE_WORKERS="2")
    port = await run.listening(2)
    workers = run.workers()
    assert len(workers) == 2
    assert (await answer_of(port)).startswith(b"HTTP/1.1 426")
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert not any(map(is_alive, workers))


async def test_a_worker_that_ends_is_started_again_and_the_others_stay(start: Start) -> None:
    run = await start(WS_EDGE_WORKERS="2")
    port = await run.listening(2)
    first, other = run.workers()
    os.kill(first, signal.SIGKILL)
    await run.listening(3)
    assert (await answer_of(port)).startswith(b"HTTP/1.1 426")
    assert other in run.workers()
    assert len(run.workers()) == 2
    ended = [event for event in map(json.loads, run.lines) if event["event"] == "worker_ended"]
    assert [(event["pid"], event["exit_code"], event["starts_again"]) for event in ended] == [(first, -9, True)]
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0


@pytest.mark.slow
async def test_a_worker_that_ends_early_three_times_in_a_row_ends_all_with_its_code(start: Start) -> None:
    run = await start(WS_EDGE_WORKERS="2")
    started = await run.events("worker_started", 2)
    doomed, other = (event["pid"] for event in started)
    for count in (3, 4):
        os.kill(doomed, signal.SIGKILL)
        doomed = (await run.events("worker_started", count))[-1]["pid"]
    os.kill(doomed, signal.SIGKILL)
    assert await run.ended() == 137
    assert not is_alive(other)
    ended = [event for event in map(json.loads, run.lines) if event["event"] == "worker_ended"]
    assert [event["starts_again"] for event in ended] == [True, True, False]


def test_where_a_worker_has_lasted_one_that_keeps_ending_is_started_again_ever_more_slowly() -> None:
    pauses = [restart_after_s(early, has_lasted=True) for early in range(8)]
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert [restart_after_s(early, has_lasted=False) for early in range(4)] == [0.0, 1.0, 2.0, None]


@pytest.mark.parametrize(("ended_with", "code"), [(0, 1), (2, 2), (-signal.SIGTERM, 143)])
def test_a_worker_that_cannot_run_is_a_failure_of_the_edge(ended_with: int, code: int) -> None:
    assert exit_code(ended_with) == code


@pytest.mark.slow
async def test_numbers_of_all_workers_are_added_up_on_either_port(start: Start) -> None:
    run = await start(WS_EDGE_WORKERS="2")
    port = await run.listening(2)
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
    for _, writer in clients:
        writer.write(LIVE_HANDSHAKE)
    for reader, _ in clients:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    # With forty of them both workers have some. Each shows the other's gauges as they were within the last second.
    await shows("salon_ws_edge_live_connections", 40, port)
    first, _ = run.workers()
    os.kill(first, signal.SIGKILL)
    await run.listening(3)
    for _, writer in clients:
        writer.close()
    await shows("salon_ws_edge_live_connections", 0, port)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_with_a_port_for_metrics_they_are_there_alone(start: Start, workers: str) -> None:
    metrics_port = held_port()
    run = await start(WS_EDGE_METRICS_PORT=str(metrics_port), WS_EDGE_WORKERS=workers)
    port = await run.listening(int(workers))
    assert (await get(port, "/metrics")).startswith(b"HTTP/1.1 404")
    await shows("salon_ws_edge_rooms", 0, metrics_port)
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_for_metrics_that_somebody_else_uses_is_refused_with_one_line(start: Start, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        run = await start(WS_EDGE_METRICS_PORT=taken, WS_EDGE_WORKERS=workers)
        assert await run.ended() == 1
        assert await run.errors() == f"ws_edge: cannot listen on 127.0.0.1:{taken}: Address already in use\n"


@pytest.mark.slow
async def test_workers_end_with_the_process_that_started_them(start: Start) -> None:
    run = await start(WS_EDGE_WORKERS="2")
    port = await run.listening(2)
    run.process.kill()
    await run.ended()  # their ends of the pipe are closed as well
    with pytest.raises(ConnectionRefusedError):
        await answer_of(port)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("shares", [False, True])
async def test_a_port_that_somebody_else_uses_is_refused_with_one_line(
    start: Start, workers: str, *, shares: bool
) -> None:
    with socket.socket() as other:
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        run = await start(WS_EDGE_PORT=str(port), WS_EDGE_WORKERS=workers)
        assert await run.ended() == 1
        assert await run.errors() == f"ws_edge: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        assert run.lines == []


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"WS_EDGE_PORT": "abc"}, r"ws_edge: WS_EDGE_PORT: must be a whole number from 0 to 65535\n"),
        ({"WS_EDGE_JWT_PUBLIC_KEY": "nonsense"}, r"ws_edge: WS_EDGE_JWT_PUBLIC_KEY: must be PEM of an? .*\n"),
        ({"WS_EDGE_PROT": "1"}, r"ws_edge: WS_EDGE_PROT: no such setting\n"),
    ],
)
async def test_a_setting_that_cannot_be_used_is_one_line_and_exit_code_2(
    start: Start, settings: dict[str, str], line: str
) -> None:
    run = await start(**settings)
    assert await run.ended() == 2
    assert re.fullmatch(line, await run.errors())
    assert run.lines == []


async def test_a_host_that_is_none_is_refused_with_one_line(start: Start) -> None:
    run = await start(WS_EDGE_HOST="no.such.host.invalid", WS_EDGE_PORT="8000", JWT_SECRET="s" * 40)
    assert await run.ended() == 1
    assert re.fullmatch(r"ws_edge: cannot listen on no\.such\.host\.invalid:8000: .+\n", await run.errors())


@pytest.mark.slow
async def test_trouble_that_is_not_the_port_s_is_logged_as_what_it_is(start: Start) -> None:
    script = """
import sys
from ws_edge import __main__, bootstrap

def build(config):
    raise OSError(24, "Too many open files")

bootstrap.build = build
sys.exit(__main__.main())
"""
    run = await start("-c", script)
    assert await run.ended() == 1
    assert await run.errors() == ""
    (event,) = map(json.loads, run.lines)
    assert (event["event"], event["level"]) == ("ended_by_a_defect", "error")
    assert "Too many open files" in event["exception"]


@pytest.mark.slow
async def test_an_edge_may_open_as_many_files_as_the_hard_limit_allows(start: Start) -> None:
    shell = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
runpy.run_module("ws_edge", run_name="__main__")
"""
    run = await start("-c", shell)
    await run.listening()
    found = re.search(r"Max open files +(\S+) +(\S+)", run.limits())
    assert found is not None
    assert found[1] == found[2]


@pytest.mark.slow
async def test_garbage_collection_is_settled_when_the_edge_listens(start: Start) -> None:
    script = """
import gc, sys
from ws_edge import __main__, bootstrap

class Log:
    def info(self, event, **about):
        log.info(event, thresholds=gc.get_threshold(), is_frozen=gc.get_freeze_count() > 10_000)

log, bootstrap._log = bootstrap._log, Log()
sys.exit(__main__.main())
"""
    run = await start("-c", script)
    (event,) = await run.events("listening", 1)
    assert event["is_frozen"]
    assert event["thresholds"][0] >= 10_000

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

import pytest

pytestmark = pytest.mark.integration

Start = Callable[..., Awaitable["Run"]]


@dataclass
class Run:
    """One edge; nothing that it depends on is there."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def listening(self, count: int = 1) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while sum('"listening"' in line for line in self.lines) < count:
                line = await self.process.stdout.readline()
                assert line, await self.errors()
                self.lines.append(line.decode())

    async def ended(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
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
            env=inherited | {"NATS_URL": "nats://127.0.0.1:1", "WS_EDGE_DRAIN_SECONDS": "0", **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        runs.append(Run(process))
        return runs[-1]

    yield begin
    for run in runs:
        with suppress(ProcessLookupError):
            run.process.kill()
        await run.process.wait()


@pytest.fixture
def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return str(sock.getsockname()[1])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def answer_of(port: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(b"GET /chat/ws/room/1?token=SECRET-TOKEN HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_sigterm_ends_the_edge_with_0_and_its_log_is_one_json_line_an_event_without_a_token(
    start: Start, free_port: str
) -> None:
    run = await start(WS_EDGE_PORT=free_port)
    await run.listening()
    assert (await answer_of(free_port)).startswith(b"HTTP/1.1 426")
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert await run.errors() == ""
    events = [json.loads(line) for line in run.lines]
    assert {event["service"] for event in events} == {"ws_edge"}
    assert not [event for event in events if event["logger"].startswith("sanic")]
    assert "SECRET-TOKEN" not in "".join(run.lines)


async def test_several_workers_share_the_port_and_sigterm_ends_all_with_0(start: Start, free_port: str) -> None:
    run = await start(WS_EDGE_PORT=free_port, WS_EDGE_WORKERS="2")
    await run.listening(2)
    workers = run.workers()
    assert len(workers) == 2
    assert (await answer_of(free_port)).startswith(b"HTTP/1.1 426")
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert not any(map(is_alive, workers))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, 137), (signal.SIGTERM, 1)])
async def test_a_worker_that_ends_by_itself_ends_all_with_its_code(
    start: Start, free_port: str, sent: signal.Signals, code: int
) -> None:
    run = await start(WS_EDGE_PORT=free_port, WS_EDGE_WORKERS="2")
    await run.listening(2)
    first, other = run.workers()
    os.kill(first, sent)
    assert await run.ended() == code
    assert not is_alive(other)
    assert any('"worker_ended"' in line for line in run.lines)


async def test_workers_end_with_the_process_that_started_them(start: Start, free_port: str) -> None:
    run = await start(WS_EDGE_PORT=free_port, WS_EDGE_WORKERS="2")
    await run.listening(2)
    run.process.kill()
    await run.ended()  # their ends of the pipe are closed as well
    with pytest.raises(ConnectionRefusedError):
        await answer_of(free_port)


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
    run = await start(WS_EDGE_HOST="no.such.host.invalid", JWT_SECRET="s" * 40)
    assert await run.ended() == 1
    assert re.fullmatch(r"ws_edge: cannot listen on no\.such\.host\.invalid:8000: .+\n", await run.errors())


async def test_trouble_that_is_not_the_port_s_is_logged_as_what_it_is(start: Start) -> None:
    script = """
import sys
from ws_edge import __main__, bootstrap

def build(config):
    raise OSError(24, "Too many open files")

bootstrap.build = build
sys.exit(__main__.main())
"""
    run = await start("-c", script, WS_EDGE_PORT="0")
    assert await run.ended() == 1
    assert await run.errors() == ""
    (event,) = map(json.loads, run.lines)
    assert (event["event"], event["level"]) == ("ended_by_a_defect", "error")
    assert "Too many open files" in event["exception"]


async def test_an_edge_may_open_as_many_files_as_the_hard_limit_allows(start: Start) -> None:
    shell = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
runpy.run_module("ws_edge", run_name="__main__")
"""
    run = await start("-c", shell, WS_EDGE_PORT="0")
    await run.listening()
    found = re.search(r"Max open files +(\S+) +(\S+)", run.limits())
    assert found is not None
    assert found[1] == found[2]


async def test_garbage_collection_is_settled_when_the_edge_listens(start: Start) -> None:
    script = """
import gc, sys
from ws_edge import __main__

class Log:
    def info(self, event, **about):
        log.info(event, thresholds=gc.get_threshold(), is_frozen=gc.get_freeze_count() > 10_000)

log, __main__._log = __main__._log, Log()
sys.exit(__main__.main())
"""
    run = await start("-c", script, WS_EDGE_PORT="0")
    await run.listening()
    event = json.loads(run.lines[-1])
    assert event["is_frozen"]
    assert event["thresholds"][0] >= 10_000

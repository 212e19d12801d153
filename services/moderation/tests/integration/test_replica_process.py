"""Whole processes: how they start, share a database, and end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]  # not typed
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from moderation.adapters.store.database import MIGRATION_LOCK
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc
from tools.ports import held_port

pytestmark = pytest.mark.integration

ADMIN = pb.Speaker(user_id=1, username="admin", address="10.0.0.1", rank=pb.RANK_ADMIN, connection="e:1")
ANA = pb.Speaker(user_id=5, username="ana", address="10.0.0.5", rank=pb.RANK_USER, connection="e:5")


class Nats(Protocol):
    url: str


async def start(**settings: str) -> Process:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MODERATION_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moderation", env={**kept, "MODERATION_PORT": "0", **settings}, stdout=PIPE, stderr=PIPE
    )


async def ended(process: Process) -> tuple[int | None, str]:
    """The exit code and what the process wrote; a test fails where it goes on."""
    try:
        async with asyncio.timeout(120):
            logged, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return process.returncode, errors.decode() + logged.decode()


async def port_of(process: Process, lines: list[bytes | str] | None = None, *, event: str = "serving") -> int:
    """The port that a replica says it serves on; the lines that it logged until then are added."""
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(120):
        while line := await process.stdout.readline():
            if lines is not None:
                lines.append(line)
            if (entry := json.loads(line))["event"] == event:
                return int(entry["port"])
        raise AssertionError((await process.stderr.read()).decode())


@asynccontextmanager
async def replica(
    url: str, nats_url: str, **more: str
) -> AsyncIterator[tuple[Process, pb_grpc.ModerationServiceAsyncStub]]:
    process = await start(MODERATION_DATABASE_URL=url, NATS_URL=nats_url, **more)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await port_of(process)}") as channel:
            yield process, pb_grpc.ModerationServiceStub(channel)
    finally:
        if process.returncode is None:
            process.terminate()
            await ended(process)


async def open_stream(stub: pb_grpc.ModerationServiceAsyncStub) -> Any:
    stream = stub.Admit()
    await stream.read()
    return stream


def act(action: pb.Action.ValueType) -> pb.ActRequest:
    return pb.ActRequest(moderator=ADMIN, action=action, target_user_id=5, scope=pb.SCOPE_ROOM, slug="live")


async def comes_to(stream: Any, expected: int) -> bool:
    return await decision(stream, ANA) == expected


async def decision(stream: Any, who: pb.Speaker) -> int:
    await stream.write(pb.AdmitRequest(checks=[pb.ArrivalCheck(id=1, speaker=who, slug="live")]))
    response: pb.AdmitResponse = await stream.read()
    return response.verdicts[0].decision


@pytest.mark.parametrize(
    ("name", "value"), [("MODERATION_PORT", "abc"), ("MODERATION_SPEED", "1"), ("NATS_URL", "nowhere")]
)
async def test_a_bad_setting_stops_the_start_with_its_name_and_exit_code_2(name: str, value: str) -> None:
    code, errors = await ended(await start(**{name: value}))
    assert code == 2
    assert errors.startswith(f"moderation: {name}: ")
    assert "Traceback" not in errors


async def test_a_second_replica_on_one_sqlite_file_is_refused_with_a_clear_text(
    nats_server: Nats, tmp_path: Path
) -> None:
    url = f"sqlite://{tmp_path}/m.sqlite3"
    async with replica(url, nats_server.url):
        second = await start(MODERATION_DATABASE_URL=url, NATS_URL=nats_server.url)
        code, errors = await ended(second)
    assert code == 1
    assert "is in use by another replica: SQLite is for one, use PostgreSQL (MODERATION_DATABASE_URL)" in errors
    assert "Traceback" not in errors


async def test_a_database_that_is_away_stops_the_start_with_a_clear_text(nats_server: Nats) -> None:
    url = "postgresql://salon:secret@127.0.0.1:1/none"
    code, errors = await ended(await start(MODERATION_DATABASE_URL=url, NATS_URL=nats_server.url))
    assert code == 1
    assert "the database is away" in errors
    assert "Traceback" not in errors
    assert "secret" not in errors


async def test_sigterm_ends_an_open_stream_writes_who_was_seen_and_exits_with_0(
    nats_server: Nats, tmp_path: Path
) -> None:
    url = f"sqlite://{tmp_path}/m.sqlite3"
    async with replica(url, nats_server.url) as (process, stub):
        stream = await open_stream(stub)
        await stream.write(pb.AdmitRequest(sightings=[pb.Sighting(speaker=ANA, slug="live")]))
        await stream.read()
        process.send_signal(signal.SIGTERM)
        code, errors = await ended(process)
    assert code == 0
    assert "Traceback" not in errors
    async with replica(url, nats_server.url) as (_, stub):
        request = pb.ActRequest(
            moderator=ADMIN, action=pb.ACTION_MUTE, target_user_id=5, scope=pb.SCOPE_ROOM, slug="live"
        )
        done = await stub.Act(request, timeout=60)
    assert list(done.event.imposed[0].addresses) == ["10.0.0.5"]


async def test_a_replica_starts_serves_and_stops_while_nats_is_away(tmp_path: Path) -> None:
    async with replica(f"sqlite://{tmp_path}/m.sqlite3", "nats://127.0.0.1:1") as (process, stub):
        stream = await open_stream(stub)
        assert await decision(stream, ANA) == pb.Verdict.DECISION_ADMITTED
        process.send_signal(signal.SIGTERM)
        code, errors = await ended(process)
    assert code == 0
    assert "Traceback" not in errors


async def test_metrics_are_told_on_a_port_of_their_own(nats_server: Nats, tmp_path: Path) -> None:
    port = held_port()
    url = f"sqlite://{tmp_path}/m.sqlite3"
    async with replica(url, nats_server.url, MODERATION_METRICS_PORT=str(port)) as (_, stub):
        await decision(await open_stream(stub), ANA)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(60):
            text = (await reader.read()).decode()
        writer.close()
    assert 'salon_moderation_verdicts_total{decision="admitted"} 1.0' in text


async def test_two_replicas_on_one_postgresql_start_together_and_share_sanctions_by_events(
    nats_server: Nats, blank_postgres_url: str, eventually: Callable[..., Awaitable[None]]
) -> None:
    both = [replica(blank_postgres_url, nats_server.url) for _ in range(2)]
    (_, first), (_, second) = await asyncio.gather(*(r.__aenter__() for r in both))
    try:
        stream = await open_stream(second)
        assert await decision(stream, ANA) == pb.Verdict.DECISION_ADMITTED
        await first.Act(act(pb.ACTION_BAN), timeout=60)
        # Less than the 30 s until the next reading of the database.
        await eventually(lambda: comes_to(stream, pb.Verdict.DECISION_SANCTIONED), deadline_s=20)
        await second.Act(act(pb.ACTION_UNBAN), timeout=60)
        other = await open_stream(first)
        await eventually(lambda: comes_to(other, pb.Verdict.DECISION_ADMITTED), deadline_s=20)
    finally:
        await asyncio.gather(*(r.__aexit__(None, None, None) for r in both))


async def test_simultaneous_commands_on_two_replicas_leave_one_sanction_in_force(
    nats_server: Nats, postgres_url: str
) -> None:
    both = [replica(postgres_url, nats_server.url) for _ in range(2)]
    (_, first), (_, second) = await asyncio.gather(*(r.__aenter__() for r in both))
    try:
        mute = act(pb.ACTION_MUTE)
        done = await asyncio.gather(*(stub.Act(mute, timeout=60) for stub in (first, second) * 5))
        assert len({d.event.event_id for d in done}) == 10
        for stub in (first, second):
            listed = await stub.ListActive(pb.ListActiveRequest(slugs=["live"]), timeout=60)
            assert len(listed.sanctions) == 1
    finally:
        await asyncio.gather(*(r.__aexit__(None, None, None) for r in both))


async def test_every_event_is_one_json_line_on_stdout_named_in_snake_case(nats_server: Nats, tmp_path: Path) -> None:
    process = await start(MODERATION_DATABASE_URL=f"sqlite://{tmp_path}/m.sqlite3", NATS_URL=nats_server.url)
    lines: list[bytes | str] = []
    await port_of(process, lines)
    process.send_signal(signal.SIGTERM)
    code, rest = await ended(process)
    assert code == 0
    events = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    steps = [e["event"] for e in events if e["logger"] == "moderation.bootstrap"]
    assert steps == ["starting", "serving", "stopping", "stopped"]
    assert all({"event", "level", "logger", "service", "timestamp"} <= event.keys() for event in events)
    assert {event["service"] for event in events} == {"moderation"}
    assert all(re.fullmatch("[a-z0-9_]+", event["event"]) for event in events)


async def test_a_replica_that_waits_for_its_migrations_lives_is_not_ready_and_ends_when_it_is_told_to(
    nats_server: Nats, postgres_url: str, postgres_socket: str
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    other = await asyncpg.connect(host=postgres_socket, user="postgres", database=name)
    await other.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    process = await start(MODERATION_DATABASE_URL=postgres_url, NATS_URL=nats_server.url)
    port = await port_of(process, event="starting")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[no-untyped-call]  # generated
        said = [(await check(health_pb2.HealthCheckRequest(service=name))).status for name in ("live", "")]
        stub = pb_grpc.ModerationServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.ListActive(pb.ListActiveRequest(), timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as refusal_of_stream:
            await open_stream(stub)
    assert said == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refusal_of_stream.value.code() is grpc.StatusCode.UNAVAILABLE
    process.send_signal(signal.SIGTERM)
    code, told_then = await ended(process)
    assert code == 0
    assert "Traceback" not in told_then
    await other.close()

"""python -m rooms as an operator meets it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg  # type: ignore[import-untyped] # has no stubs
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rooms.adapters.store.database import MIGRATION_LOCK
from salon.rooms.v1 import rooms_pb2, rooms_pb2_grpc

pytestmark = pytest.mark.integration


def start(directory: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("ROOMS_", "NATS_"))}
    environment |= {"ROOMS_PORT": "0", "NATS_URL": "nats://127.0.0.1:1", **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "rooms"],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(process: subprocess.Popen[str], event: str) -> list[str]:
    """The lines that it logged by then."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if json.loads(line)["event"] == event:
            return lines
    raise AssertionError("it ended before")


def wait_until_serving(process: subprocess.Popen[str]) -> list[str]:
    """The lines that it logged by then."""
    return wait_until(process, "serving")


def test_sigterm_ends_the_process_with_exit_code_0(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_until_serving(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / ".data" / "rooms.sqlite3").exists()


def test_a_second_replica_on_one_sqlite_file_is_stopped_at_the_start_with_a_clear_text(tmp_path: Path) -> None:
    first = start(tmp_path)
    wait_until_serving(first)
    second = start(tmp_path)
    _, text = second.communicate(timeout=60)
    first.terminate()
    first.communicate(timeout=60)
    assert second.returncode == 1
    assert "rooms.sqlite3 is in use by another replica: SQLite is for one, use PostgreSQL" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("ROOMS_PORT", "abc"), ("ROOMS_AUTO_CREATE", "sometimes"), ("ROOMS_COLOUR", "red")],
)
def test_an_unknown_or_bad_setting_stops_the_start_with_its_name(tmp_path: Path, name: str, value: str) -> None:
    process = start(tmp_path, **{name: value})
    _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.match(rf"{name}: .+\n$", text)


def test_an_address_that_is_taken_stops_the_start_with_a_clear_text(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path, ROOMS_PORT=str(port))
        _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in text


def test_a_database_that_is_away_stops_the_start_with_a_clear_text(tmp_path: Path) -> None:
    process = start(tmp_path, ROOMS_DATABASE_URL="postgres://salon@127.0.0.1:1/rooms")
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the database is away: " in text
    assert "Traceback" not in text


def test_every_event_is_one_json_line_on_stdout(tmp_path: Path) -> None:
    process = start(tmp_path)
    lines = wait_until_serving(process)
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=60)
    events = [json.loads(line) for line in (*lines, *rest.splitlines())]
    assert [e["event"] for e in events if e["logger"] == "rooms.bootstrap"] == ["starting", "serving", "stopping"]
    assert all({"event", "level", "logger", "service", "timestamp"} <= event.keys() for event in events)
    assert {event["service"] for event in events} == {"rooms"}
    assert all(re.fullmatch("[a-z0-9_]+", event["event"]) for event in events)
    assert errors == ""


async def test_a_replica_that_waits_for_its_migrations_lives_is_not_ready_and_ends_when_it_is_told_to(
    tmp_path: Path, fresh_postgres: str
) -> None:
    name, sockets = re.split(r"\?host=", fresh_postgres.removeprefix("asyncpg://postgres:@/"))
    other = await asyncpg.connect(host=sockets, user="postgres", database=name)
    await other.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    process = start(tmp_path, ROOMS_DATABASE_URL=fresh_postgres)
    port = json.loads(wait_until(process, "starting")[-1])["port"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[no-untyped-call] # generated
        said = [(await check(health_pb2.HealthCheckRequest(service=name))).status for name in ("live", "", "database")]
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await rooms_pb2_grpc.RoomsServiceStub(channel).GetStats(rooms_pb2.GetStatsRequest())
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert said == [serving, not_serving, not_serving]
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    await other.close()

"""What gRPC's health says of a replica and of its database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from real_postgres import Postgres
from structlog.testing import capture_logs

from chassis.nats_connection import NatsSettings
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.telemetry import Metrics
from moderation.usecases import refresh

pytestmark = pytest.mark.integration

SOON_S = 20.0  # less than the 30 s after which a replica that nobody uses reads its database
Eventually: TypeAlias = Callable[..., Awaitable[None]]


class Nats(Protocol):
    url: str


class Health:
    """What a replica answers by this name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # not typed

    async def is_serving(self, name: str = "") -> bool:
        answer = await self._stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=60)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def is_away(self, name: str = "") -> bool:
        return not await self.is_serving(name)


@asynccontextmanager
async def health_of_a_replica(
    database_url: str, nats_url: str, metrics: Metrics | None = None
) -> AsyncIterator[Health]:
    config = Config(port=0, database_url=database_url, nats=NatsSettings(nats_url))
    async with serving(config, metrics=metrics) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Health(channel)


async def test_a_replica_that_nobody_uses_notices_a_postgresql_that_freezes_and_one_that_goes_on(
    postgres_server: Postgres, postgres_url: str, nats_server: Nats, eventually: Eventually
) -> None:
    metrics = Metrics(CollectorRegistry())

    def counted() -> tuple[float | None, ...]:
        read = metrics.registry.get_sample_value
        up = [read("salon_moderation_dependency_up", {"dependency": name}) for name in ("database", "nats")]
        return (read("salon_moderation_ready"), *up)

    async with health_of_a_replica(postgres_url, nats_server.url, metrics) as health:
        await eventually(health.is_serving)
        assert counted() == (1, 1, 1)
        with postgres_server.frozen():
            await eventually(lambda: health.is_away("database"), deadline_s=SOON_S)
            assert await health.is_away()
            assert counted() == (0, 0, 1)
            assert await health.is_serving("nats")
            assert await health.is_serving("live")
        await eventually(lambda: health.is_serving("database"))
        await eventually(health.is_serving)


async def test_a_defect_in_the_background_is_logged_with_its_trace_and_leaves_the_replica_ready(
    nats_server: Nats, migrated_folder: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def fail(_store: TortoiseStore, _before_ms: int) -> None:
        nonlocal turns
        turns += 1
        raise ZeroDivisionError("ours")

    async def has_failed_again() -> bool:
        return turns >= 3

    monkeypatch.setattr(TortoiseStore, "delete_history", fail)
    monkeypatch.setattr(refresh, "RETRY_FIRST_S", 0.01)
    with capture_logs() as lines:
        async with health_of_a_replica(f"sqlite://{migrated_folder}/m.sqlite3", nats_server.url) as health:
            await eventually(has_failed_again)
            await eventually(health.is_serving, deadline_s=SOON_S)
    logged = [line for line in lines if line["event"] == "history_not_pruned"]
    assert (logged[0]["log_level"], logged[0]["exc_info"]) == ("error", True)

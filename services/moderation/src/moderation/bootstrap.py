"""The composition root: names the concrete classes, starts them in order and stops them in reverse."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from chassis.database import Database, is_postgres, sqlite_file
from chassis.errors import DatabaseUnavailable, ServiceError
from chassis.file_lock import file_lock
from chassis.grpc_server import GrpcServer
from chassis.metrics import serving_metrics
from chassis.tasks import repeat
from moderation.adapters.nats import NatsEvents
from moderation.adapters.store.database import migrate_moderation, moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.api.grpc.admit import AdmitStreams
from moderation.api.grpc.convert import decode_event, encode_event
from moderation.api.grpc.servicer import SERVICE, ModerationServicer
from moderation.api.grpc.status import STATUSES
from moderation.config import Config
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.sanction_cache import SanctionCache
from moderation.errors import StartFailed
from moderation.ports import Ports
from moderation.telemetry import Metrics
from moderation.usecases.execute import finish
from moderation.usecases.refresh import keep_refreshing, keep_writing, refresh, write
from moderation.usecases.retention import Retention, keep_ending, keep_pruning
from salon.moderation.v1.moderation_pb2_grpc import add_ModerationServiceServicer_to_server

STOP_GRACE_S = 1.0
_WRITE_DEADLINE_S = 1.5
_HEALTH_EVERY_S = 0.25

_log = structlog.get_logger()


def system_clock() -> Now:
    """The present time, by this machine."""
    return Now(time.monotonic_ns(), time.time_ns() // 1_000_000)


@asynccontextmanager
async def serving(
    config: Config, *, clock: Callable[[], Now] = system_clock, metrics: Metrics | None = None
) -> AsyncIterator[int]:
    """One whole replica, which serves inside of the block; gives the port of its gRPC. Raises StartFailed."""
    async with AsyncExitStack() as stack:
        try:
            port = await _enter(stack, config, clock, metrics or Metrics())
        except (ServiceError, OSError) as problem:
            raise StartFailed(str(problem)) from problem
        yield port


async def _enter(stack: AsyncExitStack, config: Config, clock: Callable[[], Now], metrics: Metrics) -> int:
    if not is_postgres(config.database_url):
        stack.enter_context(file_lock(sqlite_file(config.database_url), url_setting="MODERATION_DATABASE_URL"))
    if config.metrics_port:
        stack.enter_context(serving_metrics(config.host, config.metrics_port, metrics.registry))
    database = moderation_database(config.database_url)
    stack.push_async_callback(database.close)
    replica = _wire(config, database, clock, metrics)
    return await stack.enter_async_context(_running(replica, config, database))


@dataclass(frozen=True, slots=True)
class _Replica:
    """What runs, wired and not started."""

    ports: Ports
    nats: NatsEvents
    streams: AdmitStreams
    server: GrpcServer
    metrics: Metrics

    @property
    def dependencies(self) -> dict[str, bool]:
        """Which of them answer; it is ready when all do. Admission goes on without either."""
        return {"database": self.ports.is_store_answering, "nats": self.nats.is_connected}

    def is_ready(self) -> bool:
        """Whether database and NATS answer."""
        return all(self.dependencies.values())

    async def report_health(self) -> None:
        """To whoever asks gRPC's health service, and Prometheus."""
        self.metrics.service.dependencies(self.dependencies)
        await self.server.set_health(is_ready=self.is_ready(), dependencies=self.dependencies)


def _wire(config: Config, database: Database, clock: Callable[[], Now], metrics: Metrics) -> _Replica:
    cache, last_seen, refresh_wanted = SanctionCache(), LastSeenBuffer(), asyncio.Event()
    limits = Limits(config.messages_per_window, config.window_seconds, config.messages_per_address)
    nats = NatsEvents(
        config.nats.access,
        encode=encode_event,
        decode=decode_event,
        received=lambda event: cache.apply(event.imposed, event.lifted_ids),
        restored=refresh_wanted.set,
    )
    admission = Admission(limits, cache, last_seen)
    ports = Ports(TortoiseStore(database), nats, clock, cache, last_seen, admission, refresh_wanted)
    streams = AdmitStreams(ports, metrics.count)
    servicer = ModerationServicer(ports, streams)
    server = GrpcServer(
        SERVICE,
        lambda server: add_ModerationServiceServicer_to_server(servicer, server),
        statuses=STATUSES,
        security=config.grpc.security,
        metrics=metrics.service,
        has_reflection=config.salon_env != "production",
        is_open=False,  # before it knows what is in force it would admit everybody
    )
    replica = _Replica(ports, nats, streams, server, metrics)
    metrics.watch(is_ready=replica.is_ready, cache=cache, last_seen=last_seen)
    return replica


@asynccontextmanager
async def _running(replica: _Replica, config: Config, database: Database) -> AsyncIterator[int]:
    port = await _start(replica, config, database)
    ports, retention = replica.ports, Retention(config.audit_days, config.evidence_days)
    duties = [replica.nats.run(), keep_refreshing(ports), keep_writing(ports)]
    duties += [keep_ending(ports), keep_pruning(ports, retention)]
    async with asyncio.TaskGroup() as tasks:
        health = tasks.create_task(repeat(_HEALTH_EVERY_S, replica.report_health))
        owned = [tasks.create_task(duty) for duty in duties]
        _log.info("serving", host=config.host, port=port)
        try:
            yield port
        finally:
            _log.info("stopping")
            health.cancel()  # health is told by stop from here on
            await _stop(replica)
            for task in owned:
                task.cancel()
    _log.info("stopped")


async def _start(replica: _Replica, config: Config, database: Database) -> int:
    try:
        port = await replica.server.start(config.host, config.port)
        # Migrations may take long: who probes the port meanwhile finds a process that lives and is not ready.
        _log.info("starting", host=config.host, port=port)
        await migrate_moderation(config.database_url)
        await database.open()
        await refresh(replica.ports)
    except BaseException:
        await replica.server.stop(0)
        raise
    replica.server.open()
    return port


async def _stop(replica: _Replica) -> None:
    replica.streams.drain()
    await replica.server.stop(STOP_GRACE_S)
    try:
        async with asyncio.timeout(_WRITE_DEADLINE_S):
            await finish(replica.ports)
            await write(replica.ports)
    except (DatabaseUnavailable, TimeoutError) as problem:
        _log.warning("sightings_lost", count=len(replica.ports.last_seen), problem=type(problem).__name__)

"""The one place where concrete classes meet: builds the service, runs it, and takes it apart again."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog

from rooms import telemetry
from rooms.adapters.database import Database, is_postgres
from rooms.adapters.file_lock import FileLock
from rooms.adapters.grpc_moderation import GrpcModeration
from rooms.adapters.migrator import migrate
from rooms.adapters.nats_events import NatsEvents
from rooms.adapters.tortoise_catalog import TortoiseCatalog
from rooms.adapters.tortoise_log import TortoiseLogPositions
from rooms.adapters.tortoise_memberships import TortoiseMemberships
from rooms.adapters.video_api import VideoApi
from rooms.api.graphql.execute import execute, executions
from rooms.api.grpc.server import RoomsServer
from rooms.api.grpc.servicer import RoomsServicer
from rooms.config import Config
from rooms.domain.outage import Outage
from rooms.domain.policy import AutoCreate, CreationPolicy, RoomPolicy
from rooms.ports import DatabaseUnavailable, Ports, Videos
from rooms.usecases import membership

_SWEEP_EVERY_S = 1.0
_HEALTH_EVERY_S = 0.25
_STOP_GRACE_S = 2.0
_T = TypeVar("_T")
_log = structlog.get_logger()


def policy_of(config: Config) -> RoomPolicy:
    """The operator's choices in the domain's words."""
    return RoomPolicy(
        auto_create=AutoCreate(config.auto_create),
        empty_grace_ms=config.empty_grace_seconds * 1000,
        presence_limit=config.presence_broadcast_limit,
        lease_ms=config.lease_seconds * 1000,
    )


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[int]:
    """Run the service for the length of the block; gives the port. Raises DatabaseInUse, DatabaseUnavailable,
    CannotListen."""
    async with AsyncExitStack() as stack:
        _lock_file(config, stack)
        database = Database(config.database_url)
        stack.push_async_callback(database.close)
        events = NatsEvents(config.nats_access)
        events.start()
        stack.push_async_callback(events.close)
        moderation = GrpcModeration(config.moderation_addresses, config.grpc_security)
        stack.push_async_callback(moderation.close)
        catalog = TortoiseCatalog(database, connections=config.graphql_connections)
        ports = Ports(
            catalog=catalog,
            memberships=TortoiseMemberships(database, policy_of(config)),
            log=TortoiseLogPositions(database),
            videos=_videos(config, catalog, stack),
            events=events,
            moderation=moderation,
            clock=lambda: datetime.now(UTC),
            creation=CreationPolicy(config.create == "admin", config.reserved_slugs),
        )
        server = RoomsServer(
            RoomsServicer(ports, execute, database.away),
            config.grpc_security,
            has_reflection=config.salon_env != "production",
            connection_age_s=config.connection_age_seconds,
        )
        port = await server.start(config.host, config.port)
        stack.push_async_callback(executions.finish)  # those that nobody waits for any more still use the ports
        stack.push_async_callback(server.stop, _STOP_GRACE_S)
        # Migrations may take long: who probes the port meanwhile finds a process that lives and is not ready.
        await server.tell_health({"database": False, "nats": events.is_connected})
        _log.info("starting", host=config.host, port=port)
        await migrate(config.database_url)
        await database.open()
        outage = Outage(config.lease_seconds, now_s=time.monotonic())
        await _tell_health(server, database, events, outage)
        async with asyncio.TaskGroup() as tasks:
            jobs = [
                tasks.create_task(_repeat(_SWEEP_EVERY_S, lambda: _sweep(ports, outage))),
                tasks.create_task(_repeat(_SWEEP_EVERY_S, lambda: _to_its_end(membership.reap(ports)))),
                tasks.create_task(_repeat(_HEALTH_EVERY_S, lambda: _tell_health(server, database, events, outage))),
            ]
            _log.info("serving", host=config.host, port=port, database=config.database_url.partition(":")[0])
            try:
                yield port
            finally:
                for job in jobs:
                    job.cancel()


async def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    telemetry.configure_logging("rooms")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = telemetry.serve_metrics(config.host, config.metrics_port) if config.metrics_port else None
    try:
        await _serve_until(stop, config)
    finally:
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()


async def _serve_until(stop: asyncio.Event, config: Config) -> None:
    """A start that takes long, as with migrations, is broken off: what it did not commit is done at the next one."""
    has_started = asyncio.Event()

    async def serve() -> None:
        async with serving(config):
            has_started.set()
            await stop.wait()
            _log.info("stopping")

    work, asked = asyncio.create_task(serve()), asyncio.create_task(stop.wait())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not has_started.is_set():
        work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.result()


def _lock_file(config: Config, stack: AsyncExitStack) -> None:
    if not is_postgres(config.database_url):
        lock = FileLock(Path(config.database_url.removeprefix("sqlite://").partition("?")[0]))
        stack.callback(lock.release)


def _videos(config: Config, catalog: TortoiseCatalog, stack: AsyncExitStack) -> Videos:
    if not config.video_catalog_url:
        return catalog
    api = VideoApi(config.video_catalog_url)
    stack.push_async_callback(api.close)
    return api


async def _repeat(every_s: float, job: Callable[[], Awaitable[None]]) -> None:
    """Run a job for as long as the service; one failure does not end it. Turns that fail alike in a row are one line
    in the log, with a traceback unless the database is away."""
    last = ""
    while True:
        try:
            await job()
            last = ""
        except Exception as problem:  # noqa: BLE001 - the next turn tries again, whatever it was
            if repr(problem) != last:
                last = repr(problem)
                is_defect = not isinstance(problem, DatabaseUnavailable)
                _log.warning("background_job_failed", reason=type(problem).__name__, exc_info=is_defect)
        await asyncio.sleep(every_s)


async def _to_its_end(work: Coroutine[Any, Any, _T]) -> _T:
    """A transaction of SQLite must not be cancelled half-way, and ends before the database is closed."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _sweep(ports: Ports, outage: Outage) -> None:
    if not outage.is_over(now_s=time.monotonic()):
        return
    changes = await _to_its_end(membership.sweep(ports))
    telemetry.SWEPT.inc(len(changes.ended))
    if changes.presence or changes.ended:
        _log.info("swept", rooms_changed=len(changes.presence), rooms_ended=len(changes.ended))


async def _tell_health(server: RoomsServer, database: Database, events: NatsEvents, outage: Outage) -> None:
    dependencies = {"database": await database.is_alive(), "nats": events.is_connected}
    if not dependencies["database"]:
        outage.note(now_s=time.monotonic())
    for name, is_up in dependencies.items():
        telemetry.HEALTHY.labels(name).set(is_up)
    await server.tell_health(dependencies)

"""The one place where concrete classes meet: builds the service, runs it, and takes it apart again."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from chassis.database import Database, is_postgres, sqlite_file
from chassis.file_lock import file_lock
from chassis.grpc_server import GrpcServer
from chassis.metrics import serving_metrics
from chassis.process import serve_until_signal
from chassis.tasks import Tasks, repeat, to_its_end
from rooms.adapters.moderation import GrpcModeration
from rooms.adapters.nats import NatsEvents
from rooms.adapters.store.blocks import TortoiseBlocks
from rooms.adapters.store.catalog import TortoiseCatalog
from rooms.adapters.store.database import migrate_rooms, rooms_database
from rooms.adapters.store.dormant_logs import TortoiseDormantLogs
from rooms.adapters.store.emotes import TortoiseEmotes
from rooms.adapters.store.leases import TortoiseLeases
from rooms.adapters.store.log_positions import TortoiseLogPositions
from rooms.adapters.store.memberships import TortoiseMemberships
from rooms.adapters.video_api import VideoApi
from rooms.api.graphql.execute import EXECUTION_LIMIT, execute
from rooms.api.grpc.servicer import SERVICE, RoomsServicer
from rooms.api.grpc.status import STATUSES
from rooms.api.in_flight import InFlight, finish
from rooms.config import Config
from rooms.domain.leases import Outage
from rooms.domain.people import Rank
from rooms.domain.rooms import AutoCreate, CreationPolicy, RoomPolicy
from rooms.ports import Ports, Videos
from rooms.telemetry import Metrics
from rooms.usecases import leases
from salon.rooms.v1.rooms_pb2_grpc import add_RoomsServiceServicer_to_server

_SWEEP_EVERY_S = 1.0
_HEALTH_EVERY_S = 0.25
_STOP_GRACE_S = 2.0
_FINISH_S = 5.0
"""For calls in flight, at the end of the process."""
_log = structlog.get_logger()


def policy_of(config: Config) -> RoomPolicy:
    """The operator's choices in the domain's words."""
    return RoomPolicy(
        auto_create=AutoCreate(config.auto_create),
        empty_grace_ms=config.empty_grace_seconds * 1000,
        presence_limit=config.presence_broadcast_limit,
        lease_ms=config.lease_seconds * 1000,
        log_partitions=config.log_partitions,
        owner_rank=Rank.OWNER if config.has_owner_rights else Rank.MODERATOR,
    )


@asynccontextmanager
async def serving(config: Config, *, metrics: Metrics | None = None) -> AsyncIterator[int]:
    """Run the service for the length of the block; gives the port. Without `metrics` nobody sees them. Raises
    FileInUse, DatabaseUnavailable, CannotListen."""
    metrics = metrics or Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        stack.enter_context(_lock_file(config))
        database = rooms_database(config.database_url)
        stack.push_async_callback(database.close)
        events = NatsEvents(config.nats.access, count=metrics.event)
        events.start()
        stack.push_async_callback(events.close)
        ports = _ports(config, database, events, stack)
        executions = InFlight(EXECUTION_LIMIT)
        servicer = RoomsServicer(ports, partial(execute, executions), away=database.away, count_joins=metrics.joined)
        server = _server(config, servicer, metrics)
        # Migrations may take long: who probes the port meanwhile finds a process that lives and is not ready.
        port = await server.start(config.host, config.port)
        duties = Tasks()
        stack.push_async_callback(duties.stop)
        # Calls that nobody waits for any more still use the ports.
        stack.push_async_callback(finish, servicer.in_flight, executions, deadline_s=_FINISH_S)
        stack.push_async_callback(server.stop, _STOP_GRACE_S)
        await server.set_health(is_ready=False, dependencies={"database": False, "nats": events.is_connected})
        _log.info("starting", host=config.host, port=port)
        await migrate_rooms(config.database_url)
        await database.open()
        leases.note_outage(ports)
        report_health = partial(_report_health, server, metrics, ports, events)
        await report_health()
        _start(duties, ports, metrics, report_health)
        _log.info("serving", host=config.host, port=port, database=config.database_url.partition(":")[0])
        yield port
        _log.info("stopping")


def _start(duties: Tasks, ports: Ports, metrics: Metrics, report_health: Callable[[], Awaitable[None]]) -> None:
    duties.spawn(repeat(_SWEEP_EVERY_S, lambda: _sweep(ports, metrics)), "sweep")
    duties.spawn(repeat(_SWEEP_EVERY_S, lambda: to_its_end(leases.reap(ports))), "reap")
    duties.spawn(repeat(_SWEEP_EVERY_S, lambda: leases.purge_logs(ports)), "purge")
    duties.spawn(repeat(_HEALTH_EVERY_S, report_health), "health")


def _ports(config: Config, database: Database, events: NatsEvents, stack: AsyncExitStack) -> Ports:
    moderation = GrpcModeration(config.moderation_addresses, config.grpc.security)
    stack.push_async_callback(moderation.close)
    catalog = TortoiseCatalog(database, connections=config.graphql_connections)
    policy = policy_of(config)
    return Ports(
        catalog=catalog,
        memberships=TortoiseMemberships(database, policy),
        leases=TortoiseLeases(database, policy),
        log=TortoiseLogPositions(database),
        dormant=TortoiseDormantLogs(database),
        emotes=TortoiseEmotes(database, catalog.share),
        blocks=TortoiseBlocks(database, catalog.share),
        videos=_videos(config, catalog, stack),
        events=events,
        moderation=moderation,
        clock=lambda: datetime.now(UTC),
        elapsed_s=time.monotonic,
        outage=Outage(config.lease_seconds, now_s=time.monotonic()),
        policy=policy,
        creation=CreationPolicy(config.create == "admin", config.reserved_slugs),
    )


def _server(config: Config, servicer: RoomsServicer, metrics: Metrics) -> GrpcServer:
    return GrpcServer(
        SERVICE,
        lambda server: add_RoomsServiceServicer_to_server(servicer, server),
        statuses=STATUSES,
        security=config.grpc.security,
        metrics=metrics.service,
        has_reflection=config.salon_env != "production",
        connection_age_s=config.connection_age_seconds,
    )


async def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    metrics = Metrics()
    with serving_metrics(config.host, config.metrics_port, metrics.registry) if config.metrics_port else nullcontext():
        await serve_until_signal(serving(config, metrics=metrics))


def _lock_file(config: Config) -> AbstractContextManager[None]:
    if is_postgres(config.database_url):
        return nullcontext()
    return file_lock(sqlite_file(config.database_url), url_setting="ROOMS_DATABASE_URL")


def _videos(config: Config, catalog: TortoiseCatalog, stack: AsyncExitStack) -> Videos:
    if not config.video_catalog_url:
        return catalog
    api = VideoApi(config.video_catalog_url)
    stack.push_async_callback(api.close)
    return api


async def _sweep(ports: Ports, metrics: Metrics) -> None:
    changes = await leases.sweep_if_due(ports)
    metrics.swept(len(changes.ended))


async def _report_health(server: GrpcServer, metrics: Metrics, ports: Ports, events: NatsEvents) -> None:
    dependencies = {"database": await leases.is_database_answering(ports), "nats": events.is_connected}
    metrics.service.dependencies(dependencies)
    # The service goes on without NATS, never without its database.
    await server.set_health(is_ready=dependencies["database"], dependencies=dependencies)

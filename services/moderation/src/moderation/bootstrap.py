"""The composition root: names the concrete classes, starts them in order and stops them in reverse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from chassis.database import Database, is_postgres, sqlite_file
from chassis.errors import ServiceError
from chassis.file_lock import file_lock
from chassis.grpc_server import GrpcServer
from chassis.metrics import serving_metrics
from chassis.tasks import repeat
from moderation.adapters.nats_events import NatsEvents
from moderation.adapters.store import migrate_moderation, moderation_database
from moderation.adapters.system_clock import SystemClock
from moderation.adapters.tortoise_store import TortoiseStore
from moderation.api.grpc.admit import AdmitStreams
from moderation.api.grpc.sanction_convert import decode_event, encode_event
from moderation.api.grpc.servicer import SERVICE, ModerationServicer
from moderation.api.grpc.status import STATUSES
from moderation.config import Config
from moderation.domain.admission import Admission, Limits
from moderation.domain.book import SanctionBook
from moderation.domain.sanction import SanctionEvent
from moderation.domain.sightings import SightingBuffer
from moderation.ports import Clock, DatabaseUnavailable, Events, Store
from moderation.telemetry import Metrics
from moderation.usecases.desk import Desk
from moderation.usecases.upkeep import Retention, Upkeep
from salon.moderation.v1.moderation_pb2_grpc import add_ModerationServiceServicer_to_server

STOP_GRACE_S = 1.0
_FLUSH_DEADLINE_S = 1.5
_HEALTH_EVERY_S = 0.25

_log = structlog.get_logger()


class StartFailed(Exception):
    """The replica cannot run; the text tells an operator why."""


class Service:
    """One replica, wired but not started."""

    def __init__(self, config: Config, database: Database, clock: Clock, metrics: Metrics) -> None:
        limits = Limits(config.messages_per_window, config.window_seconds, config.messages_per_address)
        self._config = config
        self._database = database
        self._book = SanctionBook()
        self._sightings = SightingBuffer()
        admission = Admission(limits, self._book, self._sightings)
        store: Store = TortoiseStore(database)
        self._nats = NatsEvents(
            config.nats.access,
            encode=encode_event,
            decode=decode_event,
            received=self._follow_event,
            restored=self._restored,
        )
        events: Events = self._nats
        retention = Retention(config.audit_days, config.evidence_days)
        self._upkeep = Upkeep(store, events, clock, self._book, self._sightings, admission, retention)
        self._desk = Desk(
            store,
            events,
            clock,
            self._book,
            self._sightings,
            admission,
            outcome_unknown=self._upkeep.read_soon,
        )
        self._streams = AdmitStreams(admission, clock, metrics.count)
        self._metrics = metrics
        servicer = ModerationServicer(self._streams, self._desk, store, clock)
        self._server = GrpcServer(
            SERVICE,
            lambda server: add_ModerationServiceServicer_to_server(servicer, server),
            statuses=STATUSES,
            security=config.grpc.security,
            metrics=metrics.service,
            has_reflection=config.salon_env != "production",
            is_open=False,  # before it knows what is in force it would admit everybody
        )
        metrics.watch(
            is_ready=self.is_ready,
            in_force=lambda: len(self._book),
            waiting=lambda: len(self._sightings),
            lost=lambda: self._sightings.lost,
        )

    def is_ready(self) -> bool:
        """Whether database and NATS answer; admission goes on without either."""
        return self._nats.is_connected and self._upkeep.is_store_answering

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Serve inside of the block; the port is what it gives. Raises CannotListen, DatabaseUnavailable."""
        try:
            port = await self._server.start(self._config.host, self._config.port)
            # Migrations may take long: who probes the port meanwhile finds a process that lives and is not ready.
            _log.info("starting", host=self._config.host, port=port)
            await migrate_moderation(self._config.database_url)
            await self._database.open()
            await self._upkeep.read()
        except BaseException:
            await self._server.stop(0)
            raise
        self._server.open()
        async with asyncio.TaskGroup() as tasks:
            health = repeat(_HEALTH_EVERY_S, self._tell_health)
            owned = [tasks.create_task(duty) for duty in (self._nats.run(), self._upkeep.run(), health)]
            _log.info("serving", host=self._config.host, port=port)
            try:
                yield port
            finally:
                _log.info("stopping")
                await self._stop(owned)
        _log.info("stopped")

    async def _tell_health(self) -> None:
        dependencies = {"database": self._upkeep.is_store_answering, "nats": self._nats.is_connected}
        self._metrics.service.dependencies(dependencies)
        await self._server.set_health(is_ready=self.is_ready(), dependencies=dependencies)

    async def _stop(self, owned: list[asyncio.Task[None]]) -> None:
        self._streams.drain()
        owned[-1].cancel()  # health is told by stop from here on
        await self._server.stop(STOP_GRACE_S)
        await self._flush()
        for task in owned:
            task.cancel()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(_FLUSH_DEADLINE_S):
                await self._desk.finish()
                await self._upkeep.flush()
        except (DatabaseUnavailable, TimeoutError) as problem:
            _log.warning("sightings_lost", count=len(self._sightings), problem=type(problem).__name__)

    def _follow_event(self, event: SanctionEvent) -> None:
        self._book.apply(event.imposed, event.lifted_ids)

    def _restored(self) -> None:
        self._upkeep.read_soon()


@asynccontextmanager
async def replica(config: Config, *, clock: Clock | None = None, metrics: Metrics | None = None) -> AsyncIterator[int]:
    """A whole replica; the port of its gRPC is what it gives. Raises StartFailed."""
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        try:
            if not is_postgres(config.database_url):
                lock = file_lock(sqlite_file(config.database_url), url_setting="MODERATION_DATABASE_URL")
                stack.enter_context(lock)
            if config.metrics_port:
                stack.enter_context(serving_metrics(config.host, config.metrics_port, metrics.registry))
            database = moderation_database(config.database_url)
            stack.push_async_callback(database.close)
            service = Service(config, database, clock or SystemClock(), metrics)
            port = await stack.enter_async_context(service.running())
        except (ServiceError, OSError) as problem:
            raise StartFailed(str(problem)) from problem
        yield port

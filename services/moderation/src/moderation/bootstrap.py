"""The composition root: names the concrete classes, starts them in order and stops them in reverse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from moderation.adapters.database import Database, is_sqlite
from moderation.adapters.file_lock import DatabaseInUse, FileLock
from moderation.adapters.nats_events import NatsEvents
from moderation.adapters.system_clock import SystemClock
from moderation.adapters.tortoise_store import TortoiseStore
from moderation.api.grpc.admit import AdmitStreams
from moderation.api.grpc.sanction_convert import decode_event, encode_event
from moderation.api.grpc.server import GrpcServer
from moderation.api.grpc.servicer import ModerationServicer
from moderation.config import Config
from moderation.domain.admission import Admission, Limits
from moderation.domain.book import SanctionBook
from moderation.domain.sanction import SanctionEvent
from moderation.domain.sightings import SightingBuffer
from moderation.ports import Clock, Events, Store, StoreUnavailable
from moderation.telemetry import Metrics
from moderation.usecases.desk import Desk
from moderation.usecases.upkeep import Retention, Upkeep

STOP_GRACE_S = 1.0
_FLUSH_DEADLINE_S = 1.5

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
            config.nats_access,
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
        self._server = GrpcServer(
            ModerationServicer(self._streams, self._desk, store, clock),
            self.is_ready,
            config.grpc_security,
            has_reflection=config.salon_env != "production",
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
        """Serve inside of the block; the port is what it gives. Raises StartFailed."""
        try:
            port = await self._server.start(self._config.host, self._config.port)
            # Migrations may take long: who probes the port meanwhile finds a process that lives and is not ready.
            _log.info("starting", host=self._config.host, port=port)
            await self._database.open()
            await self._upkeep.read()
        except BaseException as problem:
            await self._server.stop(0)
            if isinstance(problem, StoreUnavailable | RuntimeError):
                raise StartFailed(str(problem)) from problem
            raise
        self._server.open()
        async with asyncio.TaskGroup() as tasks:
            owned = [tasks.create_task(run()) for run in (self._nats.run, self._upkeep.run, self._server.watch)]
            try:
                yield port
            finally:
                await self._stop(owned)

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
        except (StoreUnavailable, TimeoutError) as problem:
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
            database = _prepare(config, metrics, stack)
        except (DatabaseInUse, OSError) as problem:
            raise StartFailed(str(problem)) from problem
        service = Service(config, database, clock or SystemClock(), metrics)
        yield await stack.enter_async_context(service.running())


def _prepare(config: Config, metrics: Metrics, stack: AsyncExitStack) -> Database:
    """What a replica needs before it starts; the stack gives it back in reverse order."""
    if path := _sqlite_file(config.database_url):
        lock = FileLock(path)
        lock.acquire()
        stack.callback(lock.release)
    if config.metrics_port:
        stack.callback(metrics.serve(config.host, config.metrics_port))
    database = Database(config.database_url)
    stack.push_async_callback(database.close)
    return database


def _sqlite_file(url: str) -> Path | None:
    path = url.removeprefix("sqlite://").partition("?")[0]
    return Path(path) if is_sqlite(url) and path != ":memory:" else None

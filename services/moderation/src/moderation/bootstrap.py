"""The composition root: names the concrete classes, starts them in order and stops them in reverse."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from chassis.database import Database, is_postgres, sqlite_file
from chassis.errors import DatabaseUnavailable, ServiceError
from chassis.file_lock import file_lock
from chassis.grpc_server import GrpcServer
from chassis.metrics import serving_metrics
from chassis.tasks import Tasks, end_tasks, repeat
from moderation.adapters.classifier import HttpClassifier
from moderation.adapters.log import NatsLog
from moderation.adapters.nats import NatsEvents
from moderation.adapters.store.database import migrate_moderation, moderation_database
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.api.grpc.admit import AdmitStreams
from moderation.api.grpc.convert import (
    decode_event,
    encode_event,
    encode_holds,
    encode_revocation,
    encode_roles,
    encode_warnings,
)
from moderation.api.grpc.convert_feed import encode_feed
from moderation.api.grpc.recalls import Recalls
from moderation.api.grpc.servicer import SERVICE, ModerationServicer
from moderation.api.grpc.status import STATUSES
from moderation.config import Config, preset_of
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.lending import Lending
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.raids import RaidWatch
from moderation.domain.rule_book import RuleBook
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.visits import VisitBuffer
from moderation.errors import StartFailed
from moderation.ports import Ports
from moderation.telemetry import Metrics
from moderation.usecases.execute import finish
from moderation.usecases.feed import keep_telling_feed, keep_telling_flags
from moderation.usecases.outbox import keep_counting, keep_working
from moderation.usecases.raids import keep_watching_raids
from moderation.usecases.refresh import (
    keep_dropping_ended,
    keep_reading_policies,
    keep_reading_sanctions,
    keep_reading_warnings,
    keep_writing,
    read_policies,
    read_sanctions,
    read_warnings,
    write,
)
from moderation.usecases.retention import (
    Retention,
    keep_ending,
    keep_expiring_held,
    keep_forgetting,
    keep_pruning,
)
from moderation.usecases.rule_effects import keep_muting, keep_writing_hits, write_hits
from moderation.usecases.rules import keep_reading_rules, prepare_lately_used, read_rules, settle
from salon.moderation.v1.moderation_pb2_grpc import add_ModerationServiceServicer_to_server

STOP_GRACE_S = 1.0
_WRITE_DEADLINE_S = 1.5
_HEALTH_EVERY_S = 0.25
_MS_PER_DAY = 86_400_000
_NS_PER_S = 1_000_000_000

_log = structlog.get_logger()


def system_clock() -> Now:
    """The present time, by this machine."""
    return Now(time.monotonic_ns(), time.time_ns() // 1_000_000)


@asynccontextmanager
async def serving(
    config: Config, *, clock: Callable[[], Now] = system_clock, metrics: Metrics | None = None
) -> AsyncIterator[int]:
    """One whole replica, which serves inside of the block; gives the port of its gRPC. Without `metrics` it counts in a
    registry of its own. Raises StartFailed."""
    metrics = metrics or Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        try:
            port = await _enter(stack, config, clock, metrics)
        except (ServiceError, OSError) as problem:
            raise StartFailed(str(problem)) from problem
        try:
            yield port
        finally:
            _log.info("stopping")
    _log.info("stopped")


@dataclass(frozen=True, slots=True)
class _Replica:
    """What runs, wired and not started."""

    ports: Ports
    database: Database
    nats: NatsEvents
    classifier: HttpClassifier
    streams: AdmitStreams
    recalls: Recalls
    server: GrpcServer
    metrics: Metrics


async def _enter(stack: AsyncExitStack, config: Config, clock: Callable[[], Now], metrics: Metrics) -> int:
    if not is_postgres(config.database_url):
        stack.enter_context(file_lock(sqlite_file(config.database_url), url_setting="MODERATION_DATABASE_URL"))
    if config.metrics_port:
        stack.enter_context(serving_metrics(config.host, config.metrics_port, metrics.registry))
    database = moderation_database(config.database_url)
    stack.push_async_callback(database.close)
    replica = _wire(config, database, clock, metrics)
    duties = Tasks()
    stack.push_async_callback(duties.stop)
    port = await replica.server.start(config.host, config.port)
    stack.push_async_callback(_stop, replica)
    # Migrations may take long: who probes the port meanwhile finds a process that lives and is not ready.
    _log.info("starting", host=config.host, port=port)
    await migrate_moderation(config.database_url)
    await database.open()
    await read_sanctions(replica.ports)
    await read_policies(replica.ports)
    await read_warnings(replica.ports)
    await read_rules(replica.ports)
    await settle(replica.ports)
    await prepare_lately_used(replica.ports)
    replica.server.open()
    _start(duties, replica, Retention(config.audit_days, config.evidence_days))
    _log.info("serving", host=config.host, port=port)
    return port


def _wire(config: Config, database: Database, clock: Callable[[], Now], metrics: Metrics) -> _Replica:
    cache, last_seen, policies = SanctionCache(), LastSeenBuffer(), PolicyCache()
    rules = RuleBook(refuses_unjudged=config.rules_outage == "refuse")
    outbox_wanted = asyncio.Event()
    limits = Limits(config.messages_per_window, config.window_seconds, config.messages_per_address)
    nats = NatsEvents(
        config.nats.access,
        encode=encode_event,
        encode_warnings=encode_warnings,
        encode_roles=encode_roles,
        encode_revocation=encode_revocation,
        encode_feed=encode_feed,
        encode_holds=encode_holds,
        decode=decode_event,
        received=lambda event: cache.apply(event.imposed, event.lifted_ids),
        restored=outbox_wanted.set,
    )
    visits = VisitBuffer()
    raids = RaidWatch()
    admission = Admission(
        limits, cache, last_seen, policies, rules=rules, visits=visits, cpu_ns=time.thread_time_ns, raids=raids
    )
    lending = Lending(config.window_seconds * _NS_PER_S)
    recalls = Recalls(lending, admission, clock)
    classifier = HttpClassifier(private=config.classifier_private, observe=metrics.classified)
    commanding = asyncio.Lock()
    ports = Ports(
        TortoiseStore(database, commanding),
        nats,
        clock,
        cache,
        last_seen,
        admission,
        TortoiseOutbox(database, commanding),
        NatsLog(nats.connection),
        policies,
        classifier,
        config.token_life_days * _MS_PER_DAY,
        preset_of(config.shield_preset),
        outbox_wanted,
        rules,
        visits=visits,
        raids=raids,
        lending=lending,
        settled=recalls.settle,
    )
    streams = AdmitStreams(ports, metrics, recalls)
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
    metrics.watch(
        cache=cache,
        policies=policies,
        warnings=admission.warnings,
        last_seen=last_seen,
        rules=rules,
        classifiers=ports.classifier_lines,
    )
    return _Replica(ports, database, nats, classifier, streams, recalls, server, metrics)


def _start(duties: Tasks, replica: _Replica, retention: Retention) -> None:
    ports = replica.ports
    duties.spawn(replica.nats.run(), "nats connection")
    duties.spawn(keep_reading_sanctions(ports), "sanctions")
    duties.spawn(keep_dropping_ended(ports), "ended sanctions")
    duties.spawn(keep_reading_policies(ports), "policies")
    duties.spawn(keep_reading_warnings(ports), "warnings")
    duties.spawn(keep_reading_rules(ports), "rules")
    duties.spawn(keep_muting(ports), "mutes by rule")
    duties.spawn(keep_writing_hits(ports), "rule hits")
    duties.spawn(keep_telling_feed(ports), "feed")
    duties.spawn(keep_telling_flags(ports), "flags")
    duties.spawn(keep_watching_raids(ports), "raids")
    duties.spawn(keep_writing(ports), "write")
    duties.spawn(keep_working(ports), "outbox")
    duties.spawn(keep_counting(ports, replica.metrics.outbox), "outbox backlog")
    duties.spawn(keep_ending(ports), "end")
    duties.spawn(keep_expiring_held(ports), "held messages")
    duties.spawn(keep_forgetting(ports), "forget")
    duties.spawn(keep_pruning(ports, retention), "prune")
    duties.spawn(repeat(_HEALTH_EVERY_S, lambda: _report_health(replica)), "health")


async def _report_health(replica: _Replica) -> None:
    """To whoever asks gRPC's health service, and Prometheus. It is ready when both answer; admission goes on without
    either."""
    dependencies = {"database": await replica.database.is_alive(), "nats": replica.nats.is_connected}
    replica.metrics.dependencies(dependencies)
    await replica.server.set_health(is_ready=all(dependencies.values()), dependencies=dependencies)


async def _stop(replica: _Replica) -> None:
    replica.streams.drain()
    await replica.server.stop(STOP_GRACE_S)
    await replica.recalls.stop()
    await end_tasks({compilation.task for compilation in replica.ports.compiling.values()})
    await end_tasks({*replica.ports.classifying.values(), *replica.ports.classifying_behind})
    await replica.classifier.close()
    await end_tasks(replica.ports.outbox_work)  # another replica goes on with it, or this one at its next start
    try:
        async with asyncio.timeout(_WRITE_DEADLINE_S):
            await finish(replica.ports)
            await write(replica.ports)
            await write_hits(replica.ports)
    except (DatabaseUnavailable, TimeoutError) as problem:
        _log.warning("sightings_lost", count=len(replica.ports.last_seen), problem=type(problem).__name__)

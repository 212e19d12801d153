"""The composition root: names the concrete classes, starts them in order and stops them in reverse."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from prometheus_client import CollectorRegistry

from chassis.errors import BadSetting, CannotListen
from chassis.metrics import serving_metrics, shared_folder
from ws_edge.adapters.grpc.moderation import GrpcModeration
from ws_edge.adapters.grpc.rooms import GrpcRooms
from ws_edge.adapters.jwt.keys import JwksKeys, KeySource, public_key, secret_key
from ws_edge.adapters.jwt.tokens import JwtTokens, issue_token
from ws_edge.adapters.nats.bus import NatsBus
from ws_edge.chat.arrivals import Arrivals
from ws_edge.chat.join import Entrance
from ws_edge.chat.revocations import RevocableTokens
from ws_edge.config import Config
from ws_edge.errors import RoleNotAllowed
from ws_edge.ports import DrainState, Ports
from ws_edge.process.worker import Worker
from ws_edge.protocol.identity import AnonymousNames
from ws_edge.protocol.limits import ConnectionLimits, SlidingWindowLimiter
from ws_edge.protocol.resume_text import ResumeTexts, derived_key
from ws_edge.telemetry import Metrics
from ws_edge.transport import page
from ws_edge.transport.origins import Origins
from ws_edge.transport.routes.monitoring import Check
from ws_edge.transport.server import EdgeParts, create_app, listening

SETTLE_S = 2.0
GRAPHQL_WINDOW_S = 1.0
_RESUME_PURPOSE = "salon anonymous resume 1"
_LOOK_EVERY_S = 0.01
_log = structlog.get_logger("ws_edge")


@asynccontextmanager
async def serving(config: Config, sock: socket.socket, *, answers_scrapes: bool) -> AsyncIterator[int]:
    """Run one worker on a bound socket for the length of the block, then drain it; gives the port. With
    `answers_scrapes` also the port for metrics, if one was set. Raises CannotListen."""
    edge = build(config)
    async with AsyncExitStack() as stack:
        if answers_scrapes:
            stack.enter_context(metrics_port(config, edge.metrics.registry()))
        dependencies = (edge.bus, edge.moderation, edge.rooms)
        for dependency in dependencies:
            stack.push_async_callback(dependency.stop)
        await asyncio.gather(
            *(dependency.start() for dependency in dependencies),
            settled(lambda: all(dependency.is_connected for dependency in dependencies), within_s=SETTLE_S),
        )
        stack.push_async_callback(edge.worker.ports.tasks.stop)
        edge.worker.start()
        edge.worker.ports.tasks.spawn(edge.metrics.refresh_repeatedly(), "metrics")
        drain = partial(edge.worker.drain, config.drain_seconds)
        await stack.enter_async_context(listening(create_app(edge.parts), sock, drain=drain))
        yield sock.getsockname()[1]


def log_listening(config: Config, port: int) -> None:
    """What those wait for in the log who start edges: from now on clients are served."""
    _log.info("listening", host=config.host, port=port)


@dataclass(frozen=True, slots=True)
class Edge:
    """One worker, put together and not yet started."""

    rooms: GrpcRooms
    moderation: GrpcModeration
    bus: NatsBus
    worker: Worker
    metrics: Metrics
    parts: EdgeParts


def build(config: Config) -> Edge:
    """Put one worker together. Needs a running event loop; connects nothing."""
    incarnation = secrets.token_hex(16)
    clock = SystemClock()
    metrics = Metrics(shared_folder(environment()))
    security = config.grpc.security
    rooms = GrpcRooms(config.rooms_address, incarnation, security)
    moderation = GrpcModeration(config.moderation_addresses, security, worker=incarnation)
    bus = NatsBus(
        config.nats.access,
        incarnation,
        memory=rooms,
        unix_s=clock.unix_s,
        max_bytes=config.stream_max_bytes,
        replicas=config.stream_replicas,
        count=metrics.incident,
    )
    worker = Worker(
        Ports(
            incarnation,
            rooms,
            moderation,
            bus,
            clock,
            metrics,
            config.moderation_outage,
            config.frames_per_window,
            config.crowded_flush_ms / 1000,
        )
    )
    bus.listen(worker)
    rooms.listen(worker, log_sequences=lambda: bus.highest_sequences)
    metrics.watch(
        connections=worker.connections,
        live_connections=worker.live.audience,
        rooms=worker.held_rooms.by_life,
        pending=worker.outcomes,
    )
    checks = {
        "rooms": _answers(lambda: rooms.is_connected),
        "moderation": _answers(lambda: moderation.is_connected),
        "nats": _answers(lambda: bus.is_connected),
        "stream": _answers(lambda: not bus.is_stream_refused),
    }
    return Edge(rooms, moderation, bus, worker, metrics, _parts(config, worker, metrics, checks))


def _parts(config: Config, worker: Worker, metrics: Metrics, checks: Mapping[str, Check]) -> EdgeParts:
    """What the routes use, and how clients get from there to the worker."""
    tokens, drain_state = RevocableTokens(_tokens(config), worker.revocations), DrainState()
    entrance = Entrance(
        worker.ports,
        worker.connections,
        worker.sanction_reader,
        worker.held_rooms,
        worker.replays,
        tokens,
        AnonymousNames(_hash_key(config)),
        ConnectionLimits(
            in_all=config.connections,
            of_address=config.connections_per_address,
            handshakes=config.handshakes_per_address,
        ),
        drain_state,
        ResumeTexts(_resume_key(config)),
    )
    return EdgeParts(
        acceptor=Arrivals(
            entrance,
            posting=worker.posting,
            actions=worker.actions,
            histories=worker.histories,
            reactions=worker.reactions,
            live=worker.live,
        ),
        tokens=tokens,
        rooms=worker.ports.rooms,
        checks=checks,
        render_metrics=None if config.metrics_port else metrics.render,
        page=page.read_page(),
        page_policy=page.content_security_policy(),
        dev_tokens=_dev_tokens(config),
        trusted_proxies=config.trusted_proxies,
        graphql_limit=SlidingWindowLimiter(config.graphql_per_address, GRAPHQL_WINDOW_S),
        origins=Origins(frozenset(config.allowed_origins)),
        has_live=config.has_live,
        has_compression=config.has_compression,
        drain_state=drain_state,
        is_only_app=True,
    )


async def settled(is_settled: Callable[[], bool], *, within_s: float) -> None:
    """Wait until then, or for `within_s`. Clients of an edge that has just ended come to this one at once: they are not
    turned away because its services have not answered yet. Where those are away it listens all the same, and tells
    them."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not is_settled():  # noqa: ASYNC110 - three parts that reconnect by themselves; none has an event for it
                await asyncio.sleep(_LOOK_EVERY_S)


class SystemClock:
    """Implements Clock."""

    now_s = staticmethod(time.monotonic)
    """Monotonic seconds, the event loop's own. Asked several times for each message, as the next one: no call of
    Python's lies before them."""
    unix_s = staticmethod(time.time)
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class DevTokenIssuer:
    """Implements DevTokens: tokens for trying things out, signed with the secret that verifies them."""

    secret: str = field(repr=False)
    any_role: bool

    def issue(self, username: str, user_id: int | None, roles: tuple[str, ...]) -> str:
        """See DevTokens."""
        if not self.any_role and set(roles) - {"user"}:
            raise RoleNotAllowed
        chosen = secrets.randbelow(2**52) + 1 if user_id is None else user_id
        return issue_token(self.secret, user_id=chosen, username=username, roles=roles, now_s=time.time())


def bind(config: Config, *, is_shared: bool) -> socket.socket:
    """The listening socket; shared with the other workers of this edge where there are several. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((config.host, config.port))
    except (OSError, UnicodeError) as problem:
        sock.close()
        why = problem.strerror if isinstance(problem, OSError) else "not a host name"
        raise CannotListen(f"cannot listen on {config.host}:{config.port}: {why}") from None
    sock.setblocking(False)
    return sock


@contextmanager
def claimed_port(config: Config) -> Iterator[int]:
    """The port that several workers share: one that nobody else has, kept for them while none of them runs. Where the
    setting is 0 the system chooses it. Raises CannotListen."""
    if config.port:
        # SO_REUSEPORT would share the port with a foreign process too: without it, binding shows whether there is one.
        bind(config, is_shared=False).close()
    with bind(config, is_shared=True) as sock:
        yield sock.getsockname()[1]


@contextmanager
def metrics_port(config: Config, registry: CollectorRegistry) -> Iterator[None]:
    """Answer scrapes on the port that was set for them, if one was. Raises CannotListen."""
    with serving_metrics(config.host, config.metrics_port, registry) if config.metrics_port else nullcontext():
        yield


def demand_usable_keys(config: Config) -> None:
    """What only the parts themselves can say of their settings. Raises BadSetting."""
    _keys(config)


def environment() -> dict[str, str]:
    """The process's environment, for config.load."""
    return dict(os.environ)


def _tokens(config: Config) -> JwtTokens:
    return JwtTokens(
        _keys(config),
        clock=time.time,
        issuer=config.jwt_issuer,
        audience=config.jwt_audience,
        require_exp=config.jwt_require_exp,
    )


def _keys(config: Config) -> KeySource:
    if config.jwt_jwks_url:
        return JwksKeys(config.jwt_jwks_url, monotonic=time.monotonic)
    if config.jwt_public_key:
        try:
            return public_key(config.jwt_public_key)
        except (ValueError, UnsupportedAlgorithm):
            raise BadSetting(
                "WS_EDGE_JWT_PUBLIC_KEY: must be PEM of a public key: RSA of 2048 bits or more, EC P-256 or Ed25519"
            ) from None
    if not config.jwt_previous_secret:
        return secret_key(config.jwt_secret)
    until_s = datetime.fromisoformat(config.jwt_previous_until).timestamp()
    return secret_key(config.jwt_secret, previous=config.jwt_previous_secret, previous_until_s=until_s)


def _hash_key(config: Config) -> str | None:
    return None if config.anonymous_names == "plain" else config.anonymous_key or config.jwt_secret


def _resume_key(config: Config) -> bytes | None:
    """A key derived from either secret; None: there is none that every edge knows."""
    if config.resume_secret:
        return derived_key(config.resume_secret, _RESUME_PURPOSE)
    return None if config.has_asymmetric_key else derived_key(config.jwt_secret.strip(), _RESUME_PURPOSE)


def _dev_tokens(config: Config) -> DevTokenIssuer | None:
    """Only in development, on loopback, and with the default secret: with one that somebody chose, whoever can reach
    the port could sign tokens for a real installation."""
    if config.salon_env == "production" or not config.is_loopback or not config.has_development_secret:
        return None
    return DevTokenIssuer(config.jwt_secret, any_role=config.dev_roles)


def _answers(is_connected: Callable[[], bool]) -> Check:
    async def answer() -> bool:
        return is_connected()

    return answer

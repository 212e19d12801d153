"""The Sanic application: made of its parts, run on a bound socket, then left by everybody."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from sanic import Sanic
from sanic.config import Config

from ws_edge.ports import Acceptor, DrainState, Rooms, Tokens
from ws_edge.protocol.address import Network
from ws_edge.protocol.limits import SlidingWindowLimiter
from ws_edge.transport.front_door import FrontDoor
from ws_edge.transport.origins import Origins
from ws_edge.transport.page import add_page_routes
from ws_edge.transport.patience import Patience, Waiting
from ws_edge.transport.routes.dev_token import DevTokens, add_dev_token_route
from ws_edge.transport.routes.graphql import add_graphql_routes
from ws_edge.transport.routes.monitoring import Check, add_health_routes, add_stats_route
from ws_edge.transport.sanic_app import EdgeRequest, QuietErrors, SanicApp, quiet_sanic_logs
from ws_edge.transport.upgrade import add_websocket_routes
from ws_edge.transport.websocket import ClientSocket, Keepalive

_BACKLOG: Final = 4096
_RECEIVE_BUFFER_BYTES: Final = 32 * 1024
"""Of the kernel, which doubles it: one read is never more than that, and so picows' buffer stays small."""
_CONNECTIONS_END_WITHIN_S: Final = 5.0
_SERVICE_RESTART: Final = 1012
_LOOK_EVERY_S: Final = 0.02
_BODY_LIMIT_BYTES = 256 * 1024
_HEAD_LIMIT_BYTES = 16 * 1024
"""Sanic's own ceiling; tokens of 8 KiB fit in."""


class _Server(Protocol):
    """Sanic's AsyncioServer, which is not typed."""

    server: asyncio.Server

    def startup(self) -> Awaitable[None]: ...
    def before_start(self) -> Awaitable[None]: ...
    def start_serving(self) -> Awaitable[None]: ...
    def after_start(self) -> Awaitable[None]: ...
    def before_stop(self) -> Awaitable[None]: ...
    def after_stop(self) -> Awaitable[None]: ...


@asynccontextmanager
async def listening(app: SanicApp, sock: socket.socket, *, drain: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Accept connections on a bound socket for the length of the block: then await `drain`, accept nobody, and give
    what is still open five seconds.

    `drain` owns its own bounds; whoever connects meanwhile is answered, so that the acceptor can say why it lets nobody
    in and readiness that it does not. Clients that `drain` leaves open are closed with 1012 all at once.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)  # the accepted ones have it of this one
    server = cast(
        _Server,
        await app.create_server(
            sock=sock,
            protocol=FrontDoor,  # type: ignore[arg-type]  # it is buffered: Sanic only calls it
            access_log=False,
            backlog=_BACKLOG,
            asyncio_server_kwargs={"start_serving": False},
        ),
    )
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    try:
        yield
    finally:
        app.ctx.drain_state.is_draining = True
        try:
            await _stop(app, server, drain)
        finally:
            type(app).unregister_app(app)


async def _stop(app: SanicApp, server: _Server, drain: Callable[[], Awaitable[None]]) -> None:
    await server.before_stop()
    try:
        await drain()
    finally:
        server.server.close()
        for client in tuple(app.ctx.open_sockets):
            client.end(_SERVICE_RESTART)
        await _end_connections(app.ctx.waiting, app.ctx.open_sockets)
        await server.after_stop()


async def _end_connections(requests: dict[Waiting, None], clients: set[ClientSocket]) -> None:
    """Connections without a request end at once, the others after it. Sanic tells nobody when one ends."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _CONNECTIONS_END_WITHIN_S
    while (requests or clients) and loop.time() < deadline_s:
        for request in tuple(requests):
            request.close_if_idle()
        await asyncio.sleep(_LOOK_EVERY_S)
    for request in tuple(requests):
        request.abort()
    for client in tuple(clients):
        client.abort()


@dataclass(frozen=True, slots=True)
class EdgeParts:
    """What the routes stand on."""

    acceptor: Acceptor
    tokens: Tokens
    rooms: Rooms
    checks: Mapping[str, Check]
    render_metrics: Callable[[], bytes] | None
    """None where /metrics has a port of its own."""
    page: bytes
    page_policy: str
    dev_tokens: DevTokens | None = None
    trusted_proxies: Sequence[Network] = ()
    graphql_limit: SlidingWindowLimiter = field(default_factory=lambda: SlidingWindowLimiter(0, 1.0))
    origins: Origins = field(default_factory=Origins)
    has_live: bool = True
    has_compression: bool = False
    drain_state: DrainState = field(default_factory=DrainState)
    keepalive: Keepalive = field(default_factory=Keepalive)
    patience: Patience = field(default_factory=Patience)
    is_only_app: bool = False
    """No other application will be made in this process."""


def create_app(parts: EdgeParts, name: str = "ws_edge") -> SanicApp:
    """An application with every route of the edge; listening() runs it. Its name must be new in this process."""
    app = empty_app(
        name, parts.drain_state, parts.acceptor.turned_away, patience=parts.patience, is_only_app=parts.is_only_app
    )
    acceptor, trusted, origins = parts.acceptor, parts.trusted_proxies, parts.origins
    add_websocket_routes(
        app,
        acceptor,
        trusted,
        parts.keepalive,
        origins,
        has_live=parts.has_live,
        has_compression=parts.has_compression,
    )
    add_stats_route(app, parts.tokens, parts.rooms, origins)
    add_graphql_routes(app, parts.tokens, parts.rooms, parts.graphql_limit, trusted, acceptor.turned_away, origins)
    add_health_routes(app, parts.checks, parts.drain_state, parts.render_metrics)
    add_page_routes(app, parts.page, parts.page_policy)
    add_dev_token_route(app, parts.dev_tokens)
    return app


def empty_app(
    name: str,
    drain_state: DrainState,
    turned_away: Callable[[str], None],
    *,
    patience: Patience | None = None,
    is_only_app: bool = False,
) -> SanicApp:
    """An application that listening() can run, without a route. `turned_away`: see QuietErrors; also http_dropped, of
    PatientProtocol."""
    quiet_sanic_logs()
    config = Config(
        {
            "ACCESS_LOG": False,
            "AUTO_EXTEND": False,
            "FALLBACK_ERROR_FORMAT": "json",
            "REQUEST_MAX_SIZE": _BODY_LIMIT_BYTES,
            "REQUEST_MAX_HEADER_SIZE": _HEAD_LIMIT_BYTES,
            # It compiles the signals that nobody listens to out of Sanic's classes: a quarter of the cost of a
            # handshake. It works once in a process.
            "TOUCHUP": is_only_app,
        },
        env_prefix=None,
    )
    app: SanicApp = Sanic(
        name,
        config=config,
        request_class=EdgeRequest,
        error_handler=QuietErrors(turned_away),
        configure_logging=False,
    )
    app.ctx.drain_state = drain_state
    open_sockets: set[ClientSocket] = set()
    app.ctx.open_sockets = open_sockets
    waiting: dict[Waiting, None] = {}
    app.ctx.waiting, app.ctx.patience, app.ctx.turned_away = waiting, patience or Patience(), turned_away
    return app

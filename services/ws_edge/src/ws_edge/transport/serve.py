"""Runs the application on a bound socket until it is told to stop, then lets everybody leave."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

import structlog
from sanic.server import HttpProtocol

from ws_edge.transport.lingering import LingeringProtocol
from ws_edge.transport.sanic_app import SanicApp
from ws_edge.transport.socket import ClientSocket

log = structlog.get_logger(__name__)

_BACKLOG: Final = 4096
_CONNECTIONS_END_WITHIN_S: Final = 5.0
_SERVICE_RESTART: Final = 1012
_LOOK_EVERY_S: Final = 0.02
_GC_THRESHOLDS: Final = (50_000, 50, 50)


class _Server(Protocol):
    """Sanic's AsyncioServer, which is not typed."""

    connections: set[HttpProtocol]
    server: asyncio.Server

    def startup(self) -> Awaitable[None]: ...
    def before_start(self) -> Awaitable[None]: ...
    def start_serving(self) -> Awaitable[None]: ...
    def after_start(self) -> Awaitable[None]: ...
    def before_stop(self) -> Awaitable[None]: ...
    def after_stop(self) -> Awaitable[None]: ...


async def serve(
    app: SanicApp,
    sock: socket.socket,
    *,
    drain: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve until `stop`: then await `drain`, accept nobody, and give what is still open five seconds.

    `drain` owns its own bounds; whoever connects meanwhile is answered, so that the gateway can say why it lets nobody
    in and readiness that it does not. Clients that `drain` leaves open are closed with 1012 all at once. `started` is
    called once connections are accepted.
    """
    server = cast(
        _Server,
        await app.create_server(
            sock=sock,
            protocol=LingeringProtocol,
            access_log=False,
            backlog=_BACKLOG,
            asyncio_server_kwargs={"start_serving": False},
        ),
    )
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    settle_garbage_collection()
    started()
    try:
        await stop.wait()
        app.ctx.drain_state.is_draining = True
        await _stop(app, server, drain)
    finally:
        type(app).unregister_app(app)


def settle_garbage_collection() -> None:
    """What was made at the start stays for good; with default thresholds the collector would walk every
    connection again and again, in pauses of 50 ms and more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def _stop(app: SanicApp, server: _Server, drain: Callable[[], Awaitable[None]]) -> None:
    await server.before_stop()
    try:
        await drain()
    finally:
        server.server.close()
        for client in tuple(app.ctx.open_sockets):
            client.close(_SERVICE_RESTART)
        await _end_connections(server.connections, app.ctx.open_sockets)
        await server.after_stop()


async def _end_connections(requests: set[HttpProtocol], clients: set[ClientSocket]) -> None:
    """Connections without a request end at once, the others after it. Sanic tells nobody when one ends."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _CONNECTIONS_END_WITHIN_S
    while (requests or clients) and loop.time() < deadline_s:
        for request in tuple(requests):
            request.close_if_idle()
        await asyncio.sleep(_LOOK_EVERY_S)
    for request in tuple(requests):
        request.abort()  # type: ignore[no-untyped-call]  # Sanic leaves it untyped
    for client in tuple(clients):
        client.abort()

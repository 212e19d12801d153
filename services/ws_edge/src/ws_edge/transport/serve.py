"""Runs the application on a bound socket until it is told to stop, then lets everybody leave."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from sanic import Sanic
from sanic.server import AsyncioServer, HttpProtocol

from ws_edge.transport.drain_state import DrainState

log = structlog.get_logger(__name__)

_BACKLOG: Final = 4096
_REQUESTS_END_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05
_GC_THRESHOLDS: Final = (50_000, 50, 50)


async def serve(
    app: Sanic,
    sock: socket.socket,
    *,
    drain: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    drain_state: DrainState,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve until `stop`: then accept nobody, await `drain`, and give requests in flight five seconds.

    `drain` owns its own bounds; what it leaves open is dropped with the process. `started` is called once
    connections are accepted.
    """
    server = await app.create_server(
        sock=sock, access_log=False, backlog=_BACKLOG, asyncio_server_kwargs={"start_serving": False}
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    settle_garbage_collection()
    started()
    try:
        await stop.wait()
        drain_state.is_draining = True
        await _stop(server, drain)
    finally:
        type(app).unregister_app(app)


def settle_garbage_collection() -> None:
    """What was made at the start stays for good; with default thresholds the collector would walk every
    connection again and again, in pauses of 50 ms and more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def _stop(server: AsyncioServer, drain: Callable[[], Awaitable[None]]) -> None:
    server.server.close()
    await server.before_stop()
    await drain()
    await _end_requests(server.connections)
    await server.after_stop()


async def _end_requests(connections: set[HttpProtocol]) -> None:
    """Connections without a request end at once, the others after it. Sanic tells nobody when one ends."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _REQUESTS_END_WITHIN_S
    while connections and loop.time() < deadline_s:
        for connection in tuple(connections):
            connection.close_if_idle()
        await asyncio.sleep(_LOOK_EVERY_S)
    for connection in tuple(connections):
        connection.abort()

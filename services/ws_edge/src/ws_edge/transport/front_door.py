"""The protocol of every new connection, until its first bytes say whose it is."""

import asyncio
from typing import Any

from ws_edge.transport.lingering import LingeringProtocol
from ws_edge.transport.patience import begin_waiting

_INPUT = memoryview(bytearray(65536))
"""Read from at once, and so shared by all connections."""


class FrontDoor(asyncio.BufferedProtocol):
    """A plain upgrade request becomes a WebSocket here, and nothing of Sanic is made for it. Everything else goes to
    Sanic as it came, what is not whole yet too."""

    __slots__ = ("_app", "_options", "_timer", "_transport")

    _transport: asyncio.Transport
    _timer: asyncio.TimerHandle

    def __init__(self, **options: Any) -> None:
        self._app = options["app"]
        self._options = options
        """Of Sanic's protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it reads and writes
        """Wait for the first bytes, as long as for a request."""
        self._transport = transport
        within_s = self._app.ctx.patience.request_within_s
        self._timer = self._options["loop"].call_later(within_s, transport.abort)
        begin_waiting(self._app, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It had nothing to say."""
        self._leave()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads."""
        return _INPUT

    def buffer_updated(self, nbytes: int) -> None:
        """The first bytes are there."""
        self._leave()
        data = bytes(_INPUT[:nbytes])
        if not self._app.ctx.upgrades.take(data, self._transport):
            self._give_to_sanic(data)

    def close_if_idle(self) -> None:
        """End it: nothing was asked."""
        self.abort()

    def abort(self) -> None:
        """The same."""
        self._transport.abort()

    def drop(self) -> None:
        """End it without a word, for another's sake."""
        self._leave()
        self._app.ctx.turned_away("http_dropped")
        self._transport.abort()

    def _leave(self) -> None:
        self._timer.cancel()
        self._app.ctx.waiting.pop(self, None)

    def _give_to_sanic(self, data: bytes) -> None:
        protocol, transport = LingeringProtocol(**self._options), self._transport
        transport.pause_reading()  # reading starts again in the way of the new protocol
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(data)

"""python -m ws_edge.transport.echo --port N: sends each text back, over the same hand-over and sockets as the edge.

For programs that try how a server frames (Autobahn, a fuzzer). Any of the edge's WebSocket addresses will do; tokens
are not looked at. A binary message, whose content the edge never reads, is not sent back.
"""

import argparse
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvloop

from chassis.process import serve_until_signal
from ws_edge.errors import CloseCode
from ws_edge.ports import DrainState, Receiver, Transport
from ws_edge.protocol.codec import text_frame
from ws_edge.protocol.references import ResumePoint
from ws_edge.transport.server import empty_app, listening
from ws_edge.transport.upgrade import add_websocket_routes
from ws_edge.transport.websocket import Keepalive

FRAME_LIMIT_BYTES: Final = 16 * 1024 * 1024
UNSENT_LIMIT_BYTES: Final = 4 * FRAME_LIMIT_BYTES
_HOST: Final = "127.0.0.1"


class Echo:
    """Implements Receiver. Who does not read what comes back is closed with 1013."""

    frame_limit_bytes = FRAME_LIMIT_BYTES
    writes_soon = False

    def __init__(self) -> None:
        self._transport: Transport | None = None

    def connected(self, transport: Transport) -> None:
        """The handshake is answered."""
        self._transport = transport

    def receive_text(self, payload: bytes) -> None:
        """Send it back."""
        assert self._transport is not None
        self._transport.write(text_frame(payload))
        if self._transport.unsent_bytes() > UNSENT_LIMIT_BYTES:
            self._transport.close(CloseCode.TRY_AGAIN_LATER)

    def receive_binary(self) -> None:
        """Nothing is known of it."""

    def receive_part(self) -> None:
        """However many."""

    def congestion_changed(self, is_congested: bool) -> None:
        """See receive_text."""

    def lost(self) -> None:
        """Nothing is held."""


class EchoAcceptor:
    """Implements Acceptor: everybody is let in."""

    def arrive_room(
        self,
        ref: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Receiver:
        """Whatever the room."""
        return Echo()

    def arrive_video(
        self,
        video_id: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Receiver:
        """Whatever the video."""
        return Echo()

    def arrive_live(self, address: str) -> Receiver:
        """See Echo."""
        return Echo()

    def turned_away(self, code: str) -> None:
        """Nobody counts."""


async def _nobody_drains() -> None:
    """Clients are closed all at once."""


@asynccontextmanager
async def _serving(sock: socket.socket) -> AsyncIterator[None]:
    acceptor = EchoAcceptor()
    app = empty_app("echo", DrainState(), acceptor.turned_away, is_only_app=True)
    add_websocket_routes(app, acceptor, (), Keepalive())
    async with listening(app, sock, drain=_nobody_drains):
        sys.stdout.write(f"Echo on ws://{_HOST}:{sock.getsockname()[1]}/live/ws\n")
        sys.stdout.flush()
        yield


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 then, 1 where the port cannot be had."""
    parser = argparse.ArgumentParser(prog="ws_edge.transport.echo", description="Send each text message back.")
    parser.add_argument("--port", type=int, default=9001, help="on the loopback; 0: a free one")
    port = parser.parse_args().port
    try:
        listener = socket.create_server((_HOST, port))
    except (OSError, OverflowError) as problem:
        sys.stderr.write(f"cannot listen on {_HOST}:{port}: {getattr(problem, 'strerror', None) or problem}\n")
        return 1
    uvloop.run(serve_until_signal(_serving(listener)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

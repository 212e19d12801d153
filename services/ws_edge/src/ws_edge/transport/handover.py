"""Gives the connection of a Sanic request to picows, on the same transport.

Relies on the insides of sanic 25.12, picows 2.3 and uvloop 0.23; requirements.txt pins them, and
test_transport_handover.py says what an upgrade has to keep.
"""

import asyncio
import socket

from picows import WSAutoPingStrategy, WSUpgradeResponse
from picows.common import WSUpgradeResponseWithListener

# The protocol class is exported by the extension module, though its stub leaves it out.
from picows.picows import WSProtocol  # type: ignore[attr-defined]
from sanic import Request
from sanic.server import HttpProtocol

from ws_edge.ports import Receiver
from ws_edge.transport.handshake import Handshake
from ws_edge.transport.patience import Patience
from ws_edge.transport.socket import ClientSocket

_RECEIVE_BUFFER_BYTES = 32 * 1024
"""Of the kernel, which doubles it: one read is never more than that, and so picows' buffer stays small."""
_READ_BUFFER_BYTES = 2048
_NOBODY = asyncio.Protocol()
_UNSENT_LOW_BYTES, _UNSENT_HIGH_BYTES = 16 * 1024, 64 * 1024


def hand_over(request: Request, handshake: Handshake, receiver: Receiver, patience: Patience) -> None:
    """Answer the handshake and connect the receiver; Sanic has nothing to do with the connection afterwards.

    A client that has gone meanwhile is connected and lost at once, so that the receiver's life is always whole.
    """
    protocol = request.protocol
    assert isinstance(protocol, HttpProtocol)
    assert request.transport is not None
    assert request.stream is not None
    # Sanic sees an upgrade only where no other protocol is offered, and misses its response everywhere else.
    request.stream.upgrade_websocket = True
    early = bytes(protocol.recv_buffer)
    _detach(protocol)
    client = ClientSocket(receiver, request.transport, patience, request.app.ctx.open_sockets)
    _attach(request.transport, client, _parser(client, handshake, receiver.frame_limit_bytes), handshake.head(), early)


def forget_request(request: Request) -> None:
    """Take the request out of the task's context, which every task and timer started from here would keep."""
    type(request)._current.set(None)  # type: ignore[arg-type]  # Sanic reads it for its logs alone


def _detach(protocol: HttpProtocol) -> None:
    protocol.connections.discard(protocol)
    protocol.transport = None
    protocol.recv_buffer.clear()


def _attach(transport: asyncio.Transport, client: ClientSocket, parser: WSProtocol, head: bytes, early: bytes) -> None:
    if transport.is_closing():
        client.miss()
        return
    transport.pause_reading()  # reading starts again in the way of the new protocol
    transport.set_protocol(_NOBODY)  # uvloop keeps the last unbuffered protocol's data_received for good
    transport.set_protocol(client)
    transport.set_write_buffer_limits(high=_UNSENT_HIGH_BYTES, low=_UNSENT_LOW_BYTES)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    transport.resume_reading()
    client.open(parser, head, early)


def _parser(client: ClientSocket, handshake: Handshake, frame_limit_bytes: int) -> WSProtocol:
    """Pings and pongs are the socket's own: picows would need a task for each connection."""
    selected = {"Sec-WebSocket-Protocol": handshake.subprotocol} if handshake.subprotocol else None
    response = WSUpgradeResponse.create_101_response(selected)
    return WSProtocol(
        host_port=None,
        ws_path=None,
        is_client_side=False,
        ws_listener_factory=lambda _request: WSUpgradeResponseWithListener(response, client),
        logger=client.parser_side,
        disconnect_on_exception=False,
        websocket_handshake_timeout=None,
        enable_auto_ping=False,
        auto_ping_idle_timeout=None,
        auto_ping_reply_timeout=None,
        auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
        enable_auto_pong=False,
        max_frame_size=frame_limit_bytes,
        extra_headers=None,
        read_buffer_init_size=_READ_BUFFER_BYTES,
    )

"""Picows' parser of WebSocket frames, brought past the handshake that it expects to read first.

Relies on the insides of picows 2.3, which requirements.txt pins.
"""

from typing import Final

from picows import WSAutoPingStrategy, WSListener

# The protocol class is exported by the extension module, though its stub leaves it out.
from picows.picows import WSProtocol  # type: ignore[attr-defined]

_READ_BUFFER_BYTES: Final = 2048
_HEAD: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class ParserSide:
    """What a parser has for transport, socket and logger: nothing that it does reaches the client. Keeps the close
    frame with which it gives up, which picows tells by an error in its log. Picows parses one frame ahead: it refuses a
    frame before it has handed out the one before, which may need an answer first."""

    __slots__ = ("refusal",)

    def __init__(self) -> None:
        self.refusal: bytes | None = None
        """The close frame, encoded; empty until picows has made it; None while the parser is well."""

    def write(self, data: bytes) -> None:
        """The close frame; or the answer to the handshake, which the client has had."""
        if self.refusal is not None:
            self.refusal = data

    def get_write_buffer_size(self) -> int:
        """Never 0: picows would write to the socket itself, past this class."""
        return 1

    def close(self) -> None:
        """Picows hangs up 10 ms after an error; a client that is sending would never read the close frame."""

    def abort(self) -> None:
        """As close."""

    def get_extra_info(self, name: str) -> "ParserSide | None":
        """The socket is not picows' to change."""
        return self if name == "socket" else None

    def fileno(self) -> int:
        """Of the socket: nobody writes to it."""
        return -1

    def setsockopt(self, *_args: int) -> None:
        """Of the socket. uvloop has switched Nagle's algorithm off."""

    def getsockopt(self, *_args: int) -> int:
        """Of the socket, for the log."""
        return 0

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name is logging's
        """Never: what picows logs contains what the client sent."""
        return False

    def info(self, *_args: object) -> None:
        """Dropped."""

    debug = warning = log = info

    def error(self, *_args: object) -> None:
        """The parser refuses what it read; its close frame comes next."""
        self.refusal = b""

    exception = error


def open_parser(listener: WSListener, side: ParserSide, frame_limit_bytes: int) -> WSProtocol:
    """A parser that waits for the first frame. Pings and pongs are its owner's: picows would need a task for each
    connection."""
    parser = WSProtocol(
        host_port=None,
        ws_path=None,
        is_client_side=False,
        ws_listener_factory=lambda _request: listener,
        logger=side,
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
    parser.connection_made(side)
    parser.get_buffer(-1)[: len(_HEAD)] = _HEAD
    parser.buffer_updated(len(_HEAD))
    # Nobody asks for the heads again, and they would stay as long as the connection.
    del parser.transport.request.headers, parser.transport.response.headers
    return parser

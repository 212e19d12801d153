"""One client's WebSocket: picows parses the frames, this finishes RFC 6455 and owns the end of the connection."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, ParamSpec

import structlog
from picows import WSFrame, WSListener, WSTransport

# The protocol class is exported by the extension module, though its stub leaves it out.
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from ws_edge.errors import Violation
from ws_edge.ports import Receiver
from ws_edge.protocol.compression import compressed_limit
from ws_edge.transport.frame_parser import ParserSide, open_parser
from ws_edge.transport.framing import (
    BINARY,
    CLOSE,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Assembly,
    PartialFrame,
    is_one_pong,
    read_close,
)

_log = structlog.get_logger(__name__)

P = ParamSpec("P")
NORMAL_CLOSURE: Final = 1000
INTERNAL_ERROR: Final = 1011
_PING: Final = 0x9
_PING_FRAME: Final = b"\x89\x00"
_LONGEST_REASON_BYTES: Final = 123
_SHARED = memoryview(bytearray(65536))
"""Where input goes that is first, and looked at at once, or that nobody reads any more; shared by all connections."""


def succeeds(call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Whether the owner took it. One client's fault must not reach the others: it is logged, and that is all."""
    try:
        call(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever it was, it is this client's alone
        _log.exception("receiver_failed", call=getattr(call, "__name__", "?"))
        return False
    return True


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How long the edge waits for a silent client; in seconds."""

    ping_after_s: float = 20.0
    """Silence after which the server pings."""
    pong_within_s: float = 20.0
    """Further silence after which the connection is dropped."""
    close_within_s: float = 2.0
    """How long a close frame may stay unanswered."""
    answer_within_s: float = 1.0
    """How long the answer to a handshake waits for the first frame."""


class _Stage(Enum):
    ANSWERING = auto()
    """The handshake is right, and will be answered together with the first frame."""
    OPEN = auto()
    CLOSING = auto()
    """Our close frame is sent; only the peer's own is still read."""
    DISCARDING = auto()
    """The framing is lost or over; input is thrown away until the peer hangs up."""
    OVER = auto()


class ClientSocket(WSListener, asyncio.BufferedProtocol):
    """A Transport for its Receiver, a protocol for the event loop, a listener for picows."""

    __slots__ = (
        "_assembly",
        "_frame_limit_bytes",
        "_handshake",
        "_has_parsed",
        "_input",
        "_keepalive",
        "_last_heard_s",
        "_loop",
        "_open_sockets",
        "_parser",
        "_parser_side",
        "_partial",
        "_pinged_s",
        "_receiver",
        "_stage",
        "_tail_bytes",
        "_timer",
        "_transport",
        "takes_compressed",
    )

    _handshake: bytes
    """The answer to it, as long as it was not sent."""
    _assembly: Assembly
    _parser_side: ParserSide
    """With the parser, both from a frame on until a silence: many clients only read."""

    def __init__(
        self,
        receiver: Receiver,
        transport: asyncio.Transport,
        keepalive: Keepalive,
        open_sockets: "set[ClientSocket]",
        *,
        takes_compressed: bool = False,
    ) -> None:
        self.takes_compressed = takes_compressed
        self._open_sockets = open_sockets
        self._receiver: Receiver | None = receiver
        self._transport = transport
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._frame_limit_bytes = receiver.frame_limit_bytes
        self._has_parsed = False
        self._parser: WSProtocol | None = None
        self._input: memoryview | None = None
        self._tail_bytes: int | None = None
        """How much was read behind the last whole frame; None: there was none in the last read."""
        self._partial: PartialFrame | None = None
        self._stage = _Stage.ANSWERING
        self._last_heard_s = self._loop.time()
        self._pinged_s = 0.0
        self._timer = self._loop.call_later(keepalive.answer_within_s, self._answer)

    def open(self, answer: bytes, early: bytes) -> None:
        """Answer the handshake, then take the bytes that the client sent behind it. A receiver that will write soon has
        its first frames sent in one go with the answer."""
        self._open_sockets.add(self)
        self._handshake = answer
        if self._receiver is not None and not self._receiver.writes_soon:
            self._answer()
        self._report_connected()
        if early:
            self._hear(early)

    def _answer(self, frames: bytes = b"") -> None:
        if self._stage is _Stage.ANSWERING:
            self._stage = _Stage.OPEN
            self._timer.cancel()
            self._timer = self._loop.call_later(self._keepalive.ping_after_s, self._keep_alive)
            self._transport.write(self._handshake + frames)
            del self._handshake

    def miss(self) -> None:
        """The client had gone before the handshake could be answered."""
        self._stage = _Stage.OVER
        self._timer.cancel()
        self._report_connected()
        self._report_lost()

    def _hear(self, data: bytes) -> None:
        """The first bytes of the client's frames, or the first after a silence. A pong needs no parser."""
        self._answer()
        if is_one_pong(data):
            self._last_heard_s = self._loop.time()
            self._report_frame()
            return
        self._has_parsed = True
        self._assembly = Assembly(self._frame_limit_bytes)
        self._parser_side = ParserSide()
        limit_bytes = compressed_limit(self._frame_limit_bytes) if self.takes_compressed else self._frame_limit_bytes
        self._parser = open_parser(self, self._parser_side, limit_bytes)
        rest = memoryview(data)
        while rest:
            room = self.get_buffer(-1)
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            self.buffer_updated(size)
            rest = rest[size:]

    # --- Transport: what the Receiver calls ------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Send whole WebSocket frames, already encoded; ignored once closing."""
        if self._stage is _Stage.OPEN:
            self._transport.write(frames)
        else:
            self._answer(frames)

    @property
    def open_write(self) -> Callable[[bytes], None]:
        """See Transport: the first frames have opened it, and whatever ends that has told the receiver before anybody
        else runs."""
        return self._transport.write

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, wait for the peer's, then drop. Only the first call counts."""
        self._answer()
        if self._stage is not _Stage.OPEN:
            return
        self._send_close(_close_frame(code, reason))

    def abort(self) -> None:
        """Drop the connection as it is."""
        self._transport.abort()

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return 0 if self._stage is _Stage.OVER else self._transport.get_write_buffer_size()

    # --- the event loop's protocol ---------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads."""
        parser = self._parser
        if parser is None:
            return _SHARED
        self._input = parser.get_buffer(sizehint)
        return self._input

    def buffer_updated(self, nbytes: int) -> None:
        """The loop has read something."""
        parser, view = self._parser, self._input
        self._input = None
        if parser is None or view is None:
            if not self._has_parsed:
                self._hear(bytes(_SHARED[:nbytes]))
            return
        self._last_heard_s = self._loop.time()
        arrived = bytes(view[:nbytes])
        self._tail_bytes = None
        parser.buffer_updated(nbytes)
        if self._parser_side.refusal is not None:
            self._break(self._parser_side.refusal)
        elif self._tail_bytes != 0 and self._parser is not None:
            self._look_ahead(arrived)
        else:
            self._partial = None

    def _look_ahead(self, arrived: bytes) -> None:
        """A text that is broken already is refused now, not when its frame is whole."""
        tail_bytes = self._tail_bytes
        if self._partial is None or tail_bytes is not None:
            self._partial = PartialFrame()
        payload = self._partial.read_on(arrived if tail_bytes is None else arrived[-tail_bytes:])
        if self._partial.has_reserved_bit:
            return
        try:
            self._assembly.look_ahead(self._partial.opcode, payload)
        except Violation as violation:
            self._break(_close_frame(violation.code, violation.reason))

    def eof_received(self) -> None:
        """The peer sends nothing more. What it did not read yet may be flushed for a while, not for ever."""
        self._await_end()
        self._report_lost()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._stage = _Stage.OVER
        self._timer.cancel()
        if self._parser is not None:
            self._parser.connection_lost(exc)
            self._parser = None
        self._open_sockets.discard(self)
        self._report_lost()

    def pause_writing(self) -> None:
        """The write buffer went above its high mark."""
        self._report_congestion(True)

    def resume_writing(self) -> None:
        """The write buffer fell below its low mark."""
        self._report_congestion(False)

    # --- picows' listener ------------------------------------------------------------------------------------------

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame, whole and unmasked."""
        self._tail_bytes = frame.tail_size
        if self._parser is not None and (self._stage is _Stage.OPEN or self._stage is _Stage.CLOSING):
            try:
                self._take(frame)
            except Violation as violation:
                self._break(_close_frame(violation.code, violation.reason))

    def _take(self, frame: WSFrame) -> None:
        opcode = int(frame.msg_type)  # type: ignore[call-overload]  # an IntEnum, though the stub says Enum
        is_compressed = bool(frame.rsv1)
        if frame.rsv2 or frame.rsv3 or (is_compressed and not (self.takes_compressed and opcode in (TEXT, BINARY))):
            raise Violation(PROTOCOL_ERROR, "reserved bit set")
        payload = frame.get_payload_as_bytes()
        if opcode < CLOSE:
            message = self._assembly.add(opcode, payload, is_final=bool(frame.fin), is_compressed=is_compressed)
            if message is None:
                self._report_frame()
            elif self._stage is _Stage.OPEN:
                self._deliver(*message)
        elif opcode == CLOSE:
            self._answer_close(read_close(payload))
        else:
            self._report_frame()
            # The receiver may have closed.
            if opcode == _PING and self._stage is _Stage.OPEN:
                self._transport.write(bytes((0x80 | PONG, len(payload))) + payload)

    def _break(self, close_frame: bytes) -> None:
        """The framing is lost: nothing that comes after it can be read."""
        if self._parser is not None:
            self._parser = None
            if self._stage is _Stage.OPEN or self._stage is _Stage.CLOSING:
                self._send_close(close_frame)
                self._discard()

    # --- what was received -----------------------------------------------------------------------------------------

    def _deliver(self, opcode: int, payload: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        if opcode != TEXT:
            if not succeeds(receiver.receive_binary):
                self._fail()
            return
        try:
            receiver.receive_text(payload)
        except Exception:  # noqa: BLE001 - as in succeeds, which is one call more for each message
            _log.exception("receiver_failed", call="receive_text")
            self._fail()

    # --- the end ---------------------------------------------------------------------------------------------------

    def _answer_close(self, code: int | None) -> None:
        """The handshake of closing is over, whatever the peer still sends."""
        self._send_close(_close_frame(NORMAL_CLOSURE if code is None else code, ""))
        self._discard()

    def _send_close(self, close_frame: bytes) -> None:
        """Only the first one is sent."""
        is_open, self._stage = self._stage is _Stage.OPEN, _Stage.CLOSING
        self._await_end()
        if is_open and not self._transport.is_closing():
            self._transport.write(close_frame)

    def _discard(self) -> None:
        """Nothing more can be read. The peer is to hang up first: a reset would lose our close frame."""
        self._stage = _Stage.DISCARDING
        self._parser = None
        self._await_end()
        if not self._transport.is_closing():
            self._transport.write_eof()
        self._report_lost()

    def end(self, code: int) -> None:
        """Close it as its owner did not. That is told to the owner at once, which else would write behind the close
        frame."""
        self.close(code)
        self._report_lost()

    def _await_end(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(self._keepalive.close_within_s, self._transport.abort)

    def _keep_alive(self) -> None:
        """Ping a silent peer, drop a dead one."""
        now_s, keepalive = self._loop.time(), self._keepalive
        silence_s = now_s - self._last_heard_s
        if silence_s < keepalive.ping_after_s:
            self._pinged_s = 0.0
            self._timer = self._loop.call_later(keepalive.ping_after_s - silence_s, self._keep_alive)
        elif self._pinged_s <= self._last_heard_s:
            self._pinged_s = now_s
            self._release_parser()
            self._transport.write(_PING_FRAME)
            self._timer = self._loop.call_later(keepalive.pong_within_s, self._keep_alive)
        else:
            self._transport.abort()
            self._report_lost()

    def _release_parser(self) -> None:
        """Its buffers are half of an idle connection. Not in the middle of a frame or message."""
        if self._parser is not None and self._tail_bytes == 0 and self._assembly.is_empty:
            self._parser = None
            self._has_parsed = False
            del self._assembly, self._parser_side

    def _report_connected(self) -> None:
        if self._receiver is not None and not succeeds(self._receiver.connected, self):
            self._fail()

    def _report_frame(self) -> None:
        receiver = self._receiver
        if receiver is not None and self._stage is _Stage.OPEN and not succeeds(receiver.receive_part):
            self._fail()

    def _report_congestion(self, is_congested: bool) -> None:
        receiver = self._receiver
        if receiver is not None and self._stage is _Stage.OPEN:
            succeeds(receiver.congestion_changed, is_congested)

    def _fail(self) -> None:
        """The receiver could not do what it should: the client is told, and what it holds is given back at once."""
        self.close(INTERNAL_ERROR)
        self._report_lost()

    def _report_lost(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            succeeds(receiver.lost)


def _close_frame(code: int, reason: str) -> bytes:
    """Its payload is at most 125 bytes, and whole characters."""
    cut = reason.encode()[:_LONGEST_REASON_BYTES].decode(errors="ignore").encode()
    return bytes((0x80 | CLOSE, 2 + len(cut))) + code.to_bytes(2, "big") + cut

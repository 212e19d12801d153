"""/live/ws: what anybody sends goes, as it is, to everybody."""

from ws_edge.errors import BusUnavailable, CloseCode, ErrorCode
from ws_edge.ports import Ports, Transport
from ws_edge.protocol import codec
from ws_edge.protocol.limits import ConnectionLimits, SlidingWindow
from ws_edge.room.audience import Audience

FRAME_LIMIT_BYTES = 4 * 1024
FRAMES_PER_WINDOW = 10
WINDOW_S = 10.0
REFUSED_PER_WINDOW = 50


class LiveRoom:
    """Everybody on /live/ws of this worker."""

    __slots__ = ("audience", "ports")

    def __init__(self, ports: Ports, audience: Audience) -> None:
        self.ports = ports
        self.audience = audience

    def publish(self, payload: bytes) -> None:
        """Send to every edge, this one included. Raises BusUnavailable."""
        self.ports.bus.publish_broadcast(payload)

    def broadcast_received(self, payload: bytes) -> None:
        """Somebody, on some edge, sent this."""
        self.audience.broadcast(codec.text_frame(payload))


class LiveConnection:
    """Implements Receiver for the transport, and Member for the audience."""

    frame_limit_bytes = FRAME_LIMIT_BYTES
    writes_soon = False

    __slots__ = ("_address", "_frames", "_is_over", "_limits", "_live", "_refusals", "_transport", "_window")

    def __init__(self, address: str, live: LiveRoom, limits: ConnectionLimits) -> None:
        self._address = address
        self._live = live
        self._limits = limits
        self._frames = SlidingWindow(live.ports.frames_per_window, WINDOW_S)
        self._window = SlidingWindow(FRAMES_PER_WINDOW, WINDOW_S)
        self._refusals = SlidingWindow(REFUSED_PER_WINDOW, WINDOW_S)
        self._transport: Transport | None = None
        self._is_over = False

    def connected(self, transport: Transport) -> None:
        """The handshake is answered."""
        self._transport = transport
        self._live.audience.add(self)

    def receive_text(self, payload: bytes) -> None:
        """A frame for everybody."""
        if not self._count_frame():
            return
        now_s = self._live.ports.clock.now_s()
        if not self._window.admit(now_s):
            self._refuse(ErrorCode.RATE_LIMITED, int(self._window.retry_after_s(now_s) * 1000) + 1)
            return
        try:
            self._live.publish(payload)
        except BusUnavailable:
            self._refuse(ErrorCode.UNAVAILABLE)

    def receive_binary(self) -> None:
        """Only text is passed on."""
        if self._count_frame():
            self._refuse(ErrorCode.INVALID_FORMAT)

    def receive_part(self) -> None:
        """A frame that says nothing, and counts all the same."""
        self._count_frame()

    def congestion_changed(self, is_congested: bool) -> None:
        """The socket takes nothing more, or does again."""
        if not self._is_over:
            now_s = self._live.ports.clock.now_s()
            self._live.audience.congestion_changed(self, is_congested, now_s=now_s)

    def lost(self) -> None:
        """The socket is gone."""
        if not self._is_over:
            self._is_over = True
            self._live.audience.discard(self)
            self._limits.departed(self._address)

    def write(self, frames: bytes) -> None:
        """Send whole frames."""
        if self._transport is not None and not self._is_over:
            self._transport.write(frames)

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.unsent_bytes()

    def close_slow_consumer(self) -> None:
        """The client reads too slowly."""
        self.end(CloseCode.TRY_AGAIN_LATER)

    def end(self, code: CloseCode) -> None:
        """Leave the audience, then close."""
        if not self._is_over and self._transport is not None:
            self._live.audience.write_waiting(self)
            self._end_now(code)

    def _end_now(self, code: CloseCode) -> None:
        """Unless it was found to be a slow consumer, and closed, meanwhile."""
        if not self._is_over and self._transport is not None:
            self.lost()
            self._transport.close(code)
            self._live.ports.meter.closed(code)

    def _count_frame(self) -> bool:
        """False where the connection is over, as it is with one frame too many."""
        if not self._is_over:
            now_s = self._live.ports.clock.now_s()
            self._frames.record(now_s)
            if self._frames.is_full(now_s):
                self._report(ErrorCode.RATE_LIMITED)
                self.end(CloseCode.POLICY_VIOLATION)
        return not self._is_over

    def _report(self, code: ErrorCode, retry_after_ms: int | None = None) -> None:
        self._live.ports.meter.refused(code.value)
        self.write(codec.error(code, retry_after_ms=retry_after_ms))

    def _refuse(self, code: ErrorCode, retry_after_ms: int | None = None) -> None:
        self._report(code, retry_after_ms)
        now_s = self._live.ports.clock.now_s()
        self._refusals.record(now_s)
        if self._refusals.is_full(now_s):
            self.end(CloseCode.POLICY_VIOLATION)

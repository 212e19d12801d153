"""The end of a connection whose request was refused before all of it was read."""

from typing import Any, Final

from ws_edge.transport.patience import PatientProtocol

_WITHIN_S: Final = 2.0


class LingeringProtocol(PatientProtocol):
    """Closes its own direction first where it leaves a request unread, and throws away what still comes until the
    client has read the answer and ends, or for two seconds. Closed at once, the system would reset the connection, and
    a client that is still sending would lose the answer."""

    __slots__ = ("_is_lingering", "_leaves_unread")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._leaves_unread = False
        self._is_lingering = False

    def leave_unread(self) -> None:
        """Nobody will read the rest of what the client sends."""
        self._leaves_unread = True

    def close(self, timeout: float | None = None) -> None:
        """See HttpProtocol; called again while it lingers, it ends at once."""
        if not self._leaves_unread or self._is_lingering or self.transport is None or self.transport.is_closing():
            super().close(timeout)
            return
        self._is_lingering = True
        self.transport.write_eof()
        self.recv_buffer.clear()
        self.transport.resume_reading()
        self.loop.call_later(_WITHIN_S, self.close)

    def data_received(self, data: bytes) -> None:
        """See HttpProtocol."""
        if not self._is_lingering:
            super().data_received(data)

"""One NATS connection whose subscriptions call plain functions straight from the parser.

nats-py gives every subscription a queue and a task and parses every header into a dict. Three of its private methods
are replaced here, so its version is pinned and test_adapter_nats_bus.py proves each of them.
"""

import asyncio
from collections.abc import Callable

import structlog
from google.protobuf.message import DecodeError

from chassis.nats_connection import NATS_TROUBLES, SecuredClient

_log = structlog.get_logger(__name__)

_GATHER_S = 0.002
"""Each write costs NATS, and whoever hears of it, about as much as a message."""

Handler = Callable[[bytes, bytes, bytes], None]
"""Called with subject, raw headers (empty where there are none) and payload."""


class WireClient(SecuredClient):
    """Adds to nats-py: direct subscriptions, writes joined per turn of the loop, and confirmations in wire order."""

    def __init__(self) -> None:
        super().__init__()
        self._direct: dict[int, tuple[str, Handler]] = {}
        self._turn: list[bytes] = []
        self._turn_bytes = 0
        self._is_due_now = False
        self._timer: asyncio.TimerHandle | None = None
        """While what may wait is gathered."""
        self._written_at_s = float("-inf")
        self._turn_confirmation: asyncio.Future[bool] | None = None
        self._unconfirmed: set[asyncio.Future[bool]] = set()

    @property
    def unsent_bytes(self) -> int:
        """What has been handed over and the kernel has not taken."""
        writer = getattr(self._transport, "_io_writer", None)
        return self._turn_bytes + (writer.transport.get_write_buffer_size() if writer is not None else 0)

    def send(self, command: bytes, *, may_wait: bool = False) -> None:
        """Write with everything else of this turn; where it may wait, and something was written within 2 ms, with what
        comes in the next 2 ms. Lost, like any core NATS message, when the connection is."""
        self._turn.append(command)
        self._turn_bytes += len(command)
        if self._is_due_now:
            return
        loop = asyncio.get_running_loop()
        if not may_wait or loop.time() - self._written_at_s > _GATHER_S:
            self._is_due_now = True
            loop.call_soon(self._write_turn)
        elif self._timer is None:
            self._timer = loop.call_later(_GATHER_S, self._write_turn)

    def add(self, subject: str, handler: Handler) -> int:
        """Subscribe, now and after every reconnect; returns what `remove` takes."""
        self._sid += 1
        self._direct[self._sid] = (subject, handler)
        if self.is_connected:
            self.send(_subscribe_command(subject, self._sid))
        return self._sid

    def remove(self, sid: int) -> None:
        """Unsubscribe; nothing more is called."""
        if self._direct.pop(sid, None) is not None and self.is_connected:
            self.send(b"UNSUB %d\r\n" % sid)

    def confirm(self) -> asyncio.Future[bool]:
        """True once the server has handled all that was sent up to this turn's end; False if the connection is lost.

        Shared by all who ask in the same turn: await it shielded.
        """
        if self._turn_confirmation is None:
            self._turn_confirmation = asyncio.get_running_loop().create_future()
            self._unconfirmed.add(self._turn_confirmation)
            self.send(b"")
        return self._turn_confirmation

    def resubscribe(self) -> None:
        """Tell a new connection of every direct subscription."""
        for sid, (subject, _) in self._direct.items():
            self.send(_subscribe_command(subject, sid))

    def abandon(self) -> None:
        """The connection is lost: nothing of what waits will be confirmed, and what was not written is dropped."""
        self._turn_confirmation = None
        self._turn.clear()
        self._turn_bytes = 0
        for future in self._unconfirmed:
            if not future.done():
                future.set_result(False)
        self._unconfirmed.clear()

    def drop(self) -> None:
        """Close the socket, also where nats-py was interrupted while it opened or closed it."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped

    def _write_turn(self) -> None:
        self._is_due_now = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_connected:
            self.abandon()
        if not self._turn:
            return
        if self._turn_confirmation is not None:
            # The list of pongs is in wire order only if it grows at the very moment of writing.
            self._turn.append(b"PING\r\n")
            self._pongs.append(self._turn_confirmation)
            self._turn_confirmation = None
        self._written_at_s = asyncio.get_running_loop().time()
        joined = b"".join(self._turn)
        self._turn.clear()
        self._turn_bytes = 0
        assert self._transport is not None
        try:
            self._transport.write(joined)
        except NATS_TROUBLES:  # the transport is closed, and nats-py has not noticed yet
            self.abandon()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        direct = self._direct.get(sid)
        if direct is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            direct[1](subject, headers or b"", data)
        except (DecodeError, ValueError) as reason:
            _log.warning("nats_event_malformed", subject=subject.decode(errors="replace"), reason=repr(reason))
        except Exception:  # noqa: BLE001 - whatever is raised into nats-py ends its read loop for good
            _log.exception("nats_handler_failed", subject=subject.decode(errors="replace"))

    async def _process_pong(self) -> None:
        # nats-py raises, and so ends its read loop, when the one who waited has given up.
        if self._pongs:
            future = self._pongs.pop(0)
            self._unconfirmed.discard(future)
            self._pings_outstanding = 0
            if not future.done():
                future.set_result(True)


def _subscribe_command(subject: str, sid: int) -> bytes:
    return f"SUB {subject} {sid}\r\n".encode()

"""One NATS connection whose subscriptions call plain functions straight from the parser.

nats-py gives every subscription a queue and a task, parses every header into a dict and tries one pattern after another
on what it reads. Its parser and one of its private methods are replaced here, so its version is pinned;
test_adapter_wire_handlers.py and test_adapter_nats_bus.py prove them.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import chain

import structlog
from google.protobuf.message import DecodeError
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from chassis.nats_connection import NATS_TROUBLES, SecuredClient

_log = structlog.get_logger(__name__)

UNSENT_LIMIT_BYTES = 8 * 1024 * 1024
_GATHER_S = 0.002
"""Each write costs NATS, and whoever hears of it, about as much as a message."""

Handler = Callable[[bytes, bytes, bytes], None]
"""Called with subject, raw headers (empty where there are none) and payload."""


class WireClient(SecuredClient):
    """Adds to nats-py: direct subscriptions, writes joined per turn of the loop, and confirmations in wire order."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = _DirectParser(self)
        self._direct: dict[int, tuple[str, Handler]] = {}
        self._turn: list[bytes] = []
        self._turn_bytes = 0
        self._untaken_bytes = 0
        """Of what was written."""
        self._is_due_now = False
        self._timer: asyncio.TimerHandle | None = None
        """While what may wait is gathered."""
        self._written_at_s = float("-inf")
        self._turn_confirmations: list[asyncio.Future[bool]] = []
        self._unconfirmed: dict[asyncio.Future[bool], list[asyncio.Future[bool]]] = {}
        """By what waits for a pong, whom it answers; emptied by pongs, and by `abandon` before nats-py drops those that
        it waits for."""

    @property
    def has_room(self) -> bool:
        """Whether less has been handed over than UNSENT_LIMIT_BYTES that the kernel has not taken. It is asked how much
        that is after each write, and before anybody is turned away."""
        if self._turn_bytes + self._untaken_bytes > UNSENT_LIMIT_BYTES:
            self._look_at_untaken()
        return self._turn_bytes + self._untaken_bytes <= UNSENT_LIMIT_BYTES

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
        All who ask in the same turn cost the server one question."""
        confirmation: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self._turn_confirmations:
            self.send(b"")
        self._turn_confirmations.append(confirmation)
        return confirmation

    def resubscribe(self) -> None:
        """Tell a new connection of every direct subscription."""
        for sid, (subject, _) in self._direct.items():
            self.send(_subscribe_command(subject, sid))

    def abandon(self) -> None:
        """The connection is lost: nothing of what waits will be confirmed, and what was not written is dropped."""
        _settle([*chain(*self._unconfirmed.values()), *self._turn_confirmations], is_confirmed=False)
        self._unconfirmed.clear()
        self._turn_confirmations = []
        self._turn.clear()
        self._turn_bytes = self._untaken_bytes = 0

    def forget_input(self) -> None:
        """What was read last belongs to a connection that is over: nats-py may have read something behind the error
        that ended it."""
        self._ps.reset()

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
        loop = asyncio.get_running_loop()
        if self._turn_confirmations:
            # The list of pongs is in wire order only if it grows at the very moment of writing.
            self._turn.append(b"PING\r\n")
            pong: asyncio.Future[bool] = loop.create_future()
            self._pongs.append(pong)
            self._unconfirmed[pong], self._turn_confirmations = self._turn_confirmations, []
        self._written_at_s = loop.time()
        joined = b"".join(self._turn)
        self._turn.clear()
        self._turn_bytes = 0
        assert self._transport is not None
        try:
            self._transport.write(joined)
        except NATS_TROUBLES:  # the transport is closed, and nats-py has not noticed yet
            self.abandon()
        self._look_at_untaken()

    def _look_at_untaken(self) -> None:
        writer = getattr(self._transport, "_io_writer", None)
        self._untaken_bytes = 0 if writer is None else writer.transport.get_write_buffer_size()

    def is_direct(self, sid: int) -> bool:
        """Whether `pass_on` takes its messages."""
        return sid in self._direct

    def pass_on(self, sid: int, subject: bytes, headers: bytes, payload: bytes) -> None:
        """Give a message to the handler of a direct subscription."""
        try:
            self._direct[sid][1](subject, headers, payload)
        except (DecodeError, ValueError) as reason:
            _log.warning("nats_event_malformed", subject=subject.decode(errors="replace"), reason=repr(reason))
        except Exception:  # noqa: BLE001 - whatever is raised into nats-py ends its read loop for good
            _log.exception("nats_handler_failed", subject=subject.decode(errors="replace"))

    async def _process_pong(self) -> None:
        # nats-py raises, and so ends its read loop, when the one who waited has given up.
        if self._pongs:
            future = self._pongs.pop(0)
            _settle(self._unconfirmed.pop(future, []), is_confirmed=True)
            self._pings_outstanding = 0
            if not future.done():
                future.set_result(True)


def _settle(confirmations: Iterable[asyncio.Future[bool]], *, is_confirmed: bool) -> None:
    for each in confirmations:
        if not each.done():
            each.set_result(is_confirmed)


class _DirectParser(Parser):
    """Takes whole messages of direct subscriptions out of what was read, and leaves everything else to nats-py's
    parser, each piece when it is whole."""

    def __init__(self, client: WireClient) -> None:
        super().__init__(client)
        self._client = client

    def reset(self) -> None:
        """The connection is another one."""
        super().reset()
        self._begun = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take what was read. Raises ProtocolError."""
        data, self._begun, at = self._begun + data, b"", 0
        while (end := data.find(b"\r\n", at)) >= 0:
            words = data[at:end].split()
            behind = start = end + 2
            if words and words[0] in (b"HMSG", b"MSG"):
                sid, body, stop = _read_sizes(words, start)
                behind = stop + 2
                if len(data) < behind:
                    break
                if self._client.is_direct(sid):
                    self._client.pass_on(sid, words[1], data[start:body], data[body:stop])
                    at = behind
                    continue
            # Whatever this is may end the connection, and so reset the parser: nothing of it may be left here.
            self._begun = data[behind:]
            await super().parse(data[at:behind])
            data, self._begun, at = self._begun, b"", 0
        self._begun = data[at:]


def _read_sizes(words: list[bytes], start: int) -> tuple[int, int, int]:
    """Of the first line of a message, behind which `start` lies: its subscription, and where its payload begins and
    ends. Raises ProtocolError."""
    has_headers = words[0] == b"HMSG"
    try:
        sid, body, stop = int(words[2]), start, start + int(words[-1])
        if has_headers:
            body += int(words[-2])
    except (ValueError, IndexError) as reason:
        raise ProtocolError("nats: malformed message") from reason
    if len(words) - has_headers not in (4, 5) or not start <= body <= stop:
        raise ProtocolError("nats: malformed message")
    return sid, body, stop


def _subscribe_command(subject: str, sid: int) -> bytes:
    return f"SUB {subject} {sid}\r\n".encode()

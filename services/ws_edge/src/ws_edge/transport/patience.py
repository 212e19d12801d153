"""How long, and with how many at once, the edge waits for requests that are not whole yet."""

import resource
import sys
from asyncio import BaseTransport
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol

from sanic.exceptions import RequestTimeout, ServiceUnavailable
from sanic.http import Stage
from sanic.server import HttpProtocol

_ENDS_WITHIN_S: Final = 2.0
_OTHER_FILES: Final = 256
"""What a process opens that is no client's connection, with room to spare."""


def _most_open() -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if files == resource.RLIM_INFINITY else max(_OTHER_FILES, files - _OTHER_FILES)


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of what is no WebSocket, or none yet."""

    request_within_s: float = 15.0
    """From a request's first byte to its answer, and from the connection to its first byte."""
    idle_for_s: float = 75.0
    """Silence between two requests."""
    at_most: int = 16_384
    """Connections; for one more, the one that has gone without a new request for longest is dropped."""
    at_most_open: int = field(default_factory=_most_open)
    """The same where so many are open with the WebSockets: beyond the files that the process may open, the system
    would close the newest."""


class Waiting(Protocol):
    """A connection that is no WebSocket, or none yet."""

    def drop(self) -> None:
        """End it without a word, for another's sake."""

    def close_if_idle(self) -> object:
        """End it where nothing is asked or answered."""

    def abort(self) -> None:
        """End it."""


def begin_waiting(app: Any, newcomer: Waiting) -> None:
    """Count a connection; for one too many the first of those that wait is dropped."""
    waiting, patience = app.ctx.waiting, app.ctx.patience
    waiting[newcomer] = None
    number = len(waiting)
    if number > patience.at_most or number + len(app.ctx.open_sockets) > patience.at_most_open:
        next(iter(waiting)).drop()


class PatientProtocol(HttpProtocol):
    """Sanic's time-outs begin anew with every byte, end with the first of them, and leave out whatever asks for an
    upgrade: a client that sends a byte now and then holds its connection for ever. Here a request has one time for
    all of it, and who is given up is gone soon after."""

    __slots__ = ("_has_asked",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._has_asked = False

    def connection_made(self, transport: BaseTransport) -> None:
        """See HttpProtocol."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]  # Sanic leaves it untyped
        begin_waiting(self.app, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See HttpProtocol."""
        self.leave()
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """See HttpProtocol; only the first byte of a request begins its time."""
        is_first, began_s = self._is_between(), self._time
        super().data_received(data)
        if is_first:
            self._begin_request()
        else:
            self._time = began_s

    def _begin_request(self) -> None:
        """Now the time is that of a request; and others have waited for longer."""
        waiting = self.app.ctx.waiting
        if self._has_asked and self in waiting:
            waiting[self] = waiting.pop(self)
        self._has_asked = True
        if self._callback_check_timeouts is not None:
            self._callback_check_timeouts.cancel()
            self.check_timeouts()

    def leave(self) -> None:
        """It is over, or somebody else's."""
        self.app.ctx.waiting.pop(self, None)

    def drop(self) -> None:
        """End it without a word, for another's sake."""
        self.leave()
        self.app.ctx.turned_away("http_dropped")
        if self.transport is not None:
            self.transport.abort()

    def check_timeouts(self) -> None:
        """Look again when the time is up; give up what is late then."""
        http, task = self.http, self._task
        if http is None or task is None:
            return
        left_s = self._time + self._patience_s() - monotonic()
        if left_s > 0:
            self._callback_check_timeouts = self.loop.call_later(left_s, self.check_timeouts)
            return
        if http.stage is not Stage.IDLE:
            is_whole = http.stage is not Stage.REQUEST and not http.request_body
            http.exception = ServiceUnavailable() if is_whole else RequestTimeout()
        task.cancel()
        self._callback_check_timeouts = self.loop.call_later(_ENDS_WITHIN_S, self._end)

    def _patience_s(self) -> float:
        patience: Patience = self.app.ctx.patience
        is_resting = self._has_asked and self._is_between()
        return patience.idle_for_s if is_resting else patience.request_within_s

    def _is_between(self) -> bool:
        """No request is read or answered, and nothing is left of the last one or there of the next."""
        http = self.http
        return not self.recv_buffer and (http is None or (http.stage is Stage.IDLE and not http.request_body))

    def _end(self) -> None:
        if self.transport is not None:
            self.transport.abort()

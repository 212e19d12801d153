"""What clients and logs are told of failures inside Sanic: never an address line, since it may carry a token."""

import logging
import re
import traceback
from collections.abc import Callable

import structlog
from sanic import HTTPResponse, Request, SanicException, json
from sanic.exceptions import RequestCancelled
from sanic.handlers import ErrorHandler

from chassis.traces import hold_trace
from ws_edge.transport.handshake import is_websocket_address
from ws_edge.transport.lingering import LingeringProtocol
from ws_edge.transport.sanic_app import UNREAD

log = structlog.get_logger(__name__)

_TOO_LARGE = 413
_SANIC_LOGGERS = ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "sanic.websockets")
_TOKEN = re.compile(r"((?:[?&]|\b)token=)[^&\s'\"]*", re.IGNORECASE)


class QuietErrors(ErrorHandler):
    """Answers in JSON and logs the place of a fault instead of the request. `turned_away` is told of what Sanic itself
    refuses at an address of WebSocket, or before it knows the address, as http_<status>."""

    def __init__(self, turned_away: Callable[[str], None]) -> None:
        super().__init__()
        self._turned_away = turned_away

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Sanic's own refusals keep their status and headers; anything else is a fault of ours."""
        if isinstance(exception, SanicException) and exception.status_code < 500:
            if request.method == UNREAD or is_websocket_address(request.path):
                self._turned_away(f"http_{exception.status_code}")
            if exception.status_code == _TOO_LARGE and isinstance(request.protocol, LingeringProtocol):
                request.protocol.leave_unread()
            return json({"message": _phrase(exception)}, exception.status_code, exception.headers)
        if isinstance(exception, RequestCancelled):
            return json({"message": "Bad request"}, 400)  # the client has gone: nobody reads it
        self.log(request, exception)
        status = exception.status_code if isinstance(exception, SanicException) else 500
        return json({"message": "Internal server error" if status == 500 else "Service unavailable"}, status)

    @staticmethod
    def log(request: Request, exception: Exception) -> None:
        """The exception's words may be the client's: its kind and place are enough."""
        route = request.route.name if request.route else None
        with hold_trace(getattr(request.ctx, "trace", None)):
            log.error("request_failed", route=route, kind=type(exception).__name__, place=place_of(exception))


def place_of(exception: BaseException) -> str:
    """File, line and function of where it was raised."""
    frames = traceback.extract_tb(exception.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"


def quiet_sanic_logs() -> None:
    """Sanic greets with a dozen lines, and writes whole URLs, tokens and all, in some of its own messages."""
    for name in _SANIC_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if _redact not in logger.filters:
            logger.addFilter(_redact)


def _redact(record: logging.LogRecord) -> bool:
    record.msg, record.args = _TOKEN.sub(r"\1***", record.getMessage()), ()
    return True


def _phrase(exception: SanicException) -> str:
    match exception.status_code:
        case 404:
            return "Not found"
        case 405:
            return "Method not allowed"
        case 413:
            return "Request too large"
        case _:
            return "Bad request"

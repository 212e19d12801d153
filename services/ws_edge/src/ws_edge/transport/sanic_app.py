"""What every route has of Sanic: the types of application and request, traces, headers, and what clients and logs are
told of failures."""

import logging
import re
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, Final

import structlog
from sanic import HTTPResponse, Request, Sanic, SanicException, json
from sanic.config import Config
from sanic.exceptions import RequestCancelled
from sanic.handlers import ErrorHandler

from chassis.logs import place_of
from chassis.traces import TRACE_HEADER, begin_trace, hold_trace, read_trace
from ws_edge.transport.lingering import LingeringProtocol
from ws_edge.transport.plain_head import PlainHead

SanicApp = Sanic[Config, SimpleNamespace]


UNREAD = "NONE"
"""The method, as Sanic has it, of a request whose head could not be read."""
_log = structlog.get_logger(__name__)
_SANIC_LOGGERS = ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "sanic.websockets")
_TOKEN = re.compile(r"((?:[?&]|\b)(?:token|resume)=)[^&\s'\"]*", re.IGNORECASE)
ROOM_PATH, VIDEO_PATH, LIVE_PATH = "/chat/ws/room", "/chat/ws/video", "/live/ws"
_TOO_LARGE = 413
Handler = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
"""What a 401 has to say."""
JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"


class EdgeRequest(Request):
    """To answer a request that it could not read, Sanic makes another one, without a method and with the same address,
    and fails again where the address was the reason."""

    def __init__(self, url_bytes: bytes, headers: Any, version: str, method: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(b"*" if method == UNREAD else url_bytes, headers, version, method, *args, **kwargs)


def is_websocket_address(path: str) -> bool:
    """Whether a handshake may come for it."""
    return f"{path}/".startswith((f"{ROOM_PATH}/", f"{VIDEO_PATH}/", f"{LIVE_PATH}/"))


class QuietErrors(ErrorHandler):
    """Answers in JSON and logs the place of a fault instead of the request. `turned_away` is called for what Sanic
    itself refuses at an address of WebSocket, or before it knows the address, with http_<status>."""

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
            _log.error("request_failed", route=route, kind=type(exception).__name__, place=place_of(exception))


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


def traced(handler: Handler) -> Handler:
    """Hold the trace while the request is answered, and no longer: the next one on its connection has another."""

    async def answer(request: Request) -> HTTPResponse:
        # QuietErrors is asked when the block has been left.
        request.ctx.trace = read_trace(request.headers.get(TRACE_HEADER)) or begin_trace()
        with hold_trace(request.ctx.trace):
            return await handler(request)

    return answer


def bearer_token(request: Request | PlainHead) -> str | None:
    """The token of `Authorization: Bearer`, None where there is none."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON in UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    return kind.strip().lower() == JSON and charset in ("", "utf-8", "utf8")


def graphql_media_type(request: Request) -> str:
    """GraphQL's own media type for those who ask for it by name, JSON for everybody else."""
    return GRAPHQL_RESPONSE if GRAPHQL_RESPONSE in request.headers.get("accept", "").lower() else JSON

"""The upgrade request: whether it is one, and the token it carries."""

import base64
import binascii
from dataclasses import dataclass

from sanic import Request

from ws_edge.transport.bearer import bearer_token

ROOM_PATH, VIDEO_PATH, LIVE_PATH = "/chat/ws/room", "/chat/ws/video", "/live/ws"
TOKEN_SUBPROTOCOL = "bearer"  # noqa: S105  a name, not a secret
_VERSION = "13"


@dataclass(frozen=True, slots=True)
class BadHandshake(Exception):
    """The request cannot become a WebSocket; how to say so."""

    http_status: int
    message: str

    @property
    def headers(self) -> dict[str, str]:
        """What the answer has to name so that the client may do better (RFC 6455 section 4.4)."""
        if self.http_status == 426:
            return {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSION}
        return {}


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a valid upgrade request said."""

    key: str
    token: str | None
    subprotocol: str | None
    """The one that the server selects."""

    def head(self) -> bytes:
        """The request's head with only what picows needs: nothing of the client's, no token, outlives the request."""
        return (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            f"Sec-WebSocket-Version: {_VERSION}\r\nSec-WebSocket-Key: {self.key}\r\n\r\n"
        ).encode("ascii")


def is_websocket_address(path: str) -> bool:
    """Whether a handshake may come for it."""
    return f"{path}/".startswith((f"{ROOM_PATH}/", f"{VIDEO_PATH}/", f"{LIVE_PATH}/"))


def read_handshake(request: Request) -> Handshake:
    """Check the upgrade request and find its token. Raises BadHandshake."""
    headers = request.headers
    if "websocket" not in _tokens(request, "upgrade") or "upgrade" not in _tokens(request, "connection"):
        raise BadHandshake(426, "This address speaks WebSocket")
    if request.version != "1.1" or request.body:
        raise BadHandshake(400, "Not a WebSocket handshake")
    if len(headers.getall("sec-websocket-version", [])) > 1:
        raise BadHandshake(400, "Several WebSocket versions")
    if headers.get("sec-websocket-version", "").strip() != _VERSION:
        raise BadHandshake(426, "Unsupported WebSocket version")
    key = headers.get("sec-websocket-key", "").strip()
    if not _is_key(key) or len(headers.getall("sec-websocket-key")) != 1:
        raise BadHandshake(400, "Bad Sec-WebSocket-Key")
    offered = _listed(request, "sec-websocket-protocol")
    pair = offered[1] if len(offered) > 1 and offered[0] == TOKEN_SUBPROTOCOL else None
    token = request.args.get("token") or bearer_token(request) or pair
    return Handshake(key, token or None, TOKEN_SUBPROTOCOL if pair else None)


def _listed(request: Request, header: str) -> list[str]:
    return [part.strip() for line in request.headers.getall(header, []) for part in line.split(",") if part.strip()]


def _tokens(request: Request, header: str) -> list[str]:
    return [part.lower() for part in _listed(request, header)]


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False

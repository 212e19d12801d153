"""The three WebSocket addresses: check the handshake and answer it, then have a ClientSocket own the connection.

Relies on the insides of sanic 25.12 and uvloop 0.23; requirements.txt pins them, and
test_transport_handover.py says what an upgrade has to keep.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

import structlog
from sanic import HTTPResponse, Request, json

from chassis.logs import place_of
from ws_edge.errors import BadHandshake
from ws_edge.ports import Acceptor, Receiver, Transport
from ws_edge.protocol.address import Network, client_address
from ws_edge.protocol.compression import accept_offer
from ws_edge.protocol.references import ResumePoint, parse_resume_point
from ws_edge.transport.origins import Origins
from ws_edge.transport.patience import PatientProtocol
from ws_edge.transport.plain_head import PlainHead, read_plain_head
from ws_edge.transport.sanic_app import LIVE_PATH, ROOM_PATH, VIDEO_PATH, SanicApp, bearer_token
from ws_edge.transport.websocket import INTERNAL_ERROR, ClientSocket, Keepalive

_log = structlog.get_logger(__name__)

_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NOBODY = asyncio.Protocol()
_UNSENT_LOW_BYTES, _UNSENT_HIGH_BYTES = 16 * 1024, 64 * 1024
TOKEN_SUBPROTOCOL = "bearer"  # noqa: S105  a name, not a secret
_VERSION = "13"
Arrive = Callable[[str, str | None, str, ResumePoint | None, str | None], Receiver]
_ANY_ORIGIN = Origins()


@dataclass(slots=True)
class Handshake:
    """What a valid upgrade request said. Not frozen: one is made for each join, in a third of the time."""

    key: str
    token: str | None = field(repr=False)
    subprotocol: str | None
    """The one that the server selects."""
    resume: ResumePoint | None = None
    resume_text: str | None = field(default=None, repr=False)
    extension: str | None = None
    """The answer to an offer of compression."""

    def answer(self) -> bytes:
        """The response that ends HTTP on the connection."""
        accept = base64.b64encode(hashlib.sha1(self.key.encode("ascii") + _ACCEPT_SUFFIX).digest())  # noqa: S324  RFC 6455's
        head = _ANSWER + accept + b"\r\n"
        if self.subprotocol is not None:
            head += f"Sec-WebSocket-Protocol: {self.subprotocol}\r\n".encode("ascii")
        if self.extension is not None:
            head += f"Sec-WebSocket-Extensions: {self.extension}\r\n".encode("ascii")
        return head + b"\r\n"


def read_handshake(request: Request | PlainHead, *, has_compression: bool = False) -> Handshake:
    """Check the upgrade request and find its token. Raises BadHandshake."""
    headers = request.headers
    if not _names(request, "upgrade", "websocket") or not _names(request, "connection", "upgrade"):
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
    offered = _listed(request, "sec-websocket-protocol") if "sec-websocket-protocol" in headers else []
    pair = offered[1] if len(offered) > 1 and offered[0] == TOKEN_SUBPROTOCOL else None
    token = request.args.get("token") or bearer_token(request) or pair
    since = request.args.get("since")
    resume = None if since is None else parse_resume_point(since, request.args.get("epoch") or "")
    extension = accept_offer(headers.getall("sec-websocket-extensions", [])) if has_compression else None
    selected = TOKEN_SUBPROTOCOL if pair else None
    return Handshake(key, token or None, selected, resume, request.args.get("resume"), extension)


def _listed(request: Request | PlainHead, header: str) -> list[str]:
    return [part.strip() for line in request.headers.getall(header, []) for part in line.split(",") if part.strip()]


def _names(request: Request | PlainHead, header: str, token: str) -> bool:
    """Whether a header that lists tokens has this one, which is in lower case."""
    if request.headers.get(header, "").lower() == token:
        return True  # as nearly all clients write it
    return any(part.lower() == token for part in _listed(request, header))


def _is_key(key: str) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except (binascii.Error, ValueError):
        return False


class Upgrades:
    """Takes in whoever has made a handshake, through either door: Sanic's routes, or `take`, which leaves to Sanic
    whatever it does not let in."""

    def __init__(
        self,
        acceptor: Acceptor,
        trusted: Sequence[Network],
        keepalive: Keepalive,
        origins: Origins,
        open_sockets: set[ClientSocket],
        *,
        has_live: bool,
        has_compression: bool,
    ) -> None:
        self._acceptor = acceptor
        self._trusted = trusted
        self._keepalive = keepalive
        self._origins = origins
        self._open_sockets = open_sockets
        self._has_compression = has_compression
        self.arrivals: dict[str, Arrive] = {ROOM_PATH: acceptor.arrive_room, VIDEO_PATH: acceptor.arrive_video}
        """By path."""
        if has_live:
            self.arrivals[LIVE_PATH] = self._arrive_live

    def take(self, data: bytes, transport: asyncio.Transport) -> bool:
        """Let a client in by the first bytes that it sent; False: nothing was done."""
        found = read_plain_head(data)
        if found is None:
            return False
        head, early = found
        arrive = self.arrivals.get(head.path)
        if arrive is None:
            return False
        try:
            handshake = self._read(head)
        except BadHandshake:
            return False
        peer, *_ = transport.get_extra_info("peername") or ("",)
        receiver = self._receiver(arrive, head.ref, handshake, self._address(peer, head))
        self._attach(transport, handshake, receiver, early)
        return True

    async def answer(self, request: Request, path: str, ref: str) -> HTTPResponse | None:
        """The same of a request that Sanic has read; refusals are answered and counted."""
        try:
            handshake = self._read(request)
        except BadHandshake as refusal:
            self._acceptor.turned_away(f"http_{refusal.http_status}")
            return json({"message": refusal.text}, refusal.http_status, refusal.headers)
        address = self._address(request.ip, request)
        forget_request(request)
        receiver = self._receiver(self.arrivals[path], ref, handshake, address)
        self._attach(cast(asyncio.Transport, request.transport), handshake, receiver, _detach(request))
        return None

    def _read(self, request: Request | PlainHead) -> Handshake:
        handshake = read_handshake(request, has_compression=self._has_compression)
        if not self._origins.may_connect(request):
            raise BadHandshake(403, "Origin not allowed")
        return handshake

    def _address(self, peer: str, request: Request | PlainHead) -> str:
        return client_address(peer, request.headers.getall("x-forwarded-for", []), self._trusted)

    def _arrive_live(
        self, _ref: str, _token: str | None, address: str, _resume: ResumePoint | None, _resume_text: str | None
    ) -> Receiver:
        return self._acceptor.arrive_live(address)

    def _receiver(self, arrive: Arrive, ref: str, handshake: Handshake, address: str) -> Receiver:
        try:
            return arrive(_decode(ref), handshake.token, address, handshake.resume, handshake.resume_text)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the client is told that the fault is ours
            # The exception's words may be the client's: its kind and place are enough.
            _log.error("arrival_failed", kind=type(failure).__name__, place=place_of(failure))
            self._acceptor.turned_away("internal")
            return FailedArrival()

    def _attach(self, transport: asyncio.Transport, handshake: Handshake, receiver: Receiver, early: bytes) -> None:
        """Answer the handshake and connect the receiver.

        A client that has gone meanwhile is connected and lost at once, so that the receiver's life is always whole.
        """
        client = ClientSocket(
            receiver,
            transport,
            self._keepalive,
            self._open_sockets,
            takes_compressed=handshake.extension is not None,
        )
        if transport.is_closing():
            client.miss()
            return
        transport.set_protocol(client)
        transport.resume_reading()
        transport.set_write_buffer_limits(high=_UNSENT_HIGH_BYTES, low=_UNSENT_LOW_BYTES)
        client.open(handshake.answer(), early)


def add_websocket_routes(
    app: SanicApp,
    acceptor: Acceptor,
    trusted: Sequence[Network],
    keepalive: Keepalive,
    origins: Origins = _ANY_ORIGIN,
    *,
    has_live: bool = True,
    has_compression: bool = False,
) -> None:
    """Whatever stands below /room and /video reaches the acceptor: it says what is malformed, as 4004."""
    upgrades = Upgrades(
        acceptor,
        trusted,
        keepalive,
        origins,
        app.ctx.open_sockets,
        has_live=has_live,
        has_compression=has_compression,
    )
    app.ctx.upgrades = upgrades
    for path in upgrades.arrivals:
        handler, name = _handler(upgrades, path), path.rsplit("/", 1)[1]
        app.add_route(handler, path, methods=["GET"], name=name)
        if path != LIVE_PATH:
            app.add_route(handler, path + "/<ref:path>", methods=["GET"], name=f"{name}_ref")


def _handler(upgrades: Upgrades, path: str) -> Callable[..., Coroutine[object, object, HTTPResponse | None]]:
    async def upgrade(request: Request, ref: str = "") -> HTTPResponse | None:
        return await upgrades.answer(request, path, ref)

    # Sanic then expects no response of the handler.
    upgrade.is_websocket = True  # type: ignore[attr-defined]
    return upgrade


def _decode(ref: str) -> str:
    """One slash at the end means nothing. Bytes that are no UTF-8 become a sign that no reference may contain."""
    return unquote(ref.removesuffix("/"))


class FailedArrival:
    """Closes as soon as the handshake is answered."""

    frame_limit_bytes = 0
    writes_soon = True

    def connected(self, transport: Transport) -> None:
        """Say that the fault is ours."""
        transport.close(INTERNAL_ERROR)

    def receive_text(self, payload: bytes) -> None:
        """Too late."""

    def receive_binary(self) -> None:
        """Too late."""

    def receive_part(self) -> None:
        """Too late."""

    def congestion_changed(self, is_congested: bool) -> None:
        """Nothing is sent."""

    def lost(self) -> None:
        """Nothing to release."""


def forget_request(request: Request) -> None:
    """Take the request out of the task's context, which every task and timer started from here would keep."""
    type(request)._current.set(None)  # type: ignore[arg-type]  # Sanic reads it for its logs alone


def _detach(request: Request) -> bytes:
    """Sanic has nothing to do with the connection afterwards. What came behind the head."""
    protocol = request.protocol
    assert isinstance(protocol, PatientProtocol)
    transport = protocol.transport
    assert transport is not None
    assert request.stream is not None
    # Sanic sees an upgrade only where no other protocol is offered, and misses its response everywhere else.
    request.stream.upgrade_websocket = True
    early = bytes(protocol.recv_buffer)
    protocol.connections.discard(protocol)
    protocol.leave()
    protocol.transport = None
    protocol.recv_buffer.clear()
    if not transport.is_closing():
        transport.pause_reading()  # reading starts again in the way of the new protocol
        transport.set_protocol(_NOBODY)  # uvloop keeps the last unbuffered protocol's data_received for good
    return early

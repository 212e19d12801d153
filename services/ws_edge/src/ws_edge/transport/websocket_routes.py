"""The three WebSocket addresses: check the handshake, ask the gateway, hand the connection over."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from urllib.parse import unquote

import structlog
from sanic import HTTPResponse, Request, json

from ws_edge.ports import Receiver
from ws_edge.protocol.address import Network, client_address
from ws_edge.transport.errors import place_of
from ws_edge.transport.gateway import Gateway
from ws_edge.transport.handover import forget_request, hand_over
from ws_edge.transport.handshake import LIVE_PATH, ROOM_PATH, VIDEO_PATH, BadHandshake, Handshake, read_handshake
from ws_edge.transport.patience import Patience
from ws_edge.transport.sanic_app import SanicApp
from ws_edge.transport.stand_in import FailedArrival

log = structlog.get_logger(__name__)

Arrive = Callable[[str, str | None, str], Awaitable[Receiver]]


def add_websocket_routes(app: SanicApp, gateway: Gateway, trusted: Sequence[Network], patience: Patience) -> None:
    """Whatever stands below /room and /video reaches the gateway: it says what is malformed, as 4004."""

    async def arrive_live(_ref: str, _token: str | None, address: str) -> Receiver:
        return await gateway.arrive_live(address)

    for name, path, arrive in (
        ("room", ROOM_PATH, gateway.arrive_room),
        ("video", VIDEO_PATH, gateway.arrive_video),
        ("live", LIVE_PATH, arrive_live),
    ):
        handler = _handler(gateway, arrive, trusted, patience)
        app.add_route(handler, path, methods=["GET"], name=name)
        if arrive is not arrive_live:
            app.add_route(handler, path + "/<ref:path>", methods=["GET"], name=f"{name}_ref")


def _handler(
    gateway: Gateway, arrive: Arrive, trusted: Sequence[Network], patience: Patience
) -> Callable[..., Coroutine[object, object, HTTPResponse | None]]:
    async def upgrade(request: Request, ref: str = "") -> HTTPResponse | None:
        try:
            handshake = read_handshake(request)
        except BadHandshake as refusal:
            gateway.turned_away(f"http_{refusal.http_status}")
            return json({"message": refusal.message}, refusal.http_status, refusal.headers)
        address = client_address(request.ip, request.headers.getall("x-forwarded-for", []), trusted)
        forget_request(request)
        receiver = await _receiver(gateway, arrive, _decode(ref), handshake, address)
        hand_over(request, handshake, receiver, patience)
        return None

    # Sanic then expects no response of the handler.
    upgrade.is_websocket = True  # type: ignore[attr-defined]
    return upgrade


async def _receiver(gateway: Gateway, arrive: Arrive, ref: str, handshake: Handshake, address: str) -> Receiver:
    try:
        return await arrive(ref, handshake.token, address)
    except Exception as failure:  # noqa: BLE001 - whatever it was, the client is told that the fault is ours
        # The exception's words may be the client's: its kind and place are enough.
        log.error("arrival_failed", kind=type(failure).__name__, place=place_of(failure))  # noqa: TRY400 - no words
        gateway.turned_away("internal")
        return FailedArrival()


def _decode(ref: str) -> str:
    """One slash at the end means nothing. Bytes that are no UTF-8 become a sign that no reference may contain."""
    return unquote(ref.removesuffix("/"))

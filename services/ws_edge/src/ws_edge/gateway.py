"""Where clients arrive: each gets a Receiver, which lets it in or tells it why not."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from itertools import count

from ws_edge.connection import CLOSE_OF, ChatConnection, Moderating
from ws_edge.context import Context
from ws_edge.joining import Joining
from ws_edge.live import LiveConnection, LiveRoom
from ws_edge.ports import InvalidToken, Receiver, Tokens, TokensUnavailable, Transport
from ws_edge.posting import Posting
from ws_edge.protocol import codec
from ws_edge.protocol.address import address_key
from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import ConnectionId, Identity, Rank, Speaker
from ws_edge.protocol.limits import AddressWindows
from ws_edge.protocol.reference import MalformedReference, RoomRef, parse_room, parse_video

HANDSHAKE_WINDOW_S = 1.0


class Refusal:
    """Implements Receiver for a client that is turned away at the door."""

    frame_limit_bytes = 4096

    __slots__ = ("_code", "_error")

    def __init__(self, error: ErrorCode, code: CloseCode | None = None) -> None:
        self._error = error
        self._code = CLOSE_OF[error] if code is None else code

    def connected(self, transport: Transport) -> None:
        """A browser cannot read an HTTP status: the reason is a frame."""
        transport.write(codec.error(self._error))
        transport.close(self._code)

    def receive_text(self, payload: bytes) -> None:
        """Too late."""

    def receive_binary(self) -> None:
        """Too late."""

    def receive_part(self) -> None:
        """Too late."""

    def congestion_changed(self, is_congested: bool) -> None:
        """Nothing more is written."""

    def lost(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class AddressLimits:
    """How many connections one address has open, and how many handshakes it makes a second; 0: no limit."""

    connections: int
    handshakes: InitVar[int]
    recent: AddressWindows = field(init=False)
    _open: dict[str, int] = field(default_factory=dict)

    def __post_init__(self, handshakes: int) -> None:
        """Handshakes count for a second."""
        self.recent = AddressWindows(handshakes, HANDSHAKE_WINDOW_S)

    def knock(self, address: str, *, now_s: float) -> bool:
        """Count one handshake, whatever comes of it; before anything is done for it."""
        return self.recent.admit(address, now_s) == 0.0

    def admit(self, address: str) -> bool:
        """Count one arrival; who is admitted departs later."""
        if self.connections and self._open.get(address, 0) >= self.connections:
            return False
        self._open[address] = self._open.get(address, 0) + 1
        return True

    def departed(self, address: str) -> None:
        """One open connection less."""
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]


class AnonymousNames:
    """Names for those without a token."""

    __slots__ = ("_key",)

    def __init__(self, hash_key: str | None) -> None:
        """`hash_key`: hide addresses behind a keyed hash; None: show them."""
        self._key = None if hash_key is None else hash_key.encode()

    def name(self, address: str) -> str:
        """The document's Anonymous_<ip>."""
        if self._key is None:
            return f"Anonymous_{address}"
        digest = hmac.new(self._key, address_key(address).encode(), hashlib.sha256).hexdigest()
        return f"Anonymous_{digest[:16]}"

    def identity(self, address: str) -> Identity:
        """The document's anonymous user."""
        return Identity(None, self.name(address), None, (), Rank.ANONYMOUS, None)


class Gateway:
    """Implements the transport's Gateway."""

    def __init__(
        self,
        context: Context,
        *,
        tokens: Tokens,
        names: AnonymousNames,
        limits: AddressLimits,
        joining: Joining,
        posting: Posting,
        moderating: Moderating,
        live: LiveRoom,
    ) -> None:
        self._context = context
        self._tokens = tokens
        self._names = names
        self._limits = limits
        self._joining = joining
        self._posting = posting
        self._moderating = moderating
        self._live = live
        self._numbers = count(1)
        self.is_draining = False

    async def arrive_room(self, ref: str, token: str | None, address: str) -> Receiver:
        """A client of /chat/ws/room/{ref}; `ref` percent-decoded, `address` the client's full IP."""
        return await self._arrive(lambda: parse_room(ref), token, address)

    async def arrive_video(self, video_id: str, token: str | None, address: str) -> Receiver:
        """A client of /chat/ws/video/{video_id}."""
        return await self._arrive(lambda: parse_video(video_id), token, address)

    async def arrive_live(self, address: str) -> Receiver:
        """A client of /live/ws."""
        if self.is_draining:
            return self._refuse(ErrorCode.UNAVAILABLE, CloseCode.SERVICE_RESTART)
        key = address_key(address)
        if not self._limits.knock(key, now_s=self._context.clock.now_s()) or not self._limits.admit(key):
            return self._refuse(ErrorCode.TOO_MANY_CONNECTIONS)
        return LiveConnection(key, self._live, self._limits)

    async def _arrive(self, parse: Callable[[], RoomRef], token: str | None, address: str) -> Receiver:
        key = address_key(address)
        if not self._limits.knock(key, now_s=self._context.clock.now_s()):
            return self._refuse(ErrorCode.TOO_MANY_CONNECTIONS)
        try:
            identity = self._names.identity(address) if token is None else await self._tokens.verify(token)
            ref = parse()
        except InvalidToken:
            return self._refuse(ErrorCode.INVALID_TOKEN)
        except TokensUnavailable:
            return self._refuse(ErrorCode.UNAVAILABLE)
        except MalformedReference:
            return self._refuse(ErrorCode.NOT_FOUND)
        if self.is_draining:
            return self._refuse(ErrorCode.UNAVAILABLE, CloseCode.SERVICE_RESTART)
        if not self._limits.admit(key):
            return self._refuse(ErrorCode.TOO_MANY_CONNECTIONS)
        number = ConnectionId(next(self._numbers))
        return ChatConnection(
            number,
            Speaker(identity, key, f"{self._context.edge}:{number}"),
            ref,
            self._context,
            joining=self._joining,
            posting=self._posting,
            moderating=self._moderating,
            gate=self._limits,
        )

    def turned_away(self, code: str) -> None:
        """A client did not come as far as a receiver."""
        self._context.meter.turned_away(code)

    def _refuse(self, error: ErrorCode, code: CloseCode | None = None) -> Refusal:
        self.turned_away(error.value)
        return Refusal(error, code)

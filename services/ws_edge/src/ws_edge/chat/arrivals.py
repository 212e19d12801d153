"""Where clients arrive: each gets a Receiver, which joins a room or sends the error."""

from functools import partial

from ws_edge.chat.connection import ChatConnection
from ws_edge.chat.history import Histories
from ws_edge.chat.join import Entrance, JoinRequest
from ws_edge.chat.live import LiveConnection, LiveRoom
from ws_edge.chat.moderate import ModerationActions
from ws_edge.chat.post import Posting
from ws_edge.chat.react import Reactions
from ws_edge.errors import CLOSE_OF, CloseCode, ErrorCode
from ws_edge.ports import Receiver, Transport
from ws_edge.protocol import codec
from ws_edge.protocol.address import address_key
from ws_edge.protocol.references import ResumePoint, parse_room, parse_video


class Refusal:
    """Implements Receiver for a client that is turned away before anything is done for it."""

    frame_limit_bytes = 4096
    writes_soon = True

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


class Arrivals:
    """Implements Acceptor."""

    def __init__(
        self,
        entrance: Entrance,
        *,
        posting: Posting,
        actions: ModerationActions,
        histories: Histories,
        reactions: Reactions,
        live: LiveRoom,
    ) -> None:
        self._ports = entrance.ports
        self._entrance = entrance
        self._posting = posting
        self._actions = actions
        self._histories = histories
        self._reactions = reactions
        self._live = live

    def arrive_room(
        self,
        ref: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Receiver:
        """A client of /chat/ws/room/{ref}; `ref` percent-decoded, `address` the client's full IP."""
        parse = partial(parse_room, ref)
        return self._arrive(JoinRequest(parse, token, address, address_key(address), resume, resume_text))

    def arrive_video(
        self,
        video_id: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Receiver:
        """A client of /chat/ws/video/{video_id}."""
        parse = partial(parse_video, video_id)
        return self._arrive(JoinRequest(parse, token, address, address_key(address), resume, resume_text))

    def arrive_live(self, address: str) -> Receiver:
        """A client of /live/ws."""
        if self._entrance.drain_state.is_draining:
            return self._refuse(ErrorCode.UNAVAILABLE, CloseCode.SERVICE_RESTART)
        key = address_key(address)
        if not self._count_handshake(key) or not self._entrance.limits.admit(key):
            return self._refuse(ErrorCode.TOO_MANY_CONNECTIONS)
        return LiveConnection(key, self._live, self._entrance.limits)

    def turned_away(self, code: str) -> None:
        """A client did not come as far as a receiver."""
        self._ports.meter.turned_away(code)

    def _arrive(self, request: JoinRequest) -> Receiver:
        if not self._count_handshake(request.key):
            return self._refuse(ErrorCode.TOO_MANY_CONNECTIONS)
        return ChatConnection(
            request,
            self._entrance,
            posting=self._posting,
            actions=self._actions,
            histories=self._histories,
            reactions=self._reactions,
        )

    def _count_handshake(self, key: str) -> bool:
        return self._entrance.limits.count_handshake(key, now_s=self._ports.clock.now_s())

    def _refuse(self, error: ErrorCode, code: CloseCode | None = None) -> Refusal:
        self.turned_away(error.value)
        return Refusal(error, code)

"""What a client is told when something is refused: the codes of error frames and of close frames."""

from enum import Enum, IntEnum


class ErrorCode(Enum):
    """The `code` of an error frame; its document text is `text`."""

    RATE_LIMITED = "rate_limited"
    MESSAGE_EMPTY = "message_empty"
    MESSAGE_TOO_LONG = "message_too_long"
    MUTED_OR_BANNED = "muted_or_banned"
    NOT_MODERATOR = "not_moderator"
    ACCESS_DENIED = "access_denied"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a code, not a password
    NOT_FOUND = "not_found"
    INVALID_FORMAT = "invalid_format"
    UNKNOWN_TYPE = "unknown_type"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    UNAVAILABLE = "unavailable"

    @property
    def text(self) -> str:
        """As it stands in `data.message`: frontends compare these texts, so they never change."""
        return _TEXTS[self]


_TEXTS = {
    ErrorCode.RATE_LIMITED: "Rate limit exceeded",
    ErrorCode.MESSAGE_EMPTY: "Message cannot be empty",
    ErrorCode.MESSAGE_TOO_LONG: "Message too long",
    ErrorCode.MUTED_OR_BANNED: "You are muted or banned",
    ErrorCode.NOT_MODERATOR: "You do not have permission to moderate this room",
    ErrorCode.ACCESS_DENIED: "Access denied",
    ErrorCode.INVALID_TOKEN: "Invalid token",
    ErrorCode.NOT_FOUND: "Not found",
    ErrorCode.INVALID_FORMAT: "Invalid message format",
    ErrorCode.UNKNOWN_TYPE: "Unknown message type",
    ErrorCode.TOO_MANY_CONNECTIONS: "Too many connections",
    ErrorCode.UNAVAILABLE: "Service unavailable",
}


class RefusedFrame(Exception):
    """A client's frame that cannot be read: MalformedFrame or UnknownType. Carries what its error frame needs."""

    code: ErrorCode

    def __init__(self, nonce: str = "") -> None:
        super().__init__(nonce)
        self.nonce = nonce
        """The frame's nonce; empty where there was none, or none could be read."""


class MalformedFrame(RefusedFrame):
    """Not JSON, not an object, without a type, or with a wrong type inside."""

    code = ErrorCode.INVALID_FORMAT


class UnknownType(RefusedFrame):
    """A well-formed frame of a type that clients do not send."""

    code = ErrorCode.UNKNOWN_TYPE


class CloseCode(IntEnum):
    """RFC 6455, section 7.4, its registry, and the two of the document (4003, 4004)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    """Bad or expired token, or a flood."""
    TOO_BIG = 1009
    INTERNAL = 1011
    SERVICE_RESTART = 1012
    """The edge is draining, or the room lives again under another life."""
    TRY_AGAIN_LATER = 1013
    """Too many connections, a service away, or a reader that is too slow."""
    FORBIDDEN = 4003
    NOT_FOUND = 4004


CLOSE_OF = {
    ErrorCode.INVALID_TOKEN: CloseCode.POLICY_VIOLATION,
    ErrorCode.ACCESS_DENIED: CloseCode.FORBIDDEN,
    ErrorCode.NOT_FOUND: CloseCode.NOT_FOUND,
    ErrorCode.TOO_MANY_CONNECTIONS: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.UNAVAILABLE: CloseCode.TRY_AGAIN_LATER,
}
"""With which code a connection is closed that is turned away for this reason."""


class TurnedAway(Exception):
    """A connection may not enter its room; `code` says why, `close` is the close code. A browser cannot read an HTTP
    status: the reason is an error frame after the handshake. `code` None: there is no such frame, the fault is ours."""

    def __init__(self, code: ErrorCode | None, close: CloseCode | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.close = close if close is not None else CloseCode.INTERNAL if code is None else CLOSE_OF[code]


class NotAdmitted(TurnedAway):
    """The same, of a connection that this worker never took for one of its own: counted as refused, not as closed."""

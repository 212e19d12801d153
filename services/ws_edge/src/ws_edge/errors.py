"""Everything that the edge raises on purpose, but for what the chassis raises (chassis.errors: BadSetting,
CannotListen), and what a client is told of it: the codes of error frames and of close frames.

EdgeError
├── RefusedFrame              a client's frame that cannot be read; answered by an error frame
│   ├── MalformedFrame        invalid_format
│   └── UnknownType           unknown_type
├── TurnedAway                a client may not enter its room; answered by an error frame and a close
│   ├── NotAdmitted           the same, before it counts as a connection of this worker
│   └── Banned                the same, of who is banned: they may read how to ask
├── MalformedReference        no room can be behind it: not_found
├── InvalidToken              invalid_token, or HTTP 401
├── Unavailable               a dependency did not answer in time, trying again later helps: unavailable, or HTTP 503
│   ├── RoomsUnavailable
│   │   ├── NeverSent         the service was not asked at all
│   │   └── RoomsOutdated     the service does not know the call
│   ├── ModerationUnavailable
│   ├── BusUnavailable
│   └── TokensUnavailable     the keys of tokens could not be read
├── BadHandshake              HTTP 400, 403 or 426
├── RoleNotAllowed            HTTP 403 of POST /dev/token
├── Violation                 the peer broke RFC 6455; answered by a close frame
├── StreamUnsettled           the message stream changes at this moment; it is looked at again
└── IllegalStep               a session was told what cannot happen in its state: a defect
"""

from enum import Enum, IntEnum

_WEBSOCKET_VERSION = "13"


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
    MESSAGE_DELETED = "message_deleted"
    SLOW_MODE = "slow_mode"
    READ_ONLY = "read_only"
    MEMBERS_ONLY = "members_only"
    ACCOUNT_TOO_NEW = "account_too_new"
    FOLLOW_TOO_SHORT = "follow_too_short"
    EMOTE_ONLY = "emote_only"
    DUPLICATE = "duplicate"
    LINKS = "links"
    WARNING_PENDING = "warning_pending"
    CANNOT_UNDO = "cannot_undo"
    ALREADY_UNDONE = "already_undone"
    NOTHING_TO_UNDO = "nothing_to_undo"
    NONCE_TAKEN = "nonce_taken"
    BLOCKED = "blocked"
    HOLD_FULL = "hold_full"
    ALREADY_DECIDED = "already_decided"
    ROOM_GONE = "room_gone"

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
    ErrorCode.MESSAGE_DELETED: "This message was deleted",
    ErrorCode.SLOW_MODE: "Slow mode",
    ErrorCode.READ_ONLY: "The room is read-only",
    ErrorCode.MEMBERS_ONLY: "Members only",
    ErrorCode.ACCOUNT_TOO_NEW: "Your account is too new",
    ErrorCode.FOLLOW_TOO_SHORT: "You have not followed for long enough",
    ErrorCode.EMOTE_ONLY: "Emotes only",
    ErrorCode.DUPLICATE: "Somebody said that just now",
    ErrorCode.LINKS: "Links are not allowed",
    ErrorCode.WARNING_PENDING: "Acknowledge the warning first",
    ErrorCode.CANNOT_UNDO: "This cannot be undone",
    ErrorCode.ALREADY_UNDONE: "This was undone already",
    ErrorCode.NOTHING_TO_UNDO: "Nothing is left to undo",
    ErrorCode.NONCE_TAKEN: "This nonce was used for something else",
    ErrorCode.BLOCKED: "Your message was not accepted",
    ErrorCode.HOLD_FULL: "Too many messages wait for a moderator",
    ErrorCode.ALREADY_DECIDED: "Somebody has decided about this message already",
    ErrorCode.ROOM_GONE: "The room that this message was sent in is gone",
}


class CloseCode(IntEnum):
    """RFC 6455, section 7.4, its registry, and two of our own (4003, 4004), as docs/protocol.md has them."""

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
    """Too many connections, a service away, or a slow consumer."""
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


class EdgeError(Exception):
    """The text holds no secret, and no words of a client."""


class RefusedFrame(EdgeError):
    """Carries what the error frame needs."""

    code: ErrorCode

    def __init__(self, nonce: str = "") -> None:
        super().__init__(self.code.value)
        self.nonce = nonce
        """The frame's nonce; empty where there was none, or none could be read."""


class MalformedFrame(RefusedFrame):
    """Not JSON, not an object, without a type, or with a wrong type inside."""

    code = ErrorCode.INVALID_FORMAT


class UnknownType(RefusedFrame):
    """A well-formed frame of a type that clients do not send."""

    code = ErrorCode.UNKNOWN_TYPE


class TurnedAway(EdgeError):
    """A connection may not enter its room; `code` says why, `close` is the close code. A browser cannot read an HTTP
    status: the reason is an error frame after the handshake. `code` None: there is no such frame, the fault is ours."""

    def __init__(self, code: ErrorCode | None, close: CloseCode | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.close = close if close is not None else CloseCode.INTERNAL if code is None else CLOSE_OF[code]


class NotAdmitted(TurnedAway):
    """The same, of a connection that this worker never took for one of its own: counted as refused, not as closed."""


class Banned(TurnedAway):
    """The same, of who is banned."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.ACCESS_DENIED)


class MalformedReference(EdgeError):
    """Nothing can be behind such a reference."""


class InvalidToken(EdgeError):
    """Malformed, badly signed, expired, or without a user id. Carries no part of the token."""


class Unavailable(EdgeError):
    """A dependency is away, or did not answer within its deadline."""


class RoomsUnavailable(Unavailable):
    """The rooms service did not answer within its deadline."""


class NeverSent(RoomsUnavailable):
    """Nobody wanted the answer any more when the batch was put together: the request was never sent."""


class RoomsOutdated(RoomsUnavailable):
    """The service is one of before, which does not know the call."""


class ModerationUnavailable(Unavailable):
    """No replica of the moderation service answered within the deadline."""


class BusUnavailable(Unavailable):
    """NATS is away or did not answer within the deadline."""


class TokensUnavailable(Unavailable):
    """The keys that tokens are verified with could not be read yet: nobody can say whether a token is good."""


class BadHandshake(EdgeError):
    """The request cannot become a WebSocket; the text is for the client."""

    def __init__(self, http_status: int, text: str) -> None:
        super().__init__(text)
        self.http_status = http_status
        self.text = text

    @property
    def headers(self) -> dict[str, str]:
        """What the answer has to name so that the client may do better (RFC 6455 section 4.4)."""
        if self.http_status == 426:
            return {"Upgrade": "websocket", "Sec-WebSocket-Version": _WEBSOCKET_VERSION}
        return {}


class RoleNotAllowed(EdgeError):
    """The issuer of development tokens gives none with such a role."""


class Violation(EdgeError):
    """The peer broke RFC 6455; `code` closes the connection, and `reason` goes with it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class StreamUnsettled(EdgeError):
    """Others change the stream at this moment."""


class IllegalStep(EdgeError):
    """The owner called a method of a session that its state does not allow; nothing has changed."""

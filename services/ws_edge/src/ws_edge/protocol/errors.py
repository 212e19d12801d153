"""What a client is told when something of its own is refused."""

from enum import Enum


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

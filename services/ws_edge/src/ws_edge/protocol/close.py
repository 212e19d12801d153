"""The codes of the close frames that the edge sends."""

from enum import IntEnum


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

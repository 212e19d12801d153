"""WebSocket messages out of frames: what RFC 6455 asks for above the single frame."""

from dataclasses import dataclass
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8

PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
MESSAGE_TOO_BIG: Final = 1009

_CLOSE_CODES_OF_THE_PROTOCOL = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_CLOSE_CODES_OF_APPLICATIONS = range(3000, 5000)


class Violation(Exception):
    """The peer broke the protocol; carries the close code to answer with and a reason without the peer's words."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class Assembly:
    """One connection's unfinished message, at most limit_bytes of it."""

    limit_bytes: int
    _opcode: int = CONTINUATION
    _begun: bytearray | None = None

    def add(self, opcode: int, payload: bytes, *, is_final: bool) -> tuple[int, bytes] | None:
        """Take one data frame; the opcode and payload of the message it completes. Raises Violation."""
        begun = self._begun
        if (opcode == CONTINUATION) != (begun is not None):
            raise Violation(PROTOCOL_ERROR, "fragments out of order")
        if len(payload) + (0 if begun is None else len(begun)) > self.limit_bytes:
            raise Violation(MESSAGE_TOO_BIG, "message too big")
        if begun is not None:
            begun += payload
            opcode = self._opcode
        elif not is_final:
            self._begun, self._opcode = bytearray(payload), opcode
        if not is_final:
            return None
        if begun is not None:
            payload, self._begun = bytes(begun), None
        if opcode == TEXT:
            _require_utf8(payload)
        return opcode, payload


def read_close(payload: bytes) -> int | None:
    """The code of a close frame, None where it has none. Raises Violation."""
    if not payload:
        return None
    if len(payload) == 1:
        raise Violation(PROTOCOL_ERROR, "close code cut short")
    code = int.from_bytes(payload[:2], "big")
    if code not in _CLOSE_CODES_OF_THE_PROTOCOL and code not in _CLOSE_CODES_OF_APPLICATIONS:
        raise Violation(PROTOCOL_ERROR, "invalid close code")
    _require_utf8(payload[2:])
    return code


def _require_utf8(payload: bytes) -> None:
    if payload.isascii():
        return
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise Violation(INVALID_TEXT, "invalid UTF-8") from None

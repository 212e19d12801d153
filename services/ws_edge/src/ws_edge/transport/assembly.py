"""WebSocket messages out of frames: what RFC 6455 asks for above the single frame."""

from codecs import IncrementalDecoder, getincrementaldecoder
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
_Utf8Decoder = getincrementaldecoder("utf-8")


class Violation(Exception):
    """The peer broke the protocol; carries the close code to answer with and a reason without the peer's words."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class Assembly:
    """One connection's unfinished message, at most limit_bytes of it. A text that cannot become valid UTF-8 any more is
    refused with the fragment that shows it."""

    limit_bytes: int
    _opcode: int = CONTINUATION
    _begun: bytearray | None = None
    _decoder: IncrementalDecoder | None = None
    """Of an unfinished text: has seen what was begun."""
    _ahead: IncrementalDecoder | None = None
    """The same, and what has come of the frame that is on its way."""

    def add(self, opcode: int, payload: bytes, *, is_final: bool) -> tuple[int, bytes] | None:
        """Take one data frame; the opcode and payload of the message it completes. Raises Violation."""
        begun, self._ahead = self._begun, None
        if (opcode == CONTINUATION) != (begun is not None):
            raise Violation(PROTOCOL_ERROR, "fragments out of order")
        if len(payload) + (0 if begun is None else len(begun)) > self.limit_bytes:
            raise Violation(MESSAGE_TOO_BIG, "message too big")
        if begun is None:
            if is_final:
                if opcode == TEXT:
                    _require_utf8(payload)
                return opcode, payload
            self._begun = begun = bytearray()
            self._opcode = opcode
            self._decoder = _Utf8Decoder() if opcode == TEXT else None
        if self._decoder is not None:
            _decode(self._decoder, payload, is_final=is_final)
        begun += payload
        if not is_final:
            return None
        self._begun = self._decoder = None
        return self._opcode, bytes(begun)

    def look_ahead(self, opcode: int, payload: bytes) -> None:
        """Look at the next bytes of a frame that is not whole yet; add() takes them when it is. Raises Violation."""
        if self._ahead is None:
            if opcode == TEXT and self._begun is None:
                self._ahead = _Utf8Decoder()
            elif opcode == CONTINUATION and self._decoder is not None:
                self._ahead = _Utf8Decoder()
                self._ahead.setstate(self._decoder.getstate())
            else:
                return  # the frame itself is refused, or may hold anything
        _decode(self._ahead, payload, is_final=False)


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


def _decode(decoder: IncrementalDecoder, payload: bytes, *, is_final: bool) -> None:
    try:
        decoder.decode(payload, is_final)
    except UnicodeDecodeError:
        raise Violation(INVALID_TEXT, "invalid UTF-8") from None
    begun = decoder.getstate()[0]
    # Python waits for the third byte of half a surrogate pair, though nothing can make it valid.
    if begun[:1] == b"\xed" and begun[1:2] >= b"\xa0":
        raise Violation(INVALID_TEXT, "invalid UTF-8")


def _require_utf8(payload: bytes) -> None:
    if payload.isascii():
        return
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise Violation(INVALID_TEXT, "invalid UTF-8") from None

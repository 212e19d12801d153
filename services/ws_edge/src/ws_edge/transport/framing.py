"""WebSocket messages out of frames: what RFC 6455 asks for above the single frame, and what of picows is kept out."""

from codecs import IncrementalDecoder, getincrementaldecoder
from dataclasses import dataclass
from typing import Final

from ws_edge.errors import Violation
from ws_edge.protocol.compression import compressed_limit, inflate

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PONG: Final = 0xA

PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
MESSAGE_TOO_BIG: Final = 1009

_CLOSE_CODES_OF_THE_PROTOCOL = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_CLOSE_CODES_OF_APPLICATIONS = range(3000, 5000)
_Utf8Decoder = getincrementaldecoder("utf-8")
_LENGTH_BYTES: Final = {126: 2, 127: 8}
_MASK_BYTES: Final = 4
_RESERVED_BITS: Final = 0x70
_SHORTEST_HEAD_BYTES: Final = 2 + _MASK_BYTES
_LONGEST_CONTROL_BYTES: Final = 125


@dataclass(slots=True)
class Assembly:
    """One connection's unfinished message, at most limit_bytes of it. A text that cannot become valid UTF-8 any more is
    refused with the fragment that shows it."""

    limit_bytes: int
    """After inflating."""
    _opcode: int = CONTINUATION
    _is_compressed: bool = False
    _begun: bytearray | None = None
    """As it arrived."""
    _decoder: IncrementalDecoder | None = None
    """Of an unfinished text that is not compressed: has seen what was begun."""
    _ahead: IncrementalDecoder | None = None
    """The same, and what has come of the frame that is on its way."""

    def add(
        self, opcode: int, payload: bytes, *, is_final: bool, is_compressed: bool = False
    ) -> tuple[int, bytes] | None:
        """Take one data frame; the opcode and payload of the message it completes. `is_compressed` is what the first
        frame says of its message. Raises Violation."""
        begun, self._ahead = self._begun, None
        if (opcode == CONTINUATION) != (begun is not None):
            raise Violation(PROTOCOL_ERROR, "fragments out of order")
        if begun is None:
            self._is_compressed = is_compressed
        limit_bytes = compressed_limit(self.limit_bytes) if self._is_compressed else self.limit_bytes
        if len(payload) + (0 if begun is None else len(begun)) > limit_bytes:
            raise Violation(MESSAGE_TOO_BIG, "message too big")
        if begun is None:
            if is_final:
                return opcode, self._checked(opcode, payload)
            self._begun = begun = bytearray()
            self._opcode = opcode
            self._decoder = _Utf8Decoder() if opcode == TEXT and not is_compressed else None
        if self._decoder is not None:
            _decode(self._decoder, payload, is_final=is_final)
        begun += payload
        if not is_final:
            return None
        is_checked = self._decoder is not None
        self._begun = self._decoder = None
        return self._opcode, bytes(begun) if is_checked else self._checked(self._opcode, bytes(begun))

    def _checked(self, opcode: int, payload: bytes) -> bytes:
        if self._is_compressed:
            payload = inflate(payload, self.limit_bytes)
        if opcode == TEXT:
            _require_utf8(payload)
        return payload

    @property
    def is_empty(self) -> bool:
        """No message is unfinished."""
        return self._begun is None

    def look_ahead(self, opcode: int, payload: bytes) -> None:
        """Look at the next bytes of a frame that is not whole yet; add() takes them when it is. `opcode` is known once
        there are any. Raises Violation."""
        if not payload:
            return
        if self._ahead is None:
            if opcode == TEXT and self._begun is None:
                self._ahead = _Utf8Decoder()
            elif opcode == CONTINUATION and self._decoder is not None:
                self._ahead = _Utf8Decoder()
                self._ahead.setstate(self._decoder.getstate())
            else:
                return  # the frame itself is refused, or may hold anything
        _decode(self._ahead, payload, is_final=False)


def is_one_pong(data: bytes) -> bool:
    """Whether this is one whole pong of a client, and nothing else."""
    size = len(data) - _SHORTEST_HEAD_BYTES
    return 0 <= size <= _LONGEST_CONTROL_BYTES and data[0] == 0x80 | PONG and data[1] == 0x80 | size


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


class PartialFrame:
    """From the frame's first byte on. The parser is the judge of its header: here it is only read."""

    __slots__ = ("_head", "_mask", "_taken", "has_reserved_bit", "opcode")

    def __init__(self) -> None:
        self._head = bytearray()
        self._mask: bytes | None = None
        self._taken = 0
        """Bytes of the payload so far."""
        self.opcode = 0
        self.has_reserved_bit = False
        """It is compressed, or will be refused for that bit."""

    def read_on(self, arrived: bytes) -> bytes:
        """The next bytes of the frame; what they hold of its payload, unmasked."""
        if self._mask is None:
            self._head += arrived
            size = self._head_bytes()
            if len(self._head) < size:
                return b""
            arrived = bytes(self._head[size:])
            self.opcode = self._head[0] & 0x0F
            self.has_reserved_bit = bool(self._head[0] & _RESERVED_BITS)
            self._mask = bytes(self._head[size - _MASK_BYTES : size])
        return self._unmask(self._mask, arrived)

    def _head_bytes(self) -> int:
        if len(self._head) < 2:
            return _SHORTEST_HEAD_BYTES
        return 2 + _LENGTH_BYTES.get(self._head[1] & 0x7F, 0) + _MASK_BYTES

    def _unmask(self, mask: bytes, masked: bytes) -> bytes:
        start = self._taken % _MASK_BYTES
        size = len(masked)
        self._taken += size
        key = ((mask[start:] + mask[:start]) * (size // _MASK_BYTES + 1))[:size]
        return (int.from_bytes(masked) ^ int.from_bytes(key)).to_bytes(size)

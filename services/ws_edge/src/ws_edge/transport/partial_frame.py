"""A frame that has not arrived whole, read as far as it has come; the parser hands out nothing of it before its end."""

from typing import Final

_LENGTH_BYTES: Final = {126: 2, 127: 8}
_MASK_BYTES: Final = 4
_SHORTEST_HEAD_BYTES: Final = 2 + _MASK_BYTES


class PartialFrame:
    """From the frame's first byte on. The parser is the judge of its header: here it is only read."""

    __slots__ = ("_head", "_mask", "_taken", "opcode")

    def __init__(self) -> None:
        self._head = bytearray()
        self._mask: bytes | None = None
        self._taken = 0
        """Bytes of the payload so far."""
        self.opcode = 0

    def read_on(self, arrived: bytes) -> bytes:
        """The next bytes of the frame; what they hold of its payload, unmasked."""
        if self._mask is None:
            self._head += arrived
            size = self._head_bytes()
            if len(self._head) < size:
                return b""
            arrived = bytes(self._head[size:])
            self.opcode = self._head[0] & 0x0F
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

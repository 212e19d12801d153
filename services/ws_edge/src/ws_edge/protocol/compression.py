"""permessage-deflate (RFC 7692), each message on its own: nothing of one is kept for the next, in either direction."""

import re
import zlib
from collections.abc import Iterable
from typing import Final

from ws_edge.errors import Violation
from ws_edge.protocol.codec import text_frame

INVALID_DATA: Final = 1007
MESSAGE_TOO_BIG: Final = 1009

WINDOW_BITS: Final = 12
"""The same bytes go to all: no larger than the smallest window that clients ask for by default (websockets)."""
_LEVEL: Final = 6
_MEMORY_LEVEL: Final = 5
"""zlib then takes 24 KiB, which cost less than the message itself. More gains nothing for texts as short as these."""

_NAME: Final = "permessage-deflate"
_ANSWER: Final = f"{_NAME}; server_no_context_takeover; client_no_context_takeover"
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 - a word of HTTP, not a secret
_PARAMETER: Final = re.compile(
    rf'[ \t]*+;[ \t]*+({_TOKEN})(?:[ \t]*+=[ \t]*+(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)"))?+', re.ASCII
)
_OFFER: Final = re.compile(rf"[ \t,]*+({_TOKEN})((?:{_PARAMETER.pattern})*+)[ \t]*+(?:,[ \t,]*+|$)", re.ASCII)
_BITS: Final = re.compile(r"[89]|1[0-5]", re.ASCII)

_FLUSHED: Final = b"\x00\x00\xff\xff"
"""The end of what was compressed, which is not sent."""
_LAST_BLOCK: Final = b"\x03\x00"
"""Empty. It shows that the message ended where a block does: DEFLATE itself takes a message cut short."""
_ENDS: Final = (b"", b"\x00" + _FLUSHED + _LAST_BLOCK)
"""What may follow the last block: where that was the client's own, RFC 7692 has one more byte after it."""
_HEAD_BYTES: Final = {126: 4, 127: 10}

Parameters = list[tuple[str, str | None]]


# --- the handshake ---------------------------------------------------------------------------------------------------


def accept_offer(headers: Iterable[str]) -> str | None:
    """The answer to the first acceptable offer in Sec-WebSocket-Extensions; None: there is none."""
    for name, parameters in _offers(", ".join(headers)):
        answer = _answer(parameters) if name == _NAME else None
        if answer is not None:
            return answer
    return None


def _offers(header: str) -> list[tuple[str, Parameters]]:
    """Every offer, in the client's order; none of a header that cannot be read."""
    offers: list[tuple[str, Parameters]] = []
    at = 0
    while at < len(header):
        offer = _OFFER.match(header, at)
        if offer is None:
            return []
        found = (parameter.groups() for parameter in _PARAMETER.finditer(offer[2]))
        offers.append(
            (offer[1], [(name, value if quoted is None else _unquoted(quoted)) for name, value, quoted in found])
        )
        at = offer.end()
    return offers


def _answer(parameters: Parameters) -> str | None:
    """None declines: a parameter that is unknown, there twice, has a wrong value, or asks for too small a window."""
    asked = dict(parameters)
    if len(asked) < len(parameters):
        return None
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            is_valid = value is None
        elif name == "server_max_window_bits":
            is_valid = value is not None and _is_bits(value) and int(value) >= WINDOW_BITS
        else:
            is_valid = name == "client_max_window_bits" and (value is None or _is_bits(value))
        if not is_valid:
            return None
    # Whatever window the client has, it is read with the largest one: client_max_window_bits needs no answer.
    return f"{_ANSWER}; server_max_window_bits={WINDOW_BITS}" if "server_max_window_bits" in asked else _ANSWER


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _is_bits(value: str) -> bool:
    return _BITS.fullmatch(value) is not None


# --- messages --------------------------------------------------------------------------------------------------------


def compressed(frame: bytes) -> bytes:
    """A whole text frame with its message compressed; as it is where that would gain nothing."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY_LEVEL)
    message = memoryview(frame)[_HEAD_BYTES.get(frame[1], 2) :]
    flushed = deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return min(frame, text_frame(flushed.removesuffix(_FLUSHED), is_compressed=True), key=len)


def compressed_limit(limit_bytes: int) -> int:
    """How much may arrive of a message that has so many bytes at most: what cannot be compressed grows a little."""
    return limit_bytes + limit_bytes // 4 + 64


def inflate(payload: bytes, limit_bytes: int) -> bytes:
    """The message in a compressed one's payload, of which no more than the limit is ever made. Raises Violation."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = inflater.decompress(payload + _FLUSHED + _LAST_BLOCK, limit_bytes + 1)
    except zlib.error:
        raise Violation(INVALID_DATA, "invalid compressed data") from None
    if len(message) > limit_bytes:
        raise Violation(MESSAGE_TOO_BIG, "message too big")
    if not inflater.eof or inflater.unused_data not in _ENDS:
        raise Violation(INVALID_DATA, "invalid compressed data")
    return message

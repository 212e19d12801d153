"""Bytes that are nearly right: for hypothesis."""

import base64
import hashlib
import hmac
import json
import zlib
from typing import Any

from fuzz_targets import SECRET
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


# --- WebSocket frames ------------------------------------------------------------------------------------------------


def _websocket_frame(head: int, payload: bytes, mask: bytes, length_bytes: int, is_masked: bool) -> bytes:
    if length_bytes == 1 and len(payload) < 126:
        length = bytes((len(payload),))
    elif length_bytes <= 2:
        length = b"\x7e" + len(payload).to_bytes(2, "big")
    else:
        length = b"\x7f" + len(payload).to_bytes(8, "big")
    if not is_masked:
        return bytes((head,)) + length + payload
    masked = bytes(octet ^ mask[at % 4] for at, octet in enumerate(payload))
    return bytes((head, length[0] | 0x80)) + length[1:] + mask + masked


_texts = st.text(max_size=40).map(str.encode)
_payloads = (
    _texts
    | st.binary(max_size=140)
    | st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 4096, b"x" * 4097])
    | st.builds(lambda code, reason: code.to_bytes(2, "big") + reason, st.integers(0, 65_535), _texts)
)
_usual_heads = st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88])
_websocket_frames = st.builds(
    _websocket_frame,
    _usual_heads | _usual_heads | _usual_heads | st.integers(0, 255),
    _payloads,
    st.binary(min_size=4, max_size=4),
    st.sampled_from([1, 1, 1, 2, 8]),
    st.sampled_from([True, True, True, True, False]),
)


def _cut(octets: bytes, at: int, damage: bytes) -> bytes:
    """With other bytes in the middle, where there are any."""
    return octets[:at] + damage + octets[at + len(damage) :] if damage else octets


CONVERSATIONS = st.builds(
    lambda size, frames, at, damage, end: bytes((size,)) + _cut(b"".join(frames), at, damage)[:end],
    st.sampled_from([0, 1, 2, 3, 6, 30, 255]),
    st.lists(_websocket_frames, min_size=1, max_size=6),
    st.integers(0, 60),
    st.binary(max_size=2),
    st.none() | st.integers(0, 200),
)


# --- upgrade requests ------------------------------------------------------------------------------------------------

_PARAMETERS = ["token", "since", "epoch", "resume", "x"]
_values = st.text(max_size=12) | st.sampled_from(["0", "42", "9007199254740991", "9007199254740992", "-1", "%", "%ff"])
_queries = st.lists(st.tuples(st.sampled_from(_PARAMETERS), _values), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
_header_values = {
    "Upgrade": ["websocket", "WebSocket", "h2c", "websocket, h2c"],
    "Connection": ["Upgrade", "keep-alive, Upgrade", "close"],
    "Sec-WebSocket-Version": ["13", "8", "", "13, 8"],
    "Sec-WebSocket-Key": ["AAAAAAAAAAAAAAAAAAAAAA==", "short", "%", "é"],
    "Sec-WebSocket-Protocol": ["bearer, a.b.c", "bearer", "bearer,", ", ,", "chat"],
    "Sec-WebSocket-Extensions": ["permessage-deflate", "permessage-deflate; client_max_window_bits", ";;"],
    "Authorization": ["Bearer a.b.c", "Bearer", "Basic x"],
    "X-Forwarded-For": ["::1", "1.2.3.4, 5.6.7.8", "nobody"],
    "Host": ["salon", ""],
}


@st.composite
def header_lines(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Those of a handshake, nearly all there and mostly right."""
    lines = []
    for name, values in _header_values.items():
        odd = draw(st.integers(0, 9))
        if odd:
            strange = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=12)
            lines.append((name, draw(st.sampled_from(values) | strange) if odd < 3 else values[0]))
        if odd == 9 and draw(st.booleans()):
            lines.append((name, draw(st.sampled_from(values))))
    return lines


def _upgrade(target: str, query: str, lines: list[tuple[str, str]]) -> bytes:
    text = "\n".join([f"{target}?{query}", *(f"{name}: {value}" for name, value in lines)])
    return text.encode("utf-8", "replace")


_targets = st.sampled_from(["chat/ws/room/1", "chat/ws/video/1", "live/ws", ""]) | st.text(max_size=12)
UPGRADES = st.builds(_upgrade, _targets, _queries, header_lines())


# --- tokens ----------------------------------------------------------------------------------------------------------


def base64url(raw: bytes) -> bytes:
    """Without padding, as tokens have it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signed(header: Any, claims: Any) -> bytes:
    """A token with a good signature, whatever it says."""
    parts = (json.dumps(part).encode() for part in (header, claims))
    text = b".".join(base64url(part) for part in parts)
    return text + b"." + base64url(hmac.digest(SECRET.encode(), text, hashlib.sha256))


_claims = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.integers(-1, 3) | st.sampled_from(["7", "07", 2**53 - 1, 2**53]) | JSON,
        "sub": st.sampled_from([1, "1", ""]) | JSON,
        "exp": st.sampled_from([1_800_000_060, 1_799_999_999, 1e400, 10**400, "1"]) | JSON,
        "nbf": st.sampled_from([1_800_000_000, 1_900_000_000]) | JSON,
        "iat": JSON,
        "username": st.text(max_size=20) | st.sampled_from(["\ud800", " ", "\0", "x" * 201]) | JSON,
        "email": JSON,
        "roles": st.lists(st.sampled_from(["user", "admin", "root"]) | JSON, max_size=3) | JSON,
        "is_admin": JSON,
        "is_moderator": JSON,
        "aud": JSON,
        "iss": JSON,
    },
)
_token_headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256"] * 8 + ["none", "RS256"])},
    optional={"typ": st.sampled_from(["JWT"]) | JSON, "kid": JSON, "crit": JSON, "b64": st.booleans()},
)
TOKENS = (
    st.builds(signed, _token_headers, _claims)
    | st.builds(signed, JSON, JSON)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)


# --- compressed messages ---------------------------------------------------------------------------------------------


def _deflated(text: bytes, level: int) -> bytes:
    deflate = zlib.compressobj(level, wbits=-15)
    return (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


_deflations = st.builds(_deflated, st.binary(max_size=200) | st.just(b"x" * 5000), st.integers(0, 9))
COMPRESSED = st.builds(_cut, _deflations, st.integers(0, 100), st.binary(max_size=2)) | st.builds(
    lambda data, end: data[:end], _deflations, st.integers(0, 100)
)


# --- protobufs -------------------------------------------------------------------------------------------------------

_INTEGERS = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_SINT64: st.integers(-(2**63), 2**63 - 1),
}
_names = st.text(max_size=8) | st.sampled_from(["x" * 129, "x" * 501, "\0", "0" * 32])


def _of_field(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        assert field.message_type is not None
        return messages(field.message_type, depth - 1)
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        known = st.sampled_from([value.number for value in field.enum_type.values])
        return known | known | st.sampled_from([99, -1, 2**31 - 1])  # of a later version
    if field.type in _INTEGERS:
        return st.integers(0, 7) | st.sampled_from([2**31 - 1]) | _INTEGERS[field.type]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    assert field.type == FieldDescriptor.TYPE_STRING, field.full_name
    return _names


@st.composite
def messages(draw: st.DrawFn, kind: Descriptor, depth: int = 3) -> Any:
    """A message with any of its fields, each with any value of its type, and with fields of a later version."""
    message = GetMessageClass(kind)()
    if depth == 0:
        return message
    for field in kind.fields:
        if not draw(st.integers(0, 4)):
            continue
        values = _of_field(field, depth)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            drawn = draw(st.lists(values, max_size=3))
            getattr(message, field.name).extend(drawn)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(draw(values))
        else:
            setattr(message, field.name, draw(values))
    message.MergeFromString(draw(LATER_FIELDS))
    return message


LATER_FIELDS = st.sampled_from(
    [
        b"",
        b"\xc0\x3e\x07",  # field 1000, a number
        b"\xc2\x3e\x03abc",  # field 1000, a text
        b"\xc5\x3e\x00\x00\x00\x00",  # field 1000, four bytes
        b"\xc3\x3e\xc4\x3e",  # field 1000, a group
    ]
)


def payloads(kind: Descriptor) -> st.SearchStrategy[bytes]:
    """Its bytes: mostly whole, some cut short or damaged."""
    whole = messages(kind).map(lambda message: message.SerializeToString())
    return (
        whole
        | st.builds(lambda octets, end: octets[:end], whole, st.integers(0, 60))
        | st.builds(_cut, whole, st.integers(0, 60), st.binary(max_size=2))
    )

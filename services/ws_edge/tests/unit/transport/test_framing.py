"""RFC 6455 above the single frame, without a socket."""

import zlib

import pytest

from ws_edge.errors import Violation
from ws_edge.transport.framing import BINARY, CONTINUATION, TEXT, Assembly, PartialFrame, is_one_pong, read_close

Frames = list[tuple[int, bytes, bool]]


def assemble(frames: Frames, limit_bytes: int = 10) -> list[tuple[int, bytes]]:
    assembly = Assembly(limit_bytes)
    messages = (assembly.add(opcode, payload, is_final=fin) for opcode, payload, fin in frames)
    return [message for message in messages if message is not None]


@pytest.mark.parametrize(
    ("frames", "messages"),
    [
        ([(TEXT, b"one", True), (TEXT, b"two", True)], [(TEXT, b"one"), (TEXT, b"two")]),
        ([(TEXT, b"a", False), (CONTINUATION, b"b", False), (CONTINUATION, b"c", True)], [(TEXT, b"abc")]),
        ([(TEXT, b"", False), (CONTINUATION, b"", False), (CONTINUATION, b"", True)], [(TEXT, b"")]),
        ([(BINARY, b"\xff", False), (CONTINUATION, b"\xfe", True)], [(BINARY, b"\xff\xfe")]),
        ([(TEXT, "é".encode()[:1], False), (CONTINUATION, "é".encode()[1:], True)], [(TEXT, "é".encode())]),
        (
            [(TEXT, b"12345", False), (CONTINUATION, b"67890", True), (TEXT, b"1" * 10, True)],
            [(TEXT, b"1234567890"), (TEXT, b"1" * 10)],
        ),
    ],
)
def test_fragments_become_one_message(frames: Frames, messages: list[tuple[int, bytes]]) -> None:
    assert assemble(frames) == messages


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([(CONTINUATION, b"a", True)], 1002, id="continuation of nothing"),
        pytest.param([(TEXT, b"a", True), (CONTINUATION, b"a", True)], 1002, id="continuation of a whole message"),
        pytest.param([(TEXT, b"a", False), (TEXT, b"b", True)], 1002, id="text inside a text"),
        pytest.param([(TEXT, b"a", False), (BINARY, b"b", False)], 1002, id="binary inside a text"),
        pytest.param([(TEXT, b"\xff", True)], 1007, id="bad byte"),
        pytest.param([(TEXT, b"\xed\xa0\x80", True)], 1007, id="surrogate"),
        pytest.param([(TEXT, b"\xf4\x90\x80\x80", True)], 1007, id="above U+10FFFF"),
        pytest.param([(TEXT, b"\xc0\xaf", True)], 1007, id="overlong"),
        pytest.param([(TEXT, b"\xe2\x82", False), (CONTINUATION, b"", True)], 1007, id="cut short"),
        pytest.param([(TEXT, b"a\xff", False)], 1007, id="bad byte in the first fragment"),
        pytest.param([(TEXT, b"\xed", False), (CONTINUATION, b"\xa0", False)], 1007, id="surrogate, its first half"),
        pytest.param([(TEXT, b"\xf4", False), (CONTINUATION, b"\x90", False)], 1007, id="above, across fragments"),
        pytest.param([(TEXT, b"1" * 11, True)], 1009, id="one frame over the limit"),
        pytest.param([(TEXT, b"1" * 6, False), (CONTINUATION, b"1" * 5, True)], 1009, id="fragments over the limit"),
        pytest.param([(BINARY, b"1" * 6, False), (CONTINUATION, b"1" * 5, False)], 1009, id="before the last fragment"),
    ],
)
def test_a_broken_message_names_its_close_code(frames: Frames, code: int) -> None:
    with pytest.raises(Violation) as violation:
        assemble(frames)
    assert violation.value.code == code


def deflated(message: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_a_compressed_message_may_come_in_fragments_of_which_the_first_says_so(cut: int) -> None:
    text = "é, ten times: ".encode() * 10
    payload, assembly = deflated(text), Assembly(200)
    assert assembly.add(TEXT, payload[:cut], is_final=False, is_compressed=True) is None
    assembly.look_ahead(CONTINUATION, b"\xff")
    assert assembly.add(CONTINUATION, payload[cut:-1], is_final=False) is None
    assert assembly.add(CONTINUATION, payload[-1:], is_final=True) == (TEXT, text)
    assert assembly.add(TEXT, b"plain", is_final=False) is None
    assert assembly.add(CONTINUATION, b" again", is_final=True) == (TEXT, b"plain again")


@pytest.mark.parametrize(
    ("opcode", "message", "code"),
    [
        pytest.param(TEXT, b"x" * 201, 1009, id="a text over the limit"),
        pytest.param(BINARY, b"x" * 201, 1009, id="a binary message over the limit"),
        pytest.param(TEXT, b"\xff", 1007, id="bad UTF-8"),
    ],
)
def test_what_a_compressed_message_must_be_shows_when_it_is_inflated(opcode: int, message: bytes, code: int) -> None:
    payload, assembly = deflated(message), Assembly(200)
    with pytest.raises(Violation) as whole:
        assembly.add(opcode, payload, is_final=True, is_compressed=True)
    assert whole.value.code == code
    assembly = Assembly(200)
    assembly.add(opcode, payload[:2], is_final=False, is_compressed=True)
    with pytest.raises(Violation) as in_fragments:
        assembly.add(CONTINUATION, payload[2:], is_final=True)
    assert in_fragments.value.code == code


def test_fragments_that_hold_nothing_compressed_are_bounded_too() -> None:
    assembly = Assembly(200)
    nothing = deflated(b"") + b"\x00\x00\xff\xff"
    with pytest.raises(Violation) as violation:  # noqa: PT012 - the fragment at which it ends is not the point
        assembly.add(TEXT, nothing, is_final=False, is_compressed=True)
        for _ in range(200):
            assembly.add(CONTINUATION, nothing, is_final=False)
    assert violation.value.code == 1009


def test_a_plain_message_has_the_limit_also_where_compressed_ones_may_arrive_longer() -> None:
    with pytest.raises(Violation) as violation:
        Assembly(200).add(TEXT, b"x" * 201, is_final=True)
    assert violation.value.code == 1009


def can_become_utf8(begun: bytes) -> bool:
    """Whether some bytes behind it make it valid."""
    ends = (bytes([first, *[0x80] * more]) for first in (0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF) for more in range(3))
    return any(is_utf8(begun + end) for end in (b"", *ends))


def is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_text_is_refused_exactly_when_nothing_can_make_it_valid_any_more() -> None:
    ends = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    begun = [bytes((first, second)) for first in range(0x7F, 256) for second in range(256)]
    begun += [bytes((first, second, third)) for first in range(0xE0, 0xF8) for second in ends for third in ends]
    for payload in begun:
        try:
            Assembly(10).add(TEXT, payload, is_final=False)
            is_taken = True
        except Violation:
            is_taken = False
        assert is_taken == can_become_utf8(payload), payload


def test_a_frame_on_its_way_is_looked_at_and_taken_when_it_is_whole() -> None:
    assembly = Assembly(10)
    assembly.look_ahead(TEXT, b"a\xc3")
    assembly.look_ahead(TEXT, b"\xa9\xe2")
    assert assembly.add(TEXT, b"a\xc3\xa9\xe2", is_final=False) is None
    assembly.look_ahead(CONTINUATION, b"\x82")
    assembly.look_ahead(CONTINUATION, b"\xac")
    assert assembly.add(CONTINUATION, b"\x82\xac", is_final=True) == (TEXT, b"a\xc3\xa9\xe2\x82\xac")
    assembly.look_ahead(BINARY, b"\xff")
    assert assembly.add(BINARY, b"\xff", is_final=False) is None
    assembly.look_ahead(CONTINUATION, b"\xff")
    assert assembly.add(CONTINUATION, b"\xff", is_final=True) == (BINARY, b"\xff\xff")


def test_what_breaks_a_text_is_refused_before_its_frame_is_whole() -> None:
    assembly = Assembly(10)
    assembly.add(TEXT, b"\xf4", is_final=False)
    assembly.look_ahead(CONTINUATION, b"")
    with pytest.raises(Violation) as violation:
        assembly.look_ahead(CONTINUATION, b"\x90")
    assert violation.value.code == 1007


@pytest.mark.parametrize("head", [b"\x81\x89", b"\x81\xfe\x00\x09", b"\x81\xff\0\0\0\0\0\0\0\x09"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_partial_frame_gives_its_payload_however_it_arrives(head: bytes, size: int) -> None:
    payload, mask = b"123456789", b"\x01\x02\x03\x04"
    raw = head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    partial = PartialFrame()
    assert b"".join(partial.read_on(raw[at : at + size]) for at in range(0, len(raw), size)) == payload
    assert partial.opcode == TEXT


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_valid_close_codes_are_read(code: int) -> None:
    assert read_close(code.to_bytes(2, "big") + "adieu é".encode()) == code


def test_an_empty_close_has_no_code() -> None:
    assert read_close(b"") is None


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_invalid_close_codes_are_a_protocol_error(code: int) -> None:
    with pytest.raises(Violation) as violation:
        read_close(code.to_bytes(2, "big"))
    assert violation.value.code == 1002


@pytest.mark.parametrize(("payload", "answer"), [(b"\x03", 1002), (b"\x03\xe8\xff", 1007), (b"\x03\xe8\xc3", 1007)])
def test_a_malformed_close_names_its_close_code(payload: bytes, answer: int) -> None:
    with pytest.raises(Violation) as violation:
        read_close(payload)
    assert violation.value.code == answer


def test_a_frame_of_which_only_the_head_has_come_is_not_taken_for_a_continuation() -> None:
    assembly = Assembly(10)
    assert assembly.add(TEXT, b"", is_final=False) is None
    assembly.look_ahead(CONTINUATION, b"")  # what is said of a frame as long as its opcode is not known
    assembly.look_ahead(TEXT, b"\x80")
    with pytest.raises(Violation) as violation:
        assembly.add(TEXT, b"\x80", is_final=True)
    assert violation.value.code == 1002


@pytest.mark.parametrize(
    ("data", "is_pong"),
    [
        (b"\x8a\x80abcd", True),
        (b"\x8a\x82abcd12", True),
        (b"\x8a\xfdabcd" + b"x" * 125, True),
        (b"\x8a\xfeabcd" + b"x" * 126, False),
        (b"\x8a\x80abcd\x8a\x80abcd", False),
        (b"\x8a\x82abcd1", False),
        (b"\x8a\x00", False),
        (b"\x8a\x04abcd", False),
        (b"\x0a\x80abcd", False),
        (b"\xca\x80abcd", False),
        (b"\x89\x80abcd", False),
        (b"\x81\x80abcd", False),
        (b"", False),
    ],
)
def test_a_pong_alone_is_known_by_its_bytes(data: bytes, is_pong: bool) -> None:
    assert is_one_pong(data) is is_pong

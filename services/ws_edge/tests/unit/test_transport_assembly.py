"""RFC 6455 above the single frame, without a socket."""

import pytest

from ws_edge.transport.assembly import BINARY, CONTINUATION, TEXT, Assembly, Violation, read_close

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
        pytest.param([(TEXT, b"1" * 11, True)], 1009, id="one frame over the limit"),
        pytest.param([(TEXT, b"1" * 6, False), (CONTINUATION, b"1" * 5, True)], 1009, id="fragments over the limit"),
        pytest.param([(BINARY, b"1" * 6, False), (CONTINUATION, b"1" * 5, False)], 1009, id="before the last fragment"),
    ],
)
def test_a_broken_message_names_its_close_code(frames: Frames, code: int) -> None:
    with pytest.raises(Violation) as violation:
        assemble(frames)
    assert violation.value.code == code


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

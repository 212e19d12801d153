"""permessage-deflate: which offer is taken, what a compressed frame holds, and what a client's may hold."""

import random
import string
import tracemalloc
import zlib

import pytest
from hypothesis import given, strategies as st

from ws_edge.errors import Violation
from ws_edge.protocol.codec import text_frame
from ws_edge.protocol.compression import accept_offer, compressed, compressed_limit, inflate

ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
SMALLER_WINDOW = f"{ANSWER}; server_max_window_bits=12"
LIMIT = 16 * 1024


def deflated(message: bytes, *, window_bits: int = 15, memory_level: int = 8, level: int = 6) -> bytes:
    """What a client sends of a message."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -window_bits, memory_level)
    return (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        pytest.param(["permessage-deflate"], ANSWER, id="bare"),
        pytest.param(["permessage-deflate; client_max_window_bits"], ANSWER, id="browsers"),
        pytest.param(
            ["permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"],
            SMALLER_WINDOW,
            id="websockets",
        ),
        pytest.param(
            ["permessage-deflate;server_no_context_takeover;client_no_context_takeover"], ANSWER, id="no spaces"
        ),
        pytest.param(["permessage-deflate ; server_max_window_bits = 15"], SMALLER_WINDOW, id="many spaces"),
        pytest.param(['permessage-deflate; server_max_window_bits="15"'], SMALLER_WINDOW, id="quoted value"),
        pytest.param(
            ['permessage-deflate; server_max_window_bits="1\\5"'], SMALLER_WINDOW, id="escape in a quoted value"
        ),
        pytest.param(["permessage-deflate; client_max_window_bits=8"], ANSWER, id="the smallest window of a client"),
        pytest.param(
            ["permessage-deflate; server_max_window_bits=10, permessage-deflate"], ANSWER, id="the second of two offers"
        ),
        pytest.param(
            ["permessage-deflate; server_max_window_bits=10", "permessage-deflate"], ANSWER, id="in two headers"
        ),
        pytest.param(
            ["permessage-deflate; server_max_window_bits=13, permessage-deflate"], SMALLER_WINDOW, id="the first of two"
        ),
        pytest.param(["x-webkit-deflate-frame, permessage-deflate"], ANSWER, id="behind another extension"),
        pytest.param(['other; a="x, y"; b, permessage-deflate'], ANSWER, id="behind a comma in quotes"),
        pytest.param([" , ,permessage-deflate,, "], ANSWER, id="empty elements"),
    ],
)
def test_the_first_acceptable_offer_is_answered(headers: list[str], answer: str) -> None:
    assert accept_offer(headers) == answer


@pytest.mark.parametrize(
    "header",
    [
        "",
        " , ",
        "deflate-frame",
        "Permessage-Deflate-Not",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=11",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=+12",
        "permessage-deflate; server_max_window_bits=١٢",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        'permessage-deflate; client_max_window_bits=""',
        'other; a="x, permessage-deflate, y"',
    ],
)
def test_an_offer_that_cannot_be_kept_is_declined(header: str) -> None:
    assert accept_offer([header]) is None


@pytest.mark.parametrize(
    "header",
    [
        "permessage-deflate;",
        "permessage-deflate; =",
        "permessage-deflate; server_max_window_bits=",
        'permessage-deflate; server_max_window_bits="12',
        "permessage-deflate permessage-deflate",
        "permessage-deflate, é",
        '"permessage-deflate"',
    ],
)
def test_a_header_that_cannot_be_read_offers_nothing(header: str) -> None:
    assert accept_offer([header]) is None
    assert accept_offer(["permessage-deflate", header]) is None


@given(st.text(alphabet=st.sampled_from('permsg-dflat;=," \\1') | st.characters(), max_size=200))
def test_whatever_is_offered_is_answered_or_declined(header: str) -> None:
    assert accept_offer([header]) in (None, ANSWER, SMALLER_WINDOW)


@pytest.mark.parametrize("piece", ['"\\', '"a', 'a="\\"', ",", ";", "a;", "a=", 'a;b="c', " ", "a ", "a,"])
def test_a_header_of_16_kib_is_read_without_going_back(piece: str) -> None:
    """Where the pattern went back, such a header would take until the end of the run's patience."""
    assert accept_offer([(piece * LIMIT)[:LIMIT]]) is None


@pytest.mark.parametrize("size", [256, 1000, 4096, 20_000, 70_000, 200_000])
def test_a_compressed_frame_holds_the_same_message(size: int) -> None:
    words = random.Random(size)
    message = " ".join("".join(words.choices(string.ascii_letters, k=5)) for _ in range(size // 6 + 1)).encode()[:size]
    frame = compressed(text_frame(message))
    assert frame[0] == 0xC1, "final, text, compressed"
    head_bytes = {126: 4, 127: 10}.get(frame[1], 2)
    payload = frame[head_bytes:]
    assert len(payload) == (frame[1] if head_bytes == 2 else int.from_bytes(frame[2:head_bytes]))
    assert len(frame) < len(text_frame(message))
    client = zlib.decompressobj(-12)
    assert client.decompress(payload + b"\x00\x00\xff\xff") == message, "with the window that was promised"


def test_a_message_that_does_not_shrink_stays_as_it_is() -> None:
    frame = text_frame(random.Random(1).randbytes(300))
    assert compressed(frame) is frame


def test_every_message_is_compressed_on_its_own() -> None:
    frame = text_frame(b"the same words again " * 20)
    assert compressed(frame) == compressed(frame)


@given(st.binary(max_size=3000), st.integers(9, 15), st.integers(1, 9), st.integers(0, 9))
def test_whatever_a_client_compresses_is_read(message: bytes, window_bits: int, memory_level: int, level: int) -> None:
    payload = deflated(message, window_bits=window_bits, memory_level=memory_level, level=level)
    assert inflate(payload, LIMIT) == message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param("f248cdc9c90700", "Hello", id="one block"),
        pytest.param("000500faff48656c6c6f00", "Hello", id="one block without compression"),
        pytest.param("f348cdc9c9070000", "Hello", id="a block that says it is the last"),
        pytest.param("f248050000 00ffffcac9c90700", "Hello", id="two blocks"),
        pytest.param("00", "", id="nothing"),
    ],
)
def test_the_examples_of_rfc_7692_are_read(payload: str, message: str) -> None:
    assert inflate(bytes.fromhex(payload), LIMIT) == message.encode()


def test_the_limit_holds_for_the_message_and_not_for_what_arrives() -> None:
    noise = random.Random(1).randbytes(LIMIT)
    assert len(deflated(noise)) > LIMIT
    for level in range(10):
        for memory_level in range(1, 10):
            payload = deflated(noise, level=level, memory_level=memory_level)
            assert len(payload) <= compressed_limit(LIMIT)
            assert inflate(payload, LIMIT) == noise
    with pytest.raises(Violation) as violation:
        inflate(deflated(noise + b"x"), LIMIT)
    assert violation.value.code == 1009


def test_a_bomb_is_never_made_whole() -> None:
    bomb = deflated(b"\0" * 16 * 1024 * 1024, level=9)
    assert len(bomb) <= compressed_limit(LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(Violation) as violation:
            inflate(bomb, LIMIT)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert violation.value.code == 1009
    assert most_bytes < 8 * LIMIT


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff" * 20, id="no block"),
        pytest.param(b"not compressed at all", id="a text as it is"),
        pytest.param(deflated(b"a text that is cut short")[:-6], id="cut short"),
        pytest.param(deflated(b"a text")[:-1], id="without the end of its block"),
        pytest.param(b"\x00\xff\xff\x00\x00" + b"x" * 10, id="a block longer than the message"),
        pytest.param(bytes.fromhex("f348cdc9c90700"), id="a last block, and nothing behind it"),
        pytest.param(bytes.fromhex("f348cdc9c9070000") * 2, id="something behind a last block"),
        pytest.param(zlib.compress(b"with the head of a file"), id="zlib's own format"),
        pytest.param(b"\x62\x00\xc2\x7f\x00", id="a distance before the beginning"),
    ],
)
def test_what_is_no_compressed_message_is_refused(payload: bytes) -> None:
    with pytest.raises(Violation) as violation:
        inflate(payload, LIMIT)
    assert violation.value.code == 1007


@given(st.binary(max_size=300))
def test_whatever_arrives_is_read_or_refused(payload: bytes) -> None:
    try:
        outcome = len(inflate(payload, 1000))
    except Violation as violation:
        outcome = violation.code
    assert outcome in (*range(1001), 1007, 1009)

"""Room references, row by row."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.errors import MalformedReference
from ws_edge.protocol.identity import RoomId, Slug
from ws_edge.protocol.references import ById, BySlug, ByVideo, RoomRef, parse_room, parse_video

# The same examples every time, and no deadline for a busy machine to miss.
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("text", ["1", "42", "1000000000", "9007199254740991"])
def test_ascii_digits_are_an_id_up_to_the_largest_safe_integer(text: str) -> None:
    assert parse_room(text) == ById(RoomId(int(text)))


@pytest.mark.parametrize("text", ["0", "01", "007", "9007199254740992", "9" * 17, "9" * 10_000])
def test_an_id_out_of_range_or_with_leading_zeros_is_malformed(text: str) -> None:
    with pytest.raises(MalformedReference):
        parse_room(text)


@pytest.mark.parametrize(
    "text",
    [
        "live-general",
        "live-1732723800000-7",
        "a",
        "-1",
        "1.5",
        "~a_b:c@d",
        "a.b",
        "Chat",
        "прямой-эфир",
        "配信",
        "हिन्दी",
        "٣٤",
        "x" * 128,
        "é" * 128,
        "video-",
        "video-1a",
        "video-٣",
        "Video-7",
    ],
)
def test_anything_else_is_a_slug_of_letters_digits_and_six_signs(text: str) -> None:
    assert parse_room(text) == BySlug(Slug(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ".a",
        "a b",
        " ",
        "a/b",
        "a%20b",
        "a\x00",
        "a\n",
        "1\n",
        "😀",
        "a\u200b",
        "a+b",
        "\ud800",
        "a²",
        "x" * 129,
    ],
)
def test_a_slug_with_other_signs_or_of_a_wrong_length_is_malformed(text: str) -> None:
    with pytest.raises(MalformedReference):
        parse_room(text)


def test_slugs_are_case_sensitive() -> None:
    assert parse_room("Live") != parse_room("live")


def test_a_slug_is_the_same_however_its_accents_were_typed() -> None:
    assert parse_room("cafe\u0301") == parse_room("caf\u00e9") == BySlug(Slug("caf\u00e9"))


def test_the_length_of_a_slug_is_counted_in_nfc() -> None:
    assert parse_room("e\u0301" * 128) == BySlug(Slug("\u00e9" * 128))


@pytest.mark.parametrize(
    ("text", "video_id"), [("video-1", 1), ("video-42", 42), ("video-9007199254740991", 2**53 - 1)]
)
def test_a_video_slug_is_its_video(text: str, video_id: int) -> None:
    assert parse_room(text) == ByVideo(video_id)


@pytest.mark.parametrize("text", ["video-0", "video-007", "video-9007199254740992"])
def test_a_video_slug_with_a_malformed_id_is_malformed(text: str) -> None:
    with pytest.raises(MalformedReference):
        parse_room(text)


def test_a_video_is_named_by_its_id() -> None:
    assert parse_video("42") == ByVideo(42)


@pytest.mark.parametrize("text", ["", "0", "042", "abc", "video-42", "-1", "4.2", "٤٢", "42\n", "9007199254740992"])
def test_a_malformed_video_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedReference):
        parse_video(text)


@given(st.text(max_size=140))
@PROOF
def test_a_reference_is_read_or_malformed_and_reads_the_same_again(text: str) -> None:
    ref = _parsed(text)
    if isinstance(ref, BySlug):
        assert parse_room(ref.slug) == ref


def _parsed(text: str) -> RoomRef | None:
    try:
        return parse_room(text)
    except MalformedReference:
        return None

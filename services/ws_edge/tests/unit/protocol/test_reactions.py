"""protocol/reactions.py and what of protocol/emotes.py is about reactions."""

import json

import pytest

from ws_edge.protocol import codec
from ws_edge.protocol.emotes import is_name, read_reaction
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.reactions import EMOJI_LIMIT, MESSAGE_LIMIT, Reacted, ReactionSums

HEART = "❤️"
KISS = "👩🏻\u200d❤️\u200d💋\u200d👨🏻"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
KB_64 = 65_536


@pytest.mark.parametrize("emoji", [HEART, "❤", "👍🏽", "🇫🇷", "1️⃣", "🏳️\u200d🌈", KISS, SCOTLAND])
def test_an_emoji_is_counted_as_it_was_sent(emoji: str) -> None:
    assert read_reaction(emoji) == emoji
    assert not is_name(emoji)


@pytest.mark.parametrize("text", ["Kappa", ":Kappa:"])
def test_the_name_of_an_emote_is_counted_between_colons(text: str) -> None:
    assert read_reaction(text) == ":Kappa:"
    assert is_name(":Kappa:")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "😂 ",
        ":a",
        "a:",
        ":",
        "::",
        ":a:b:",
        "😂😂",
        "a/b",
        "\ud800",
        "\u200d" + "x y",
        "👩\u200d" * 20 + "👩",
        "🏴" + "\U000e0067" * 30,
        "é" * 51,
        ":" + "x" * 101 + ":",
    ],
)
def test_other_text_and_emoji_without_end_are_no_reaction(text: str) -> None:
    assert read_reaction(text) is None


def test_the_longest_name_has_100_bytes() -> None:
    assert read_reaction("é" * 50) == f":{'é' * 50}:"


def test_sums_are_of_an_emoji_or_of_a_message_and_an_emoji() -> None:
    sums = ReactionSums()
    assert not sums
    for _ in range(3):
        sums.add(HEART, None)
    sums.add(HEART, MessageId(42))
    sums.add("😂", MessageId(42), 2)
    assert sums
    assert list(sums) == [
        Reacted(HEART, None, 3),
        Reacted(HEART, MessageId(42), 1),
        Reacted("😂", MessageId(42), 2),
    ]
    assert ReactionSums().messages == {}


def test_what_is_of_one_kind_too_many_is_not_counted_and_what_is_known_goes_on() -> None:
    sums = ReactionSums()
    for number in range(10_000):
        sums.add(f":{number}:", None)
        sums.add(HEART, MessageId(number + 1))
    sums.add(":0:", None)
    sums.add(HEART, MessageId(1))
    assert (len(sums.counts), len(sums.messages)) == (EMOJI_LIMIT, MESSAGE_LIMIT)
    assert sums.counts[":0:"] == sums.messages[(MessageId(1), HEART)] == 2
    assert len(list(sums)) == EMOJI_LIMIT + MESSAGE_LIMIT


def test_the_frame_has_both_kinds_of_sums() -> None:
    sums = ReactionSums()
    sums.add(HEART, None, 12)
    sums.add("😂", MessageId(42), 3)
    sums.add(":Kappa:", MessageId(42))
    sums.add("😂", MessageId(43))
    assert codec.reactions(sums)[2:].decode() == (
        '{"type":"reactions","data":{"counts":{"❤️":12},"messages":{"42":{"😂":3,":Kappa:":1},"43":{"😂":1}}}}'
    )


def test_the_frame_of_nothing_but_messages_has_empty_counts() -> None:
    sums = ReactionSums()
    sums.add("😂", MessageId(7))
    assert codec.reactions(sums)[2:].decode() == '{"type":"reactions","data":{"counts":{},"messages":{"7":{"😂":1}}}}'


def test_the_largest_frame_stays_below_40_kib() -> None:
    sums = ReactionSums()
    for number in range(1000):
        sums.add(f":{number:0100}:", None, 1_000_000)
        sums.add(f":{number:0100}:", MessageId(2**53 - 1 - number), 1_000_000)
    frame = codec.reactions(sums)
    assert len(json.loads(frame[4:])["data"]["messages"]) == MESSAGE_LIMIT
    assert len(frame) < 40 * 1024 < KB_64

"""protocol/emotes.py: nothing but emoji and `:names:`."""

import pytest

from ws_edge.protocol.emotes import is_emotes_only


@pytest.mark.parametrize(
    "text",
    [
        "😀",
        " 😀\n😀 ",
        "❤",
        "❤️",
        "👍🏽",
        "🏽",
        "👩\u200d👩\u200d👧\u200d👦",
        "🏳️\u200d🌈",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "🇫🇷",
        "1️⃣#⃣",
        ":wave:",
        ":a::b: 😀",
        f":{'é' * 100}:",
    ],
)
def test_emoji_and_names_are(text: str) -> None:
    assert is_emotes_only(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "😀 a",
        "1",
        "#",
        "🇫",
        "::",
        ":a b:",
        ":a",
        f":{'a' * 101}:",
        "\u200d",
        "❤\ufe0e",
        "😀\u200d",
        "(:wave:)",
    ],
)
def test_everything_else_is_not(text: str) -> None:
    assert not is_emotes_only(text)


def test_a_long_text_is_read_once() -> None:
    assert is_emotes_only("❤️" * 500)
    assert not is_emotes_only("👩\u200d" * 499 + "a")
    assert not is_emotes_only(":" * 1000)

"""What moderation and edges take for nothing but emotes: in two copies, since services share no code of theirs."""

from hypothesis import given, settings, strategies as st

from moderation.domain.emotes import is_emotes_only as by_moderation
from ws_edge.protocol.emotes import is_emotes_only as by_edges

_PIECES = st.sampled_from(
    [
        "😀",
        "❤",
        "\ufe0f",
        "\u200d",
        "👩",
        "🏽",
        "🇫",
        "🇷",
        "1",
        "\u20e3",
        ":",
        ":wave:",
        "a",
        " ",
        "\U000e0067",
        "\U000e007f",
        "🏴",
        "\u303d",
    ]
)


@given(st.lists(_PIECES | st.characters(), max_size=12).map("".join))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_both_say_the_same(text: str) -> None:
    assert by_moderation(text) == by_edges(text)

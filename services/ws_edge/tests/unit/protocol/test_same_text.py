"""protocol/same_text.py: which texts are the same."""

import time

import pytest

from ws_edge.protocol import same_text
from ws_edge.protocol.same_text import digest_of, fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Hello World", "hello world"),
        ("  hello\t\n world ", "hello world"),
        ("héllo", "hello"),
        ("he\u0301llo", "hello"),
        ("ＨＥＬＬＯ", "hello"),
        ("𝐡𝐞𝐥𝐥𝐨", "hello"),
        ("he\u200bl\u00adl\u2060o\ufeff", "hello"),
        ("h̷̡̛e̷l̸l̷o̵", "hello"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("👍️", "👍"),
        ("ไม่", "ไม่"),
        ("\u200b", "\u200b"),
        ("   ", "   "),
        ("", ""),
    ],
)
def test_what_makes_no_difference_is_left_out(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(("one", "other"), [("กิ", "กี"), ("hello", "hello!"), ("❤", "💔"), ("\ud800", "\ud801")])
def test_these_are_different(one: str, other: str) -> None:
    assert digest_of(one) != digest_of(other)


def test_no_text_takes_long() -> None:
    for text in ("\ufdfa" * 1000, "㌖" * 1000, "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))):
        fold(text)
        began_s = time.process_time()
        fold(text)
        assert time.process_time() - began_s < 0.01


def test_hostile_characters_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_text, "_MOST_KEPT", 10)
    folded = same_text._Folded()  # shows nowhere else
    for code in range(0x4E00, 0x4E00 + 50):
        assert folded[code] == chr(code)
    assert 0 < len(folded) <= 10

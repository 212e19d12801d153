"""domain/same_text.py and spoken_texts.py: which texts are the same, and how long they are known."""

import time

import pytest

from moderation.domain import same_text
from moderation.domain.same_text import digest_of, fold
from moderation.domain.spoken_texts import Said, SpokenTexts

S = 1_000_000_000


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


def by(connection: str, number: int, *, speaker: int = 5, nonce: str = "") -> Said:
    return Said(connection, number, speaker, 1, nonce)


def test_the_same_message_sent_again_with_its_nonce_is_known() -> None:
    said = SpokenTexts()
    assert not said.is_repeated("live", b"1", by("e:1", 1, nonce="n"))
    said.say("live", b"1", by("e:1", 1, nonce="n"), 0)
    said.say("live", b"2", by("e:1", 2), 0)
    assert said.is_repeated("live", b"1", by("f:1", 3, nonce="n"))
    assert not said.is_repeated("live", b"1", by("f:1", 3, nonce="m"))
    assert not said.is_repeated("live", b"1", by("f:1", 3, nonce="n", speaker=6))
    assert not said.is_repeated("live", b"2", by("e:1", 3))


def test_a_text_is_known_for_two_minutes_and_costs_no_memory_then() -> None:
    said = SpokenTexts()
    said.say("live", b"1", by("e:1", 1), 0)
    assert said.wait_ns("live", b"1", 120 * S - 1) == 1
    assert said.wait_ns("live", b"1", 120 * S) == 0
    assert said.wait_ns("other", b"1", 0) == 0
    said.say("live", b"0", by("e:1", 9), 1)
    said.say("live", b"2", by("e:1", 2), 120 * S + 1)
    assert len(said) == 1
    said.say("live", b"2", by("e:1", 3), 240 * S + 1)
    said.release("e:1", 2)
    assert said.wait_ns("live", b"2", 240 * S + 1) == 120 * S
    said.release("e:1", 3)
    assert (len(said), len(said._texts)) == (0, 0)


def test_of_too_many_texts_the_oldest_are_forgotten() -> None:
    said = SpokenTexts(largest=2)
    for number in range(4):
        said.say("live", b"%d" % number, by("e:1", number), number)
    assert [said.wait_ns("live", b"%d" % number, 9) > 0 for number in range(4)] == [False, False, True, True]
    assert (len(said), len(said._texts)) == (2, 2)

"""What a text reads as; what is shown is never changed."""

import time
import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from moderation.domain import folding
from moderation.domain.confusables import LOOKALIKES, UNICODE_VERSION
from moderation.domain.folding import (
    READINGS,
    Script,
    codes_of,
    displayed,
    fold,
    glyphs_in,
    readings,
    search_codes,
    texts_for_expressions,
)

OUTLINED = range(0x1CCD6, 0x1CCF0)
"""Letters of Unicode 16: newer Pythons know that they are A to Z, the oldest does not."""
PROOF = settings(max_examples=150, deadline=None)
HOSTILE = st.text(
    st.sampled_from(
        "abiIlvV019@$!|()<{/\\_-. \t\nßéıİñёйжВΗσа死ﾌﾞ𝐚🅰Ꭺ\u0301\u0336\u200b\u202e\u202c\u2066\u2069\u2029💀"
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＦＲＥＥ ﬁsh ①②", "free fish 12"),  # NFKC
        ("STRASSE Straße ÉTÉ Σίσυφος", "strasse strasse ete σισυφοσ"),  # case and marks
        ("z̸̧͎a͎l̵g̃o n̈̈ o\u20dd", "zalgo n o"),
        ("a\u200bb\u00adc\u2060d\ufe0fe\U000e0061f\u2066g\u2069", "abcdefg"),  # nothing to the eye
        ("IŞIK İZMİR ılık", "isik izmir ılık"),
        ("Ёлка Й", "елка и"),
        ("かﾞ ﾌﾞ ブ", "か フ フ"),
        ("हिन्दी ไทย", "हिन्दी ไทย"),  # whose marks are vowels
    ],
)
def test_case_form_marks_and_what_is_invisible_are_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_folding_keeps_the_alphabet_digits_and_punctuation() -> None:
    assert fold("Привет, Мир! 100 % {x}") == "привет, мир! 100 % {x}"


@PROOF
@given(st.one_of(st.text(max_size=40), HOSTILE))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@PROOF
@given(st.one_of(st.text(max_size=40), HOSTILE))
def test_no_text_fails_and_its_readings_are_bounded(text: str) -> None:
    found = list(readings(text))
    assert len(found) <= READINGS
    assert len({codes_of(reading) for reading in found}) == len(found)
    assert 1 <= len(texts_for_expressions(text)) <= 2
    assert search_codes(text).codes.startswith(b" ")


def test_unpaired_surrogates_are_characters_like_others() -> None:
    assert fold("a\ud800b") == "a\ud800b"
    assert texts_for_expressions("a\ud800b1")
    assert search_codes("a\ud800b").is_certain


def test_lookalikes_are_those_of_unicode_17() -> None:
    assert UNICODE_VERSION == "17.0.0"
    assert set(LOOKALIKES) == set("abcdefghijklmnopqrstuvwxyz")
    for letter, alike in {"a": "аα🅰🇦Ꭺ", "c": "сϲꓚ", "h": "Ннһ", "k": "кκ", "t": "тτ"}.items():
        assert set(alike) <= set(LOOKALIKES[letter]), letter


def test_no_lookalike_is_written_in_ascii_or_is_its_own_letter_with_marks() -> None:
    for letter, alike in LOOKALIKES.items():
        for character in alike:
            assert not character.isascii()
            if ord(character) not in OUTLINED:
                assert unicodedata.normalize("NFKD", character).casefold() != letter


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x \u202ekcuf\u202c y", "x fuck y"),
        ("x \u202ekcuf", "x fuck"),
        ("\u2066\u202ekcuf\u202c\u2069 y", "fuck y"),
        ("\u202ekc\u202ax\u202cuf\u202c", "fuxck"),
        ("\u202ekc\nuf", "ck\nuf"),
        ("\u202ckc\u2069 \u202duf\u202c", "kc uf"),
        ("\u202ea\u202eb\u202cc\u202cd", "cbad"),
    ],
)
def test_a_text_forced_from_right_to_left_is_read_as_it_is_seen(text: str, shown: str) -> None:
    assert displayed(text) == shown


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("hello there", ["hello there"]),
        ("fr33 n1tr0!", ["fr33 n1tr0!", "free nitro!"]),
        ("sooooo c0000l", ["sooooo c0000l", "so col"]),
        ("F r e e now", ["f r e e now", "free now"]),
        ("сasino Ꮋi \u202eortin\u202c", ["сasino Ꮋi ortin", "casino hi nitro"]),
        ("казино", ["казино"]),
        ("1v1 2026 $5", ["1v1 2026 $5", "ivi 2026 $5"]),
        ("🅵🅰🅸🅻€\u200b d", ["🅵🅰🅸🅻€ d", "faile d"]),
    ],
)
def test_expressions_see_a_text_folded_and_once_more_without_its_disguise(text: str, read: list[str]) -> None:
    found = texts_for_expressions(text)
    assert found[0] == read[0]
    assert found[1:] == read[1:]


def test_a_glyph_says_what_it_may_stand_for() -> None:
    (capital,) = glyphs_in("Η")
    assert (capital.base, capital.letters, capital.script) == ("η", "ηhn", Script.GREEK)
    assert [glyph.base for glyph in glyphs_in("ß")] == ["s", "s"]
    assert glyphs_in("\u0301") == glyphs_in(" ") == ()


def test_hostile_characters_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_MOST_KEPT", 10)
    glyphs, codes, folded = folding._Glyphs(), folding._Codes(0), folding._Folded()  # shows nowhere else
    for code_point in range(0x4E00, 0x4E00 + 50):
        assert glyphs[chr(code_point)]
        assert codes[chr(code_point)]
        assert folded[code_point]
    assert 0 < len(glyphs) <= 10
    assert 0 < len(codes) <= 10
    assert 0 < len(folded) <= 10


def test_one_character_is_taken_for_a_few_at_most() -> None:
    assert len(folding.glyphs_of("\ufdfa")) <= 8  # type: ignore[arg-type] # no break
    assert len(fold("\ufdfa" * 10)) == 80


HOSTILE_TEXTS = {
    "one letter": "a",
    "marks": "a\u0301\u0336",
    "signs": "$|_|",
    "spelled": "f u-c.k ",
    "turned": "\u202ea",
    "capitals": "ΗВ",
    "invisible": "\u200b",
    "punctuation": "a.",
    "slashes": "/\\",
    "digits": "1a",
}


@pytest.mark.parametrize("piece", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_no_text_costs_more_than_in_proportion_to_its_length(piece: str) -> None:
    def cost_s(length: int) -> float:
        text = (piece * length)[:length]
        best = float("inf")
        for _ in range(3):
            began = time.thread_time()
            search_codes(text)
            texts_for_expressions(text)
            for reading in readings(text):
                codes_of(reading)
            best = min(best, time.thread_time() - began)
        return best

    cost_s(1_000)
    assert cost_s(8_000) / cost_s(1_000) < 8 * 3

"""Words and phrases looked for in a text, however they are disguised there."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import re2
from ahocorasick_rs import BytesAhoCorasick

from moderation.domain.folding import (
    ALPHABETS,
    TRAILING_SIGNS,
    Break,
    Glyph,
    Item,
    Placed,
    Reading,
    Script,
    SearchCodes,
    alternatives_of,
    codes_of,
    collapse,
    fold,
    glyphs_in,
    plain_codes_of,
    readings,
    search_codes,
    term_reading,
)

SHORT_TERM = 4
"""Letters. Of so short a term another word is often only a mark or a doubled consonant away."""
LONGEST_TERM = 100
_VOWELS = frozenset("aeiouyаеиоуыэюяαεηιουω")

_SHORT_WORDS = [
    frozenset(fold(words).split())
    for words in (
        "a i am an as at be by do go he if in is it me my no of oh ok on or so to up us we and are all any "
        "ask bad bag ban bed bet big bit bot box boy bro bug but buy can car cat cop cup cut dad day did die "
        "dog end eye fan far fat few fix fly for fun gas get god got gun guy had has hat her hey him his hit "
        "hot how ice its job joy key kid law lay leg let lie lol lot low mad man map may men met mod mom new "
        "not now nut odd off old one our out own pay pen pet pin pop pot put ran rap rat raw red rid rip row "
        "run sad sat saw say sea see set sex she shy sir sit six sky son sub sum sun tap tax tea ten the tie "
        "tip too top toy try two use van via vip vs was way web who why win won wow yes yet you u r ur",
        "a y à ai an as au ça ce ci de du en es et eu il je la le les lui ma me mes moi mon ne ni non nos nu "
        "on or ou où par pas peu pis pu que qui qu sa sac se sel ses si soi son sur ta te tes toi ton tu un "
        "une va vas vie vu vos ado ami art bas bon but car cul dis dit dos eau feu fin fou gel jeu loi mal "
        "mer mis mot mur nez nom pot rue sec sol sud tas tel thé tir top tôt vif vin vol l d j c n s t m",
        "a al da de di el en es fe fue ha he hay la las le les lo los me mi mis mil muy no nos o oh ojo os "
        "oye por que qué se ser si sí sin sol son su sus tal tan te ti tu tus un una uno va ve ven ver vi vez "
        "voy y ya yo dos fin gol mar mal",
        "a ao as com da das de do dos e é ela ele em era eu fiz foi há já la lá lo mas me meu mim na não nas "
        "no nos nós o os ou pai por pra pro que quê rei se sem ser seu si só sou sua tá te tem tu um uma vai "
        "vem ver vez vi voz vós",
        "a ad ai al che chi ci col con cui da dai dal dei del di do due e è ed fa fai fra fu gli ha hai ho i "
        "il in io la le lei li lo lui ma me mi mia mio ne nei nel no noi non o od per più po poi può qua qui "
        "re sa se sei si sì sia sta sto su sua sue sui sul suo ti tra tre tu tua tuo un una uno va vai via vi "
        "voi zia zio",
        "ab am an auf aus bei bin bis da das dem den der des die dir du ein er es für gar gut hat ich ihm ihn "
        "ihr im in ist ja je man mir mit nah neu nie nun nur ob oh ort rot sei sie so tag tod tot tun um und "
        "uns vom von vor war was weg wem wen wer wie wir wo zu zum zur rap",
        "a aby ale bo by był być co coś czy dla do dom go i ich im ja jak je jej już ją kto ku kur lat lub ma "
        "mam mi mną mu my na nad nas nie nim no o od on ona oni ono po pod raz są się sam ta tak tam te tej "
        "ten to tu ty tym u w we wam was wy z za ze że dni rok",
        "aç ad ağ ak al an ara as at ay az ben bey bir biz bu çok da de dir dün el en er eş ev et gel git göz "
        "gün han her hiç iç iki ile iş it kaç kan kar kez kim kol kuş ki mı mi mu mü ne o ol on oy öz sen siz "
        "son su şey şu tam tek ten üç ver var ve ya yaş yer yok yol yüz",
        "а в во вы да до его ее за и из или им их к ко кто мы на над не нет но ну о об он она они от по под "
        "при с сам со так там то тот ты у уж уже что эта это эту я же бы ли ни мне тут как где два три раз "
        "год дом",
    )
]
"""Of up to three letters, by language (en, fr, es, pt, it, de, pl, tr, ru): other rows of letters are seldom a word."""
_WORDS_OF_ONE_LETTER = frozenset(word for words in _SHORT_WORDS for word in words if len(word) == 1)
_BEGINNINGS = re.compile(
    "[bcfgkpstvw][lr]|[cgps]h|[csdz]z|[dt][rsz]|[gkps]n|[ksdz]w|p[st]|qu|r[hz]|s[ckmpqtv]|t[hw]|wh|zd"
)
"""Two consonants with which words begin."""

_CAPITAL_I = Glyph("i", "i", Script.LATIN)  # which is taken for an l beside small letters alone

_Run = list[Item]


@dataclass(frozen=True, slots=True)
class _Term:
    """A term, run by run, and which of those asked for it is."""

    number: int
    runs: list[_Run]
    is_short: bool
    is_open: tuple[bool, bool]
    """Whether other letters may stand before it in the word, and after it."""
    split_at: int | None = None
    """The run that is a space within a word, where this is a term with one."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A letter of a text, the letter of a term that it stands for, and what it is read as."""

    seen: Placed
    meant: Glyph
    letter: str

    @property
    def is_leet(self) -> bool:
        glyph = self.seen.glyph
        if len(self.seen.character) > 1:
            return True
        return self.letter != glyph.base and (glyph.is_digit or glyph.is_sign or glyph.base == "v")


def term_problem(term: str) -> str | None:
    """Why a term can't be used, or None."""
    if len(term) > LONGEST_TERM:
        return f"A term has more than {LONGEST_TERM} characters"
    bare = term.removeprefix("*").removesuffix("*")
    glyphs = [item.glyph for item in term_reading(bare) if not isinstance(item, Break)]
    if all(glyph.is_sign for glyph in glyphs):
        return f"{term}: there is no letter or digit in it"
    if "*" in bare:
        return f"{term}: * stands at an end alone"
    if len(glyphs) == 1 and bare != term:
        return f"{term}: one letter and * is in almost every text"
    return None


class TermSearch:
    """All terms of some rules in one automaton. A search takes a time in proportion to the text.

    A term is one or several words; `*` at its beginning or end stands for any letters there.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        broad: dict[bytes, list[_Term]] = {}
        plain: dict[bytes, list[_Term]] = {}
        for number, term in enumerate(terms):
            for found, codes, plain_codes in _patterns(term, number):
                broad.setdefault(codes, []).append(found)
                plain.setdefault(plain_codes, []).append(found)
        self._terms = list(broad.values())
        self._starts = [pattern.startswith(b" ") for pattern in broad]
        self._broad = _Patterns(broad, codes_of)
        self._plain = _Patterns(plain, plain_codes_of)

    def found_in(self, text: str) -> set[int]:
        """The indexes of the terms that stand in a text."""
        search = search_codes(text)
        patterns = self._plain if search.is_plain else self._broad
        if not search.is_certain or patterns.may_be_in(search):
            return self.found_in_readings(text)
        return set()

    def found_in_readings(self, text: str) -> set[int]:
        """The same, without the search that is enough for most texts."""
        found: set[int] = set()
        for reading in readings(text):
            framed: Reading = [Break.SPACE, *reading, Break.SPACE]
            for codes in alternatives_of(framed):
                matches = self._broad.automaton.find_matches_as_indexes(collapse(codes.encode()), overlapping=True)
                wanted = [match for match in matches if any(t.number not in found for t in self._terms[match[0]])]
                runs = [run for _, run in _runs(framed, codes)] if wanted else []
                for pattern, begin, _ in wanted:
                    begin += self._starts[pattern]
                    for term in self._terms[pattern]:
                        if term.split_at is not None and not _is_split(runs, begin, term):
                            continue
                        if term.number not in found and _is_meant(term, runs[begin : begin + len(term.runs)], text):
                            found.add(term.number)
        return found


class _Patterns:
    """All terms in the codes of one kind."""

    def __init__(self, patterns: dict[bytes, list[_Term]], code: Callable[[Reading], str]) -> None:
        self.automaton = BytesAhoCorasick(list(patterns))
        self._unspaced = BytesAhoCorasick([pattern.replace(b" ", b"") for pattern in patterns])
        self._phrases = BytesAhoCorasick(
            [
                pattern.replace(b" ", b"")
                for pattern, terms in patterns.items()
                if b" " in pattern.strip() and any(term.split_at is None for term in terms)
            ]
        )
        self._terms = list(patterns.values())
        self._code = code
        self._at_full_length: dict[int, Any] = {}  # few terms are ever nearly found, and it takes as long as all else

    def may_be_in(self, search: SearchCodes) -> bool:
        """Whether one of the terms may be there, its doubled letters as well."""
        for pattern, _, _ in self.automaton.find_matches_as_indexes(search.codes, overlapping=True):
            if pattern not in self._at_full_length:
                self._at_full_length[pattern] = _at_full_length(self._terms[pattern], self._code)
            at_full_length = self._at_full_length[pattern]
            if at_full_length is None or at_full_length.search(search.uncollapsed):
                return True
        return bool(search.spelled) and bool(
            self._unspaced.find_matches_as_indexes(search.spelled)
            or self._phrases.find_matches_as_indexes(collapse(search.codes.replace(b" ", b"")))
        )


def _patterns(term: str, number: int) -> Iterator[tuple[_Term, bytes, bytes]]:
    """What to look for, in broad codes and in plain ones: a term as it is, and a phrase in one word as well."""
    reading = term_reading(term.strip("*"))
    while reading and isinstance(reading[-1], Break):
        reading.pop()
    while reading and isinstance(reading[0], Break):
        reading.pop(0)
    letters: Reading = [item for item in reading if not isinstance(item, Break)]
    is_open = term.startswith("*"), term.endswith("*")
    begin, end = (b"" if is_open_there else b" " for is_open_there in is_open)
    ways = [(reading, None), *_split(reading, is_open)]
    if len(letters) < len(reading):
        ways.append((letters, None))
    for written, split_at in ways:
        runs = [run for _, run in _runs(written, codes_of(written))]
        broad = collapse(codes_of(written).encode())
        plain = collapse(plain_codes_of(written).encode())
        found = _Term(number, runs, len(letters) <= SHORT_TERM, is_open, split_at)
        yield found, begin + broad + end, begin + plain + end


def _split(reading: Reading, is_open: tuple[bool, bool]) -> Iterator[tuple[Reading, int | None]]:
    """With a space in one of its words, where that leaves letters which are no word, and the run of the space."""
    first = 0
    for end in range(len(reading) + 1):
        if end < len(reading) and not isinstance(reading[end], Break):
            continue
        word = [item.glyph for item in reading[first:end] if not isinstance(item, Break)]
        if all(glyph.script in (Script.LATIN, Script.CYRILLIC) for glyph in word):
            letters = "".join(glyph.base for glyph in word)
            is_word_open = is_open[0] and first == 0, is_open[1] and end == len(reading)
            for at in range(1, len(word)):
                if _leaves_no_word(letters[:at], letters[at:], is_word_open):
                    begin = reading[: first + at]
                    yield [*begin, Break.SPACE, *reading[first + at :]], len(_runs(begin, codes_of(begin)))
        first = end + 1


def _leaves_no_word(before: str, after: str, is_open: tuple[bool, bool]) -> bool:
    """Whether the halves of a word are no two words of one language. A half that is open may go on."""
    if len(before) + len(after) < SHORT_TERM:
        return False
    if any(
        one in _WORDS_OF_ONE_LETTER and not _VOWELS.isdisjoint(other)
        for one, other in ((before, after), (after, before))
    ):
        return False
    if min(len(before), len(after)) > 3 or (is_open[1] and len(before) > 4):
        return True
    return not any(
        (is_open[0] or _may_be_word(before, words))
        and (_may_begin_word(after) if is_open[1] else _may_be_word(after, words))
        for words in _SHORT_WORDS
    )


def _may_be_word(letters: str, words: frozenset[str]) -> bool:
    return letters in words if len(letters) <= 3 else not _VOWELS.isdisjoint(letters)


def _may_begin_word(letters: str) -> bool:
    return len(letters) == 1 or _BEGINNINGS.match(letters) is not None or not _VOWELS.isdisjoint(letters[:2])


def _is_split(runs: list[_Run], begin: int, term: _Term) -> bool:
    """Whether the word is split by a space alone, or a dash between two, and its ends are no parts of other words."""
    assert term.split_at is not None
    before, gap, after = runs[begin + term.split_at - 1 : begin + term.split_at + 2]
    last, first = before[-1], after[0]
    assert not isinstance(last, Break)
    assert not isinstance(first, Break)
    if len(gap) > 3 or not gap[0] is gap[-1] is Break.SPACE or first.at - last.at != 1 + len(gap):
        return False
    around = ([] if term.is_open[0] else [runs[begin - 1]]) + (
        [] if term.is_open[1] else [runs[begin + len(term.runs)]]
    )
    return all(Break.SPACE in gap for gap in around)


def _at_full_length(terms: list[_Term], code: Callable[[Reading], str]) -> Any:
    """What finds the runs of one of these terms, each at least as long as there; None: any length will do."""
    lengths = [
        [
            (letter, 1 if letter == " " else len(list(run)))
            for letter, run in groupby(code([*chain.from_iterable(term.runs)]))
        ]
        for term in terms
    ]
    if any(all(length == 1 for _, length in term) for term in lengths):
        return None
    return re2.compile(
        "|".join("".join(f"{letter}{{{length},}}" for letter, length in term) for term in lengths).encode()
    )


def _runs(reading: Reading, codes: str) -> list[tuple[str, _Run]]:
    """The collapsed codes, and what each of them stands for."""
    pairs = zip(codes, reading, strict=True)
    return [(code, [item for _, item in run]) for code, run in groupby(pairs, itemgetter(0))]


def _is_meant(term: _Term, runs: list[_Run], text: str) -> bool:
    """Whether what looks roughly like a term is one: its letters, and each difference for a reason."""
    words: list[list[_Pair]] = [[]]
    surplus = 0
    is_disguised = False
    last: int | None = None
    is_capital = not any(item.character.islower() for run in runs for item in run if not isinstance(item, Break))
    for number, (run, wanted) in enumerate(zip(runs, term.runs, strict=True)):
        seen = [item for item in run if not isinstance(item, Break)]
        if not seen:
            last = None
            words.append([])
            continue
        meant = [item.glyph for item in wanted if not isinstance(item, Break)]
        is_open_before, is_open_after = (
            number == 0 and term.is_open[0],
            number == len(term.runs) - 1 and term.is_open[1],
        )
        if is_capital:
            seen = [item._replace(glyph=_CAPITAL_I) if item.character == "I" else item for item in seen]
        aligned = _align(seen, meant, is_open_before=is_open_before, is_open_after=is_open_after)
        if aligned is None:
            return False
        if len(aligned) > len(meant):
            surplus += len(aligned) - len(meant)
            is_disguised |= surplus > 1 or len(meant) > 1 or meant[0].base in _VOWELS or "一" <= meant[0].base <= "鿿"
        for pair in aligned:
            is_disguised |= last is not None and pair.seen.at - last not in (0, 1)
            last = pair.seen.at
        words[-1] += aligned
    pairs = [*chain.from_iterable(words)]
    if any(pair.is_leet for pair in pairs):
        return _is_leet_word(words)
    scripts = {pair.seen.glyph.script for pair in pairs} - {Script.OTHER}
    if len(scripts) > 1 or any(pair.seen.glyph.is_odd for pair in pairs):
        return True
    return _is_in_its_alphabet(pairs, text) and (is_disguised or _is_same_word(pairs, term, surplus, text))


def _align(seen: list[Placed], meant: list[Glyph], *, is_open_before: bool, is_open_after: bool) -> list[_Pair] | None:
    """Which letter of a run stands for which of a term's, in order, none of these left out; None: they do not. At an
    open end of a term letters of the run may be left over."""
    reached: list[int] = []  # bit n: the letters so far may stand for those up to the nth
    before = 0
    for placed in seen:
        fits = sum(bool(_shared(placed.glyph, glyph)) << number for number, glyph in enumerate(meant))
        before = (before | before << 1 | (not reached or is_open_before)) & fits
        reached.append(before)
    number = len(meant) - 1
    at = len(seen) - 1
    while is_open_after and at > 0 and not reached[at] >> number & 1:
        at -= 1
    if not reached[at] >> number & 1:
        return None
    pairs: list[_Pair] = []
    while at >= 0 and reached[at] >> number & 1:
        pairs.append(_Pair(seen[at], meant[number], _shared(seen[at].glyph, meant[number])))
        if at and number and reached[at - 1] >> (number - 1) & 1:
            number -= 1
        at -= 1
    return pairs[::-1]


def _shared(seen: Glyph, meant: Glyph) -> str:
    """The letter that both may be; nothing where there is none."""
    if seen.script is meant.script and seen.script in (Script.CYRILLIC, Script.GREEK) and not seen.is_odd:
        return seen.base if seen.base == meant.base else ""
    letters = meant.base if meant.base.isascii() and not meant.is_sign else meant.letters
    return next((letter for letter in seen.letters if letter in letters), "")


def _is_leet_word(words: list[list[_Pair]]) -> bool:
    """Digits alone are a number, a letter and digits the name of a road, signs alone are seldom a word. A sign that
    mostly ends a sentence is a letter in words with others, or beside another one."""
    for word in words:
        core = [*word]
        ending = set()
        while core and core[-1].seen.glyph.is_sign and core[-1].seen.glyph.base in TRAILING_SIGNS:
            ending.add(core.pop().seen.glyph.base)
        if len(ending) == 1 and not any(pair.seen.glyph.is_sign or pair.seen.glyph.is_digit for pair in core):
            return False
    pairs = [*chain.from_iterable(words)]
    signs = sum(pair.seen.glyph.is_sign for pair in pairs)
    digits = sum(pair.seen.glyph.is_digit for pair in pairs)
    letters = len(pairs) - signs - digits
    if not letters:
        return signs * 2 >= len(pairs)
    return not (letters == 1 and digits == len(pairs) - 1 and not pairs[0].is_leet)


def _is_in_its_alphabet(pairs: list[_Pair], text: str) -> bool:
    """Whether a word of one alphabet is a term of that one; or of another one that the text is written in, where every
    letter is the one that it looks most like."""
    foreign = [pair for pair in pairs if pair.seen.glyph.script is not pair.meant.script]
    if not foreign:
        return True
    for pair in foreign:
        other = pair.meant if pair.seen.glyph.script is Script.LATIN else pair.seen.glyph
        if pair.letter not in other.letters[: 2 if other.script <= Script.GREEK else None]:
            return False
    return any(glyph.script is foreign[0].meant.script for character in set(text) for glyph in glyphs_in(character))


def _is_same_word(pairs: list[_Pair], term: _Term, surplus: int, text: str) -> bool:
    """Whether a word that nobody disguised is the term, or one that differs from it by its spelling."""
    marks = {pair.seen.glyph.accented for pair in pairs if pair.seen.glyph.script is Script.LATIN} - {""}
    if not any(marks <= alphabet for alphabet in ALPHABETS):
        return True
    differing = [pair for pair in pairs if pair.seen.glyph.accented != pair.meant.accented]
    if any(pair.seen.glyph.accented == "ı" for pair in differing):
        return False
    if not term.is_short or not (differing or surplus):
        return True
    if surplus or any(not pair.seen.glyph.accented for pair in differing):
        return False
    return not _has_other_marks(text, pairs)


def _has_other_marks(text: str, pairs: list[_Pair]) -> bool:
    """Whether other words of a text have marks as well, so that those of one word disguise nothing."""
    characters = set(text) - {pair.seen.character for pair in pairs}
    return any(glyph.accented for character in characters for glyph in glyphs_in(character))

"""Words and phrases looked for in a text, however they are disguised there."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any, cast

import re2
from ahocorasick_rs import BytesAhoCorasick

from moderation.domain.folding import (
    ALPHABETS,
    TRAILING_SIGNS,
    Break,
    Glyph,
    Placed,
    Script,
    SearchCodes,
    collapse,
    fold,
    term_reading,
)
from moderation.domain.text_forms import Run, TextForms

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

LONGEST_SPLIT_WORD = 12
_MOST_SPLITS = 12
_SPLIT_BYTES = 300
"""A term is also looked for with a space in one of its words: of so many letters at most, in so many places, the last
ones, so that these patterns, each as long as the term, have so many bytes together. Those of 1,000 phrases would fill
the memory, and who is to be found by a whole sentence may say it in other words."""
_BYTES_A_SEARCH = 64 << 10
"""Of patterns. Nothing else runs in the process while a library puts an automaton together, some milliseconds for so
many bytes: more are several, which are looked through one after the other."""
_MOST_AT_FULL_LENGTH = 200
"""Of a search: a stranger who sends the dictionary nearly says all of them."""
_COST_A_TERM = 400
_COST_A_PATTERN_BYTE = 40
"""Bytes of memory, measured: of a term itself, and of automata and terms together for each byte of its patterns."""

_Letters = tuple[Glyph, ...]
"""What a run of a term may be; none: a space."""


@dataclass(frozen=True, slots=True)
class _Term:
    """A term, run by run, and which of those asked for it is."""

    number: int
    runs: tuple[_Letters, ...]
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
    if len(glyphs) > LONGEST_TERM:
        return f"{term}: it is read as more than {LONGEST_TERM} letters"
    if all(glyph.is_sign for glyph in glyphs):
        return f"{term}: there is no letter or digit in it"
    if "*" in bare:
        return f"{term}: * stands at an end alone"
    if len(glyphs) == 1 and bare != term:
        return f"{term}: one letter and * is in almost every text"
    return None


def memory_bytes(terms: Sequence[str]) -> int:
    """What looking for some terms takes, about."""
    patterns_bytes = sum((min(len(term), _splits_of(len(term))) + 2) * (len(term) + 3) for term in terms)
    return len(terms) * _COST_A_TERM + patterns_bytes * _COST_A_PATTERN_BYTE


def _splits_of(letters: int) -> int:
    return min(_MOST_SPLITS, _SPLIT_BYTES // (letters + 3))


class TermSearch:
    """All terms of some rules. A search takes a time in proportion to the text.

    A term is one or several words; `*` at its beginning or end stands for any letters there.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self._searches: list[_Search] = []
        same: dict[_Letters, _Letters] = {}
        made: list[tuple[_Term, bytes, bytes]] = []
        size = 0
        for number, term in enumerate(terms):
            for found in _patterns(term, number, same):
                made.append(found)
                size += len(found[1])
            if size > _BYTES_A_SEARCH or number == len(terms) - 1:
                self._searches.append(_Search(made))
                made, size = [], 0

    def found_in(self, text: str | TextForms) -> set[int]:
        """The indexes of the terms that stand in a text; where the time is up before that is known, those found until
        then."""
        forms = text if isinstance(text, TextForms) else TextForms(text)
        search = forms.search
        found: set[int] = set()
        for each in self._searches:
            if not search.is_certain or (each.plain if search.is_plain else each.broad).may_be_in(search):
                each.look(forms, found)
        return found

    def found_in_readings(self, text: str) -> set[int]:
        """The same, without the search that is enough for most texts."""
        forms, found = TextForms(text), set[int]()
        for each in self._searches:
            each.look(forms, found)
        return found


class _Search:
    """Some of the terms, in automata."""

    def __init__(self, made: Sequence[tuple[_Term, bytes, bytes]]) -> None:
        broad: dict[bytes, list[_Term]] = {}
        plain: dict[bytes, list[_Term]] = {}
        for found, codes, plain_codes in made:
            broad.setdefault(codes, []).append(found)
            plain.setdefault(plain_codes, []).append(found)
        self._terms = [*map(tuple, broad.values())]
        self._starts = [pattern.startswith(b" ") for pattern in broad]
        self._wanted = len({found.number for found, _, _ in made})
        """How many terms these are."""
        self.broad = _Patterns(broad, _broad_code)
        self.plain = _Patterns(plain, _plain_code)

    def look(self, forms: TextForms, found: set[int]) -> None:
        """Add the numbers of those that stand in one of a text's readings. What failed once is not looked at again
        where the same characters stand there again: most of it is the same in all readings."""
        before = len(found)
        failed: set[tuple[int, ...]] = set()
        for reading in forms.readings():
            for codes, collapsed in reading.codes:
                matches = self.broad.automaton.find_matches_as_indexes(collapsed, overlapping=True)
                for pattern, begin, _ in matches:
                    missing = [term for term in self._terms[pattern] if term.number not in found]
                    if not missing:
                        continue
                    runs = reading.runs(codes)
                    for term in missing:
                        if _is_there(term, runs, begin + self._starts[pattern], forms, failed):
                            found.add(term.number)
                if forms.is_cut or len(found) == before + self._wanted:
                    return


def _is_there(term: _Term, runs: list[Run], begin: int, forms: TextForms, failed: set[tuple[int, ...]]) -> bool:
    """Whether it is meant by what stands there. Where that has `failed` before it is not looked at again, nor where the
    time is up."""
    if term.split_at is not None and not _is_split(runs, begin, term):
        return False
    seen = runs[begin : begin + len(term.runs)]
    key = _key(term, seen)
    if key in failed or not forms.has_time():
        return False
    if _is_meant(term, seen, forms):
        return True
    failed.add(key)
    return False


def _key(term: _Term, runs: list[Run]) -> tuple[int, ...]:
    """The same for the same characters as far from each other."""
    key = [id(term)]
    last: int | None = None
    for run in runs:
        for item in run:
            if isinstance(item, Break):
                key.append(-1)
            else:
                key += (id(item.glyph), hash(item.character), 0 if last is None else item.at - last)
                last = item.at
    return tuple(key)


class _Patterns:
    """All of a search in the codes of one kind."""

    def __init__(self, patterns: dict[bytes, list[_Term]], code: Callable[[Glyph], str]) -> None:
        self.automaton = BytesAhoCorasick(list(patterns))
        self._unspaced = BytesAhoCorasick(list({pattern.replace(b" ", b""): None for pattern in patterns}))
        self._phrases = BytesAhoCorasick(
            list(
                {
                    pattern.replace(b" ", b""): None
                    for pattern, terms in patterns.items()
                    if b" " in pattern.strip() and any(term.split_at is None for term in terms)
                }
            )
        )
        self._terms = [*map(tuple, patterns.values())]
        self._code = code
        self._at_full_length: dict[int, Any] = {}  # few terms are ever nearly found, and it takes as long as all else

    def may_be_in(self, search: SearchCodes) -> bool:
        """Whether one of the terms may be there, its doubled letters as well."""
        matches = self.automaton.find_matches_as_indexes(search.codes, overlapping=True)
        for pattern in {pattern for pattern, _, _ in matches} if matches else ():
            if pattern not in self._at_full_length:
                if len(self._at_full_length) >= _MOST_AT_FULL_LENGTH:
                    self._at_full_length.clear()
                self._at_full_length[pattern] = _at_full_length(self._terms[pattern], self._code)
            at_full_length = self._at_full_length[pattern]
            if at_full_length is None or at_full_length.search(search.uncollapsed):
                return True
        return bool(search.spelled) and bool(
            self._unspaced.find_matches_as_indexes(search.spelled)
            or self._phrases.find_matches_as_indexes(collapse(search.codes.replace(b" ", b"")))
        )


def _patterns(term: str, number: int, same: dict[_Letters, _Letters]) -> Iterator[tuple[_Term, bytes, bytes]]:
    """What to look for, in broad codes and in plain ones: a term as it is, with a space in one of its words, and a
    phrase in one word. Runs of the same letters are `same`."""
    reading = [None if isinstance(item, Break) else item.glyph for item in term_reading(term.strip("*"))]
    while reading and reading[-1] is None:
        reading.pop()
    while reading and reading[0] is None:
        reading.pop(0)
    letters = [glyph for glyph in reading if glyph is not None]
    is_open = term.startswith("*"), term.endswith("*")
    begin, end = (b"" if is_open_there else b" " for is_open_there in is_open)
    is_short = len(letters) <= SHORT_TERM
    broad, plain = (
        "".join([" " if glyph is None else code(glyph) for glyph in reading]) for code in (_broad_code, _plain_code)
    )
    runs = _letters_of(reading, broad, same)
    yield (
        _Term(number, runs, is_short, is_open),
        begin + collapse(broad.encode()) + end,
        begin + collapse(plain.encode()) + end,
    )
    of_run = [number for number, (_, run) in enumerate(groupby(broad)) for _ in run]
    for at in islice(_splits(reading, is_open), _splits_of(len(reading))):
        split = of_run[at]
        inside = at - of_run.index(split)
        halves = (runs[split][:inside], (), runs[split][inside:])
        parts = (*runs[:split], *(same.setdefault(half, half) for half in halves[not inside :]), *runs[split + 1 :])
        yield (
            _Term(number, parts, is_short, is_open, split + bool(inside)),
            begin + collapse((broad[:at] + " " + broad[at:]).encode()) + end,
            begin + collapse((plain[:at] + " " + plain[at:]).encode()) + end,
        )
    if len(letters) < len(reading):
        joined = broad.replace(" ", "")
        yield (
            _Term(number, _letters_of(letters, joined, same), is_short, is_open),
            begin + collapse(joined.encode()) + end,
            begin + collapse(plain.replace(" ", "").encode()) + end,
        )


def _broad_code(glyph: Glyph) -> str:
    return glyph.broad_codes[0]


def _plain_code(glyph: Glyph) -> str:
    return glyph.code


def _letters_of(reading: Sequence[Glyph | None], codes: str, same: dict[_Letters, _Letters]) -> tuple[_Letters, ...]:
    """What each of its collapsed codes stands for."""
    runs = []
    at = 0
    for _, run in groupby(codes):
        end = at + len(list(run))
        letters = () if reading[at] is None else cast(_Letters, tuple(reading[at:end]))
        runs.append(same.setdefault(letters, letters))
        at = end
    return tuple(runs)


def _splits(reading: Sequence[Glyph | None], is_open: tuple[bool, bool]) -> Iterator[int]:
    """Where a space in a word leaves letters which are no word, from the end on."""
    end = len(reading)
    while end > 0:
        first = end
        while first and reading[first - 1] is not None:
            first -= 1
        word = [glyph for glyph in reading[first:end] if glyph is not None]
        if len(word) <= LONGEST_SPLIT_WORD and all(glyph.script in (Script.LATIN, Script.CYRILLIC) for glyph in word):
            letters = "".join([glyph.base for glyph in word])
            is_word_open = is_open[0] and first == 0, is_open[1] and end == len(reading)
            for at in range(len(word) - 1, 0, -1):
                if _leaves_no_word(letters[:at], letters[at:], is_word_open):
                    yield first + at
        end = first - 1


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


def _is_split(runs: list[Run], begin: int, term: _Term) -> bool:
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


def _at_full_length(terms: Sequence[_Term], code: Callable[[Glyph], str]) -> Any:
    """What finds the runs of one of these terms, each at least as long as there; None: any length will do."""
    lengths = [
        [
            (letter, 1 if letter == " " else len(list(run)))
            for letter, run in groupby(chain.from_iterable(map(code, run) if run else " " for run in term.runs))
        ]
        for term in terms
    ]
    if any(all(length == 1 for _, length in term) for term in lengths):
        return None
    return re2.compile(
        "|".join("".join(f"{letter}{{{length},}}" for letter, length in term) for term in lengths).encode()
    )


def _is_meant(term: _Term, runs: list[Run], forms: TextForms) -> bool:
    """Whether what looks roughly like a term is one: its letters, and each difference for a reason."""
    words: list[list[_Pair]] = [[]]
    surplus = 0
    is_disguised = False
    last: int | None = None
    is_capital = not any(item.character.islower() for run in runs for item in run if not isinstance(item, Break))
    for number, (run, meant) in enumerate(zip(runs, term.runs, strict=True)):
        seen = [item for item in run if not isinstance(item, Break)]
        if not seen:
            last = None
            words.append([])
            continue
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
    return _is_in_its_alphabet(pairs, forms) and (is_disguised or _is_same_word(pairs, term, surplus, forms))


def _align(seen: list[Placed], meant: _Letters, *, is_open_before: bool, is_open_after: bool) -> list[_Pair] | None:
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


def _is_in_its_alphabet(pairs: list[_Pair], forms: TextForms) -> bool:
    """Whether a word of one alphabet is a term of that one; or of another one that the text is written in, where every
    letter is the one that it looks most like."""
    foreign = [pair for pair in pairs if pair.seen.glyph.script is not pair.meant.script]
    if not foreign:
        return True
    for pair in foreign:
        other = pair.meant if pair.seen.glyph.script is Script.LATIN else pair.seen.glyph
        if pair.letter not in other.letters[: 2 if other.script <= Script.GREEK else None]:
            return False
    return foreign[0].meant.script in forms.scripts


def _is_same_word(pairs: list[_Pair], term: _Term, surplus: int, forms: TextForms) -> bool:
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
    # Other words of the text have marks as well, so that those of this one disguise nothing.
    return forms.accented <= {pair.seen.character for pair in pairs}

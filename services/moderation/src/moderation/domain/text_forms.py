"""One text in every form that rules look at, each made when it is first asked for, and once for all rules."""

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter

from moderation.domain.folding import (
    Break,
    Item,
    Reading,
    Script,
    SearchCodes,
    alternatives_of,
    collapse,
    glyphs_in,
    readings,
    search_codes,
    texts_for_expressions,
)
from moderation.domain.shapes import hosts_in

Run = list[Item]


class FramedReading:
    """A way to read a text, with a space at both ends, and its codes."""

    def __init__(self, reading: Reading) -> None:
        self._items: Reading = [Break.SPACE, *reading, Break.SPACE]
        self.codes = [(codes, collapse(codes.encode())) for codes in alternatives_of(self._items)]
        """Of each alternative: one code for each item, and the same collapsed."""
        self._runs: dict[str, list[Run]] = {}

    def runs(self, codes: str) -> list[Run]:
        """What each of the collapsed codes of that alternative stands for."""
        found = self._runs.get(codes)
        if found is None:
            found = self._runs[codes] = runs_of(self._items, codes)
        return found


class TextForms:
    """Made for one text, and thrown away with it."""

    _search: SearchCodes | None = None
    _readings: Iterator[Reading] | None = None
    _expressions: list[bytes] | None = None
    _hosts: list[str] | None = None
    _scripts: frozenset[Script] | None = None
    _accented: frozenset[str] | None = None
    is_cut = False
    """Whether there are ways to read it, or rules, that it was not looked at for: the time was up."""

    def __init__(self, text: str, is_over: Callable[[], bool] | None = None) -> None:
        """`is_over` says whether the time is up that its readings may take; None: they may take any."""
        self.text = text
        self._is_over = is_over
        self._begun: list[FramedReading] = []

    def has_time(self) -> bool:
        """Whether there is time for what takes long. Where there is none the text is cut from then on."""
        if not self.is_cut and self._is_over is not None and self._is_over():
            self.is_cut = True
        return not self.is_cut

    @property
    def search(self) -> SearchCodes:
        """See search_codes."""
        if self._search is None:
            self._search = search_codes(self.text)
        return self._search

    def readings(self) -> Iterator[FramedReading]:
        """The ways to read it, for as long as there is time."""
        if self._readings is None:
            self._readings = readings(self.text)
        number = 0
        while self.has_time():
            if number == len(self._begun):
                reading = next(self._readings, None)
                if reading is None:
                    return
                self._begun.append(FramedReading(reading))
            yield self._begun[number]
            number += 1

    @property
    def for_expressions(self) -> list[bytes]:
        """What expressions see, in UTF-8."""
        if self._expressions is None:
            self._expressions = [text.encode(errors="replace") for text in texts_for_expressions(self.text)]
        return self._expressions

    @property
    def hosts(self) -> list[str]:
        """Of its links, each once."""
        if self._hosts is None:
            self._hosts = [*dict.fromkeys(hosts_in(self.text))]
        return self._hosts

    @property
    def scripts(self) -> frozenset[Script]:
        """Of its letters."""
        if self._scripts is None:
            self._scripts = frozenset(glyph.script for character in set(self.text) for glyph in glyphs_in(character))
        return self._scripts

    @property
    def accented(self) -> frozenset[str]:
        """Its characters with marks that are written every day."""
        if self._accented is None:
            self._accented = frozenset(
                character for character in set(self.text) if any(glyph.accented for glyph in glyphs_in(character))
            )
        return self._accented


def runs_of(reading: Reading, codes: str) -> list[Run]:
    """What each of the collapsed codes stands for."""
    pairs = zip(codes, reading, strict=True)
    return [[item for _, item in run] for _, run in groupby(pairs, itemgetter(0))]

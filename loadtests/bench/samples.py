"""One measurement of one server, and what several of them say together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Sample:
    """Figures by name. `flaw`: why they are no figures (something was lost, say); empty for a good sample."""

    row: str
    system: str
    figures: Mapping[str, float]
    flaw: str = ""
    repetition: int = 0


@dataclass(frozen=True)
class Summary:
    """Medians of the good samples of one server in one row; `runs`: those samples, by repetition."""

    figures: Mapping[str, float]
    runs: Mapping[int, Mapping[str, float]]
    flaws: tuple[str, ...]

    @property
    def good(self) -> int:
        """How many samples the medians are of."""
        return len(self.runs)


Results = Mapping[tuple[str, str], Summary]


def summarise(samples: Iterable[Sample]) -> Results:
    """By row and system."""
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        grouped.setdefault((sample.row, sample.system), []).append(sample)
    return {key: _summary(each) for key, each in grouped.items()}


def ratio(results: Results, row: str, system: str, peer: str, name: str) -> float:
    """The median of the ratios within each repetition, since machines drift between them. Raises KeyError where there
    is none."""
    return _median_of(peer, [ours / theirs for ours, theirs in _pairs(results, row, system, peer, name) if theirs])


def difference(results: Results, row: str, system: str, peer: str, name: str) -> float:
    """By how much more it is than the peer's, likewise. Raises KeyError where there is none."""
    return _median_of(peer, [ours - theirs for ours, theirs in _pairs(results, row, system, peer, name)])


def _pairs(results: Results, row: str, system: str, peer: str, name: str) -> Iterator[tuple[float, float]]:
    ours, theirs = results[row, system].runs, results[row, peer].runs
    for turn in ours.keys() & theirs.keys():
        yield ours[turn][name], theirs[turn][name]


def _median_of(peer: str, found: Sequence[float]) -> float:
    if not found:
        raise KeyError(peer)
    return median(found)


def _summary(samples: list[Sample]) -> Summary:
    good = {sample.repetition: sample.figures for sample in samples if not sample.flaw}
    names = {name: None for figures in good.values() for name in figures}
    medians = {name: median(figures[name] for figures in good.values() if name in figures) for name in names}
    return Summary(medians, good, tuple(sample.flaw for sample in samples if sample.flaw))

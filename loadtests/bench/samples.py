"""One measurement of one server, and what several of them say together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Sample:
    """Figures by name. `flaw`: why they are no figures (something was lost, say); empty for a good sample."""

    row: str
    system: str
    figures: Mapping[str, float]
    flaw: str = ""


@dataclass(frozen=True)
class Summary:
    """Medians of the good samples of one server in one row."""

    figures: Mapping[str, float]
    good: int
    flaws: tuple[str, ...]


Results = Mapping[tuple[str, str], Summary]


def summarise(samples: Iterable[Sample]) -> Results:
    """By row and system."""
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        grouped.setdefault((sample.row, sample.system), []).append(sample)
    return {key: _summary(each) for key, each in grouped.items()}


def _summary(samples: list[Sample]) -> Summary:
    good = [sample.figures for sample in samples if not sample.flaw]
    names = {name: None for figures in good for name in figures}
    medians = {name: median(figures[name] for figures in good if name in figures) for name in names}
    return Summary(medians, len(good), tuple(sample.flaw for sample in samples if sample.flaw))

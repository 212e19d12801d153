"""The few figures of a run that its short table and its pictures show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadtests.bench.rows import Row
from loadtests.bench.samples import Results
from loadtests.bench.systems import BEFORE
from loadtests.bench.targets import HISTORY_PEER

SYSTEMS = (HISTORY_PEER, "nchan", "ws", "Socket.IO", BEFORE)
BEHIND_S = 1
"""A server that hears the last message so long after it was sent cannot carry the rate."""


@dataclass(frozen=True)
class Shown:
    """What of one row is shown, and in which unit."""

    row: str
    text: str
    columns: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Mark:
    """What one server was measured at; `is_first` is the first Salon of the row."""

    system: str
    values: tuple[float, ...]
    is_behind: bool
    is_first: bool


COSTS = (
    Shown("fanout-1000", "a delivery in a room of 1,000, 300 messages/s", ("all_us",), "µs"),
    Shown("fanout-9900", "a delivery in a room of 9,900, 20 messages/s", ("all_us",), "µs"),
    Shown("rooms-2000", "a message in 500 rooms of 2, 2,000/s", ("message_us",), "µs"),
    Shown("joins", "a join, 5,000 into one room", ("all_us",), "µs"),
    Shown("joins-rooms", "a join, 5,000 into 2,500 rooms", ("all_us",), "µs"),
    Shown("idle", "an idle connection", ("all_kib_each",), "KiB"),
)
LATENCIES = (
    Shown("fanout-1000", "p50 and p99 in a room of 1,000, 300 messages/s", ("p50", "p99"), "ms"),
    Shown("fanout-9900", "p50 and p99 in a room of 9,900, 20 messages/s", ("p50", "p99"), "ms"),
    Shown("rooms-2000", "p50 and p99 in 500 rooms of 2, 2,000/s", ("p50", "p99"), "ms"),
    Shown("rooms-6000", "p50 and p99 in 500 rooms of 2, 6,000/s", ("p50", "p99"), "ms"),
)


def marks(shown: Shown, rows: Sequence[Row], results: Results) -> Iterator[Mark]:
    """The servers of the row that were measured, Salon first."""
    own = [row.salons[0].name for row in rows if row.name == shown.row]
    for system in (*own, *SYSTEMS):
        summary = results.get((shown.row, system))
        if summary and all(column in summary.figures for column in shown.columns):
            values = tuple(summary.figures[column] for column in shown.columns)
            yield Mark(system, values, summary.figures.get("behind_s", 0) > BEHIND_S, system in own)


def short_table(rows: Sequence[Row], results: Results) -> str:
    """One line for each thing that is shown, one column for each server."""
    lines = [(shown, {mark.system: mark for mark in marks(shown, rows, results)}) for shown in (*COSTS, *LATENCIES)]
    found = {system for _, by_system in lines for system in by_system}
    systems = [system for system in SYSTEMS if system in found]
    table = [f"| | {' | '.join(['Salon', *systems])} |", "| --- |" + " --: |" * (len(systems) + 1)]
    for shown, by_system in lines:
        if not by_system:
            continue
        first = next((mark for mark in by_system.values() if mark.is_first), None)
        cells = [cell(shown, mark) for mark in (first, *map(by_system.get, systems))]
        table.append(f"| {shown.text} | {' | '.join(cells)} |")
    return "\n".join(table)


def cell(shown: Shown, mark: Mark | None) -> str:
    """What is written for one server."""
    if mark is None:
        return "—"
    return f"{' / '.join(map(number, mark.values))} {shown.unit}{', behind' if mark.is_behind else ''}"


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"

"""What the figures are to be, and by how much they are or are not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtests.bench.fitting import fit, points
from loadtests.bench.samples import Results, Summary, difference, ratio
from loadtests.bench.systems import BEFORE

Value = Callable[[Results], float]
NOT_GATHERING = "Salon, not gathering"
FLUSH_MS = 150
"""For so long is gathered what members of a room of that size are told."""
HISTORY_PEER = "Centrifugo with history"
"""Keeps messages for those who come back, as Salon does; here it is measured on memory and Salon on disk."""


@dataclass(frozen=True)
class Target:
    """A bound on one value: at most, or at least where `at_least`. `row` and `system`: whose samples it is of."""

    row: str
    system: str
    work: str
    text: str
    value: Value
    bound: float
    unit: str = ""
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    """`value` is None where it could not be measured."""

    target: Target
    value: float | None
    summary: Summary | None

    @property
    def samples(self) -> str:
        """How many samples the value is of."""
        return f"{self.summary.good} of {self.summary.good + len(self.summary.flaws)}" if self.summary else "none"

    @property
    def is_met(self) -> bool:
        """Within the bound; what was not measured, or was lost in part, is not met."""
        if self.value is None or self.summary is None or self.summary.flaws:
            return False
        return self.value >= self.target.bound if self.target.at_least else self.value <= self.target.bound

    @property
    def distance(self) -> str:
        """How far from the bound, in percent of it."""
        if self.value is None:
            return "no figure"
        if self.summary is None or self.summary.flaws:
            return "not shown: a sample has a flaw"
        return f"{'met' if self.is_met else 'missed'} by {abs(self.value / self.target.bound - 1):.0%}"


def judge(results: Results) -> list[Verdict]:
    """Every target with its value in these results."""
    return [Verdict(target, _value(target, results), results.get((target.row, target.system))) for target in _targets()]


def _value(target: Target, results: Results) -> float | None:
    try:
        return target.value(results)
    except (KeyError, ValueError, ZeroDivisionError):  # a server that is missing, or had too few good samples
        return None


def _at_most(row: str, system: str, work: str, text: str, name: str, bound: float, unit: str = "") -> Target:
    return Target(row, system, work, text, lambda results: results[row, system].figures[name], bound, unit)


def _at_least(row: str, system: str, work: str, text: str, name: str, bound: float) -> Target:
    return Target(row, system, work, text, lambda results: results[row, system].figures[name], bound, "", at_least=True)


def _times(
    row: str,
    system: str,
    work: str,
    peer: str,
    bound: float,
    text: str,
    name: str = "all_us",
    *,
    at_least: bool = False,
) -> Target:
    def value(results: Results) -> float:
        return ratio(results, row, system, peer, name)

    return Target(row, system, work, f"{text}, times {peer}", value, bound, "×", at_least)


def _targets() -> Iterator[Target]:
    yield from _large_rooms()
    yield from _crowded_rooms()
    yield from _small_rooms()
    row, work, one = "rooms-highest", "500 rooms of 2, highest rate", "Salon, 1 edge worker"
    for system, bound in ((one, 6000), ("Salon, 2 edge workers", 8000)):
        yield _at_least(row, system, work, f"messages a second, {system.removeprefix('Salon, ')}", "per_s", bound)
    yield _times(row, one, work, BEFORE, 1.5, "messages a second", "per_s", at_least=True)
    yield _at_most("idle", "Salon", "10,000 idle in one room", "PSS of all each", "all_kib_each", 9, "KiB")
    work, system = "70,000 idle in one room", "Salon, 4 edge workers"
    yield _at_most("idle-70000", system, work, "PSS of all each", "all_kib_each", 9, "KiB")
    yield from _joins()
    for row, work, system in (
        ("storm-killed", "edge killed under 5,000", "Salon"),
        ("storm-stopped", "edge restarted under 5,000", "Salon, drained at once"),
    ):
        yield _at_most(row, system, work, "all joined after", "joined_s", 10, "s")
    for row, crowd, bound in (("storm-cut", "9,000 in one room", 4), ("storm-cut-rooms", "9,000 in 2,000 rooms", 8)):
        work = f"{crowd} cut off"
        yield _at_most(row, "Salon", work, "all back and told the right count after", "right_s", bound, "s")
    for row, members, bound in (("typing", "5,000", 12), ("typing-10000", "10,000", 3)):
        work = f"typing and churn in a room of {members}"
        yield _at_most(row, "Salon", work, "frames a second to each member", "frames_each_per_s", bound)
    yield from _growth()


def _large_rooms() -> Iterator[Target]:
    for members, rate, all_bound, p99, edge_bounds in (
        (1000, 300, 0.5, 50, {"nchan": 1.0, "Socket.IO": 0.35}),
        (9900, 20, 0.25, 250, {"nchan": 0.8}),
    ):
        row, work = f"fanout-{members}", f"one room of {members:,}, {rate}/s"
        yield _times(row, "Salon", work, HISTORY_PEER, all_bound, "CPU of all a delivery")
        for peer, bound in edge_bounds.items():
            yield _times(row, "Salon", work, peer, bound, "edge CPU a delivery", "front_us")
        yield _at_most(row, "Salon", work, "p99", "p99", p99, "ms")


def _crowded_rooms() -> Iterator[Target]:
    for rate in (40, 60):
        row, work = f"fanout-9900-{rate}", f"one room of 9,900, {rate}/s"
        yield Target(row, "Salon", work, "p99, more than without gathering", _added_p99(row), FLUSH_MS, "ms")
        yield _at_most(row, "Salon", work, "CPU of all a delivery, without the kernel", "user_us", 0.5, "µs")


def _added_p99(row: str) -> Value:
    def value(results: Results) -> float:
        return difference(results, row, "Salon", NOT_GATHERING, "p99")

    return value


def _small_rooms() -> Iterator[Target]:
    for rate, latencies in ((2000, {"p50": 2, "p99": 15}), (6000, {"p99": 30})):
        row, work = f"rooms-{rate}", f"500 rooms of 2, {rate:,}/s"
        yield _times(row, "Salon", work, HISTORY_PEER, 1.0, "CPU of all a delivery")
        yield _times(row, "Salon", work, HISTORY_PEER, 0.8, "CPU of all a delivery (stretch)")
        for name, bound in latencies.items():
            yield _at_most(row, "Salon", work, name, name, bound, "ms")


def _joins() -> Iterator[Target]:
    for row, rooms, bound, per_s in (("joins", "one room", 1.5, 4000), ("joins-rooms", "2,500 rooms", 3, 2000)):
        for database in ("SQLite", "PostgreSQL"):
            work, system = f"5,000 joins into {rooms}, {database}", f"Salon on {database}"
            yield _at_least(row, system, work, "joins a second", "joins_per_s", per_s)
            yield _times(row, system, work, "Centrifugo", bound, "CPU of all a join")


def _growth() -> Iterator[Target]:
    def members(results: Results) -> dict[float, float]:
        return points(results["growth-members", "Salon"].figures, "us_at_")

    def rooms(results: Results) -> list[float]:
        return list(points(results["growth-rooms", "Salon"].figures, "us_at_").values())

    def memory(results: Results) -> float:
        return fit(points(results["idle", "Salon"].figures, "kib_at_")).r2

    row, work = "growth-members", "growth, 10 to 9,900 members"
    yield Target(row, "Salon", work, "R² of a + b × members", lambda r: fit(members(r)).r2, 0.99, "", at_least=True)
    yield Target(row, "Salon", work, "a", lambda r: fit(members(r)).at_zero, 200, "µs")
    yield Target(row, "Salon", work, "b differs by", lambda r: fit(members(r)).spread, 0.2)
    row, work = "growth-rooms", "growth, 10 to 5,000 rooms"
    dearest = "dearest over cheapest message"
    yield Target(row, "Salon", work, dearest, lambda r: max(rooms(r)) / min(rooms(r)), 1.15, "×")
    work = "growth, 2,500 to 10,000 connections"
    yield Target("idle", "Salon", work, "R² of memory", memory, 0.99, "", at_least=True)

"""What the figures are to be, and by how much they are or are not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtests.bench.fitting import fit, points
from loadtests.bench.samples import Results

Value = Callable[[Results], float]


@dataclass(frozen=True)
class Target:
    """A bound on one value: at most, or at least where `at_least`."""

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

    @property
    def is_met(self) -> bool:
        """Within the bound; what was not measured is not met."""
        if self.value is None:
            return False
        return self.value >= self.target.bound if self.target.at_least else self.value <= self.target.bound

    @property
    def distance(self) -> str:
        """How far from the bound, in percent of it."""
        if self.value is None:
            return "no figure"
        return f"{'met' if self.is_met else 'missed'} by {abs(self.value / self.target.bound - 1):.0%}"


def judge(results: Results) -> list[Verdict]:
    """Every target with its value in these results."""
    return [Verdict(target, _value(target, results)) for target in _targets()]


def _value(target: Target, results: Results) -> float | None:
    try:
        return target.value(results)
    except (KeyError, ZeroDivisionError):  # a server that is missing, or had no good sample
        return None


def _figure(row: str, system: str, name: str) -> Value:
    return lambda results: results[row, system].figures[name]


def _ratio(row: str, system: str, peer: str, name: str) -> Value:
    return lambda results: results[row, system].figures[name] / results[row, peer].figures[name]


def _targets() -> Iterator[Target]:
    room = "one room of 1,000, 300/s"
    yield Target(
        room, "edge CPU a delivery, times nchan", _ratio("fanout-1000", "Salon", "nchan", "front_us"), 1.0, "×"
    )
    yield Target(
        room, "edge CPU a delivery, times Socket.IO", _ratio("fanout-1000", "Salon", "Socket.IO", "front_us"), 0.35, "×"
    )
    yield Target(room, "p99", _figure("fanout-1000", "Salon", "p99"), 50, "ms")
    yield Target(
        "one room of 9,900, 20/s",
        "edge CPU a delivery, times nchan",
        _ratio("fanout-9900", "Salon", "nchan", "front_us"),
        0.8,
        "×",
    )
    for rate, bound, stretch in ((2000, 320, 280), (6000, 200, 170)):
        work, row = f"500 rooms of 2, {rate:,}/s", f"rooms-{rate}"
        yield Target(work, "CPU of all a message", _figure(row, "Salon", "message_us"), bound, "µs")
        yield Target(work, "CPU of all a message (stretch)", _figure(row, "Salon", "message_us"), stretch, "µs")
        yield Target(work, "p99", _figure(row, "Salon", "p99"), 30, "ms")
    for workers, bound in (("1 edge worker", 6000), ("2 edge workers", 8000)):
        value = _figure("rooms-highest", f"Salon, {workers}", "per_s")
        yield Target("500 rooms of 2, highest rate", f"messages a second, {workers}", value, bound, "", at_least=True)
    yield Target("10,000 idle in one room", "PSS of the edge each", _figure("idle", "Salon", "kib_each"), 14, "KiB")
    for database in ("SQLite", "PostgreSQL"):
        work, system = f"5,000 joins, {database}", f"Salon on {database}"
        yield Target(work, "joins a second", _figure("joins", system, "joins_per_s"), 1500, "", at_least=True)
        yield Target(work, "CPU of all a join", _figure("joins", system, "all_us"), 1000, "µs")
    for row, work in (("storm-killed", "edge killed under 5,000"), ("storm-stopped", "edge restarted under 5,000")):
        system = "Salon" if row == "storm-killed" else "Salon, drained at once"
        yield Target(work, "all joined after", _figure(row, system, "joined_s"), 10, "s")
    yield from _growth()


def _growth() -> Iterator[Target]:
    def members(results: Results) -> dict[float, float]:
        return points(results["growth-members", "Salon"].figures, "us_at_")

    def rooms(results: Results) -> list[float]:
        return list(points(results["growth-rooms", "Salon"].figures, "us_at_").values())

    def memory(results: Results) -> float:
        return fit(points(results["idle", "Salon"].figures, "kib_at_")).r2

    work = "growth, 10 to 9,900 members"
    yield Target(work, "R² of a + b × members", lambda r: fit(members(r)).r2, 0.99, "", at_least=True)
    yield Target(work, "a", lambda r: fit(members(r)).at_zero, 200, "µs")
    yield Target(work, "b between neighbouring sizes differs by", lambda r: fit(members(r)).spread, 0.2, "")
    yield Target(
        "growth, 10 to 5,000 rooms", "dearest over cheapest message", lambda r: max(rooms(r)) / min(rooms(r)), 1.2, "×"
    )
    yield Target("growth, 2,500 to 10,000 connections", "R² of memory", memory, 0.99, "", at_least=True)

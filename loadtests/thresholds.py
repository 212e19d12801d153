"""What a run must keep to. Locust's own scheduling adds tens of milliseconds at a thousand users: keep these wide."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Threshold:
    """Bounds for one row of the statistics."""

    name: str
    p95_ms: float
    failed_share: float = 0.001
    at_least: int = 50
    """Fewer measurements than this prove nothing."""


THRESHOLDS = {
    "many_small_rooms": [
        Threshold("join", p95_ms=500),
        Threshold("message", p95_ms=250),
        Threshold("moderate", p95_ms=250, at_least=10),
    ],
    "one_huge_room": [
        Threshold("join", p95_ms=1000),
        Threshold("message", p95_ms=500),
        Threshold("moderate", p95_ms=500, at_least=5),
    ],
    "reconnect_storm": [
        Threshold("join", p95_ms=3000, failed_share=0.01),
        Threshold("back", p95_ms=5000),
        Threshold("message", p95_ms=1000),
        Threshold("moderate", p95_ms=1000, at_least=10),
    ],
}


def failures(stats: Any, thresholds: list[Threshold]) -> list[str]:
    """One line for each bound that was passed."""
    found = []
    for bound in thresholds:
        row = stats.entries.get((bound.name, "WS"))
        if row is None or row.num_requests < bound.at_least:
            found.append(f"{bound.name}: fewer than {bound.at_least} measurements")
            continue
        p95_ms = row.get_response_time_percentile(0.95)
        if p95_ms > bound.p95_ms:
            found.append(f"{bound.name}: 95 % within {p95_ms:.0f} ms, {bound.p95_ms:.0f} ms allowed")
        if row.fail_ratio > bound.failed_share:
            found.append(f"{bound.name}: {row.fail_ratio:.2%} failed, {bound.failed_share:.2%} allowed")
    for name, what in (("connection", "connections were lost"), ("gap", "messages were not heard by everybody")):
        row = stats.entries.get((name, "WS"))
        if row is not None:
            found.append(f"{row.num_requests} {what}")
    return found

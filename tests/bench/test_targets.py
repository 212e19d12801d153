"""What the figures are to be: which ones are judged, against whom, and how it is told."""

from dataclasses import replace

import pytest

from loadtests.bench.report import ratios_text, verdicts_text
from loadtests.bench.rows import rows
from loadtests.bench.samples import Sample, summarise
from loadtests.bench.systems import BEFORE
from loadtests.bench.targets import Verdict, judge

MESSAGES = {"all_us": 2.0, "front_us": 1.0, "p50": 1.5, "p99": 12.0}
JOINS = {"all_us": 300.0, "joins_per_s": 4000.0}


def judged(*samples: Sample) -> dict[tuple[str, str, str], Verdict]:
    verdicts = judge(summarise(samples))
    return {(each.target.row, each.target.system, each.target.text): each for each in verdicts}


@pytest.mark.parametrize(
    ("row", "all_bound"), [("fanout-1000", 0.5), ("fanout-9900", 0.25), ("rooms-2000", 1.0), ("rooms-6000", 1.0)]
)
def test_messages_are_charged_with_all_processes_against_centrifugo_with_history(row: str, all_bound: float) -> None:
    peer = {**MESSAGES, "all_us": MESSAGES["all_us"] / all_bound}
    found = judged(Sample(row, "Salon", MESSAGES), Sample(row, "Centrifugo with history", peer))
    verdict = found[row, "Salon", "CPU of all a delivery, times Centrifugo with history"]
    assert (verdict.value, verdict.target.bound, verdict.is_met) == (all_bound, all_bound, True)


@pytest.mark.parametrize(
    ("row", "bounds"),
    [
        ("fanout-1000", {"p99": 50}),
        ("fanout-9900", {"p99": 250}),
        ("rooms-2000", {"p50": 2, "p99": 15}),
        ("rooms-6000", {"p99": 30}),
    ],
)
def test_latencies_have_bounds_of_their_own(row: str, bounds: dict[str, float]) -> None:
    found = judged(Sample(row, "Salon", MESSAGES))
    told = {name: found.get((row, "Salon", name)) for name in ("p50", "p99")}
    assert {name: verdict.target.bound for name, verdict in told.items() if verdict} == bounds


@pytest.mark.parametrize(("row", "bound", "per_s"), [("joins", 1.5, 4000), ("joins-rooms", 3, 2000)])
@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_joins_are_judged_on_both_databases(row: str, bound: float, per_s: float, database: str) -> None:
    system = f"Salon on {database}"
    peer = {"all_us": JOINS["all_us"] / bound, "joins_per_s": 9000.0}
    found = judged(Sample(row, system, JOINS), Sample(row, "Centrifugo", peer))
    cost, pace = found[row, system, "CPU of all a join, times Centrifugo"], found[row, system, "joins a second"]
    assert cost.value == pytest.approx(bound)
    assert (cost.target.bound, pace.target.bound, pace.is_met) == (bound, per_s, True)


def test_idle_connections_are_charged_with_all_processes() -> None:
    found = judged(Sample("idle", "Salon", {"kib_each": 8.0, "all_kib_each": 9.9}))
    verdict = found["idle", "Salon", "PSS of all each"]
    assert (verdict.is_met, verdict.distance) == (False, "missed by 10%")


@pytest.mark.parametrize(
    ("row", "system", "name", "bound"),
    [
        ("idle-70000", "Salon, 4 edge workers", "all_kib_each", 9),
        ("storm-cut", "Salon", "right_s", 4),
        ("storm-cut-rooms", "Salon", "right_s", 8),
        ("typing-10000", "Salon", "frames_each_per_s", 3),
        ("fanout-9900-40", "Salon", "user_us", 0.5),
        ("fanout-9900-60", "Salon", "user_us", 0.5),
    ],
)
def test_crowds_have_bounds(row: str, system: str, name: str, bound: float) -> None:
    met = [each for each in judged(Sample(row, system, {name: bound})).values() if each.is_met]
    missed = judged(Sample(row, system, {name: bound * 1.01})).values()
    assert [(each.target.row, each.value) for each in met] == [(row, bound)]
    assert not any(each.is_met for each in missed)


@pytest.mark.parametrize("rate", [40, 60])
def test_gathering_may_add_its_pause_to_the_latency_of_crowded_rooms(rate: int) -> None:
    row, loose = f"fanout-9900-{rate}", "Salon, not gathering"
    samples = [Sample(row, "Salon", {**MESSAGES, "p99": 162.0}), Sample(row, loose, MESSAGES)]
    verdict = judged(*samples)[row, "Salon", "p99, more than without gathering"]
    assert (verdict.value, verdict.is_met) == (150, True)
    later = judged(samples[0], replace(samples[1], repetition=1))[row, "Salon", "p99, more than without gathering"]
    assert (later.value, later.is_met) == (None, False)


def test_a_target_without_its_peer_has_no_figure_and_is_not_met() -> None:
    verdict = judged(Sample("rooms-2000", "Salon", MESSAGES))[
        "rooms-2000", "Salon", "CPU of all a delivery, times Centrifugo with history"
    ]
    assert (verdict.value, verdict.is_met, verdict.distance) == (None, False, "no figure")


def test_what_was_lost_in_part_is_not_shown_to_be_met() -> None:
    good, lost = Sample("rooms-2000", "Salon", MESSAGES), Sample("rooms-2000", "Salon", {}, "3 lost", repetition=1)
    verdict = judged(good, lost)["rooms-2000", "Salon", "p99"]
    assert (verdict.value, verdict.is_met) == (12.0, False)


def test_every_target_is_of_a_work_that_is_measured() -> None:
    works = {row.name: row for row in rows()}
    for verdict in judge({}):
        target = verdict.target
        row = works[target.row]
        assert target.system in {system.name for system in row.salons}
        peer = target.text.partition(", times ")[2]
        assert "without gathering" not in target.text or "Salon, not gathering" in {each.name for each in row.salons}
        assert not peer or peer in (*row.peers, BEFORE)


def test_no_target_is_told_twice() -> None:
    lines = verdicts_text(judge({})).splitlines()
    assert len(set(lines)) == len(lines)


def test_ratios_compare_the_cost_of_a_join() -> None:
    samples = [Sample("joins", "Salon on SQLite", JOINS), Sample("joins", "Centrifugo", {**JOINS, "all_us": 200.0})]
    text = ratios_text(rows(), summarise(samples))
    assert "| 5,000 joins into one room | all, µs a delivery or join | 1.50 × |" in text

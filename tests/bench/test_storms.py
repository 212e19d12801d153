"""Members that are cut off at once, and what they are told when they are back; and members that are only held."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench import generator, measuring
from loadtests.bench.generator import GeneratorFailed, Load
from loadtests.bench.measuring import Bench
from loadtests.bench.processes import Processes, listens
from loadtests.bench.storm import cut_off
from loadtests.bench.systems import PRESENCE_LIMIT, Running, Wire
from tools.ports import held_port

SERVER = Path(__file__).with_name("support") / "counting_server.py"
WIRE = Wire(path="/%g", ack='"room_joined"', tells_count=True)
SMALL_ROOMS = Load(14, groups=4, settle_s=0, storm_s=60, cut=True, jitter_s=0.1)
Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes = Processes(tmp_path)

    def started(counted: int = 0, more: int = 0, drops: int = 0) -> Running:
        port = held_port()
        command = [sys.executable, str(SERVER), str(port), str(counted), str(more), str(drops)]
        pid = processes.start("server", command)
        processes.wait_until(lambda: listens(port), "server")
        return Running(port, WIRE, {"server": (pid,)}, processes, processes.stop_all)

    yield started
    processes.stop_all()


def test_whoever_is_counted_twice_in_a_small_room_is_waited_for(bench: Bench, start: Start) -> None:
    figures, flaw = cut_off(bench, start(counted=2 * SMALL_ROOMS.members), SMALL_ROOMS)
    assert flaw == ""
    assert 0 < figures["joined_s"] < figures["right_s"]
    assert figures["refused"] == 0


def test_every_member_of_a_crowded_room_is_told_the_right_count(bench: Bench, start: Start) -> None:
    load = replace(SMALL_ROOMS, members=PRESENCE_LIMIT + 20, groups=1)
    figures, flaw = cut_off(bench, start(counted=2 * load.members), load)
    assert flaw == ""
    assert 0 < figures["joined_s"] <= figures["right_s"]


def test_a_wrong_count_in_the_end_is_a_flaw(bench: Bench, start: Start) -> None:
    _, flaw = cut_off(bench, start(more=3), replace(SMALL_ROOMS, storm_s=3))
    assert flaw.startswith("all joined after")
    assert "were told a wrong count in the end" in flaw


def test_a_server_that_tells_no_count_is_measured_until_all_are_back(bench: Bench, start: Start) -> None:
    running = start(more=3)
    figures, flaw = cut_off(bench, replace(running, wire=replace(WIRE, tells_count=False)), SMALL_ROOMS)
    assert flaw == ""
    assert figures["joined_s"] > 0
    assert "right_s" not in figures


@pytest.fixture
def by_fives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "HELD_BY_ONE", 5)
    monkeypatch.setattr(measuring, "PINGED_S", 0.2)


@pytest.mark.usefixtures("by_fives")
def test_connections_are_held_by_as_many_generators_as_it_takes(bench: Bench, start: Start) -> None:
    figures, flaw = measuring.idle_of_many(bench, start(), 12)
    assert flaw == ""
    assert figures["all_kib_each"] == figures["server_kib_each"]
    assert figures["joins_per_s"] > 0
    tokens = bench.tokens.read_text().split()
    assert [path.read_text().split() for path in (bench.tokens.with_suffix(f".{first}") for first in (0, 4, 8))] == [
        tokens[:4],
        tokens[4:8],
        tokens[8:12],
    ]


@pytest.mark.usefixtures("by_fives")
def test_what_is_lost_while_it_is_held_is_a_flaw(bench: Bench, start: Start) -> None:
    assert measuring.idle_of_many(bench, start(drops=12), 12)[1] == "1 connections lost"


def test_a_generator_that_has_nothing_more_to_say_has_failed(bench: Bench, start: Start) -> None:
    load = Load(1, settle_s=0)
    with generator.started(bench.program, start(), load, bench.tokens) as generating:
        assert generating.read()["joined"] == 1
        with pytest.raises(GeneratorFailed, match="ended early"):
            generating.read()

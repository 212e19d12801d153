"""The works: what each asks of the load generator."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench import generator
from loadtests.bench.generator import Figures, Load
from loadtests.bench.measuring import Bench
from loadtests.bench.peers import PEERS
from loadtests.bench.processes import Processes
from loadtests.bench.rows import Row, quick_rows, rows
from loadtests.bench.settings import Settings
from loadtests.bench.systems import Running, Wire

BENCH = Bench(Path("program"), Path("tokens"), Settings())
NOTHING_LOST: Figures = {"lost": 0, "refused": 0, "errors": 0}
JOINED: Figures = {"joined": 5000, "per_s": 100.0, "cpu_s": {"server": 1.0}}


def row_of(name: str) -> Row:
    return next(row for row in rows() if row.name == name)


@pytest.mark.parametrize(("name", "rooms"), [("joins", 1), ("joins-rooms", 2500)])
@pytest.mark.parametrize("share", [1, 0.1])
def test_joins_go_into_one_room_or_two_into_each(
    name: str, rooms: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Load] = []

    def run(_: Path, __: Running, load: Load, ___: Path) -> dict[str, Figures]:
        asked.append(load)
        return {"join": {**JOINED, "joined": load.members}}

    monkeypatch.setattr(generator, "run", run)
    row = row_of(name)
    bench = replace(BENCH, settings=Settings(share=share))
    running = Running(1, Wire("/"), {}, Processes(Path()), lambda: None)
    figures, flaw = row.measure(bench, running, row.salons[0])
    assert flaw == ""
    assert figures["joins_per_s"] == 100
    assert figures["all_us"] == pytest.approx(200 / share)
    assert [(load.members, load.groups) for load in asked] == [(5000 * share, max(1, rooms * share))]


@pytest.mark.parametrize(("name", "members"), [("typing", 5000), ("typing-10000", 10_000)])
def test_a_tenth_of_a_crowd_types(name: str, members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Load] = []

    def run(_: Path, __: Running, load: Load, ___: Path) -> dict[str, Figures]:
        asked.append(load)
        told = {"frames": {"room_stats": members * 10}, "typed": 2000, "churned": 1000, "joined": members}
        return {"join": {**JOINED, "joined": members}, "typing": {"s": 10.0, "cpu_s": {}, **told, **NOTHING_LOST}}

    monkeypatch.setattr(generator, "run", run)
    row = row_of(name)
    running = Running(1, Wire("/"), {}, Processes(Path()), lambda: None)
    figures, flaw = row.measure(BENCH, running, row.salons[0])
    assert flaw == ""
    assert figures["frames_each_per_s"] == 1
    assert [(load.members, load.senders) for load in asked] == [(members, members // 10)]


def test_there_are_users_for_every_member() -> None:
    assert {row.name: row.users for row in rows() if row.users != 10_000} == {"idle-70000": 70_000}


@pytest.mark.parametrize("works", [rows(), quick_rows()], ids=["all", "quick"])
def test_every_work_has_a_name_of_its_own_and_peers_that_there_are(works: Sequence[Row]) -> None:
    assert len({row.name for row in works}) == len(works)
    assert {peer for row in works for peer in row.peers} <= PEERS.keys()

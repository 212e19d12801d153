"""What a run ends with, and what it says of servers that cannot be had."""

import shutil
from pathlib import Path

import pytest

from loadtests.bench import __main__ as program
from loadtests.bench.installs import NotInstalled
from loadtests.bench.measuring import Bench, Measured
from loadtests.bench.processes import Processes
from loadtests.bench.rows import Row
from loadtests.bench.systems import Running, System, Wire


def system(name: str) -> System:
    def start(folder: Path) -> Running:
        processes = Processes(folder)
        return Running(1, Wire("/"), {}, processes, processes.stop_all)

    return System(name, start)


def not_installed() -> System:
    raise NotInstalled("go is missing")


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed, so the load generator cannot be compiled")
@pytest.mark.parametrize(("loser", "code"), [("nobody", 0), ("Peer", 0), ("Salon", 1)])
def test_a_quick_run_fails_when_something_of_salon_was_lost(
    loser: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(_: Bench, __: Running, measured: System) -> Measured:
        return {"joins_per_s": 7.0, "all_us": 9.0}, "3 did not join" if measured.name == loser else ""

    row = Row("joins", "Joins", (system("Salon"),), ("Peer", "Centrifugo"), measure, ("joins_per_s", "all_us"))
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the process of the tests ends as before
    monkeypatch.setattr(program, "quick_rows", lambda: [row])
    monkeypatch.setattr(program, "PEERS", {"Peer": lambda: system("Peer"), "Centrifugo": not_installed})
    assert program.main(["--quick"]) == code
    told = capsys.readouterr().out
    assert "* Centrifugo: go is missing" in told
    assert (f"{loser}, no figure: 3 did not join." in told) == (loser != "nobody")

"""Another checkout of Salon, measured beside this one."""

import shutil
from pathlib import Path

import pytest

from loadtests.bench import __main__ as program
from loadtests.bench.measuring import Bench, Measured
from loadtests.bench.processes import Processes
from loadtests.bench.report import ratios_text
from loadtests.bench.rows import Row, quick_rows, rows
from loadtests.bench.samples import Sample, summarise
from loadtests.bench.settings import BadSetting, load
from loadtests.bench.systems import BEFORE, Running, System, Wire
from loadtests.bench.targets import judge


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    python = tmp_path / "older" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return tmp_path / "older"


def test_each_work_gains_the_first_of_its_salons_as_it_was(checkout: Path) -> None:
    for row in [*rows(), *quick_rows()]:
        assert [system.name for system in row.with_before(checkout).salons] == [
            *(system.name for system in row.salons),
            BEFORE,
        ]


def test_all_of_its_processes_are_of_its_own_environment(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, str] = {}
    environments: list[dict[str, str]] = []

    def start(_: Processes, name: str, command: list[str], env: dict[str, str]) -> int:
        started[name] = command[0]
        environments.append(env)
        return len(started)

    monkeypatch.setattr(Processes, "start", start)
    monkeypatch.setattr(Processes, "wait_until", lambda *_: None)
    row = next(row for row in rows() if row.name == "idle-70000")
    row.with_before(checkout).salons[-1].start(tmp_path)
    bin_of = checkout / ".venv" / "bin"
    assert started == {
        "nats": f"{bin_of}/nats-server",
        **dict.fromkeys(("moderation", "rooms", "edge"), f"{bin_of}/python"),
    }
    assert {env["WS_EDGE_WORKERS"] for env in environments} == {"4"}


def test_it_is_told_as_a_ratio_and_judged() -> None:
    samples = [
        Sample("rooms-highest", "Salon, 1 edge worker", {"per_s": 9000.0, "all_us": 50.0}),
        Sample("rooms-highest", BEFORE, {"per_s": 6000.0, "all_us": 100.0}),
    ]
    results = summarise(samples)
    assert f"| Salon over … | what | {BEFORE} |" in ratios_text(rows(), results)
    verdict = next(each for each in judge(results) if each.target.text == f"messages a second, times {BEFORE}")
    assert (verdict.value, verdict.is_met) == (1.5, True)


def test_a_folder_without_an_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_BEFORE", str(tmp_path))
    with pytest.raises(BadSetting, match=r"^BENCH_BEFORE=.*: has no virtual environment"):
        load(quick=False)


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed, so the load generator cannot be compiled")
def test_what_it_loses_fails_no_run(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def named(name: str) -> System:
        return System(name, lambda folder: Running(1, Wire("/"), {}, Processes(folder), lambda: None))

    def measure(_: Bench, __: Running, measured: System) -> Measured:
        return {}, "3 did not join" if measured.name == BEFORE else ""

    own = System("Salon", named("Salon").start, before=lambda _: named(BEFORE))
    monkeypatch.setenv("BENCH_BEFORE", str(checkout))
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the process of the tests ends as before
    monkeypatch.setattr(program, "quick_rows", lambda: [Row("joins", "Joins", (own,), (), measure, ("all_us",))])
    assert program.main(["--quick"]) == 0

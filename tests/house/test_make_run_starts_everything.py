"""The program of `make run`, with the real services: ready, side by side, and gone at the end."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped] # no stubs are installed for it
import pytest

from tools.ports import held_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e


class Run:
    """One run of everything."""

    def __init__(self, data_dir: Path) -> None:
        self.port = held_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.run"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PORT": str(self.port), "DATA_DIR": str(data_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def output(self) -> IO[str]:
        """Its stdout and stderr."""
        assert self.process.stdout is not None
        return self.process.stdout

    def wait_until_ready(self) -> str:
        """The line that says where to go; everything printed where there was none."""
        seen = []
        for line in self.output:
            seen.append(line)
            if "Salon is ready" in line:
                return line
        pytest.fail("".join(seen))

    def family(self) -> list[psutil.Process]:
        """Every process that it started."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def stop(self, number: int) -> tuple[int, str]:
        """The exit code, and what was printed since."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=40)
        return self.process.returncode, rest


@pytest.fixture
def two_runs(tmp_path: Path) -> Iterator[tuple[Run, Run]]:
    runs = (Run(tmp_path / "one"), Run(tmp_path / "two"))
    yield runs
    for run in runs:
        run.process.kill()
        run.process.communicate()


def test_two_runs_with_other_port_and_data_dir_live_side_by_side_and_leave_nothing(two_runs: tuple[Run, Run]) -> None:
    for run in two_runs:
        line = run.wait_until_ready()
        assert re.fullmatch(rf"Salon is ready: http://127\.0\.0\.1:{run.port}/ .*\n", line)
        with urllib.request.urlopen(f"http://127.0.0.1:{run.port}/", timeout=5) as page:
            assert b"<html" in page.read()
    for run, number in zip(two_runs, (signal.SIGINT, signal.SIGTERM), strict=True):
        family = run.family()
        code, printed = run.stop(number)
        assert code == 0
        assert "Traceback" not in printed
        assert "is killed" not in printed
        assert psutil.wait_procs(family, timeout=2)[1] == []


@pytest.mark.slow
def test_a_service_that_dies_stops_the_rest_and_is_named(two_runs: tuple[Run, Run]) -> None:
    run = two_runs[0]
    run.wait_until_ready()
    family = run.family()
    victim = next(process for process in family if process.cmdline()[-2:] == ["-m", "rooms"])
    victim.kill()
    printed, _ = run.process.communicate(timeout=40)
    assert run.process.returncode == 1
    assert "rooms stopped by itself (exit code -9); its last lines:" in printed
    assert psutil.wait_procs(family, timeout=2)[1] == []

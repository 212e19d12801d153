"""The supervisor of `make run` stops in order, reports a death, and leaves no process, however it ends itself."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped] # no stubs are installed for it
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from tools.supervisor import Supervisor
supervisor = Supervisor([("second", 1), ("first", 1)], lambda: None)
for name, code in zip(("first", "second"), sys.argv[1:]):
    supervisor.add(name, [sys.executable, "-u", "-c", code], {})
sys.exit(supervisor.run())
"""
STAYS = "import os, time; print('up', os.getpid(), flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STAYS
CHATTY = "import os; print('up', os.getpid(), flush=True)\nwhile True: print('x' * 200, flush=True)"
WITH_A_CHILD = "import subprocess; subprocess.Popen(['sleep', '60']); " + STAYS
DIES = "import sys, time; time.sleep(0.2); print('the reason'); sys.exit(3)"


class Started:
    """A supervisor with two processes, and everything it ever started."""

    def __init__(self, first: str, second: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, first, second],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.family: list[psutil.Process] = []

    def wait_until_up(self, count: int = 2) -> None:
        assert self.process.stdout is not None
        while count:
            count -= " up " in self.process.stdout.readline()
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def wait_until_nothing_more_fits(self) -> None:
        """Until the pipe of its output is full: from then on it stands in the middle of a line."""
        assert self.process.stdout is not None
        full = fcntl.fcntl(self.process.stdout, fcntl.F_GETPIPE_SZ) - 4096
        while int.from_bytes(fcntl.ioctl(self.process.stdout, termios.FIONREAD, b"0000"), sys.byteorder) < full:
            time.sleep(0.01)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def survivors(self, within_s: float) -> list[psutil.Process]:
        alive: list[psutil.Process] = psutil.wait_procs(self.family, timeout=within_s)[1]
        return alive

    def kill_everything(self) -> None:
        for each in [*self.family, self.process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self.process.wait()


@pytest.fixture
def start() -> Iterator[Callable[[str, str], Started]]:
    """Starts supervisors; whatever a failing test leaves of them is killed."""
    everything: list[Started] = []

    def started(first: str, second: str) -> Started:
        everything.append(Started(first, second))
        return everything[-1]

    yield started
    for each in everything:
        each.kill_everything()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_stops_in_order_and_exits_with_0(number: int, start: Callable[[str, str], Started]) -> None:
    started = start(STAYS, STAYS)
    started.wait_until_up()
    started.process.send_signal(number)
    code, out, err = started.end()
    assert (code, err) == (0, "")
    assert out.index("second stopped") < out.index("first stopped")
    assert started.survivors(10) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much a pipe holds")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_line_of_output_stops_it_all_the_same(
    number: int, start: Callable[[str, str], Started]
) -> None:
    started = start(CHATTY, CHATTY)
    started.wait_until_up()
    started.wait_until_nothing_more_fits()
    started.process.send_signal(number)
    code, out, err = started.end()
    assert (code, err) == (0, "")
    assert out.count(f"{signal.Signals(number).name} received") == 1
    assert started.survivors(10) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much a pipe holds")
def test_it_stops_although_nobody_reads_its_output(start: Callable[[str, str], Started]) -> None:
    started = start(CHATTY, CHATTY)
    started.wait_until_up()
    started.wait_until_nothing_more_fits()
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(timeout=60) == 0
    assert started.survivors(10) == []


def test_a_process_that_dies_stops_the_rest_and_is_shown(start: Callable[[str, str], Started]) -> None:
    started = start(STAYS, DIES)
    code, _, err = started.end()
    assert code == 1
    assert "second stopped by itself (exit code 3); its last lines:\n  the reason\n" in err


def test_a_process_that_does_not_hear_is_killed_after_its_time(start: Callable[[str, str], Started]) -> None:
    started = start(DEAF, STAYS)
    started.wait_until_up()
    started.process.send_signal(signal.SIGTERM)
    code, out, _ = started.end()
    assert code == 0
    assert "first did not stop within 1 s and is killed" in out
    assert started.survivors(10) == []


def test_what_a_service_started_does_not_outlive_it(start: Callable[[str, str], Started]) -> None:
    started = start(STAYS, WITH_A_CHILD)
    started.wait_until_up()
    started.process.send_signal(signal.SIGTERM)
    assert started.end()[0] == 0
    assert started.survivors(10) == []


def test_killed_without_a_word_it_leaves_no_process(start: Callable[[str, str], Started]) -> None:
    started = start(STAYS, WITH_A_CHILD)
    started.wait_until_up()
    started.process.kill()
    assert started.survivors(20) == []


def test_a_process_that_cannot_be_started_is_named_and_those_before_it_are_ended() -> None:
    program = """
import sys
from tools.supervisor import Supervisor
supervisor = Supervisor([("second", 1), ("first", 1)], lambda: None)
supervisor.add("first", [sys.executable, "-c", "import time; time.sleep(60)"], {})
supervisor.add("second", ["/no/such/program"], {})
supervisor.run()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("FileNotFoundError: [Errno 2] No such file or directory: '/no/such/program'")
    assert "During handling" not in ended.stderr

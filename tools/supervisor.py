"""Runs named processes under honcho, stops them in order, and leaves none behind whatever happens to this one."""

# mypy: allow-untyped-calls
# honcho has no types.

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

LAST_LINES = 30
_ASKED_TO_STOP = {130, 143}  # what honcho's loop makes of SIGINT and SIGTERM
_FROM_TERMINAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1
_prctl: Callable[[int, int], int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Be told by SIGTERM when the parent process is gone. Linux only; does nothing elsewhere."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Log(Printer):
    """Prints prefixed lines and remembers the last ones of each process."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.last: dict[str, deque[str]] = {}
        self._waiting: deque[Message] = deque()
        self._is_writing = False

    def write(self, message: Message) -> None:
        """Print one line. honcho's signal handler prints too, perhaps in the middle of another line, and a stream
        does not let itself be entered twice: such a line waits until the one that was interrupted is out."""
        self._waiting.append(message)
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while self._waiting:
                self._print(self._waiting.popleft())
        finally:
            self._is_writing = False

    def _print(self, message: Message) -> None:
        """When nobody reads any more, stop everything instead of failing."""
        text = message.data if isinstance(message.data, str) else message.data.decode("utf-8", "replace")
        self.last.setdefault(message.name, deque(maxlen=LAST_LINES)).append(text.rstrip())
        try:
            super().write(message)
        except BrokenPipeError:
            self.output = sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - stands in for stdout until the end
            os.kill(os.getpid(), signal.SIGTERM)


class _ServicePopen(Popen):
    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, shell=False, preexec_fn=_prepare_service, **options)


def _prepare_service() -> None:
    for number in _FROM_TERMINAL:
        signal.signal(number, signal.SIG_DFL)  # what the watcher ignores would be ignored after exec as well
    die_with_parent()


class _Watcher(Process):
    """The small process that honcho puts beside each service: it carries the output, and outlives nobody."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._child_ctor: type[Popen] = _ServicePopen

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Start the service, carry its output, and take what it left behind along when it ends."""
        for number in _FROM_TERMINAL:
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=self._end_with, args=(os.getppid(),), daemon=True).start()
        super().run(events, ignore_signals)
        _signal_group(self._started_child().pid, signal.SIGKILL)

    def _end_with(self, parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        while self._child is None:
            time.sleep(0.05)
        group = self._started_child().pid
        _signal_group(group, signal.SIGTERM)
        _wait_until(lambda: not _signal_group(group, 0), 10)
        _signal_group(group, signal.SIGKILL)
        os._exit(1)

    def _started_child(self) -> Popen:
        child: Popen | None = self._child
        assert child is not None
        return child


def _signal_group(leader: int, number: int) -> bool:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class Supervisor(Manager):
    """honcho's manager with an order of stopping. Processes are in sessions of their own."""

    def __init__(self, stop_order: Sequence[tuple[str, float]], started: Callable[[], None]) -> None:
        """`stop_order`: names, each with the seconds it gets after SIGTERM; `started` is called once all run."""
        self.log = Log()
        super().__init__(self.log)
        self._process_ctor = _Watcher
        self._stop_order = stop_order
        self._started = started
        self._stopper: threading.Thread | None = None

    def add(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Add a process; loop() starts it."""
        self.add_process(name, list(command), env=dict(env))

    def run(self) -> int:
        """Run until asked to stop (0), or until one process ends by itself (1, its last lines on stderr)."""
        self.loop()
        if self.returncode in _ASKED_TO_STOP:
            return 0
        self._show_the_first_that_stopped()
        return 1

    def terminate(self) -> None:
        """Begin to stop; returns at once. Called by honcho's loop for a signal and for a process that ended."""
        if self._stopper is None:
            self._stopper = threading.Thread(target=self._stop_in_order, daemon=True)
            self._stopper.start()

    def kill(self) -> None:
        """Nothing: honcho calls this 5 s after the first stop, where every process here has a deadline of its own."""

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=self._started, daemon=True).start()  # after the forks: they must not meet a thread

    def _any_stopped(self) -> bool:
        return any(self._has_stopped(name) for name in self._processes)

    def _has_stopped(self, name: str) -> bool:
        stopped = self._processes[name].get("returncode") is not None
        if stopped and self._first_stopped is None:
            self._first_stopped = name
        return stopped

    _first_stopped: str | None = None

    def _stop_in_order(self) -> None:
        _wait_until(self._all_started, 10)
        for name, patience_s in self._stop_order:
            process = self._processes.get(name)
            if process is None or self._has_stopped(name) or "pid" not in process:
                continue
            _signal(process["pid"], signal.SIGTERM)
            if not _wait_until(lambda name=name: self._has_stopped(name), patience_s):  # type: ignore[misc] # bound now
                self._system_print(f"{name} did not stop within {patience_s:g} s and is killed\n")
                _signal_group(process["pid"], signal.SIGKILL)

    def _show_the_first_that_stopped(self) -> None:
        name = self._first_stopped or ""
        code = self._processes[name]["returncode"]
        print(f"\n{name} stopped by itself (exit code {code}); its last lines:", file=sys.stderr)
        for line in self.log.last.get(name, ()):
            print(f"  {line}", file=sys.stderr)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

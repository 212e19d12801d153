"""Runs named processes beside each other, prints what they say, stops them in order, and leaves none behind whatever
happens to this one."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from types import FrameType
from typing import Any

LAST_LINES = 30
_LONGEST_LINE_BYTES = 2**20
_GUARD_GRACE_S = 10.0
_PRINTED_WITHIN_S = 2.0
_PR_SET_PDEATHSIG = 1
_prctl: Callable[[int, int], int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Be told by SIGTERM when the parent process is gone. Linux only; does nothing elsewhere."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Each process leads a session, and so a group, of its own: the terminal's Ctrl-C reaches this one alone, and what
    a process has started ends with it. The main thread never prints while it supervises: where nobody reads the
    output, it hears signals nonetheless."""

    def __init__(self, stop_order: Sequence[tuple[str, float]], started: Callable[[], None]) -> None:
        """`stop_order`: names, each with the seconds it gets after SIGTERM; `started` is called once all run."""
        self._stop_order = stop_order
        self._started = started
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._last_lines: dict[str, deque[str]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._printing = threading.Lock()
        self._reasons: SimpleQueue[signal.Signals | str] = SimpleQueue()
        """Why to stop: a signal, or the name of a process that has ended."""

    def add(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Add a process; run() starts it."""
        self._commands[name] = (list(command), dict(env))

    def run(self) -> int:
        """Run until asked to stop (0), or until one process ends by itself (1, its last lines on stderr). To be called
        in the main thread, while there are no others."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked)
        with _guard() as guard:
            try:
                self._start(guard)
                reason = self._reasons.get()
                if isinstance(reason, signal.Signals):
                    self._thread("received", self._print, "system", f"{reason.name} received")
            finally:
                self._stop()
        if isinstance(reason, str):
            code = self._processes[reason].returncode
            print(f"\n{reason} stopped by itself (exit code {code}); its last lines:", file=sys.stderr)
            print(*(f"  {line}" for line in self._last_lines[reason]), sep="\n", file=sys.stderr)
        if self._printing.locked():  # by a thread whose output nobody reads, which Python would abort at its end
            os._exit(int(isinstance(reason, str)))
        return int(isinstance(reason, str))

    def _asked(self, number: int, _: FrameType | None) -> None:
        self._reasons.put(signal.Signals(number))

    def _start(self, guard: int) -> None:
        for name, (command, env) in self._commands.items():
            self._processes[name] = process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            os.write(guard, f"{process.pid}\n".encode())
        # After the last fork: what is forked beside threads may wait for a lock that none of its own will release.
        for name, process in self._processes.items():
            self._last_lines[name] = deque(maxlen=LAST_LINES)
            self._thread(f"{name} output", self._carry_output, name, process)
            self._thread(name, self._await_end, name, process)
        self._thread("started", self._started)

    def _thread(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        self._threads[name] = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads[name].start()

    def _carry_output(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        while line := process.stdout.readline(_LONGEST_LINE_BYTES):
            text = line.decode("utf-8", "replace").rstrip()
            self._last_lines[name].append(text)
            self._print(name, text)

    def _await_end(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        self._print("system", f"{name} started (pid={process.pid})")
        process.wait()
        _signal_group(process.pid, signal.SIGKILL)
        self._threads[f"{name} output"].join(_PRINTED_WITHIN_S)
        self._reasons.put(name)
        self._print("system", f"{name} stopped (exit code {process.returncode})")

    def _print(self, name: str, line: str) -> None:
        with self._printing:
            try:
                print(f"{time.strftime('%H:%M:%S')} {name:10} | {line}", flush=True)
            except BrokenPipeError:  # nobody reads any more: stop instead of failing again and again
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                self._reasons.put(signal.SIGTERM)

    def _stop(self) -> None:
        for name, grace_s in self._stop_order:
            process = self._processes.get(name)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                text = f"{name} did not stop within {grace_s:g} s and is killed"
                self._thread(f"{name} killed", self._print, "system", text)
                _signal_group(process.pid, signal.SIGKILL)
            if name in self._threads:  # all were started
                self._threads[name].join(_PRINTED_WITHIN_S)


@contextlib.contextmanager
def _guard() -> Iterator[int]:
    """A small process that outlives this one where that is killed, and then ends the groups that it was told of. Gives
    the descriptor to write the ids of their leaders to, a line each."""
    reading, writing = os.pipe()
    guard = os.fork()
    if guard == 0:
        os.close(writing)
        os.setsid()
        _end_groups_after(reading)
        os._exit(0)
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)
        os.waitpid(guard, 0)


def _end_groups_after(told: int) -> None:
    with os.fdopen(told) as lines:
        leaders = [int(line) for line in lines]  # to the end, which comes with the end of who writes
    for leader in leaders:
        _signal_group(leader, signal.SIGTERM)
    deadline_s = time.monotonic() + _GUARD_GRACE_S
    while any(_signal_group(leader, 0) for leader in leaders) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    for leader in leaders:
        _signal_group(leader, signal.SIGKILL)


def _signal_group(leader: int, number: int) -> bool:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True

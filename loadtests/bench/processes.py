"""Processes that the benchmark starts, and ends by their pid whatever happens."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.supervisor import die_with_parent

STOP_WITHIN_S = 15


def _prepare() -> None:
    """In the new process: end with the benchmark, and hold as many connections as the machine allows."""
    die_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class DidNotStart(Exception):
    """A server that is not there when it should be; the text holds the end of its log."""


class Processes:
    """Started in order, ended in the opposite one."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets a log for each process."""
        self._folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None, user: str | None = None
    ) -> int:
        """Start one and return its pid; it leads a process group of its own and ends with this process."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                list(command),
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                preexec_fn=_prepare,
            )
        self._running.append((name, process))
        return process.pid

    def log(self, name: str) -> Path:
        """Where the output of a process goes."""
        return self._folder / f"{name}.log"

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one process and everything in its group."""
        for entry in [entry for entry in self._running if entry[0] == name]:
            self._running.remove(entry)
            _end(entry[1], number)

    def stop_all(self) -> None:
        """End everything, the last started first."""
        while self._running:
            _, process = self._running.pop()
            _end(process, signal.SIGTERM)

    def wait_until(self, is_ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait for a server. Raises DidNotStart, also when a process has ended meanwhile."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            ended = next((name for name, process in self._running if process.poll() is not None), None)
            if ended is not None or time.monotonic() > deadline:
                raise DidNotStart(f"{ended or what} did not start: {self._last_lines(ended or what)}")
            time.sleep(0.02)

    def _last_lines(self, name: str) -> str:
        log = self.log(name)
        return log.read_text("utf-8", "replace")[-2000:].strip() if log.exists() else "no log"


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

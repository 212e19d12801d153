"""A process with all that it started: killed or stopped together, as where its machine or container is."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path


def tree(first: int) -> list[int]:
    """It and its descendants, parents before children; nothing where it has ended."""
    try:
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    except OSError:
        return []
    return [first, *(pid for child in children for pid in tree(int(child)))]


def kill_tree(first: int) -> None:
    """Without a word, all of them. Who started it still has to wait for it."""
    for pid in [first, *tree(first)[1:]]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def frozen(firsts: Iterable[int]) -> Iterator[None]:
    """They stand still within the block, every process of each, with their connections open."""
    stopped: list[int] = []
    try:
        for first in firsts:
            _stop(first, stopped)
        yield
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def _stop(pid: int, stopped: list[int]) -> None:
    """Returns when it and its children stand still: one that is starting another process goes on until that is done,
    and starts no more."""
    os.kill(pid, signal.SIGSTOP)
    stopped.append(pid)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("T", "Z"):
        time.sleep(0.001)
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        _stop(int(child), stopped)

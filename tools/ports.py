"""Ports for servers that must know theirs before they start, or have the same one again after a restart.

A port that the system chooses (0) is safe only in the hands of who got it: once given back, or while its server is
restarted, any outgoing connection may be given it. These lie below the range that systems take such ports from, and
belong to this process until it ends.
"""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FIRST = 20_000
_IN_A_BLOCK = 50
_BLOCKS = 240
"""Up to 31,999. Linux gives from 32,768 on to whoever asks for any port, others from 49,152 on."""

_locks: list[int] = []
"""Descriptors, open and so locked for as long as this process and those forked from it live."""


def held_port() -> int:
    """A port that nobody listens on, and that no other process gets from here. Raises OSError where there is none."""
    return next(_ports)


def held_ports(count: int) -> list[int]:
    """So many, all different. Raises OSError."""
    return [held_port() for _ in range(count)]


def _held_ports() -> Iterator[int]:
    while True:
        first = _FIRST + _claimed_block() * _IN_A_BLOCK
        yield from filter(_is_free, range(first, first + _IN_A_BLOCK))


_ports = _held_ports()


def _claimed_block() -> int:
    folder = Path(tempfile.gettempdir()) / f"salon-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for block in random.sample(range(_BLOCKS), _BLOCKS):
        lock = os.open(folder / str(block), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _locks.append(lock)
        return block
    raise OSError(f"every block of ports is taken: {folder}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not refused by what is in TIME_WAIT
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True

"""SQLite is for one replica: a lock beside its file, which the kernel gives back however the process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chassis.errors import FileInUse


@contextmanager
def file_lock(database: Path, *, url_setting: str) -> Iterator[None]:
    """Hold `<database>.lock` for the length of the block. The lock's file stays, so that nobody locks a deleted one.
    `url_setting` names the setting that leads to PostgreSQL. Raises FileInUse."""
    database.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileInUse(
                f"{database} is in use by another replica: SQLite is for one, use PostgreSQL ({url_setting})"
            ) from None
        yield
    finally:
        os.close(descriptor)

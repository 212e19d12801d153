"""One replica per SQLite file: a lock that the kernel gives back whatever way the process ends."""

import fcntl
import os
from pathlib import Path


class DatabaseInUse(Exception):
    """Another replica holds the file; the text says what to do."""


class FileLock:
    """Held from acquire to release."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises DatabaseInUse."""
        self._database.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{self._database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DatabaseInUse(
                f"{self._database} is in use by another replica of moderation. "
                "SQLite is for one replica; set MODERATION_DATABASE_URL to a PostgreSQL database for more."
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, so that nobody locks a deleted one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

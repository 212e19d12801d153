"""SQLite is for one replica: a lock beside its file keeps a second one from starting."""

import fcntl
from pathlib import Path
from typing import IO


class DatabaseInUse(Exception):
    """Another process serves this SQLite file."""


class FileLock:
    """Held from the constructor to `release`, or to the end of the process however it comes."""

    def __init__(self, database: Path) -> None:
        """Raises DatabaseInUse."""
        path = database.with_name(database.name + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise DatabaseInUse(
                f"{database} is in use by another replica: SQLite is for one, use PostgreSQL (ROOMS_DATABASE_URL)"
            ) from None

    def release(self) -> None:
        """Let another process in."""
        self._file.close()

"""file_lock.py: one replica a SQLite file."""

from pathlib import Path

import pytest

from chassis.errors import FileInUse
from chassis.file_lock import file_lock


def test_a_second_one_is_refused_with_what_to_do_and_may_come_later(tmp_path: Path) -> None:
    database = tmp_path / "new" / "rooms.sqlite3"
    refused = pytest.raises(FileInUse, match=r"rooms\.sqlite3 is in use by another replica: .*\(ROOMS_DATABASE_URL\)$")
    with (
        file_lock(database, url_setting="ROOMS_DATABASE_URL"),
        refused,
        file_lock(database, url_setting="ROOMS_DATABASE_URL"),
    ):
        pass
    with file_lock(database, url_setting="ROOMS_DATABASE_URL"):
        assert not database.exists()

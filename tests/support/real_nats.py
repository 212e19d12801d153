"""A nats-server of a test's own, from the development environment's own binary."""

import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

from tools.ports import held_port

_START_DEADLINE_S = 10.0


class NatsServer:
    """A process with JetStream, a port and a store of its own, that can go away and come back."""

    def __init__(self, max_file: str = "") -> None:
        """`max_file`: how much JetStream may store, as "4M"."""
        self.port = held_port()
        self._folder = Path(tempfile.mkdtemp(prefix="salon-nats-"))
        self._store = self._folder / "store"
        self._config = self._folder / "nats.conf"
        limit = f"max_file: {max_file}" if max_file else ""
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nports_file_dir: "{self._folder}"\n'
            f'jetstream {{\n store_dir: "{self._store}"\n {limit}\n}}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Run it, and wait until it says in its file of ports that it listens."""
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([binary, "-c", self._config], stdout=log, stderr=log)
        says_so = self._folder / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + _START_DEADLINE_S
        while not says_so.exists():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "nats-server did not start"
            time.sleep(0.005)

    def stop(self) -> None:
        """End it without a word; what it stored stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def lose_files(self) -> None:
        """Of a server that is stopped."""
        shutil.rmtree(self._store)

    def save(self, snapshot: Path) -> None:
        """Copy what a server that is stopped has stored."""
        shutil.copytree(self._store, snapshot)

    def restore(self, snapshot: Path) -> None:
        """Put an older state back, of a server that is stopped."""
        self.lose_files()
        shutil.copytree(snapshot, self._store)

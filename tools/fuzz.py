"""Fuzzes what reads bytes that others chose (tests/fuzz/support/fuzz_targets.py) with atheris, guided by the code that
its input reaches: TIME seconds (60) for each target, or for TARGET alone.

What it learns stays in .fuzz/<target> for the next time. Input that ends in no documented outcome stands in
.fuzz/found/<target>-…: put it into tests/fuzz/corpus/<target>, under a name that says what it is, and every `make test`
tries it.
"""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / "tests" / "fuzz" / "corpus"
LEARNED = ROOT / ".fuzz"
FOUND = LEARNED / "found"
_OPTIONS = ("-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0")
_PARTS = [
    "ws_edge",
    "rooms.api",
    "rooms.domain",
    "graphql.language",
    "moderation.api.grpc",
    "moderation.domain",
    "jwt",
    "sanic",
]


def fuzz(target: str, arguments: list[str]) -> None:
    """In a process of its own: it ends with libFuzzer's exit code."""
    atheris: Any = import_module("atheris")  # installed by `make fuzz` alone
    sys.path[:0] = [str(ROOT / folder) for folder in ("tests/fuzz/support", "services/rooms/tests/support")]
    with atheris.instrument_imports(include=_PARTS):
        from fuzz_targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    """1: something was found."""
    if len(sys.argv) > 1:
        fuzz(sys.argv[1], sys.argv[2:])
        return 0
    wanted = os.environ.get("TARGET") or "all"
    seconds = int(os.environ.get("TIME") or 60)
    targets = sorted(path.name for path in SEEDS.iterdir()) if wanted == "all" else [wanted]
    FOUND.mkdir(parents=True, exist_ok=True)
    failed = []
    for target in targets:
        (LEARNED / target).mkdir(exist_ok=True)
        print(f"--- {target}: {seconds} s", flush=True)
        options = [*_OPTIONS, f"-max_total_time={seconds}", f"-artifact_prefix={FOUND}/{target}-"]
        folders = [str(LEARNED / target), str(SEEDS / target)]
        done = subprocess.run([sys.executable, "-m", "tools.fuzz", target, *options, *folders], cwd=ROOT, check=False)
        if done.returncode:
            failed.append(target)
    print(f"Found in: {', '.join(failed)}; see {FOUND}" if failed else "Nothing was found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

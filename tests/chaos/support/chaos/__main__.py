"""`make chaos`: every scenario, or those with a word of S in their name, and the table of docs/reliability.md."""

import asyncio
import contextlib
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaos.run import Result, run
from chaos.scenarios import SCENARIOS, Scenario
from chaos.table import table, with_table

_AT_ONCE = 4
"""How many there are with those of which only the logs have not been purged yet."""
PAGE = Path(__file__).resolve().parents[4] / "docs" / "reliability.md"


def main(words: str) -> int:
    """Run them, say what is wrong with each, and write the table where all were run. The exit status."""
    chosen = [scenario for scenario in SCENARIOS if words in scenario.name]
    able = [scenario for scenario in chosen if _can_run(scenario)]
    turn = threading.Lock()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = list(zip(able, pool.map(lambda scenario: _told(scenario, turn), able), strict=True))
    sys.stdout.write(f"{table(rows)}\n")
    if len(rows) == len(SCENARIOS):
        PAGE.write_text(with_table(PAGE.read_text(), rows))
    return 1 if any(result.faults for _, result in rows) or not rows else 0


def _can_run(scenario: Scenario) -> bool:
    if scenario.whom == "the disk of NATS" and os.geteuid() != 0:
        sys.stdout.write(f"{scenario.name}: left out, a small disk takes root\n")
        return False
    return True


def _told(scenario: Scenario, turn: threading.Lock) -> Result:
    """One has its turn at a time, until its people have gone."""
    turn.acquire()
    began = time.monotonic()
    gone = contextlib.ExitStack()
    gone.callback(turn.release)
    with gone, tempfile.TemporaryDirectory(prefix="salon-chaos-") as folder:
        result = asyncio.run(run(scenario, Path(folder) / "salon", on_gone=gone.close))
    took = f"{scenario.name}: {len(result.faults)} faults, {time.monotonic() - began:.0f} s"
    lines = [f"{took}; moderated: {dict(result.moderated)}", *result.faults[:20]]
    sys.stdout.write("\n  ".join(lines) + "\n")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))

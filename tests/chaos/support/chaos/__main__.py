"""`make chaos`: every scenario, or those with a word of S in their name, and the table of docs/reliability.md."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from chaos.run import Result, run
from chaos.scenarios import SCENARIOS, Scenario
from chaos.table import table, with_table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reliability.md"


def main(words: str) -> int:
    """Run them, say what is wrong with each, and write the table where all were run. The exit status."""
    chosen = [scenario for scenario in SCENARIOS if words in scenario.name]
    rows = [(scenario, _told(scenario)) for scenario in chosen if _can_run(scenario)]
    sys.stdout.write(f"{table(rows)}\n")
    if len(rows) == len(SCENARIOS):
        PAGE.write_text(with_table(PAGE.read_text(), rows))
    return 1 if any(result.faults for _, result in rows) or not rows else 0


def _can_run(scenario: Scenario) -> bool:
    if scenario.whom == "the disk of NATS" and os.geteuid() != 0:
        sys.stdout.write(f"{scenario.name}: left out, a small disk takes root\n")
        return False
    return True


def _told(scenario: Scenario) -> Result:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="salon-chaos-") as folder:
        result = asyncio.run(run(scenario, Path(folder) / "salon"))
    sys.stdout.write(f"{scenario.name}: {len(result.faults)} faults, {time.monotonic() - began:.0f} s\n")
    for fault in result.faults[:20]:
        sys.stdout.write(f"  {fault}\n")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))

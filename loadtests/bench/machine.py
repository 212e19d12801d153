"""Where and with what the figures were measured."""

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from loadtests.bench.settings import Settings
from loadtests.bench.systems import System


def description(settings: Settings, systems: Iterable[System], load_before: tuple[float, float, float]) -> str:
    """Machine, versions, date, commit and command, as a list."""
    versions = {name: found for system in systems for name, found in system.versions.items()}
    lines = [
        f"Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; commit {commit(Path(__file__).parent)}",
        f"Machine: {_processor()}, {os.cpu_count()} cores (servers, load generator and whatever else runs share them), "
        f"{_memory_gib():.0f} GiB; Linux {platform.release()}; files on {_file_system()}",
        f"Load average before: {load_before[0]:.2f}; after: {os.getloadavg()[0]:.2f}",
        f"Command: `{_command(settings)}`: up to {settings.repeat} repetitions (the column of samples says how many), "
        f"medians; {settings.seconds:g} s of messages a sample; every repetition visits all servers of a row one after "
        "the other, each started afresh",
        "Versions: " + ", ".join(f"{name} {found}" for name, found in versions.items()),
    ]
    return "\n".join(f"* {line}" for line in lines)


def headline() -> str:
    """When and where, in one sentence."""
    of = commit(Path(__file__).parent)
    return f"The run of {datetime.now(UTC):%Y-%m-%d}, commit {of}, on {os.cpu_count()} shared cores of {_processor()}."


@cache
def commit(folder: Path) -> str:
    """Of a checkout, when it was first asked for: what the run writes itself changes nothing."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _command(settings: Settings) -> str:
    given = {
        "BENCH_REPEAT": f"{settings.repeat}",
        "BENCH_SECONDS": f"{settings.seconds:g}",
        "BENCH_MINUTES": f"{settings.minutes:g}" if settings.minutes != 600 else "",
        "BENCH_SHARE": f"{settings.share:g}" if settings.share != 1 else "",
        "BENCH_ROWS": ",".join(settings.rows),
        "BENCH_SYSTEMS": ",".join(settings.systems),
        "BENCH_BEFORE": "…" if settings.before else "",
    }
    return " ".join(
        [f"{name}='{value}'" if " " in value else f"{name}={value}" for name, value in given.items() if value]
        + ["make bench"]
    )


def _file_system() -> str:
    """Of the folder in which servers keep their files."""
    command = ["stat", "--file-system", "--format=%T", tempfile.gettempdir()]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30

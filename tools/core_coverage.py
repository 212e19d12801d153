"""`make coverage`: every line and branch of what decides without I/O is run by its own service's unit tests."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORES = {"ws_edge": "protocol", "rooms": "domain", "moderation": "domain"}
SETTINGS = """
[run]
branch = true
source_pkgs = {package}
data_file = {folder}/data

[report]
show_missing = true
skip_covered = true
fail_under = 100
"""


def measure(service: str) -> tuple[bool, str]:
    """Whether the core of a service is covered; the output of the tests that failed, or the report."""
    with tempfile.TemporaryDirectory(prefix="salon-coverage-") as folder:
        settings = Path(folder) / "settings"
        settings.write_text(SETTINGS.format(package=f"{service}.{CORES[service]}", folder=folder))
        tests = _coverage("run", f"--rcfile={settings}", "-m", "pytest", "-q", f"services/{service}/tests/unit")
        if tests.returncode != 0:
            return False, tests.stdout
        report = _coverage("report", f"--rcfile={settings}")
        return report.returncode == 0, report.stdout


def _coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def main() -> int:
    """0 where all three are covered; else 1, and what is missing."""
    covered = True
    with ThreadPoolExecutor(max_workers=len(CORES)) as several:
        for (service, core), (is_covered, output) in zip(CORES.items(), several.map(measure, CORES), strict=True):
            print(f"{service}/{core}: {'covered' if is_covered else 'not covered'}")
            if not is_covered:
                print(output, file=sys.stderr)
                covered = False
    return 0 if covered else 1


if __name__ == "__main__":
    sys.exit(main())

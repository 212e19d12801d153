"""`make bench`: measures Salon and its peers in one run. Exit code 1 when Salon lost something."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from loadtests.bench import generator, machine, report, tokens
from loadtests.bench.generator import GeneratorFailed
from loadtests.bench.highlights import short_table
from loadtests.bench.installs import NotInstalled
from loadtests.bench.measuring import Bench
from loadtests.bench.peers import PEERS
from loadtests.bench.pictures import COSTS_TEXT, LATENCIES_TEXT, cost_picture, latency_picture
from loadtests.bench.processes import DidNotStart
from loadtests.bench.rows import SLOW, Row, quick_rows, rows
from loadtests.bench.samples import Results, Sample, summarise
from loadtests.bench.settings import BadSetting, Settings, load
from loadtests.bench.systems import BEFORE, System
from loadtests.bench.targets import judge

DOCUMENTS = Path(__file__).parents[2] / "docs"


def main(arguments: Sequence[str]) -> int:
    """0 when nothing of Salon was lost, 1 when something was, 2 when there was no run."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same way out as Ctrl-C
    try:
        settings = load("--quick" in arguments)
        return _run(settings)
    except (BadSetting, GeneratorFailed) as problem:
        print(f"make bench: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 2


def _run(settings: Settings) -> int:
    load_before = os.getloadavg()
    work = [
        row for row in (quick_rows() if settings.quick else rows()) if not settings.rows or row.name in settings.rows
    ]
    if settings.before:
        work = [row.with_before(settings.before) for row in work]
    peers, missing = _peers(work, settings)
    with _folder() as folder:
        bench = Bench(generator.build(), folder / "tokens", settings)
        tokens.write(bench.tokens, max(row.users for row in work))
        samples: list[Sample] = []
        is_whole = _gather(samples, _measure(bench, work, peers, folder))
    results = summarise(samples)
    systems = [*{system.name: system for row in work for system in row.salons}.values(), *peers.values()]
    text = report.results_text(work, results, missing)
    verdicts = report.verdicts_text(judge(results))
    about = machine.description(settings, systems, load_before)
    ratios = report.ratios_text(work, results)
    print(f"\n{about}\n\n{ratios}\n\n{text}")
    if not settings.quick:
        print(f"\n{verdicts}")
    if not is_whole:
        return 2
    if settings.write:
        parts = ("The last run", about), ("Targets", verdicts), ("Ratios", ratios), ("Figures", text)
        report.write(DOCUMENTS / "benchmarks-figures.md", "\n\n".join(f"## {title}\n\n{part}" for title, part in parts))
        _write_page(DOCUMENTS, work, results)
    own = {system.name for row in work for system in row.salons} - {BEFORE}
    return 1 if any(sample.flaw for sample in samples if sample.system in own) else 0


def _write_page(folder: Path, work: Sequence[Row], results: Results) -> None:
    """The page to begin with, and its pictures."""
    parts = ["## In short", f"{machine.headline()} {report.BEHIND}"]
    for name, picture, what in (
        ("benchmarks-cost.svg", cost_picture(work, results), COSTS_TEXT),
        ("benchmarks-latency.svg", latency_picture(work, results), LATENCIES_TEXT),
    ):
        if picture:
            (folder / name).write_text(picture)
            parts.append(f"![{what}]({name})")
    report.write(folder / "benchmarks.md", "\n\n".join([*parts, short_table(work, results)]))


def _gather(samples: list[Sample], measured: Iterator[Sample]) -> bool:
    """False where Ctrl-C came before the end: what was measured until then is told, and not written down."""
    try:
        samples.extend(measured)
    except KeyboardInterrupt:
        print("\nstopped: this is what was measured", file=sys.stderr)
        return False
    return True


def _peers(work: Sequence[Row], settings: Settings) -> tuple[dict[str, System], dict[str, str]]:
    """Those that can be had, and the reasons of those that cannot."""
    found, missing = {}, {}
    for name in dict.fromkeys(peer for row in work for peer in row.peers):
        if settings.systems and name not in settings.systems:
            missing[name] = "not asked for in this run"
            continue
        try:
            found[name] = PEERS[name]()
        except NotInstalled as reason:
            missing[name] = str(reason)
    return found, missing


def _measure(bench: Bench, work: Sequence[Row], peers: dict[str, System], folder: Path) -> Iterator[Sample]:
    began = time.monotonic()
    for repetition in range(bench.settings.repeat):
        for row in work:
            if repetition and time.monotonic() - began > bench.settings.minutes * 60:
                return
            names = [name for name in row.peers if name in peers and (repetition == 0 or name not in SLOW)]
            systems = [*row.salons, *(peers[name] for name in names)]
            # Nobody is always the first, or always follows the same one.
            turn = repetition % len(systems)
            for system in systems[turn:] + systems[:turn]:
                sample = replace(_sample(bench, row, system, folder), repetition=repetition)
                told = sample.flaw or "  ".join(_short(sample, column) for column in row.columns[:8])
                print(f"{time.monotonic() - began:6.0f} s  {row.name:<15} {system.name:<22} {told}", flush=True)
                yield sample


def _short(sample: Sample, column: str) -> str:
    return f"{column} {sample.figures.get(column, 0):.4g}"


def _sample(bench: Bench, row: Row, system: System, folder: Path) -> Sample:
    own = Path(tempfile.mkdtemp(dir=folder))
    own.chmod(0o755)
    try:
        running = system.start(own)
        try:
            figures, flaw = row.measure(bench, running, system)
        finally:
            running.stop()
    except (DidNotStart, GeneratorFailed) as problem:
        return Sample(row.name, system.name, {}, str(problem).splitlines()[0])
    except Exception as problem:  # noqa: BLE001 - hours of other samples do not end with one of them
        return Sample(row.name, system.name, {}, f"{type(problem).__name__}: {problem}")
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return Sample(row.name, system.name, figures, flaw)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="salon-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

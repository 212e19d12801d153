"""Tables for people: on the terminal, and in documents between two marks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from loadtests.bench.fitting import fit, points
from loadtests.bench.highlights import BEHIND_S, number
from loadtests.bench.rows import Row
from loadtests.bench.samples import Results, Summary, ratio
from loadtests.bench.systems import BEFORE
from loadtests.bench.targets import Verdict

BEGIN, END = "<!-- measured: written by make bench -->", "<!-- /measured -->"
NO_FIGURE = "—"
BEHIND = (
    "CPU is that of all processes of a server. Behind: the last message was heard more than "
    f"{BEHIND_S} s after it was sent, so it cannot carry the rate."
)
COMPARED = ("front_us", "all_us", "p50", "p99", "kib_each", "joins_per_s")
HEADINGS = {
    "front_us": "edge or server, µs a delivery",
    "all_us": "all, µs a delivery or join",
    "user_us": "… without the kernel",
    "message_us": "all, µs a message",
    "per_s": "messages/s",
    "deliveries_per_s": "deliveries/s",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "max": "max ms",
    "behind_s": "behind, s",
    "frame_bytes": "bytes a delivery",
    "late_ms": "load generator late by up to, ms",
    "generator_us": "load generator, µs a delivery",
    "kib_each": "KiB each, edge or server",
    "all_kib_each": "KiB each, all",
    **{f"{part}_kib_each": f"{part}, KiB each" for part in ("edge", "rooms", "moderation", "nats")},
    "idle_cpu_share": "CPU while idle",
    "joins_per_s": "joins/s",
    "joined_s": "all joined, s",
    "right_s": "all told the right count, s",
    "restart_s": "edge away at least, s",
    "refused": "attempts refused",
    "frames_each_per_s": "frames/s to each",
    "cpu_share": "CPU of all",
}


def results_text(rows: Sequence[Row], results: Results, missing: Mapping[str, str]) -> str:
    """Every row with every server, then where Salon's CPU goes, then what is missing."""
    parts = []
    for row in rows:
        found = {system: summary for (name, system), summary in results.items() if name == row.name}
        if found:
            parts.append(f"### {row.title}\n\n" + "\n".join(_row_table(row, found)))
    parts.append(
        "### CPU by process, µs a message (a join in the rows of joins)\n\n" + "\n".join(_parts(rows, results))
    )
    if missing:
        parts.append("### Missing\n\n" + "\n".join(f"* {name}: {reason}" for name, reason in missing.items()))
    return "\n\n".join(parts)


def ratios_text(rows: Sequence[Row], results: Results) -> str:
    """Salon over each peer, in every row that both are in."""
    peers = list(dict.fromkeys(peer for row in rows for peer in (*row.peers, BEFORE) if (row.name, peer) in results))
    lines = [f"| Salon over … | what | {' | '.join(peers)} |", "| --- | --- |" + " --: |" * len(peers)]
    for row in rows:
        for column in (column for column in COMPARED if column in row.columns and peers):
            cells = [_ratio(results, row, peer, column) for peer in peers]
            if set(cells) == {NO_FIGURE}:
                continue
            lines.append(f"| {row.title} | {_heading(column)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts_text(verdicts: Iterable[Verdict]) -> str:
    """One line a target."""
    lines = ["| work | what | target | measured | samples | |", "| --- | --- | --: | --: | --: | --- |"]
    for verdict in verdicts:
        target = verdict.target
        sign = "≥" if target.at_least else "≤"
        value = NO_FIGURE if verdict.value is None else f"{number(verdict.value)} {target.unit}".strip()
        bound = f"{sign} {number(target.bound)} {target.unit}".strip()
        lines.append(f"| {target.work} | {target.text} | {bound} | {value} | {verdict.samples} | {verdict.distance} |")
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put the text between the marks of the document; what people wrote around it stays."""
    whole = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _row_table(row: Row, found: Mapping[str, Summary]) -> Iterator[str]:
    if not row.columns:
        for system, summary in found.items():
            yield from _sweep_table(system, summary)
        return
    yield "| | " + " | ".join(_heading(column) for column in row.columns) + " | samples |"
    yield "| --- |" + " --: |" * (len(row.columns) + 1)
    for system, summary in found.items():
        cells = [_cell(summary.figures, column) for column in row.columns]
        yield f"| {system} | {' | '.join(cells)} | {summary.good} of {summary.good + len(summary.flaws)} |"
    for system, summary in found.items():
        for flaw in dict.fromkeys(summary.flaws):
            yield f"\n{system}, no figure: {flaw}."


def _sweep_table(system: str, summary: Summary) -> Iterator[str]:
    raw, net = points(summary.figures, "raw_us_at_"), points(summary.figures, "us_at_")
    kernel, latest = points(summary.figures, "kernel_us_at_"), points(summary.figures, "p99_at_")
    yield f"{system}, {summary.good} good samples. CPU of all processes a message.\n"
    yield "| size | µs | of that in the kernel | µs without what they use while idle | p99 ms |"
    yield "| --: | --: | --: | --: | --: |"
    for size in sorted(net):
        cells = (f"{size:,.0f}", *(number(each[size]) for each in (raw, kernel, net, latest)))
        yield f"| {' | '.join(cells)} |"
    if len(net) > 1 and min(net.values()) > 0:
        line = fit(net)
        text = f"{number(line.at_zero)} µs + {line.slope:.3f} µs × size, R² {line.r2:.4f}"
        yield f"\nLine through the fourth column: {text}."
    for flaw in dict.fromkeys(summary.flaws):
        yield f"\nNo figure: {flaw}."


def _ratio(results: Results, row: Row, peer: str, column: str) -> str:
    try:
        return f"{number(ratio(results, row.name, row.salons[0].name, peer, column))} ×"
    except KeyError:  # one of them is not in this row, or has no good sample
        return NO_FIGURE


def _parts(rows: Sequence[Row], results: Results) -> Iterator[str]:
    names = ("edge", "rooms", "moderation", "nats", "database")
    yield f"| | {' | '.join(names)} | all |"
    yield "| --- |" + " --: |" * (len(names) + 1)
    for row in rows:
        for (name, system), summary in results.items():
            if name != row.name or "part_edge_us" not in summary.figures:
                continue
            shares = [summary.figures.get(f"part_{part}_us") for part in names]
            cells = ["" if share is None else number(share) for share in shares]
            whole = number(sum(share for share in shares if share is not None))
            yield f"| {row.title}: {system} | {' | '.join(cells)} | {whole} |"


def _cell(figures: Mapping[str, float], column: str) -> str:
    if column not in figures:
        return "0" if column.endswith("_per_s") and figures else NO_FIGURE
    value = figures[column]
    return f"{value:.0%}" if column.endswith("_share") else number(value)


def _heading(column: str) -> str:
    return HEADINGS.get(column, column.removesuffix("_per_s").replace("_", " ") + "/s")

"""The table of docs/reliability.md, between two marks."""

from collections.abc import Sequence

from chaos.run import Result
from chaos.scenarios import Scenario

BEGIN = "<!-- chaos: written by `make chaos` -->"
END = "<!-- end of chaos -->"
_HEAD = (
    "| what is done | for | acknowledged | deleted | lost | doubled | out of order | deleted text shown "
    "| gone, and told so | a sender waited | a newcomer waited | counts right after |"
)


def table(rows: Sequence[tuple[Scenario, Result]]) -> str:
    """One row a scenario, with both marks."""
    columns = _HEAD.count("|") - 1
    lines = [BEGIN, _HEAD, "| --- " * columns + "|", *(_row(scenario, result) for scenario, result in rows), END]
    return "\n".join(lines)


def with_table(text: str, rows: Sequence[tuple[Scenario, Result]]) -> str:
    """The document with its table as it should be. Raises ValueError where a mark is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} must be there")
    return before + table(rows) + after


def _row(scenario: Scenario, result: Result) -> str:
    found = result.findings
    counts = (
        result.acknowledged,
        result.deleted,
        len(found.lost),
        len(found.doubled),
        len(found.disordered),
        len(found.deleted_shown),
        len(found.forgotten),
    )
    waits = (result.longest_send_s, result.longest_join_s)
    right = "never" if result.wrong else f"{result.counts_right_s:.0f} s"
    cells = [
        scenario.name,
        f"{scenario.for_s:g} s",
        *map(str, counts),
        *(f"{wait:.1f} s" for wait in waits),
        right,
    ]
    return f"| {' | '.join(cells)} |"

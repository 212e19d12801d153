"""Pictures of a run in plain SVG, on a white card: they are read on light and on dark pages alike."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from loadtests.bench.highlights import COSTS, LATENCIES, Mark, Shown, cell, marks
from loadtests.bench.rows import Row
from loadtests.bench.samples import Results

WIDTH, MARGIN, GAP = 900, 24, 36
WHOLE = WIDTH - 2 * MARGIN
LABELS, BAR_VALUES, SPAN_VALUES = 150, 118, 190
LINE, TITLE = 20, 30
CARD, EDGE, INK, GREY = "#ffffff", "#d0d7de", "#1f2328", "#59636e"
SALON, OTHERS, FAINT = "#0969da", "#8c959f", "#eaeef2"
FONT = "system-ui,-apple-system,'Segoe UI','Liberation Sans',Arial,sans-serif"

COSTS_TEXT = "What a delivery, a message, a join and an idle connection cost, by server"
LATENCIES_TEXT = "How long a message takes to a member, by server"
Panels = Sequence[tuple[Shown, Sequence[Mark]]]
Draw = Callable[[Shown, Sequence[Mark], float, float], Iterator[str]]


def cost_picture(rows: Sequence[Row], results: Results) -> str:
    """Bars, each panel on a scale of its own; empty where nothing of it was measured."""
    heading = "What it costs: CPU of all processes, and memory (shorter is better)"
    return _picture(heading, "Each panel has a scale of its own.", _panels(COSTS, rows, results), _bars, 2)


def latency_picture(rows: Sequence[Row], results: Results) -> str:
    """From p50 to p99, all on one logarithmic scale; empty where nothing of it was measured."""
    panels = _panels(LATENCIES, rows, results)
    if not panels:
        return ""
    values = [value for _, found in panels for mark in found for value in mark.values if value > 0]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def spans(shown: Shown, found: Sequence[Mark], left: float, top: float) -> Iterator[str]:
        yield from _spans(shown, found, left, top, range(first, max(last, first + 1) + 1))

    note = "From p50 to p99; one scale, on which each line is ten times the one before."
    return _picture("How long a message takes to a member (further left is better)", note, panels, spans, 1)


def _panels(what: Iterable[Shown], rows: Sequence[Row], results: Results) -> Panels:
    found = [(shown, list(marks(shown, rows, results))) for shown in what]
    return [(shown, each) for shown, each in found if each]


def _picture(heading: str, note: str, panels: Panels, draw: Draw, columns: int) -> str:
    if not panels:
        return ""
    parts, top = [], 76.0
    for at in range(0, len(panels), columns):
        beside = panels[at : at + columns]
        for column, (shown, found) in enumerate(beside):
            left = MARGIN + column * (WHOLE + GAP) / columns
            parts.append(_text(left, top + 14, shown.text, weight="600"))
            parts.extend(draw(shown, found, left, top + TITLE))
        top += TITLE + max(len(found) for _, found in beside) * LINE + GAP
    parts = [_text(MARGIN, 34, heading, size=17, weight="600"), _text(MARGIN, 54, note, colour=GREY), *parts]
    card = f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{top - 1:g}" rx="8" fill="{CARD}" stroke="{EDGE}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:g}" width="{WIDTH}" height="{top:g}"'
    return "\n".join(
        [f'{head} role="img" font-family="{FONT}">', f"<title>{escape(heading)}</title>", card, *parts, "</svg>", ""]
    )


def _bars(shown: Shown, found: Sequence[Mark], left: float, top: float) -> Iterator[str]:
    room = (WHOLE - GAP) / 2 - LABELS - BAR_VALUES
    most = max(mark.values[0] for mark in found) or 1
    for number, mark in enumerate(found):
        y, length = top + number * LINE, max(1.5, room * mark.values[0] / most)
        yield from _labels(shown, mark, left, y, left + LABELS + length + 6)
        yield f'<rect x="{left + LABELS:g}" y="{y + 2:g}" width="{length:.1f}" height="14" rx="2" {_paint(mark)}/>'


def _spans(shown: Shown, found: Sequence[Mark], left: float, top: float, decades: range) -> Iterator[str]:
    room, start = WHOLE - LABELS - SPAN_VALUES, left + LABELS
    step = room / (len(decades) - 1)
    for number, decade in enumerate(decades):
        x, bottom = start + number * step, top + len(found) * LINE
        yield f'<path d="M{x:.1f} {top:g}V{bottom:g}" stroke="{FAINT}"/>'
        yield _text(x, bottom + 13, _duration(decade), colour=GREY, size=10, anchor="middle")
    for number, mark in enumerate(found):
        y = top + number * LINE
        xs = [start + max(0, math.log10(max(value, 1e-9)) - decades[0]) * step for value in mark.values]
        yield from _labels(shown, mark, left, y, start + room + 16)
        yield f'<path d="M{xs[0]:.1f} {y + 9:g}H{xs[-1]:.1f}" stroke-width="3" stroke="{_colour(mark)}"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y + 9:g}" r="4.5" {_paint(mark)}/>' for x in (xs[0], xs[-1]))


def _labels(shown: Shown, mark: Mark, left: float, y: float, right_of: float) -> Iterator[str]:
    weight = "600" if mark.is_first else "400"
    yield _text(left + LABELS - 8, y + 13, "Salon" if mark.is_first else mark.system, weight=weight, anchor="end")
    yield _text(right_of, y + 13, cell(shown, mark), weight=weight, colour=INK if mark.is_first else GREY)


def _paint(mark: Mark) -> str:
    return f'fill="{_colour(mark)}"' + (' fill-opacity="0.5"' if mark.is_behind else "")


def _colour(mark: Mark) -> str:
    return SALON if mark.is_first else OTHERS


def _duration(decade: int) -> str:
    ms: float = 10.0**decade
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"


def _text(
    x: float, y: float, text: str, colour: str = INK, size: int = 12, weight: str = "400", anchor: str = "start"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'

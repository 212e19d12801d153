"""A straight line through measured points."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Line:
    """y = at_zero + slope × x; `r2` is how much of the differences it explains; `spread` how far slopes differ."""

    at_zero: float
    slope: float
    r2: float
    spread: float
    """The largest distance of the slope between two neighbouring points from the line's, as a share of it."""


def fit(points: Mapping[float, float]) -> Line:
    """Least squares of the relative errors: the largest sizes alone would decide otherwise. Needs two points, y > 0."""
    xs, ys = list(points), list(points.values())
    weights = [1 / y**2 for y in ys]
    mean_x, weighted_y, mean_y = fmean(xs, weights), fmean(ys, weights), fmean(ys)
    squares = sum(w * (x - mean_x) ** 2 for w, x in zip(weights, xs, strict=True))
    slope = sum(w * (x - mean_x) * (y - weighted_y) for w, x, y in zip(weights, xs, ys, strict=True)) / squares
    at_zero = weighted_y - slope * mean_x
    left = sum((y - at_zero - slope * x) ** 2 for x, y in points.items())
    total = sum((y - mean_y) ** 2 for y in ys)
    ordered = sorted(points.items())
    steps = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.pairwise(ordered)]
    return Line(at_zero, slope, 1 - left / total if total else 1, max(abs(each / slope - 1) for each in steps))


def points(figures: Mapping[str, float], prefix: str) -> dict[float, float]:
    """The figures of a sweep, by size."""
    return {float(name[len(prefix) :]): value for name, value in figures.items() if name.startswith(prefix)}

"""Curves over the epochs as a small picture for notebooks: SVG that needs nothing but the page it stands on.

It is read on white and on black: text and axes have the color of the text around them, the colors of the curves stand
out from both, and the second curve is dashed. Its size is bounded, however long the run was.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from .html_parts import escaped

WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 28, 36
"""The margins around the curves."""

COLORS = ("#0072b2", "#d55e00")
"""Blue and vermilion of Okabe and Ito (2008), which people of any color vision tell apart."""

MOST_LINES = 8
"""The most lines that are drawn of a curve: one for each model."""
N_PARTS = 120
"""The number of parts of a long line, of which each is drawn by its least and its greatest value."""

Point: TypeAlias = tuple[int, float]
"""The number of an epoch, from 1, and a value."""


class Curve(NamedTuple):
    """A quantity over the epochs.

    Attributes
    ----------
    name : str
        The name that the picture shows.
    lines : sequence of sequences of float
        The values after each epoch, of one model or of several; those that are not finite are gaps.
    """

    name: str
    lines: Sequence[Sequence[float]]


def svg_curves(curves: Sequence[Curve], marked: int | None = None) -> str:
    """Return a picture of curves over the epochs, an empty text where there is nothing to draw.

    Parameters
    ----------
    curves : sequence of Curve
        One curve or two, of the same unit. The scale is logarithmic where all values are positive and differ by more
        than a factor of ten.
    marked : int, optional
        The number of an epoch, from 1, that a vertical line marks.

    Returns
    -------
    str
        An element ``svg``.
    """
    drawn = [[_thinned(line) for line in curve.lines[:MOST_LINES]] for curve in curves]
    points = [point for lines in drawn for line in lines for point in line if point is not None]
    if not points:
        return ""
    scale = _Scale.of(points, max(len(line) for curve in curves for line in curve.lines[:MOST_LINES]))
    names = " and ".join(curve.name for curve in curves)
    parts = [*_axes(scale), *([] if marked is None else [_vertical(scale.x(marked))])]
    for number, (curve, lines) in enumerate(zip(curves, drawn, strict=True)):
        parts += _drawn_curve(curve, lines, scale, number)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'style="max-width: 100%; height: auto" font-family="sans-serif" font-size="11" fill="currentColor" '
        f'role="img" aria-label="{escaped(names)} over the epochs">{"".join(parts)}</svg>'
    )


def _thinned(line: Sequence[float]) -> list[Point | None]:
    """Return the points of a line, None for a gap; of each part of a long one the extremes, so that no peak is lost."""
    points = [(epoch, value) if math.isfinite(value) else None for epoch, value in enumerate(line, 1)]
    if len(points) <= 2 * N_PARTS:
        return points
    edges = [len(points) * i // N_PARTS for i in range(N_PARTS + 1)]
    kept: list[Point | None] = []
    for start, end in itertools.pairwise(edges):
        finite = [point for point in points[start:end] if point is not None]
        value = operator.itemgetter(1)
        kept += sorted({min(finite, key=value), max(finite, key=value)}) if finite else [None]
    return kept


class _Scale(NamedTuple):
    """The coordinates of epochs and of values."""

    n_epochs: int
    least: float
    greatest: float
    is_logarithmic: bool

    @classmethod
    def of(cls, points: Sequence[Point], n_epochs: int) -> _Scale:
        values = [value for _, value in points]
        least, greatest = min(values), max(values)
        return cls(n_epochs, least, greatest, least > 0.0 and greatest / least > 10.0)

    def x(self, epoch: int) -> float:
        share = (epoch - 1) / (self.n_epochs - 1) if self.n_epochs > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        # Halves, since the difference of two numbers may overflow.
        low, high, at = (self._along(number) / 2.0 for number in (self.least, self.greatest, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def middle(self) -> float:
        """Return the value halfway up."""
        middle = self._along(self.least) / 2.0 + self._along(self.greatest) / 2.0
        return math.exp(middle) if self.is_logarithmic else middle

    def _along(self, value: float) -> float:
        return math.log(value) if self.is_logarithmic else value

    def path(self, line: Sequence[Point | None]) -> str:
        """Return a line as the commands of a path; a point by itself is a line of no length, drawn as a dot."""
        written = []
        for has_points, run in itertools.groupby(line, key=lambda point: point is not None):
            if has_points:
                places = [f"{self.x(epoch):.1f} {self.y(value):.1f}" for epoch, value in filter(None, run)]
                written.append("M" + "L".join(places if len(places) > 1 else places * 2))
        return "".join(written)


def _axes(scale: _Scale) -> Iterator[str]:
    """Yield the frame, the least, the middle and the greatest value, and the numbers of the first and last epoch."""
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    yield f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="currentColor" opacity="0.6"/>'
    values = (scale.least, scale.middle(), scale.greatest) if scale.greatest > scale.least else (scale.least,)
    for value in values:
        y = scale.y(value)
        yield f'<path d="M{left} {y:.1f}H{right}" stroke="currentColor" opacity="0.2"/>'
        yield _text(left - 6, y + 4, f"{value:.3g}", "end")
    for epoch in sorted({1, scale.n_epochs}):
        yield _text(scale.x(epoch), bottom + 14, f"{epoch:,}", "middle")
    yield _text((left + right) / 2, HEIGHT - 6, "epoch" + ", logarithmic scale" * scale.is_logarithmic, "middle")


def _vertical(x: float) -> str:
    return f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="currentColor" stroke-dasharray="2 3" opacity="0.7"/>'


def _drawn_curve(curve: Curve, lines: Sequence[Sequence[Point | None]], scale: _Scale, number: int) -> Iterator[str]:
    """Yield the lines of a curve, and its entry in the legend above the frame."""
    style = f'fill="none" stroke="{COLORS[number]}" stroke-width="1.7" stroke-linecap="round"'
    style += ' stroke-dasharray="5 4"' * number
    for line in lines:
        yield f'<path d="{scale.path(line)}" {style}/>'
    x = LEFT + number * (WIDTH - LEFT - RIGHT) / 2
    models = f", {len(lines)} of {len(curve.lines)} models" if len(curve.lines) > len(lines) else ""
    yield f'<path d="M{x:.1f} 12h20" {style}/>'
    yield _text(x + 26, 16, curve.name + models, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}</text>'

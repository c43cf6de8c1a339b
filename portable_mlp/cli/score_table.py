"""Scores as text: the model beside the baseline, the scores of each class, the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..tables.errors import counted, shown
from ..tables.measures import MEASURES, score_text
from ..tables.scores import Scores
from .misuse import PROGRAM
from .terminal import echo

_WIDEST_HEADING = 14

MOST_CLASSES_SHOWN = 12
"""The most classes whose confusion matrix fits a terminal."""


def show_scores(scores: Scores, *, err: bool = False) -> None:
    """Print scores, and the warning of a model that is not better than the baseline on stderr."""
    for line in score_lines(scores):
        echo(line, err=err)
    show_warning(scores)


def show_warning(scores: Scores) -> None:
    """Print on stderr that the model is not better than the baseline, if it is not."""
    if scores.warning is not None:
        echo(f"{PROGRAM}: {scores.warning}", err=True)


def score_lines(scores: Scores) -> Iterator[str]:
    """Yield the lines of a table of scores."""
    names = [
        (MEASURES[name].words, with_spread(scores, name), score_text(scores.baseline[name])) for name in scores.model
    ]
    yield from aligned([(f"scores of {counted(scores.n_rows, 'row')}", "model", "baseline"), *names])
    yield f"{'baseline':<20}{scores.baseline_name}"
    if scores.n_unknown:
        yield f"{counted(scores.n_unknown, 'row')} of classes that the model does not know count as wrong"
    if scores.confusion is None:
        return
    classes = [shown(str(one.name)) if isinstance(one.name, str) else str(one.name) for one in scores.by_class]
    rows = [
        (name, str(one.n_rows), score_text(one.precision), score_text(one.recall), score_text(one.f1))
        for name, one in zip(classes, scores.by_class, strict=True)
    ]
    yield from aligned([("class", "rows", "precision", "recall", "F1"), *rows])
    if len(classes) <= MOST_CLASSES_SHOWN:
        counts = [(name, *map(str, row)) for name, row in zip(classes, scores.confusion.tolist(), strict=True)]
        yield from aligned([("true \\ predicted", *map(_shortened, classes)), *counts])


def _shortened(name: str) -> str:
    """Return the name of a class as the heading of a narrow column."""
    return name if len(name) <= _WIDEST_HEADING else f"{name[: _WIDEST_HEADING - 2]}.."


def with_spread(scores: Scores, name: str) -> str:
    """Return a score of the model as text, with its spread over folds if there is one."""
    spread = "" if scores.spread is None else f" ± {score_text(scores.spread[name], 2)}"
    return f"{score_text(scores.model[name])}{spread}"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join((f"{first:<{max(widths[0], 18)}}", *cells))

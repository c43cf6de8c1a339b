"""The picture of a search: the score of each trial over each of its parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tables.measures import MEASURES, score_text
from ..tables.search import TableSearch, TrialScores
from ..tables.search_space import LogUniform
from .pictures import BLUE, GREY, VERMILION, load_matplotlib, png
from .tune_table import parameter_text

COLUMNS_OF_PANELS = 4


def picture_of_trials(search: TableSearch, trials: Sequence[TrialScores]) -> bytes:
    """Return a PNG with a panel for each parameter: the scores of all trials, the best and the default named."""
    names = list(search.space.distributions)
    n_columns = min(COLUMNS_OF_PANELS, len(names))
    n_rows = math.ceil(len(names) / n_columns)
    figure = load_matplotlib()(figsize=(3.4 * n_columns, 3.0 * n_rows + 0.5), layout="constrained")
    panels = np.ravel(figure.subplots(n_rows, n_columns, sharey=True, squeeze=False))
    scored = [trial for trial in trials if not math.isnan(trial.mean(search.measure))]
    for axes, name in zip(panels, names, strict=False):
        _draw_panel(axes, name, search, scored)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[::n_columns]:
        axes.set_ylabel(MEASURES[search.measure].words)
    _limit(panels[0], [trial.mean(search.measure) for trial in scored], MEASURES[search.measure].sign)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return png(figure)


def _draw_panel(axes: Any, name: str, search: TableSearch, trials: Sequence[TrialScores]) -> None:
    values = [search.space.resolved(trial.parameters)[name] for trial in trials]
    scores = np.array([trial.mean(search.measure) for trial in trials])
    is_logarithmic = isinstance(search.space.distributions[name], LogUniform)
    x = _placed_by_size(axes, values) if is_logarithmic else _placed_by_kind(axes, values)
    best = trials.index(search.ranked(trials)[0])
    is_default = np.array([trial.number == 1 for trial in trials])
    axes.plot(x, scores, "o", color=BLUE, markersize=4, alpha=0.6, label="a trial")
    axes.plot(x[is_default], scores[is_default], "D", color="black", markersize=7, mfc="none", label="the default")
    axes.plot(x[best], scores[best], "*", color=VERMILION, markersize=14, label="the best")
    baseline = search.baseline.mean(search.measure)
    label = f"the baseline, {score_text(baseline)}"
    axes.axhline(baseline, color=GREY, linestyle="--", linewidth=1, label=label)
    axes.set_xlabel(name.replace("_", " "))
    axes.grid(alpha=0.3)


def _placed_by_size(axes: Any, values: Sequence[float]) -> np.ndarray:
    """Return numbers as they are, for an axis that is made logarithmic."""
    x = np.asarray(values, dtype=np.float64)
    low, high = float(x.min()) / 1.1, float(x.max()) * 1.1
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [tick for tick in _ticks(low, high) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    return x


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers of a logarithmic axis: powers of ten, and 2 and 5 times these where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high > 100 * low else (1, 2, 5)
    return [factor * 10.0**decade for decade in decades for factor in factors]


def _placed_by_kind(axes: Any, values: Sequence[Any]) -> np.ndarray:
    """Return places for values of a few kinds, named on the axis; equal values are spread a little."""
    kinds = sorted({_key(value): value for value in values}.items())
    places = {key: place for place, (key, _) in enumerate(kinds)}
    rotation = 30 if len(kinds) > 3 else 0
    axes.set_xticks(range(len(kinds)), [parameter_text(value) for _, value in kinds], rotation=rotation)
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    spread = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
    return np.array([places[_key(value)] for value in values]) + spread


def _key(value: Any) -> tuple[Any, ...]:
    """Return what values of one parameter are sorted by."""
    return (math.prod(value), *value) if isinstance(value, list) else (value,)


def _limit(axes: Any, scores: Sequence[float], sign: float) -> None:
    """Leave trials that are far worse than most out of the picture: they would flatten all others."""
    signed = [sign * score for score in scores]
    best = max(signed)
    worst = max(min(signed), best - 3 * (best - float(np.median(signed))))
    margin = 0.06 * max(best - worst, 1e-3)
    axes.set_ylim(*sorted((sign * (worst - margin), sign * (best + margin))))

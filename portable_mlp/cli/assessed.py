"""The options of ``train`` for scores and a report: ``--test``, ``--folds`` and ``--report``."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeAlias

import numpy as np
import typer

from ..tables.assessment import TrainingSplit
from ..tables.hold_out import stratified_splits
from .options import SCORES
from .output_files import check_writable
from .pictures import load_matplotlib

FOLDS_OF_A_REPORT = 5
"""The number of folds of a report without ``--test`` and ``--folds``."""

TestOption: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Fraction of the rows to score the model on, held out from training.", rich_help_panel=SCORES),
]
FoldsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="K",
        help="Score models of K folds by cross-validation; then train on all rows.",
        rich_help_panel=SCORES,
    ),
]
ReportOption: TypeAlias = Annotated[
    pathlib.Path | None,
    typer.Option(
        metavar="FILE.html",
        help=f"Page of scores, pictures and usage; by --test or --folds, else by {FOLDS_OF_A_REPORT} folds.",
        rich_help_panel=SCORES,
    ),
]


class AssessmentOptions(NamedTuple):
    """The options for scores and the report, as typed.

    Attributes
    ----------
    test : float or None
        The fraction of the rows to test on.
    folds : int or None
        The number of folds.
    report : path or None
        The page to write.
    """

    test: float | None = None
    folds: int | None = None
    report: pathlib.Path | None = None

    def check(self, sources: Sequence[str]) -> None:
        """Raise ValueError or ImportError unless the options go together, and the page can be written and drawn."""
        if self.test is not None and self.folds is not None:
            raise ValueError("--test and --folds are two ways to score a model: choose one")
        if self.test is not None and not 0.0 < self.test < 1.0:
            raise ValueError(f"--test is a fraction of the rows, between 0 and 1; got {self.test}")
        if self.report is not None:
            check_writable("--report", self.report, sources=sources, suffix=".html")
            load_matplotlib()

    @property
    def n_folds(self) -> int:
        """The number of folds, 0 for none."""
        if self.folds is None and self.test is None and self.report is not None:
            return FOLDS_OF_A_REPORT
        return self.folds or 0

    def splits(self, y: np.ndarray, *, classification: bool, seed: int) -> list[TrainingSplit]:
        """Return the rows to train on and the rows to score, for each model that is scored.

        Raises
        ------
        ValueError
            If there are too few rows.
        """
        n_folds = self.n_folds
        if n_folds > len(y):
            raise ValueError(f"--folds {n_folds} needs as many rows; the table has {len(y)}")
        fraction = 1.0 / n_folds if n_folds else self.test
        if not fraction:
            return []
        splits = stratified_splits(y, fraction, n_folds or 1, classification=classification, seed=seed)
        if not all(len(scored) for _, scored in splits):
            raise ValueError(f"too few of the {len(y)} rows can be held out{_hint(y) if classification else ''}")
        return splits


def _hint(y: np.ndarray) -> str:
    """Return why few rows of classes can be held out, and what may be meant."""
    quantity = "; --task regression takes whole numbers as a quantity" if y.dtype.kind in "iuf" else ""
    return f": every class keeps one to train on{quantity}"

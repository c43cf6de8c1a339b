"""The trainings of one command: of the model, and of the models of folds."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..backends import Backend
from ..kernels.options import check_choice
from ..storage.checkpoints import CheckpointFolder
from ..storage.models import check_savable
from ..tables.assessment import Assessment, TrainingSplit, assess, assess_test_part, hold_out_scores
from ..tables.columns import RawTable, Table
from ..tables.errors import counted
from ..tables.fitting import FittedTable, PreparedTable, asks_for_classes, counts, losses_of, prepare, prepare_source
from ..tables.model import TableModel
from ..tables.prepared_rows import without_test_part
from ..tables.raw import ReadingOptions
from ..tables.recipe import TableOptions, recipe
from ..tables.row_sources import RowSource
from ..tables.scores import Scores
from .assessed import AssessmentOptions
from .misuse import PROGRAM
from .terminal import echo


class Trained(NamedTuple):
    """A trained model.

    Attributes
    ----------
    prepared : PreparedTable
        The table, ready to be trained on.
    fitted : FittedTable
        The model, and the results of its training.
    seconds : float
        The time of this training.
    assess : callable or None
        Function that returns the scores, if they were asked for: a model is saved before it is scored.
    assessment : Assessment or None
        The scores, once `scored` has them.
    """

    prepared: PreparedTable
    fitted: FittedTable
    seconds: float
    assess: Callable[[], Assessment] | None = None
    assessment: Assessment | None = None

    def scored(self) -> Trained:
        """Return the same with the scores, if they were asked for."""
        return self if self.assess is None else self._replace(assessment=self.assess())

    def scores(self) -> Scores | None:
        """Return the scores of held-out rows; None if no rows were held out."""
        if self.assessment is not None:
            return self.assessment.scores
        return hold_out_scores(self.prepared, self.fitted.model)


class Trainer(NamedTuple):
    """The settings that all trainings of a command share.

    Attributes
    ----------
    chosen : TableOptions
        What was chosen of the model.
    reading : ReadingOptions
        How the table was read.
    task : str
        "auto", "classification" or "regression".
    backend : Backend
        The library and device.
    dtype : str
        Of parameters and rows.
    seed : int
        Of the splits, the first weights and the shuffles.
    checkpoint : path or None
        The folder for states; that of a fold is within it.
    saving : mapping from str to object
        Other options of `train` about states.
    is_saved : bool
        Whether the model will be written to a file.
    """

    chosen: TableOptions
    reading: ReadingOptions
    task: str
    backend: Backend
    dtype: str
    seed: int
    checkpoint: pathlib.Path | None
    saving: Mapping[str, Any]
    is_saved: bool

    def of_table(self, table: Table | RawTable, asked: AssessmentOptions) -> Trained:
        """Train on a table in memory; on parts of it, too, if ``asked``."""
        assert table.y is not None  # a table to train on has targets
        classification = asks_for_classes(table.y, self.task)
        every = self._replace(task="classification" if classification else "regression")
        splits = asked.splits(table.y, classification=classification, seed=self.seed)
        if not splits:
            return every._of_rows(table, self.checkpoint)
        if len(splits) == 1:
            done = every._of_rows(table.take(splits[0][0]), self.checkpoint)
            models = [done.fitted.model]
        else:
            models = every._of_folds(table, splits)
            echo("all rows", err=True)
            done = every._of_rows(table, self.checkpoint)
        return done._replace(assess=partial(assess, table, splits, models, classification=classification))

    def _of_folds(self, table: Table | RawTable, splits: Sequence[TrainingSplit]) -> list[TableModel]:
        """Return the model of each fold."""
        models = []
        for number, (kept, _) in enumerate(splits, start=1):
            echo(f"fold {number} of {len(splits)}", err=True)
            folder = None if self.checkpoint is None else self.checkpoint / f"fold-{number}"
            fitted = self._of_rows(table.take(kept), folder).fitted
            if fitted.was_interrupted:
                raise KeyboardInterrupt
            models.append(fitted.model)
        return models

    def checked(self, table: Table | RawTable) -> PreparedTable:
        """Return a table that is ready to be trained on; raise ValueError if its model cannot be trained, or saved."""
        prepared = self._prepared(table)
        self._check(prepared)
        return prepared

    def needs_all_rows(self, asked: AssessmentOptions) -> bool:
        """Return whether a model, or its scores, cannot be made of rows that are read batch by batch."""
        n_networks = recipe(1, 1, self.chosen).n_networks
        is_lbfgs = self.chosen.training.get("solver") == "lbfgs"
        is_weighted = self.chosen.training.get("class_weight") is not None
        return bool(asked.n_folds) or n_networks > 1 or is_lbfgs or is_weighted or counts(self.chosen.loss)

    def of_source(self, source: RowSource, asked: AssessmentOptions) -> Trained:
        """Train on a table that stays in its file; ``asked`` may hold a test part out, drawn from each group."""
        if asked.n_folds:
            raise ValueError(
                f"{source.path}: --folds, and --report without --test, are for tables that fit into memory, and this "
                "one is read batch by batch: --test 0.2 holds rows out, to score the model"
            )
        if self.chosen.training.get("solver") == "lbfgs":
            raise ValueError(
                f"{source.path}: --solver lbfgs takes all rows in every step, and the {source.n_rows} of this table "
                "are read batch by batch: choose adam or sgd"
            )
        if counts(self.chosen.loss):
            raise ValueError(f"{source.path}: --loss {self.chosen.loss} is for tables that fit into memory")
        if asked.test is None:
            return self._of_streamed(source, self.task)
        source, held_out, task = without_test_part(source, self.task, asked.test, self.seed)
        done = self._of_streamed(source, task)
        return done._replace(assess=partial(assess_test_part, done.fitted.model, held_out))

    def _of_streamed(self, source: RowSource, task: str) -> Trained:
        return self._fit(prepare_source(source, self.chosen, task=task, seed=self.seed), self.checkpoint)

    def _of_rows(self, table: Table | RawTable, folder: pathlib.Path | None) -> Trained:
        return self._fit(self._prepared(table), folder)

    def _prepared(self, table: Table | RawTable) -> PreparedTable:
        return prepare(table, self.chosen, task=self.task, seed=self.seed, reading=self.reading)

    def _fit(self, prepared: PreparedTable, folder: pathlib.Path | None) -> Trained:
        self._check(prepared)
        if self.saving["resume"] and folder is not None and not _has_states(folder):
            echo(f"{PROGRAM}: {folder} has no state: training starts from the beginning", err=True)
        start = time.perf_counter()
        fitted = prepared.fit(self.backend, self.dtype, self.seed, progress=True, checkpoint=folder, **self.saving)
        if folder is not None and fitted.was_interrupted:
            reached = "has what was reached; the same command with --resume goes on"
            written = reached if _has_states(folder) else "could not be written to"
            echo(f"{PROGRAM}: {self.checkpoint} {written}", err=True)
            raise KeyboardInterrupt
        return Trained(prepared, fitted, time.perf_counter() - start)

    def _check(self, prepared: PreparedTable) -> None:
        """Raise ValueError for a model that cannot be trained or saved."""
        loss = self.chosen.loss
        if loss is not None:
            check_choice("--loss", loss, losses_of(classification=prepared.preparation.classes is not None))
        asked = [f"--{name}" for name in ("patience", "monitor") if name in self.chosen.training]
        if asked and not prepared.n_held_out:
            hold_out, rows = prepared.recipe.hold_out, counted(prepared.n_rows, "row")
            need = f"{' and '.join(asked)} need{'s' if len(asked) == 1 else ''} rows to validate on"
            raise ValueError(f"{need}, and --validation {hold_out} leaves none of {rows}")
        if self.is_saved:
            check_savable(prepared.net, prepared.metadata(), prepared.recipe.n_networks)


def _has_states(folder: pathlib.Path) -> bool:
    """Return whether a folder has a state of a network, or the folder of one of several networks."""
    return any(CheckpointFolder(path).has_states() for path in (folder, *folder.glob("network-*")))

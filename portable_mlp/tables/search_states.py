"""The finished trials of a search on disk, from which the search resumes."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..storage.checkpoints import IDENTITIES, Checkpoint, CheckpointFolder, check_identity
from ..storage.json_values import canonical
from ..storage.model_errors import refusal
from .columns import RawTable, Table
from .search import TableSearch, TrialScores

__all__ = ["SearchStates", "identity_of_search"]


class SearchStates:
    """The trials that a search has finished, in a folder.

    Parameters
    ----------
    folder : CheckpointFolder or None
        The folder, entered; None keeps nothing.
    search : TableSearch
        The search whose trials these are.
    """

    def __init__(self, folder: CheckpointFolder | None, search: TableSearch) -> None:
        self._folder, self._search = folder, search
        self._measures = list(search.baseline.folds[0])
        self._identity = {} if folder is None else json.loads(canonical(identity_of_search(search)))

    def finished(self) -> list[TrialScores]:
        """Return the trials that are finished; none without a folder, or in an empty one.

        Raises
        ------
        ValueError
            If they are of another search; names what differs.
        ModelFileError
            If no state can be read, or the newest is not one of a search.
        """
        found = None if self._folder is None else self._folder.newest()
        if self._folder is None or found is None:
            return []
        # Table and options make the space.
        check_identity(self._folder.path, "search", found.facts, self._identity, derived=("space",))
        numbers, scores = found.facts.get("trials"), found.arrays.get("scores", np.empty(0))
        if (
            not isinstance(numbers, list)
            or not all(type(one) is int and one > 0 for one in numbers)
            or scores.shape != (len(numbers), len(self._search.splits), len(self._measures))
        ):
            raise refusal(self._folder.path, "the newest checkpoint in it lacks what a state of this search has")
        return [
            TrialScores(number, self._search.space.drawn(self._search.seed, number), self._named(of_folds))
            for number, of_folds in zip(numbers, scores.tolist(), strict=True)
        ]

    def write(self, trials: Sequence[TrialScores]) -> None:
        """Write the finished trials, in place of those before; where that fails, warn."""
        if self._folder is None:
            return
        scores = np.array([[[fold[name] for name in self._measures] for fold in trial.folds] for trial in trials])
        facts = {IDENTITIES["search"]: self._identity, "trials": [trial.number for trial in trials]}
        try:
            self._folder.write(len(trials), Checkpoint({"scores": scores}, facts))
        except OSError as error:
            warnings.warn(f"the finished trials were not written: {error}; the search goes on without", stacklevel=2)

    def _named(self, of_folds: list[list[float]]) -> list[dict[str, float]]:
        return [dict(zip(self._measures, scores, strict=True)) for scores in of_folds]


def identity_of_search(search: TableSearch) -> dict[str, Any]:
    """Return what distinguishes a search from others, for JSON: not the number of its trials, which may grow."""
    return {
        "table": _digest(search.table),
        "task": search.task,
        "folds": len(search.splits),
        "seed": search.seed,
        "dtype": search.dtype,
        "options": search.space.options._asdict(),
        "space": search.space.distributions,
    }


def _digest(table: Table | RawTable) -> str:
    """Return a digest of the cells of a table."""
    digest = hashlib.sha256()
    if isinstance(table, RawTable):
        for name in table.X:
            column = table.X.column(name)
            digest.update(repr((name, *column.reading)).encode("utf-8", "surrogatepass"))
            digest.update(_cells(column.values))
    else:
        digest.update(repr(table.feature_names).encode("utf-8", "surrogatepass"))
        digest.update(_cells(table.X))
    assert table.y is not None  # a table to train on has targets
    digest.update(_cells(table.y))
    return digest.hexdigest()


def _cells(values: np.ndarray) -> bytes:
    """Return cells as bytes: of texts what Python writes for them."""
    if values.dtype.kind in "OU":
        return repr(values.tolist()).encode("utf-8", "surrogatepass")
    return np.ascontiguousarray(values).tobytes()

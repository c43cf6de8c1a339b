"""A trained model of a table: rows in, predictions out, and one file for all of it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..backends import Backend, backend_of, dtype_name
from ..backends.ambient import predict
from ..kernels.network import Network
from ..kernels.parameters import Params
from ..storage.models import load_model, save_ensemble
from ..storage.paths import FilePath
from .baseline import Baseline
from .column_names import numbered_names
from .columns import Columns
from .preparation import Preparation, cast
from .stored_preparation import preparation_of

__all__ = ["TableModel"]

ROWS_AT_ONCE = 2**16
"""So many rows are on the device at a time."""


class TableModel(NamedTuple):
    """A network with the preparation of its rows, or several networks with one preparation.

    Attributes
    ----------
    preparation : Preparation
        How rows become inputs, and outputs become predictions.
    net : Network
        The network, or each of several.
    params : tuple of Layer
        Its parameters, on any library and device; of several networks with a leading axis, whose outputs are averaged.
    metadata : dict
        What its file has beside the networks, the preparation among it.
    """

    preparation: Preparation
    net: Network
    params: Params
    metadata: dict[str, Any]

    @property
    def n_networks(self) -> int:
        """Number of networks."""
        return self.params[0].W.shape[0] if self.params[0].W.ndim == 3 else 1

    @property
    def baseline(self) -> Baseline | None:
        """The baseline of the rows that it was trained on; None if its file has none."""
        preparation = self.preparation
        classification = preparation.classes is not None
        return Baseline.from_metadata(
            self.metadata.get("baseline"), preparation.n_outputs, classification=classification
        )

    def outputs(self, X: np.ndarray | Columns) -> np.ndarray:
        """Return what the networks say of raw rows, on the mean, (n_samples, n_outputs) in float64.

        They are probabilities, a column for each class, or quantities as they were scaled for training.
        """
        return self.outputs_of_inputs(self.preparation.inputs(X))

    def outputs_of_inputs(self, inputs: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the same of encoded rows (n_samples, n_inputs), at least one.

        Raises
        ------
        DataError
            If a number is too large for the dtype of the networks; names the row, by its number among ``rows``
            (n_samples,), counted from 0, if there are such.
        """
        numbers = range(len(inputs)) if rows is None else rows
        backend = backend_of(self.params[0].W)
        pieces = [
            backend.to_numpy(predict(self.net, self.params, backend.asarray(self._cast(inputs, numbers, start))))
            for start in range(0, len(inputs), ROWS_AT_ONCE)
        ]
        outputs = np.concatenate(pieces, axis=-2).astype(np.float64)
        return self.preparation.probabilities(outputs.mean(axis=0) if outputs.ndim == 3 else outputs)

    def _cast(self, inputs: np.ndarray, numbers: Sequence[int] | np.ndarray, start: int) -> np.ndarray:
        """Return some of the inputs in the dtype of the networks."""
        names = self.preparation.feature_names or numbered_names(inputs.shape[1])
        return cast(
            inputs[start : start + ROWS_AT_ONCE],
            dtype_name(self.params[0].W.dtype),
            lambda i, j: f"row {numbers[start + i] + 1}, column {names[j]!r}",
        )

    def predictions(self, X: np.ndarray | Columns) -> np.ndarray:
        """Return the class (n_samples,) of each raw row, or its quantities (n_samples, n_outputs)."""
        return self.preparation.predictions(self.outputs(X))

    def save(self, path: FilePath, **also: Any) -> None:
        """Write the model to a file, which is replaced in one step.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file.
        **also
            Further entries of the metadata.
        """
        save_ensemble(path, self.net, self.params, {**self.metadata, **also})

    @classmethod
    def load(cls, path: pathlib.Path, backend: str | Backend = "numpy") -> Self:
        """Return the model of a file, whatever wrote it.

        Raises
        ------
        ModelFileError
            If it is no sound model file, or its preparation does not fit its network.
        """
        net, params, metadata = load_model(path, backend=backend)
        return cls(preparation_of(path, net, metadata), net, params, metadata)

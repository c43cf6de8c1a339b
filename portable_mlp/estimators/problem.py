"""The problem that one call of ``fit`` solves: samples on their device, the network, and the objective."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.step import Objective
from ..training.batches import Data
from .inputs import dense


class FitSamples(NamedTuple):
    """Samples on a device, whose targets and weights are on the host as well.

    Attributes
    ----------
    data : Data
        Inputs and encoded targets on the device, in the dtype of the parameters; for several classes integer labels.
    Y : ndarray of shape (n_samples, n_outputs), or of labels (n_samples, 1)
        The encoded targets, on the host.
    weights : ndarray of shape (n_samples,) or None
        The weights of the samples, on the host; None where all are equal.
    """

    data: Data
    Y: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def on_device(
        cls, backend: Backend, net: Network, X: Array, Y: np.ndarray, weights: np.ndarray | None
    ) -> FitSamples:
        """Move targets and weights to the device of X, in its dtype; labels stay integers."""
        moved_weights = None if weights is None else backend.asarray(weights, dtype=X.dtype)
        if net.output == "softmax" and Y.shape[1] == 1:
            targets = backend.asarray(Y)
        elif Y.dtype == bool:  # indicators are moved as bytes, and become floats on the device
            targets = backend.xp.astype(backend.asarray(Y), X.dtype)
        else:
            targets = backend.asarray(Y, dtype=X.dtype)
        return cls(Data(X, targets, moved_weights), Y, weights)

    def part(self, backend: Backend, rows: np.ndarray) -> FitSamples:
        """Return the samples at some rows."""
        gather, on_device = backend.primitives_outside_steps.take, backend.asarray(rows)
        X, Y, weights, _ = self.data
        data = Data(
            gather(X, on_device, -2),
            gather(Y, on_device, -2),
            None if weights is None else gather(weights, on_device, 0),
        )
        return FitSamples(data, self.Y[rows], None if self.weights is None else self.weights[rows])

    def first(self, backend: Backend, n_samples: int = 8) -> bytes:
        """Return the number of samples, and the first of them, as bytes to compare with those of other ranks."""
        X = dense(self.data.X[:n_samples, :])
        return f"{len(self.Y)} ".encode() + backend.to_numpy(X).tobytes() + self.Y[:n_samples].tobytes()

    def check_weights(self, what: str) -> None:
        """Raise ValueError if the weights of a hold-out sum to zero, so that it has no mean."""
        if self.weights is not None and self.weights.sum() == 0:
            raise ValueError(
                f"Sample weights must contain at least one non-zero number. Those of {what} sum to zero, so that there "
                "is nothing to score: hold out more samples (validation_fraction), or give validation_data that count"
            )


class FitProblem(NamedTuple):
    """The backend, the objective and the samples of one fit.

    Attributes
    ----------
    backend : Backend
        The library and device of computation.
    objective : Objective
        The network and its loss.
    samples : FitSamples
        The samples to train on.
    hold_out : FitSamples or None
        The samples to validate on.
    """

    backend: Backend
    objective: Objective
    samples: FitSamples
    hold_out: FitSamples | None = None

    @property
    def net(self) -> Network:
        """The network."""
        return self.objective.net

    @property
    def data(self) -> Data:
        """The samples to train on, on the device."""
        return self.samples.data

    def split(self, fraction: float, rng: np.random.RandomState, *, stratify: bool) -> FitProblem:
        """Split off a fraction of the samples as a hold-out, drawn as scikit-learn draws them.

        Raises
        ------
        ValueError
            As ``train_test_split``, or if the hold-out would have fewer than two samples, or a total weight of 0.
        """
        trained, held_out = train_test_split(
            np.arange(self.data.n_samples),
            random_state=rng,
            test_size=fraction,
            stratify=self.samples.Y if stratify else None,
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        hold_out = self.samples.part(self.backend, held_out)
        hold_out.check_weights("the samples that early stopping holds out")
        return self._replace(samples=self.samples.part(self.backend, trained), hold_out=hold_out)

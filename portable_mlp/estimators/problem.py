"""What one call of ``fit`` works on: the checked data at home, the network, and what is minimised."""

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


class Held(NamedTuple):
    """Samples that training does not see.

    Attributes
    ----------
    data : Data
        At home.
    Y : ndarray of shape (n_samples, n_outputs), or of labels (n_samples, 1)
        The targets, on the host.
    weights : ndarray of shape (n_samples,) or None
        On the host.
    """

    data: Data
    Y: np.ndarray
    weights: np.ndarray | None


class Problem(NamedTuple):
    """One fit.

    Attributes
    ----------
    home : Backend
        Where it is computed.
    objective : Objective
        The network and its loss.
    data : Data
        Inputs and encoded targets at home, of the parameters' dtype; of several classes integer labels.
    Y : ndarray of shape (n_samples, n_outputs), or of labels (n_samples, 1)
        The encoded targets, on the host.
    weights : ndarray of shape (n_samples,) or None
        On the host.
    held : Held or None
        To validate on.
    """

    home: Backend
    objective: Objective
    data: Data
    Y: np.ndarray
    weights: np.ndarray | None
    held: Held | None = None

    @property
    def net(self) -> Network:
        """The network."""
        return self.objective.net


def data_at(home: Backend, net: Network, X: Array, Y: np.ndarray, weights: np.ndarray | None) -> Data:
    """Move targets and weights to where X is, in its dtype; labels stay integers."""
    moved_weights = None if weights is None else home.asarray(weights, dtype=X.dtype)
    if net.output == "softmax" and Y.shape[1] == 1:
        return Data(X, home.asarray(Y), moved_weights)
    # Indicators travel as bytes, and become floats there.
    at_home = home.xp.astype(home.asarray(Y), X.dtype) if Y.dtype == bool else home.asarray(Y, dtype=X.dtype)
    return Data(X, at_home, moved_weights)


def first_samples(problem: Problem, n_samples: int = 8) -> bytes:
    """Return how many samples there are, and some with their targets, to be compared with another process's."""
    X = dense(problem.data.X[:n_samples, :])
    count = f"{len(problem.Y)} ".encode()
    return count + problem.home.to_numpy(X).tobytes() + problem.Y[:n_samples].tobytes()


def split(problem: Problem, fraction: float, rng: np.random.RandomState, *, stratify: bool) -> Problem:
    """Hold out a fraction of the samples, drawn as scikit-learn draws them.

    Raises
    ------
    ValueError
        As ``train_test_split``, or if fewer than two samples would be held out, or none that counts.
    """
    trained, held = train_test_split(
        np.arange(problem.data.n_samples),
        random_state=rng,
        test_size=fraction,
        stratify=problem.Y if stratify else None,
    )
    if len(held) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    part = _rows(problem, held)
    check_counts("the samples that early stopping holds out", part.weights)
    return _rows(problem, trained)._replace(held=Held(part.data, part.Y, part.weights))


def check_counts(what: str, weights: np.ndarray | None) -> None:
    """Raise ValueError if samples to validate on have weights that sum to zero, so that they have no mean."""
    if weights is not None and weights.sum() == 0:
        raise ValueError(
            f"Sample weights must contain at least one non-zero number. Those of {what} sum to zero, so that there is "
            "nothing to score: hold out more samples (validation_fraction), or give validation_data that count"
        )


def _rows(problem: Problem, rows: np.ndarray) -> Problem:
    take, at_home = problem.home.primitives.take, problem.home.asarray(rows)
    X, Y, weights, _ = problem.data
    return problem._replace(
        data=Data(
            take(X, at_home, -2),
            take(Y, at_home, -2),
            None if weights is None else take(weights, at_home, 0),
        ),
        Y=problem.Y[rows],
        weights=None if problem.weights is None else problem.weights[rows],
    )

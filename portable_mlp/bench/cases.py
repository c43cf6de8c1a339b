"""The training steps that are timed: networks, batch sizes, and well-conditioned data for them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..kernels.network import Network
from ..kernels.parameters import Layer, Params
from ..training.initialization import init_params


class Case(NamedTuple):
    """One training step: ReLU, softmax, cross-entropy, no penalty.

    Attributes
    ----------
    name : str
        Name of the case in tables.
    sizes : tuple of int
        Numbers of inputs, of units of each hidden layer, and of classes.
    batch_size : int
        Number of samples of a step.
    solver : str
        "adam" with its usual constants, or "sgd" with Nesterov's momentum of 0.9.
    """

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    solver: str = "adam"

    @property
    def net(self) -> Network:
        """The network."""
        return Network(self.sizes)


CASES = (
    Case("digits", (64, 100, 10), 200),
    Case("mnist, small batch", (784, 128, 10), 32),
    Case("mnist", (784, 512, 10), 256),
    Case("wide", (784, 2048, 10), 4096),
    Case("big", (2048, 4096, 512), 2048),
)
"""Steps from a tenth of a millisecond to a third of a second, on two cores."""

QUICK = CASES[:3]

SWEEP = tuple(Case(f"batch {size}", (784, 128, 10), size) for size in (8, 32, 128, 512, 2048))
"""One network at growing batch sizes: where one library overtakes another."""

RATE = 1e-3
"""The learning rate of every candidate."""

N_BATCHES = 4
"""Number of different batches, which a run takes in turn."""


class CaseData(NamedTuple):
    """The numbers of a case, on the host in float64.

    Attributes
    ----------
    X : ndarray of shape (N_BATCHES * batch_size, n_inputs)
        Random inputs of all batches.
    y : ndarray of shape (N_BATCHES * batch_size,)
        Random labels of all batches.
    params : tuple of Layer
        Parameters with which every candidate starts.
    """

    X: np.ndarray
    y: np.ndarray
    params: Params


@functools.lru_cache(1)
def problem(case: Case) -> CaseData:
    """Return random data that neither saturate the softmax nor let training diverge: either would change the speed."""
    rng = np.random.default_rng(0)
    n_samples = N_BATCHES * case.batch_size
    X = rng.normal(size=(n_samples, case.sizes[0]))
    y = rng.integers(0, case.sizes[-1], n_samples)
    params = init_params(case.net, random_state=0)
    return CaseData(X, y, tuple(Layer(W, b) for W, b in params))

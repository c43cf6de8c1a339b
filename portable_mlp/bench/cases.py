"""The training steps that are timed: networks, batch sizes, and well-conditioned data for them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..kernels.network import Network
from ..kernels.parameters import Layer, Params
from ..training.initialization import init_params


class Case(NamedTuple):
    """One training step, without a penalty: a softmax with cross-entropy, or the identity with half the squared error.

    Attributes
    ----------
    name : str
        Name of the case in tables.
    sizes : tuple of int
        Numbers of inputs, of units of each hidden layer, and of classes or real outputs.
    batch_size : int
        Number of samples of a step.
    solver : str
        "adam" with its usual constants, or "sgd" with Nesterov's momentum of 0.9.
    activation : str
        "relu" or "tanh", of the hidden layers.
    output : str
        "softmax" or "identity", of the last layer.
    """

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    solver: str = "adam"
    activation: str = "relu"
    output: str = "softmax"

    @property
    def net(self) -> Network:
        """The network."""
        return Network(self.sizes, self.activation, self.output)


CASES = (
    Case("tiny", (4, 32, 16, 1), 200, activation="tanh", output="identity"),
    Case("digits", (64, 100, 10), 200),
    Case("mnist, small batch", (784, 128, 10), 32),
    Case("mnist", (784, 512, 10), 256),
    Case("wide", (784, 2048, 10), 4096),
    Case("big", (2048, 4096, 512), 2048),
)
"""Steps of 40 microseconds to a third of a second, on two cores; "tiny" is the example of SimpleChains.jl."""

QUICK = CASES[:4]

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
    y : ndarray of shape (N_BATCHES * batch_size,), int64, or of shape (N_BATCHES * batch_size, n_outputs)
        Random labels of all batches, or random targets.
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
    is_softmax = case.output == "softmax"
    y = rng.integers(0, case.sizes[-1], n_samples) if is_softmax else rng.normal(size=(n_samples, case.sizes[-1]))
    params = init_params(case.net, random_state=0)
    return CaseData(X, y, tuple(Layer(W, b) for W, b in params))

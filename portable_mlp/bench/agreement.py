"""The differences of each array library from NumPy in float64: of a gradient, and of weights after some training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..backends import Backend, backends, get_backend, has_dtype
from ..kernels.loss_and_grad import loss_and_grad
from ..kernels.network import Network
from ..kernels.parameters import pack
from ..training.initialization import init_params
from ..training.train import train

NET = Network((20, 16, 12, 5), activation="tanh")
N_SAMPLES, BATCH_SIZE, EPOCHS = 60, 16, 5
_SOLVERS = ("sgd", "adam")
LARGEST_DIFFERENCE = {"float64": 1e-10, "float32": 1e-4}
"""Rounding explains differences up to here, relative to the largest number of the gradient or of the weights."""


class Agreement(NamedTuple):
    """The differences of a library from NumPy in float64, on one device in one dtype.

    Attributes
    ----------
    backend, device, dtype : str
        Names of the library, its device and the dtype.
    gradient, training : float or None
        The largest difference of the loss and its gradient, and of the weights after training with SGD and with Adam,
        relative to the largest number there; None if they could not be computed.
    problem : str or None
        Reason why they could not be computed.
    """

    backend: str
    device: str
    dtype: str
    gradient: float | None = None
    training: float | None = None
    problem: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether rounding explains the differences."""
        differences = (self.gradient, self.training)
        return all(x is not None and x <= LARGEST_DIFFERENCE[self.dtype] for x in differences)


def agreements() -> Iterator[Agreement]:
    """Yield the differences of each usable library, on each of its devices, in float64 and float32."""
    gradient, weights = _computed(get_backend("numpy"), "float64")
    for info in backends():
        # The further devices of array-api-strict are made up, to trip what is written carelessly.
        for device in info.devices[:1] if info.name == "strict" else info.devices:
            for dtype in LARGEST_DIFFERENCE:
                if (info.name, dtype) == ("numpy", "float64"):
                    continue
                where = Agreement(info.name, device, dtype)
                try:
                    backend = get_backend(info.name, device)
                    if not has_dtype(backend, dtype):
                        continue
                    found = _computed(backend, dtype)
                except Exception as error:  # whatever a broken library raises is to be reported
                    yield where._replace(problem=f"{type(error).__name__}: {error}")
                else:
                    yield where._replace(
                        gradient=_relative_difference(found[0], gradient),
                        training=_relative_difference(found[1], weights),
                    )


def _computed(backend: Backend, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss with its gradient, and the weights after training with each solver."""
    rng = np.random.default_rng(0)
    X = backend.asarray(rng.normal(size=(N_SAMPLES, NET.sizes[0])), dtype=dtype)
    y = backend.asarray(rng.integers(0, NET.sizes[-1], N_SAMPLES))
    params = init_params(NET, random_state=0, backend=backend, dtype=dtype)
    # Operator by operator, JAX would compile a hundred programs.
    loss, grads = backend.compile(lambda params, X, y: loss_and_grad(NET, params, X, y, l2=0.01))(params, X, y)
    gradient = np.append(backend.to_numpy(pack(grads)), backend.to_numpy(loss))
    weights = [
        pack(train(NET, params, X, y, solver=solver, batch_size=BATCH_SIZE, epochs=EPOCHS, random_state=0).params)
        for solver in _SOLVERS
    ]
    return gradient, np.concatenate([backend.to_numpy(flat) for flat in weights])


def _relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))

"""The network of ``coefs_`` and ``intercepts_``, two lists of arrays that a user may edit or replace.

Every fit packs them into one flat vector and every prediction reads them, so that no second copy can become stale.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..backends import Backend, backend_of
from ..kernels.arrays import Array
from ..kernels.losses import LossOptions, checked_loss_options
from ..kernels.network import Network
from ..kernels.parameters import Layer, Params, pack_pieces
from ..kernels.primitives import Primitives
from ..kernels.propagation import ForwardPass, logits_of
from .inputs import Inputs, check_same_device, common_dtype, is_foreign, numpy_backend
from .losses import outputs_of
from .mlp_parameters import MLPParameters

AnswerTo: TypeAlias = Callable[[Array, Inputs], Any]
"""What a method returns for an array of the network and the checked inputs, made on the device of the network."""


class FittedNetwork(MLPParameters):
    """An estimator as a network with parameters, and what it computes for inputs."""

    @abstractmethod
    def _output_and_loss(self) -> tuple[str, str]:
        """Return the names of the network's output and of its loss."""

    def _network(self, sizes: tuple[int, ...]) -> Network:
        output, loss = self._output_and_loss()
        options = checked_loss_options(loss, self.loss_options or {})
        several = hasattr(self.activation, "__iter__") and not isinstance(self.activation, str)
        if several:
            names = tuple(self.activation)
            return Network(sizes, activation=names, output=output, loss=loss, loss_options=options)
        return _same_network(sizes, self.activation, output, loss, options)

    def _flat(self, net: Network, backend: Backend) -> Array:
        """Pack the current ``coefs_`` and ``intercepts_``, which the user may have edited."""
        layers = zip(self.coefs_, self.intercepts_, strict=True)
        shapes = [(tuple(np.shape(W)), tuple(np.shape(b))) for W, b in layers]
        expected = [((fan_in, fan_out), (fan_out,)) for fan_in, fan_out in itertools.pairwise(net.sizes)]
        if shapes != expected:
            raise ValueError(
                f"coefs_ and intercepts_ have the shapes {shapes}, but hidden_layer_sizes, X and y need {expected}: "
                "fit a clone of this estimator, or set warm_start=False"
            )
        return pack_pieces(backend.xp, self._layers_at(backend, common_dtype(self.coefs_)))

    def _layers_at(self, backend: Backend, dtype: Any) -> Params:
        def on_device(x: Array) -> Array:
            # This check takes a tenth of the time of a move, which would dominate the prediction of one row.
            as_needed = backend.name == "numpy" and type(x) is np.ndarray and x.dtype == dtype and x.flags.c_contiguous
            return x if as_needed else backend.asarray(x, dtype)

        layers = zip(self.coefs_, self.intercepts_, strict=True)
        return tuple(Layer(on_device(W), on_device(b)) for W, b in layers)

    def _fitted_network(self, backend: Backend, dtype: Any) -> tuple[Network, Params]:
        """Return the network of ``coefs_`` and ``intercepts_``, and its layers."""
        params = self._layers_at(backend, dtype)
        return self._network((params[0].W.shape[0], *(layer.b.shape[0] for layer in params))), params

    def _fitted_backend(self) -> Backend:
        """Return the library and device of the fitted model."""
        return backend_of(self.coefs_[0]) if is_foreign(self.coefs_[0]) else numpy_backend()

    def _check_device(self, X: Any, backend: Backend, method: str) -> None:
        """Raise ValueError if X is on another device than the model, unless ``backend`` or ``device`` is set."""
        if self.backend is None and self.device is None:
            check_same_device(self, X, backend, method)

    def _computed(self, X: Any, method: str, compute: ForwardPass, answer: AnswerTo) -> Any:
        """Return the answer to ``compute(ops, net, params, X)``, of the checked X."""
        if "coefs_" not in vars(self):
            check_is_fitted(self, "coefs_")  # raises; called only here, since it is slow where it does not
        backend = self._fitted_backend()
        self._check_device(X, backend, method)
        inputs = Inputs.to_predict(self, X, backend)
        backend = inputs.backend
        name = "float64" if "float64" in (common_dtype(self.coefs_), inputs.dtype) else "float32"
        dtype = np.dtype(name) if backend.name == "numpy" else backend.dtype(name)
        with computing(backend):
            net, params = self._fitted_network(backend, dtype)
            return answer(compute(backend.primitives_outside_steps, net, params, inputs.on_device(dtype)), inputs)

    def _answer_to_outputs(self, X: Any, method: str, answer: AnswerTo) -> Any:
        """Return the answer to the network's outputs (n_samples, n_outputs)."""

        def outputs(ops: Primitives, net: Network, params: Params, X: Array) -> Array:
            return ops.by_rows(lambda z: outputs_of(ops, self.out_activation_, z), logits_of(ops, net, params, X))

        return self._computed(X, method, outputs, answer)


@functools.lru_cache
def _same_network(
    sizes: tuple[int, ...], activation: str, output: str, loss: str, loss_options: LossOptions
) -> Network:
    return Network(sizes, activation=activation, output=output, loss=loss, loss_options=loss_options)


def computing(backend: Backend) -> contextlib.AbstractContextManager[Any]:
    """Return the context to compute in; on NumPy none, so that its warnings reach the user, as from scikit-learn."""
    return contextlib.nullcontext() if backend.name == "numpy" else backend.running()

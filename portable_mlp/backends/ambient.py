"""The kernels as users call them: settings of a library for the process or thread have no effect on their numbers.

An autocast of PyTorch or a matmul precision of JAX is meant for other code; here the dtype of the parameters alone
determines the precision. NumPy has no such setting, and its arrays go straight to the kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import array_api_compat
import numpy as np

from ..kernels import loss_and_grad as gradients
from ..kernels import propagation
from ..kernels.arguments import check_inputs
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.parameters import Params, pack
from ..kernels.primitives import portable
from ..kernels.propagation import output_of
from ..kernels.suggestions import suggesting
from . import backend_of
from ._numpy import NumpyBackend

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def undisturbed(kernel: Kernel) -> Kernel:
    """Return ``kernel(net, params, X, ...)``, which runs with the default settings of the library of X."""

    @functools.wraps(kernel)
    def door(net: Network, params: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        # The kernel itself refuses what is not an array.
        if isinstance(X, np.ndarray) or not array_api_compat.is_array_api_obj(X) or array_api_compat.is_dask_array(X):
            return kernel(net, params, X, *args, **kwargs)
        with backend_of(X).undisturbed(X.dtype):
            return kernel(net, params, X, *args, **kwargs)

    return cast(Kernel, door)


def _public(kernel: Kernel) -> Kernel:
    """Return the undisturbed kernel as a function of this module: a pickle names a function by where it is found."""
    door = suggesting(undisturbed(kernel))
    door.__module__ = __name__
    return cast(Kernel, door)


forward = _public(propagation.forward)
loss_and_grad = _public(gradients.loss_and_grad)


def flat_on_host(params: Params) -> np.ndarray:
    """Return the parameters of any library as one vector on the host, (n_parameters,) or (n_models, n_parameters)."""
    backend = backend_of(params[0].W)
    with backend.undisturbed():
        return backend.to_numpy(pack(params))


@_public
def predict(net: Network, params: Params, X: Array) -> Array:
    """Compute the output alone.

    Parameters
    ----------
    net : Network
        The network to evaluate.
    params : tuple of Layer
        Weights W (fan_in, fan_out) and biases b (fan_out,), as for `forward`.
    X : array of shape (n_samples, n_features) or (n_models, n_samples, n_features)
        Inputs, from the library and device of ``params``.

    Returns
    -------
    array of shape (n_samples, n_outputs), or (n_models, n_samples, n_outputs)
        Probabilities for softmax and logistic, else the predicted values.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> net = pm.Network((2, 1), output="identity")
    >>> pm.predict(net, (pm.Layer(np.asarray([[1.0], [2.0]]), np.asarray([0.5])),), np.asarray([[10.0, 100.0]]))
    array([[210.5]])
    """
    call = check_inputs(net, params, X)
    # Other libraries may be recording this, to differentiate it: nothing is overwritten there.
    is_numpy = isinstance(call.X, np.ndarray)
    ops = NumpyBackend.open().primitives_outside_steps if is_numpy else portable(call.xp)
    return output_of(ops, net, call.params, call.X)

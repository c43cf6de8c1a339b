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
from ..kernels.network import Network
from ..kernels.propagation import output_of
from ..kernels.suggestions import suggesting
from . import backend_of
from ._numpy import plain_primitives

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def undisturbed(kernel: Kernel) -> Kernel:
    """Return ``kernel(net, params, X, ...)``, which runs with the default settings of the library of X."""

    @functools.wraps(kernel)
    def door(net: Network, params: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        # The kernel itself refuses what is not an array.
        if type(X) is np.ndarray or not array_api_compat.is_array_api_obj(X) or array_api_compat.is_dask_array(X):
            return kernel(net, params, X, *args, **kwargs)
        with backend_of(X).undisturbed(X.dtype):
            return kernel(net, params, X, *args, **kwargs)

    return cast(Kernel, door)


@functools.wraps(propagation.predict)
def _predict(net: Network, params: Any, X: Any) -> Any:
    # Other libraries may be recording this, to differentiate it: nothing is overwritten there.
    if type(X) is not np.ndarray:
        return propagation.predict(net, params, X)
    call = check_inputs(net, params, X)
    return output_of(plain_primitives(), net, call.params, call.X)


def _public(kernel: Kernel) -> Kernel:
    """Return the undisturbed kernel as a function of this module: a pickle names a function by where it is found."""
    door = suggesting(undisturbed(kernel))
    door.__module__ = __name__
    return cast(Kernel, door)


forward = _public(propagation.forward)
predict = _public(_predict)
loss_and_grad = _public(gradients.loss_and_grad)

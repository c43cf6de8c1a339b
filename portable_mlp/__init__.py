"""Small multi-layer perceptrons, written once against the Python array API: NumPy, CuPy, PyTorch, JAX.

The public names, by purpose::

    tables           read_table, RawTable, Columns, TableClassifier, TableRegressor, TableEncoder
    scikit-learn     MLPClassifier, MLPRegressor
    many fits        fit_many, GridSearchCV, RandomizedSearchCV, cross_validate, cross_val_score
    networks         Network, Layer, Params, init_params, pack, unpack
    kernels          forward, predict, loss_and_grad, check_gradient, check_gradient_of, GradientCheck
    training         train, TrainResult, EpochEnd, NonFiniteError, parallel
    files            save_model, load_model, ModelFileError, export_onnx, export_onnx_training
    array libraries  get_backend, backends, Backend, BackendInfo, BackendUnavailable

``help(portable_mlp.train)`` describes one of them, ``portable-mlp --help`` the command line.

A fit goes through these modules, from the door to the matrix product::

    cli.train               the options of the command line, and what is printed
    tables.fitting          prepare, PreparedTable.fit: a table's hold-out, encoding and recipe; calls pm.train
    training.train          checks options and samples; gives the loop an order, rates and a record
    estimators.base         the same for MLPClassifier and MLPRegressor, with scikit-learn's rules (stochastic)
    training.run            Run: the one loop over epochs
    training.loop           Loop.epoch: the batches of an epoch
    backends.runner         Runner.take: one step, or many where the library can
    kernels.step            step: forward, loss, backward, penalty, update
    kernels.propagation     forward_pass, backward_pass
    kernels.primitives      matmul and the other functions that a backend may replace

`examples/from_scratch.py` has the whole of it in one loop. CONTRIBUTING.md says where to put what.

>>> import numpy as np, portable_mlp as pm
>>> X, y = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.asarray([0, 1, 1, 0])
>>> net = pm.Network((2, 8, 2), activation="tanh")
>>> result = pm.train(net, pm.init_params(net, random_state=0), X, y, learning_rate=0.05, epochs=200)
>>> result.history["loss"][-1] < 0.01
True
"""

from __future__ import annotations

from . import _starting  # noqa: F401 - the first import: the others take most of a command's first second

# isort: split
from typing import TYPE_CHECKING, Any

from .backends import Backend, BackendInfo, BackendUnavailable, backends, get_backend
from .backends.ambient import forward, loss_and_grad, predict
from .backends.deferred_interrupts import whole_imports
from .distributed.parallel import parallel
from .kernels.gradient_check import GradientCheck, check_gradient_of
from .kernels.network import Network
from .kernels.parameters import Layer, Params, pack, unpack
from .kernels.suggestions import did_you_mean
from .onnx.inference import export_onnx
from .onnx.training import export_onnx_training
from .storage.models import ModelFileError, load_model, save_model
from .tables.columns import Columns, RawTable
from .tables.reading import read_table
from .training.initialization import init_params
from .training.network_gradient_check import check_gradient
from .training.result import EpochEnd, NonFiniteError, TrainResult
from .training.train import train
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .estimators import (
        GridSearchCV,
        MLPClassifier,
        MLPRegressor,
        RandomizedSearchCV,
        TableClassifier,
        TableEncoder,
        TableRegressor,
        cross_val_score,
        cross_validate,
        fit_many,
    )


__all__ = [
    "Backend",
    "BackendInfo",
    "BackendUnavailable",
    "Columns",
    "EpochEnd",
    "GradientCheck",
    "GridSearchCV",
    "Layer",
    "MLPClassifier",
    "MLPRegressor",
    "ModelFileError",
    "Network",
    "NonFiniteError",
    "Params",
    "RandomizedSearchCV",
    "RawTable",
    "TableClassifier",
    "TableEncoder",
    "TableRegressor",
    "TrainResult",
    "backends",
    "check_gradient",
    "check_gradient_of",
    "cross_val_score",
    "cross_validate",
    "export_onnx",
    "export_onnx_training",
    "fit_many",
    "forward",
    "get_backend",
    "init_params",
    "load_model",
    "loss_and_grad",
    "pack",
    "parallel",
    "predict",
    "read_table",
    "save_model",
    "train",
    "unpack",
]


_ESTIMATORS = {
    *("MLPClassifier", "MLPRegressor", "TableClassifier", "TableEncoder", "TableRegressor"),
    *("GridSearchCV", "RandomizedSearchCV", "cross_val_score", "cross_validate", "fit_many"),
}


def __dir__() -> list[str]:
    """List the public names, the estimators among them, and what every module has; not what is only used here."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    """Load the estimators when they are first asked for: they need scikit-learn, which takes a second to import."""
    if name not in _ESTIMATORS:
        # Programs look for names such as __wrapped__, and expect no answer.
        near = "" if name.startswith("__") else did_you_mean(name, __all__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{near}")
    try:
        with whole_imports():
            from . import estimators
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sklearn", "scipy"):
            raise
        from .backends.extras import install

        raise ImportError(f"{name} needs scikit-learn: {install('sklearn')}") from error
    return getattr(estimators, name)

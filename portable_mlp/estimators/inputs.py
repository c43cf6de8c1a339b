"""The inputs of an estimator: checked once by scikit-learn's validation, then moved to the device of computation.

Arrays on the host (NumPy, lists, data frames, sparse matrices) go through scikit-learn's own validation. An array of
another library stays on its device: scikit-learn validates a stand-in of the same shape, and the values are checked on
the device. So the messages are scikit-learn's either way, whether ``array_api_dispatch`` is on or not.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..backends import BACKENDS, Backend, backend_of, dtype_name, get_backend, has_dtype, sparse_backend
from ..backends.unreadable import check_readable
from ..kernels.arrays import Array, device_of, namespace_of
from ..kernels.parameters import DTYPES
from ..tables.columns import Columns

FLOATS = (np.float64, np.float32)

_ZEROS_ALLOWED = dict.fromkeys(
    {"allow_all_zero_weights"} & inspect.signature(_check_sample_weight).parameters.keys(), True
)
"""Since 1.9 scikit-learn's check of weights refuses those that are all zero; ours does so itself."""


def is_foreign(x: Any) -> bool:
    """Return whether ``x`` is an array of a library other than NumPy, which may be on a device.

    Raises
    ------
    TypeError
        If its numbers cannot be read, as those of a sparse tensor.
    """
    # The first test is by far the most frequent case, and the fastest.
    if type(x) is np.ndarray or array_api_compat.is_numpy_array(x):
        return False
    check_readable(x)
    if not array_api_compat.is_array_api_obj(x):
        return False
    # These are on the host, or on many hosts: scikit-learn's own conversion accepts them.
    return not (array_api_compat.is_dask_array(x) or array_api_compat.is_pydata_sparse_array(x))


def is_sparse(x: Any) -> bool:
    """Return whether ``x`` is one of SciPy's sparse matrices or arrays."""
    return bool(sparse.issparse(x))


def on_host(x: Any) -> Any:
    """Return ``x`` as NumPy if it is a foreign array, else as it is."""
    return backend_of(x).to_numpy(x) if is_foreign(x) else x


_numpy_dtype_name = functools.cache(dtype_name)


def _dtype_name(dtype: Any) -> str:
    """Return the result of `dtype_name`, cached for NumPy's dtypes, whose names are slow to compute."""
    return _numpy_dtype_name(dtype) if isinstance(dtype, np.dtype) else dtype_name(dtype)


@functools.cache
def numpy_backend() -> Backend:
    """Return NumPy's backend, cached so that a prediction does not look it up."""
    return get_backend("numpy")


def backend_for(X: Any, name: str | None, device: Any) -> Backend:
    """Return the backend that computes a model of ``X``: that of X, unless a backend or a device is named."""
    backend = backend_of(X) if is_foreign(X) else numpy_backend()
    if device is not None or name not in (None, backend.name):
        backend = get_backend(backend.name if name is None else name, device)
    return backend


class Inputs(NamedTuple):
    """Inputs of an estimator, checked once.

    Attributes
    ----------
    given : array-like
        The inputs of the user; results are returned in the same library and on the same device.
    checked : ndarray, sparse matrix, or array of another library, of shape (n_samples, n_features)
        The inputs after validation.
    backend : Backend
        The library and device of computation.
    """

    given: Any
    checked: Any
    backend: Backend

    @classmethod
    def to_fit(
        cls, estimator: Any, X: Any, y: Any, backend: Backend, *, reset: bool, **check_params: Any
    ) -> tuple[Inputs, Any]:
        """Return the inputs and, on the host, the targets of a fit.

        Raises
        ------
        ValueError, TypeError
            As scikit-learn's ``validate_data``.
        """
        if _is_as_validated(estimator, X, reset=reset) and _are_plain_targets(y, len(X)):
            estimator.n_features_in_ = X.shape[1]
            return cls(X, X, backend), y
        y = on_host(y)
        _warn_of_mask("X", X)
        _warn_of_mask("y", y)
        looked_at, options = _to_look_at(X)
        options |= {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": FLOATS, **check_params}
        checked, y = validate_data(estimator, looked_at, y, reset=reset, **options)
        return cls._of(X, checked, backend), y

    @classmethod
    def to_predict(cls, estimator: Any, X: Any, backend: Backend) -> Inputs:
        """Return the inputs of a prediction.

        Raises
        ------
        ValueError, TypeError
            As scikit-learn's ``validate_data``.
        """
        if _is_as_validated(estimator, X):
            return cls(X, X, backend)
        _warn_of_mask("X", X)
        looked_at, options = _to_look_at(X)
        checked = validate_data(estimator, looked_at, accept_sparse=["csr", "csc"], reset=False, **options)
        return cls._of(X, checked, backend)

    @classmethod
    def _of(cls, X: Any, checked: Any, backend: Backend) -> Inputs:
        # Sparse matrices need another backend of NumPy.
        fitting = sparse_backend() if is_sparse(checked) and backend.name == "numpy" else backend
        return cls(X, X if is_foreign(X) else checked, fitting)

    @property
    def dtype(self) -> str:
        """The dtype of computation: that of the inputs if it is float32 or float64, else the library's widest."""
        return floating_dtype(self.backend, self.checked)

    def on_device(self, dtype: Any) -> Array:
        """Move them to the device; a sparse matrix stays sparse on NumPy, and becomes dense on the other libraries.

        Raises
        ------
        ValueError
            If a number is too large for float32, where the library has nothing wider.
        """
        backend, X = self.backend, self.checked
        if backend.name == "numpy" and (backend.takes_sparse or isinstance(X, np.ndarray)):
            # The memory order is kept, as in scikit-learn: a matrix product's last digit may depend on it.
            return (X.tocsr() if is_sparse(X) else X).astype(_dtype_name(dtype), copy=False)
        there = backend.asarray(dense(X), dtype=dtype)
        narrowed = _dtype_name(X.dtype) == "float64" and _dtype_name(there.dtype) == "float32"
        if narrowed and not (get_config()["assume_finite"] or bool(backend.xp.all(backend.xp.isfinite(there)))):
            raise ValueError(
                f"Input X contains infinity or a value too large for dtype('float32'), {backend.name}'s widest."
            )
        return there

    def answer(self, result: Array) -> Any:
        """Return a result in the library and on the device of the inputs as given, in NumPy for lists and the like."""
        backend = self.backend
        if not is_foreign(self.given):
            host = result if type(result) is np.ndarray else backend.to_numpy(result)
            return host if host.flags.writeable else host.copy()
        there = backend_of(self.given)
        return there.asarray(result if there.xp is backend.xp else backend.to_numpy(result))


def checked_weights(sample_weight: Any, X: Any, *, may_be_zero: bool = False) -> np.ndarray:
    """Return weights (n_samples,) on the host, floating.

    Raises
    ------
    ValueError
        As scikit-learn: for a wrong shape, NaN, or weights that are all zero where they may not be.
    """
    weights: np.ndarray = _check_sample_weight(on_host(sample_weight), np.empty((X.shape[0], 0)), **_ZEROS_ALLOWED)
    if not (may_be_zero or weights.any()):
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if (weights < 0).any():
        warnings.warn("some of sample_weight are negative: training climbs on those samples", stacklevel=2)
    return weights


def floating_dtype(backend: Backend, X: Any) -> str:
    """Return the dtype of computation: that of X if it is float32 or float64, else the library's widest."""
    wanted = _dtype_name(X.dtype)
    wanted = wanted if wanted in DTYPES else "float64"
    return wanted if backend.name == "numpy" or has_dtype(backend, wanted) else "float32"


def common_dtype(arrays: list[Array]) -> str:
    """Return "float32" where all arrays are, else "float64"."""
    names = {_dtype_name(x.dtype) for x in arrays}
    return "float32" if names == {"float32"} else "float64"


def dense(X: Any) -> Any:
    """Return a sparse matrix as a NumPy array, and any other array as it is."""
    return X.toarray() if is_sparse(X) else X


def check_same_device(estimator: Any, X: Any, backend: Backend, method: str) -> None:
    """Raise scikit-learn's ValueError if X is of another library or device than the fitted model."""
    if is_foreign(X):
        here = backend_of(X)
        if here.xp is backend.xp and (device_of(X) is None or here.device == backend.device):
            return
        difference = (
            f"Array namespaces used during fit ({backend.xp.__name__}) and {method} ({here.xp.__name__}) differ."
            if here.xp is not backend.xp
            else f"Devices used during fit ({backend.device}) and {method} ({here.device}) differ."
        )
    elif backend.name == "numpy":
        return
    else:
        kind = "sparse array" if is_sparse(X) else "NumPy array, or array-like,"
        difference = (
            f"Array namespace used during fit ({backend.xp.__name__}) is not compatible with the {kind} input passed "
            f"to {method}."
        )
    remedy = f" With backend={backend.name!r} arrays of any library are taken." if backend.name in BACKENDS else ""
    raise ValueError(
        f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device as "
        f"those passed to fit(). {difference}{remedy}"
    )


def _is_as_validated(estimator: Any, X: Any, *, reset: bool = False) -> bool:
    """Return whether scikit-learn's validation of inputs would find X valid, and return it as it is.

    That takes more than half of the time in which one row is predicted. False says nothing. With ``reset`` X may have
    another number of features than the estimator has learnt.
    """
    learnt = vars(estimator)
    named = "feature_names_in_" in learnt  # X lacks the names, of which scikit-learn warns
    return not named and _is_plain(X) and (reset or learnt.get("n_features_in_") == X.shape[1])


def _is_plain(X: Any) -> bool:
    """Return whether scikit-learn's validation returns X itself: a matrix of finite floats. False says nothing."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype in FLOATS and X.size > 0 and _is_finite(X)


def _are_plain_targets(y: Any, n_samples: int) -> bool:
    """Return whether scikit-learn's validation returns y itself: a vector of finite numbers. False says nothing."""
    if type(y) is not np.ndarray or y.shape != (n_samples,):
        return False
    return y.dtype.kind in "iu" or (y.dtype in FLOATS and _is_finite(y))


def _is_finite(x: np.ndarray) -> bool:
    """Return whether the sum of numbers is finite: then all of them are."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()))


def _to_look_at(X: Any) -> tuple[Any, dict[str, Any]]:
    """Return the stand-in for X that scikit-learn validates, and the options of its validation.

    Raises
    ------
    TypeError
        For columns of a table, of which scikit-learn would convert the names.
    """
    if isinstance(X, Columns):
        raise TypeError(
            "the columns of a table are not a matrix of numbers: TableClassifier and TableRegressor take them as they "
            "are, and TableEncoder makes a matrix of them"
        )
    if not is_foreign(X):
        return X, {}
    if not _passes_checks(X):
        return on_host(X), {}
    dtype = "float32" if dtype_name(X.dtype) == "float32" else "float64"
    # One number, repeated without taking memory.
    return np.broadcast_to(np.zeros((), dtype=dtype), tuple(X.shape)), {"ensure_all_finite": False}


def _passes_checks(X: Array) -> bool:
    """Return whether a foreign array passes scikit-learn's checks; reads one number from its device."""
    xp = namespace_of(X)
    if X.ndim != 2 or 0 in X.shape or not xp.isdtype(X.dtype, ("bool", "integral", "real floating")):
        return False
    if not xp.isdtype(X.dtype, "real floating") or get_config()["assume_finite"]:
        return True
    with backend_of(X).running():
        return bool(xp.all(xp.isfinite(X)))


def _warn_of_mask(name: str, x: Any) -> None:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        warnings.warn(f"{name} is a masked array: its mask is ignored, and masked values are used", stacklevel=2)

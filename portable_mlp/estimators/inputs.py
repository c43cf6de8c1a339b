"""The passport of an estimator's arrays: looked at once with scikit-learn's checks, then moved to where it computes.

Arrays of the host (NumPy, lists, data frames, sparse matrices) go through scikit-learn's own validation. An array of
another library stays where it is: scikit-learn then looks at a stand-in of the same shape, and the values are looked
at on the device. So the messages are scikit-learn's either way, whether ``array_api_dispatch`` is on or not.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

import array_api_compat
import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..backends import Backend, backend_of, dtype_name, get_backend, sparse_backend
from ..backends.unreadable import check_readable
from ..kernels.arrays import Array
from ..kernels.parameters import DTYPES

FLOATS = (np.float64, np.float32)

_ZEROS_ALLOWED = dict.fromkeys(
    {"allow_all_zero_weights"} & inspect.signature(_check_sample_weight).parameters.keys(), True
)
"""Since 1.9 scikit-learn's check of weights refuses those that are all zero; ours does so itself."""


def is_foreign(x: Any) -> bool:
    """Tell whether ``x`` is an array of another library than NumPy, one that may live on a device.

    Raises
    ------
    TypeError
        If its numbers cannot be read, as those of a sparse tensor.
    """
    # The first is the commonest by far, and the quickest to see.
    if type(x) is np.ndarray or array_api_compat.is_numpy_array(x):
        return False
    check_readable(x)
    if not array_api_compat.is_array_api_obj(x):
        return False
    # These are of the host, or of many hosts: scikit-learn's own conversion takes them.
    return not (array_api_compat.is_dask_array(x) or array_api_compat.is_pydata_sparse_array(x))


def is_sparse(x: Any) -> bool:
    """Tell whether ``x`` is one of SciPy's sparse matrices or arrays."""
    return bool(sparse.issparse(x))


def on_host(x: Any) -> Any:
    """Return ``x`` as NumPy if it is a foreign array, else as it is."""
    return backend_of(x).to_numpy(x) if is_foreign(x) else x


def home_of(X: Any, backend: str | None, device: Any) -> Backend:
    """Return where a model of ``X`` is to live: where X lives, unless a backend or a device is named."""
    home = backend_of(X) if is_foreign(X) else get_backend("numpy")
    if device is not None or backend not in (None, home.name):
        home = get_backend(home.name if backend is None else backend, device)
    return home_for(X, home)


_numpy_dtype_name = functools.cache(dtype_name)


def _dtype_name(dtype: Any) -> str:
    """Do as `dtype_name`, remembering NumPy's, which takes its time over a name."""
    return _numpy_dtype_name(dtype) if isinstance(dtype, np.dtype) else dtype_name(dtype)


@functools.cache
def numpy_home() -> Backend:
    """Return NumPy, which need not be looked up for every prediction."""
    return get_backend("numpy")


def home_for(X: Any, home: Backend) -> Backend:
    """Return a home in the form that takes X: NumPy's is another for a sparse matrix."""
    return sparse_backend() if is_sparse(X) and home.name == "numpy" else home


def checked_training_data(
    estimator: Any, X: Any, y: Any, *, reset: bool, **check_params: Any
) -> tuple[np.ndarray | Array, Any]:
    """Return X, floating on the host or the foreign array that it was, and y on the host.

    Raises
    ------
    ValueError, TypeError
        As scikit-learn's ``validate_data``.
    """
    y = on_host(y)
    _warn_of_mask("X", X)
    _warn_of_mask("y", y)
    looked_at, options = _to_look_at(X)
    options |= {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": FLOATS, **check_params}
    checked, y = validate_data(estimator, looked_at, y, reset=reset, **options)
    return X if is_foreign(X) else checked, y


def checked_inputs(estimator: Any, X: Any) -> np.ndarray | Array:
    """Return X to predict from, on the host or the foreign array that it was.

    Raises
    ------
    ValueError, TypeError
        As scikit-learn's ``validate_data``.
    """
    _warn_of_mask("X", X)
    looked_at, options = _to_look_at(X)
    checked = validate_data(estimator, looked_at, accept_sparse=["csr", "csc"], reset=False, **options)
    return X if is_foreign(X) else checked


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


def floating_dtype(home: Backend, X: Any) -> str:
    """Return the dtype that X is computed in: its own if that is float32 or float64, else the library's widest."""
    wanted = _dtype_name(X.dtype)
    if home.name == "numpy":
        return wanted if wanted in DTYPES else "float64"
    known = home.xp.__array_namespace_info__().dtypes(device=home.device)
    if wanted not in ("float32", "float64"):
        wanted = "float64"
    return wanted if wanted in known else "float32"


def common_dtype(arrays: list[Array]) -> str:
    """Return "float32" where all arrays are, else "float64"."""
    names = {_dtype_name(x.dtype) for x in arrays}
    return "float32" if names == {"float32"} else "float64"


def moved(home: Backend, X: Any, dtype: Any) -> Array:
    """Bring X to its home; a sparse matrix stays sparse on NumPy, and becomes dense on the other libraries."""
    if home.name == "numpy" and (home.takes_sparse or isinstance(X, np.ndarray)):
        # Columns stay columns, as in scikit-learn: a matrix product's last digit may depend on it.
        return (X.tocsr() if is_sparse(X) else X).astype(_dtype_name(dtype), copy=False)
    there = home.asarray(dense(X), dtype=dtype)
    if _dtype_name(X.dtype) == "float64" and _dtype_name(there.dtype) == "float32":
        _check_narrowed(home, there)
    return there


def _check_narrowed(home: Backend, X: Array) -> None:
    if not get_config()["assume_finite"] and not bool(home.xp.all(home.xp.isfinite(X))):
        raise ValueError(f"Input X contains infinity or a value too large for dtype('float32'), {home.name}'s widest.")


def dense(X: Any) -> Any:
    """Return a sparse matrix as a NumPy array, and any other array as it is."""
    return X.toarray() if is_sparse(X) else X


def check_same_home(estimator: Any, X: Any, home: Backend, method: str) -> None:
    """Raise scikit-learn's ValueError if X lives elsewhere than the fitted model."""
    if is_foreign(X):
        here = backend_of(X)
        if here.xp is home.xp and here.device == home.device:
            return
        difference = (
            f"Array namespaces used during fit ({home.xp.__name__}) and {method} ({here.xp.__name__}) differ."
            if here.xp is not home.xp
            else f"Devices used during fit ({home.device}) and {method} ({here.device}) differ."
        )
    elif home.name == "numpy":
        return
    else:
        kind = "sparse array" if is_sparse(X) else "NumPy array, or array-like,"
        difference = (
            f"Array namespace used during fit ({home.xp.__name__}) is not compatible with the {kind} input passed to "
            f"{method}."
        )
    raise ValueError(
        f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device as "
        f"those passed to fit(). {difference} With backend={home.name!r} arrays of any library are taken."
    )


def like(X: Any, result: Array, home: Backend) -> Any:
    """Return a result as X came: in X's library and on its device, NumPy for whatever else X was."""
    if not is_foreign(X):
        host = result if type(result) is np.ndarray else home.to_numpy(result)
        return host if host.flags.writeable else host.copy()
    there = backend_of(X)
    return there.asarray(result if there.xp is home.xp else home.to_numpy(result))


def _to_look_at(X: Any) -> tuple[Any, dict[str, Any]]:
    """Return what scikit-learn is to validate in place of X, and with which options."""
    if not is_foreign(X):
        return X, {}
    if not _is_sound(X):
        return on_host(X), {}
    dtype = "float32" if dtype_name(X.dtype) == "float32" else "float64"
    # One number, repeated without taking memory.
    return np.broadcast_to(np.zeros((), dtype=dtype), tuple(X.shape)), {"ensure_all_finite": False}


def _is_sound(X: Array) -> bool:
    """Tell whether a foreign array has nothing for scikit-learn to complain of; reads one number from its device."""
    xp = array_api_compat.array_namespace(X)
    if X.ndim != 2 or 0 in X.shape or not xp.isdtype(X.dtype, ("bool", "integral", "real floating")):
        return False
    if not xp.isdtype(X.dtype, "real floating") or get_config()["assume_finite"]:
        return True
    with backend_of(X).running():
        return bool(xp.all(xp.isfinite(X)))


def _warn_of_mask(name: str, x: Any) -> None:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        warnings.warn(f"{name} is a masked array: its mask is ignored, and masked values are used", stacklevel=2)

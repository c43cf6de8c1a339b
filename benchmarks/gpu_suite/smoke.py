"""Is each backend right on this GPU: ``python -m gpu_suite.smoke cuda`` trains small networks beside NumPy.

Each training stands alone, with its traceback: what fails first is what the rest stumbles over.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import portable_mlp as pm
from portable_mlp.kernels.activations import ACTIVATIONS

DIGITS = pm.Network((64, 100, 10))
N_SAMPLES = 1050

LIMITS = {"float64": 1e-8, "float32": 3e-3}
"""How far parameters and losses may be from NumPy's in float64, relative to the largest."""

LIMIT_OF_TENSOR_CORES = 0.2


class Attempt(NamedTuple):
    """A training on a backend.

    Attributes
    ----------
    backend, device : str, str or None
        Names for `pm.get_backend`.
    net : Network
        The network.
    dtype : str
        The dtype of the parameters.
    options : dict
        Options of `pm.train`.
    """

    backend: str
    device: str | None
    net: pm.Network
    dtype: str
    options: dict[str, Any]

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.backend}, {self.net}, {self.dtype} {said}".rstrip()


def attempts(device: str, *, short: bool = False) -> Iterator[Attempt]:
    """Yield the trainings: of each library the digits, then every formula on the first one."""
    on_gpu = device != "cpu"
    libraries = [("cupy", None), ("torch", "cuda"), ("jax", "gpu")] if on_gpu else [("torch", "cpu"), ("jax", "cpu")]
    first = libraries[0]
    if short:
        yield Attempt(*first, pm.Network((64, 5, 3)), "float32", {"l2": 0.01})
        return
    for library in libraries:
        yield Attempt(*library, DIGITS, "float32", {})
        yield Attempt(*library, DIGITS, "float64", {"l2": 0.01})
        for precision in ("tf32", "bfloat16") if on_gpu else ():
            yield Attempt(*library, DIGITS, "float32", {"precision": precision})
    for name in ACTIVATIONS:
        yield Attempt(*first, pm.Network((64, 30, 20, 3), name, "identity"), "float64", {})
    for output in ("logistic", "relu", "exp"):
        yield Attempt(*first, pm.Network((64, 30, 3), output=output), "float64", {"solver": "sgd"})
    for net in (pm.Network((64, 30, 150)), pm.Network((64, 10))):
        yield Attempt(*first, net, "float64", {})


def difference(attempt: Attempt) -> float:
    """Return how far the parameters and the losses are from NumPy's in float64.

    Raises
    ------
    ArithmeticError
        If that is more than rounding explains.
    """
    on_host = {name: value for name, value in attempt.options.items() if name != "precision"}
    found = _trained(attempt)
    expected = _trained(attempt._replace(backend="numpy", device=None, dtype="float64", options=on_host))
    error = max(
        float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))
        for ours, theirs in zip(found, expected, strict=True)
    )
    limit = LIMITS[attempt.dtype] if on_host == attempt.options else LIMIT_OF_TENSOR_CORES
    if not error < limit:
        raise ArithmeticError(f"{error:.1e} away from NumPy, more than {limit:.0e}")
    return error


def _trained(attempt: Attempt) -> list[np.ndarray]:
    backend = pm.get_backend(attempt.backend, attempt.device)
    X, y = _data(attempt.net)
    params = tuple(
        pm.Layer(*(backend.asarray(x, dtype=attempt.dtype) for x in layer)) for layer in pm.init_params(attempt.net)
    )
    there = backend.asarray(X, dtype=attempt.dtype)
    targets = backend.asarray(y, dtype=None if y.ndim == 1 else attempt.dtype)
    result = pm.train(attempt.net, params, there, targets, batch_size=100, epochs=4, **attempt.options)
    flat = backend.to_numpy(pm.pack(result.params))
    return [flat.astype("float64"), np.asarray(result.history["loss"])]


def _data(net: pm.Network) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(N_SAMPLES, 64)), rng.integers(0, 10, N_SAMPLES)
    some = X[:, : net.sizes[-1]]
    targets = {
        "softmax": labels % net.sizes[-1],
        "logistic": some > 0,
        "identity": some,
        "relu": np.abs(some),
        "exp": np.floor(2 * np.abs(some)),
    }
    return X, targets[net.output]


def report(chosen: Sequence[Attempt]) -> int:
    """Make the attempts, print how each went, and return how many failed."""
    start, failed = time.perf_counter(), []
    for attempt in chosen:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                said = f"{difference(attempt):.1e} away from NumPy"
            except Exception:
                failed.append(str(attempt))
                said = "FAILED\n" + traceback.format_exc(limit=-6)
        _print(f"[{time.perf_counter() - start:6.1f} s] {attempt}: {said}")
        for warning in {f"{w.category.__name__}: {str(w.message)[:300]}" for w in seen}:
            _print(f"      warned: {warning}")
    _print(f"{len(failed)} FAILED: {'; '.join(failed)}" if failed else "all right")
    return len(failed)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(min(report(list(attempts(sys.argv[1], short="--short" in sys.argv))), 1))

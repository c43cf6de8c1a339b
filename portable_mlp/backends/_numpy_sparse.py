"""NumPy with SciPy's sparse matrices as inputs: the first layer's products are sparse, everything else is NumPy."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as numpy_xp
import numpy as np

from ..kernels.primitives import Primitives
from ._numpy import NumpyBackend, numpy_primitives


class _SparseNamespace:
    """NumPy's functions, where ``take`` takes rows of a sparse matrix in CSR format too."""

    __name__ = numpy_xp.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy_xp, name)

    @staticmethod
    def take(x: Any, rows: Any, *, axis: int) -> Any:
        """Return some rows; of a sparse matrix, sparse."""
        return numpy_xp.take(x, rows, axis=axis) if isinstance(x, np.ndarray) else x[rows]


xp = _SparseNamespace()


class SparseNumpyBackend(NumpyBackend):
    """NumPy for a data set whose inputs are sparse; parameters and results are plain NumPy arrays."""

    takes_sparse = True

    @property
    def primitives(self) -> Primitives:
        """NumPy's, which take a sparse matrix too."""
        return numpy_primitives(takes_sparse=True)

    @classmethod
    def open(cls, device: Any = None) -> SparseNumpyBackend:
        """Return the backend; its only device is "cpu"."""
        return cls(xp, "cpu")

    def _owns(self, x: Any) -> bool:
        return isinstance(x, np.ndarray | np.generic)

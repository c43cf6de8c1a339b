"""NumPy with SciPy's sparse matrices as inputs: the first layer's products are sparse, everything else is NumPy."""

from __future__ import annotations

from ..kernels.primitives import Primitives
from ._numpy import NumpyBackend, numpy_primitives


class SparseNumpyBackend(NumpyBackend):
    """NumPy for a data set whose inputs are sparse; parameters and results are plain NumPy arrays."""

    takes_sparse = True

    @property
    def primitives(self) -> Primitives:
        """NumPy's, which take a sparse matrix too."""
        return numpy_primitives(takes_sparse=True)

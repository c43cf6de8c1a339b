"""Sums over GPUs by NCCL, through CuPy, without the host. Unverified: nobody has run it on a GPU yet."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import numpy as np

from ..kernels.arrays import Array
from .communicator import Communicator

UNIQUE_ID_BYTES = 128
"""The length of ``get_unique_id()``, a tuple of small integers (nccl.h)."""


class Gpus:
    """The GPUs of all processes, one for each, connected by NCCL.

    Parameters
    ----------
    cupy : module
        The imported module of CuPy.
    size, rank : int
        Number of processes, and of this process among them.
    name : tuple of int
        Identity of the communicator: ``get_unique_id()`` of rank 0.
    """

    def __init__(self, cupy: Any, size: int, rank: int, name: tuple[int, ...]) -> None:
        nccl = cupy.cuda.nccl
        self._cupy, self._sum = cupy, nccl.NCCL_SUM
        self._kinds = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}
        self._comm = nccl.NcclCommunicator(size, name, rank)

    def allreduce(self, x: Array) -> None:
        """Replace each number by its sum over all GPUs; it is queued on the stream, as a kernel is."""
        stream = self._cupy.cuda.get_current_stream()
        self._comm.allReduce(x.data.ptr, x.data.ptr, x.size, self._kinds[x.dtype.name], self._sum, stream.ptr)


def joined_gpus(comm: Communicator) -> Gpus | None:
    """Return the current GPUs of all processes, joined by NCCL; None where that is not possible.

    It is not where NCCL is missing on one of them, or where two processes share a GPU, which NCCL does not allow.
    """
    import cupy

    table = np.zeros((comm.size, 2), dtype=np.int64)
    place = f"{platform.node()} {cupy.cuda.Device().pci_bus_id}"
    digest = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big", signed=True)
    table[comm.rank] = cupy.cuda.nccl.available, digest
    comm.allreduce(table)
    if not table[:, 0].all() or len(np.unique(table[:, 1])) < comm.size:
        return None
    name = np.zeros(UNIQUE_ID_BYTES, dtype=np.int64)
    if comm.rank == 0:
        name[:] = cupy.cuda.nccl.get_unique_id()
    comm.allreduce(name)
    return Gpus(cupy, comm.size, comm.rank, tuple(name.tolist()))

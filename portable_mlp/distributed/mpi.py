"""The communicator over MPI, by the buffer methods of mpi4py: processes send numbers, and nothing is unpickled."""

from __future__ import annotations

import sys
import time
import traceback
from typing import Any

import array_api_compat
import numpy as np

from ..backends.extras import install
from ..kernels.arrays import Array
from .nccl import Gpus, joined_gpus
from .supervision.mpi_environment import n_started

SECONDS_FOR_OTHERS = 1.0
"""The time within which all processes must end with an error that they share."""


class Mpi:
    """A communicator over MPI.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        Communicator of the processes that train; by default of all that were started together.

    Raises
    ------
    ImportError
        If mpi4py, or an MPI library, is missing; names the command that installs them.
    ValueError
        If several processes were started, each of which finds itself alone.
    """

    def __init__(self, comm: Any = None) -> None:
        self._mpi = load_mpi()
        # Copies, whose messages meet no others: neither the user's own, nor those of the end those of training.
        self._comm = (self._mpi.COMM_WORLD if comm is None else comm).Dup()
        self._end = self._comm.Dup()
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        if comm is None:
            _check_joined(self.size)
        self._gpus: Gpus | None = None
        self._asked_for_gpus = False

    def allreduce(self, flat: np.ndarray) -> None:
        """Replace each number by its sum over all processes."""
        self._comm.Allreduce(self._mpi.IN_PLACE, flat)

    def exchange(self, flat: np.ndarray, partner: int) -> np.ndarray:
        """Send an array to a process, and return the one that it sends."""
        received = np.empty_like(flat)
        self._comm.Sendrecv(flat, dest=partner, recvbuf=received, source=partner)
        return received

    def takes(self, x: Array) -> bool:
        """Return whether ``x`` is on a GPU from which NCCL reaches those of all processes."""
        if not array_api_compat.is_cupy_array(x):
            return False
        if not self._asked_for_gpus:
            self._gpus, self._asked_for_gpus = joined_gpus(self), True
        return self._gpus is not None

    def allreduce_on_device(self, x: Array) -> None:
        """Replace each number by its sum over all processes, from GPU to GPU."""
        assert self._gpus is not None  # takes(x) was true
        self._gpus.allreduce(x)

    def ends(self, error: BaseException | None) -> None:
        """End the use of the communicator.

        Processes that all end with an error, such as one that follows from the data they share, each raise it. Where
        one is alone with its error, the others may wait for it for ever: the job is then aborted, with its traceback.
        """
        if error is not None and not self._all_come_to_the_end():
            trace = "".join(traceback.format_exception(error))
            # The stream that Python was started with: sys.stderr may be silent on this rank.
            stream = sys.__stderr__ or sys.stderr
            stream.write(f"portable_mlp: rank {self.rank} of {self.size} ends the job:\n{trace}")
            stream.flush()
            self._comm.Abort(1)
        self._end.Free()
        self._comm.Free()

    def _all_come_to_the_end(self) -> bool:
        request = self._end.Ibarrier()
        give_up = time.monotonic() + SECONDS_FOR_OTHERS
        while not request.Test():
            if time.monotonic() > give_up:
                return False
            time.sleep(0.01)
        return True


def _check_joined(size: int) -> None:
    """Raise ValueError where launcher and MPI library do not fit, and each process would train a model of its own."""
    if size == 1 and n_started() > 1:
        raise ValueError(
            f"{n_started()} processes were started together, but MPI joins none of them: the launcher belongs to "
            "another MPI library than mpi4py's (with srun another --mpi=... may do: srun --mpi=list; mpiexec of the "
            "same library always does)"
        )


def load_mpi() -> Any:
    """Return ``mpi4py.MPI``, which starts MPI where it has not been started.

    Raises
    ------
    ImportError
        If it cannot; names the command that installs what is missing.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(f"training over MPI needs mpi4py and an MPI library ({error}): {install('mpi')}") from None
    return MPI

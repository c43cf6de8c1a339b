"""`parallel`: the context in which several processes train one model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..kernels.options import check_choice, flag
from ..kernels.suggestions import suggesting
from .communicator import Communicator, Serial
from .group import Group, current_group, training_in
from .mpi import Mpi

ENGINES = ("mpi", "serial")


@contextlib.contextmanager
@suggesting
def parallel(
    engine: str = "mpi",
    *,
    comm: Any = None,
    reproducible: bool = False,
    samples: str = "all",
) -> Iterator[Group]:
    """Train data-parallel while the context lasts: every process makes the same calls, and computes its part.

    Inside, `train` and the estimators' ``fit`` and ``partial_fit`` cut each batch among the processes, add up the
    gradients, one message a step, and take the same step everywhere: afterwards every process holds the same model. It
    is the model of one process, up to the order of additions. Rank 0 alone validates, follows ``patience``, calls
    callbacks and writes checkpoints; the others receive its results.

    Parameters
    ----------
    engine : {"mpi", "serial"}
        "mpi" joins the processes that ``mpiexec`` or ``srun`` started (extra ``mpi``); "serial" is this one alone.
    comm : communicator, optional
        A communicator in place of the engine: one of mpi4py's, or any object with ``rank``, ``size`` and
        ``allreduce(flat)``, which replaces the numbers of a NumPy array (float32, float64 or int64) by their sums over
        all processes.
    reproducible : bool
        Whether to give the same bits on 1, 2, 4 or 8 processes: each batch is cut into 8 shards, whose gradients are
        added up in a fixed order. Bits are those of one BLAS build and kind of processor. Costs time where
        batches are small.
    samples : {"all", "own"}
        Whether every process is given all samples, of which it reads its part only, or samples of its own, which
        together are all. Estimators take "all".

    Yields
    ------
    Group
        Its ``rank`` is the number of this process, from 0, and its ``size`` the number of processes.

    Raises
    ------
    ValueError
        If an option is none of the above, or ``reproducible`` is not possible with so many processes.
    RuntimeError
        If there is such a context already.
    ImportError
        If mpi4py is missing.

    Notes
    -----
    All processes are given the same options, first parameters and validation data: what differs is a ValueError on
    each, which names it. Only what rank 0 alone uses may differ: callbacks, progress, the place of a folder, and
    generators of random numbers, of which rank 0's draws.

    An error that all processes raise, such as a mistake in data that they share, is raised on each. Over MPI an error
    of one of them, for which the others would wait for ever, is printed with its rank and ends the job.

    The solver "lbfgs" is for one process, and refused here.

    `fit_many`, the searches and cross-validation do not train jointly: each process fits a share of the models, each as
    one process fits it, and all have all results. These travel as pickles, which can run any program: the processes
    of a ``comm`` of your own must trust each other.

    Arrays of CuPy are added up by NCCL where every process has a GPU of its own (``srun --gpus-per-task=1``, or
    ``CUDA_VISIBLE_DEVICES``) and NCCL is installed; all others go by way of the host. Nobody has run it on a GPU yet.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> X, y = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.asarray([0, 1, 1, 0])
    >>> net = pm.Network((2, 8, 2), activation="tanh")
    >>> with pm.parallel("serial", reproducible=True) as group:
    ...     result = pm.train(net, pm.init_params(net), X, y, learning_rate=0.05, epochs=200)
    >>> group.rank, result.history["loss"][-1] < 0.01
    (0, True)
    """
    check_choice("engine", engine, ENGINES)
    check_choice("samples", samples, ("all", "own"))
    flag("reproducible", reproducible)
    if current_group() is not None:
        raise RuntimeError("parallel(...) is in effect already: a process trains in one group at a time")
    with _entered(engine, comm) as communicator:
        group = Group(communicator, reproducible=reproducible, has_all_samples=samples == "all")
        with training_in(group):
            yield group


@contextlib.contextmanager
def _entered(engine: str, comm: Any) -> Iterator[Communicator]:
    """Yield the communicator; end the one over MPI by its own rules."""
    over_mpi = engine == "mpi" if comm is None else hasattr(comm, "Allreduce")
    if not over_mpi:
        yield Serial() if comm is None else _checked_communicator(comm)
        return
    mpi = Mpi(comm)
    try:
        yield mpi
    except BaseException as error:
        mpi.ends(error)
        raise
    mpi.ends(None)


def _checked_communicator(comm: Any) -> Communicator:
    for member in ("rank", "size", "allreduce"):
        if not hasattr(comm, member):
            raise TypeError(
                f"comm must be one of mpi4py's, or have rank, size and allreduce(flat); {type(comm).__name__} has no "
                f"{member}"
            )
    communicator: Communicator = comm
    return communicator

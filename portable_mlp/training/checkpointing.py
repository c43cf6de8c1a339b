"""The state of a training run, from which it resumes to the bit, and the times at which it is written."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends import Backend, dtype_name
from ..distributed.group import Group, current_group, is_root, on_root
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.options import OrNone, Whole, flag
from ..storage.checkpoints import IDENTITIES, Checkpoint, CheckpointFolder, check_identity, from_bytes, to_bytes
from ..storage.model_errors import refusal
from ..storage.paths import FilePath
from .batches import blocks
from .stream import Samples, Stream

if TYPE_CHECKING:
    from .loop import Loop
    from .order import Order
    from .run import Rates, Record


class Position(NamedTuple):
    """The position of a training run.

    Attributes
    ----------
    epoch : int
        The number of epochs completed.
    batch : int
        The number of batches done of the following epoch.
    """

    epoch: int = 0
    batch: int = 0


class Checkpoints:
    """Writes the state of a run into a folder, and restores it.

    Parameters
    ----------
    folder : CheckpointFolder or None
        The folder, entered. In a group rank 0 alone has it, and broadcasts the state that it reads.
    identity : dict
        What distinguishes this run from others, for JSON: network, options, data.
    every : int or None
        Steps between two states within an epoch; None writes at the end of epochs alone.
    loop, record, rates, order
        The parts of the run that have a state.
    """

    def __init__(
        self,
        folder: CheckpointFolder | None,
        identity: dict[str, Any],
        every: int | None,
        *,
        loop: Loop,
        record: Record,
        rates: Rates,
        order: Order,
    ) -> None:
        self.every = every
        self._folder, self._identity = folder, identity
        self._loop, self._record, self._rates, self._order = loop, record, rates, order

    def resume(self) -> tuple[Position, str | None]:
        """Restore the newest state; return its position, and the reason why training had stopped, if it had.

        Raises
        ------
        ValueError
            If the folder's states are of another run; names what differs.
        ModelFileError
            If none of them is sound, or the newest lacks a part of a state.
        """
        group = current_group()
        found = self._newest() if group is None else _broadcast_newest(group, self._newest)
        if found is None:
            return Position(), None
        arrays, facts = found
        moments = [arrays[f"moment_{i}"] for i in range(len(self._loop.state))]
        self._loop.restore(arrays["parameters"], moments, arrays["total"], facts["n_steps"])
        self._rates.restore(arrays["schedule"].tolist())
        self._order.restore(arrays, facts["shuffle"])
        self._record.restore(arrays, within_epoch=facts["batch"] > 0)
        return Position(facts["epoch"], facts["batch"]), facts["stopped_because"]

    def due(self) -> bool:
        """Return whether a state within an epoch is due."""
        return self.every is not None and self._loop.n_steps % self.every == 0

    def save(self, position: Position, stopped_because: str | None) -> None:
        """Write the state; where that fails, warn and let training continue.

        A state that is not finite never replaces one that is: the end of the epoch reports where training diverged.
        """
        within_epoch = position.batch > 0
        if self._folder is None or not self._loop.is_finite(within_epoch=within_epoch):
            return
        arrays, key = self._state(within_epoch=within_epoch)
        facts = {
            IDENTITIES["training"]: self._identity,
            "epoch": position.epoch,
            "batch": position.batch,
            "n_steps": self._loop.n_steps,
            "n_moments": len(self._loop.state),
            "shuffle": key,
            "stopped_because": stopped_because,
        }
        try:
            self._folder.write(self._loop.n_steps, Checkpoint(arrays, facts))
        except OSError as error:
            warnings.warn(
                f"no checkpoint was written after step {self._loop.n_steps}: {error}; training goes on without it",
                stacklevel=2,
            )

    def _newest(self) -> Checkpoint | None:
        """Return the newest sound state, checked to be of this run."""
        assert self._folder is not None  # rank 0 has it
        found = self._folder.newest()
        if found is not None:
            check_identity(self._folder.path, "training", found.facts, self._identity)
            self._check_whole(self._folder, found)
        return found

    def _state(self, *, within_epoch: bool) -> tuple[dict[str, Any], int | None]:
        """Return the arrays of the current state, and the key of its shuffle."""
        to_numpy = self._loop.backend.to_numpy
        of_order, key = self._order.memory()
        arrays = {
            "parameters": to_numpy(self._loop.flat),
            **{f"moment_{i}": to_numpy(moment) for i, moment in enumerate(self._loop.state)},
            "total": to_numpy(self._loop.total),
            "schedule": self._rates.memory(),
            **self._record.memory(within_epoch=within_epoch),
            **of_order,
        }
        return arrays, key

    def _check_whole(self, folder: CheckpointFolder, found: Checkpoint) -> None:
        """Refuse a state that `save` cannot have written, though its checksum is right."""
        facts, arrays = found.facts, found.arrays
        counts = [facts.get(name) for name in ("epoch", "batch", "n_steps")]
        whole = (
            all(type(count) is int and count >= 0 for count in counts)
            and isinstance(facts.get("shuffle"), int | None)
            and isinstance(facts.get("stopped_because"), str | None)
        )
        expected, _ = self._state(within_epoch=bool(facts.get("batch")))
        if "best" in arrays:
            expected["best"] = expected["parameters"]
        for name, x in expected.items():
            shape = getattr(arrays.get(name), "shape", None)
            if name.startswith("history_"):
                whole &= shape is not None and shape[:1] == (facts.get("epoch"),)
            else:
                whole &= shape == (x.shape if hasattr(x, "shape") else (len(x),))
        if not whole:
            raise refusal(folder.path, "the newest checkpoint in it lacks what a state of this run has")


def checked_folder(
    checkpoint: FilePath | None, every: int | None, resume: bool, solver: str
) -> contextlib.AbstractContextManager[CheckpointFolder | None]:
    """Return the folder for checkpoints, not entered yet, or a context without one.

    Raises
    ------
    ValueError, TypeError
        If the options do not go together.
    """
    OrNone(Whole(1))("checkpoint_every", every)
    flag("resume", resume)
    if checkpoint is None:
        if resume or every is not None:
            raise ValueError("resume and checkpoint_every need a folder: checkpoint=...")
        return contextlib.nullcontext()
    if not isinstance(checkpoint, str | bytes | os.PathLike):
        raise TypeError(f"checkpoint must be the path of a folder, got {checkpoint!r}")
    if not os.fspath(checkpoint):
        raise ValueError("checkpoint is the name of a folder, got an empty one")
    if solver == "lbfgs":
        raise ValueError(
            'SciPy keeps the state of its search by "lbfgs" to itself: checkpoint is for the other solvers'
        )
    return CheckpointFolder(checkpoint)


@contextlib.contextmanager
def entered_on_root(
    folder: contextlib.AbstractContextManager[CheckpointFolder | None], checkpoint: FilePath | None, resume: bool
) -> Iterator[CheckpointFolder | None]:
    """Enter a folder on rank 0 alone; the others have None, and its errors.

    Raises
    ------
    ValueError
        If it holds states and ``resume`` is False.
    """
    with contextlib.ExitStack() as stack:
        entered = None

        def enter() -> None:
            nonlocal entered
            entered = stack.enter_context(folder)

        on_root(enter)
        if not resume and on_root(lambda: entered is not None and entered.has_states()):
            assert checkpoint is not None  # it has states
            raise ValueError(f"{os.fsdecode(checkpoint)} holds checkpoints already: resume, or give another folder")
        yield entered


def _broadcast_newest(group: Group, newest: Callable[[], Checkpoint | None]) -> Checkpoint | None:
    """Return the state that rank 0 reads."""
    found = None

    def read() -> bool:
        nonlocal found
        found = newest()
        return found is not None

    return from_bytes(group.broadcast(to_bytes(found) if found else None)) if group.on_root(read) else None


def used(**options: Any) -> dict[str, Any]:
    """Return the options that are neither None nor 0."""
    return {name: value for name, value in options.items() if value}


def identity_of(
    backend: Backend, net: Network, flat: Array, data: Samples, hold_out: Samples | None, **options: Any
) -> dict[str, Any]:
    """Return what distinguishes a run from others, for JSON: network, data and options."""
    return {
        # No constants where the loss has none: older states, written before there were constants, still match.
        "network": [list(net.sizes), list(net.activations), net.output, net.loss, *map(list, net.loss_options)],
        "parameters": [list(flat.shape), dtype_name(flat.dtype)],
        # In a group rank 0 compares: the others need not read all numbers.
        "data": fingerprint(backend, data) if is_root() else None,
        "validation": fingerprint(backend, hold_out) if hold_out is not None and is_root() else None,
        **options,
    }


def fingerprint(backend: Backend, data: Samples) -> str:
    """Return a digest of the samples' numbers and weights, the same for every library."""
    if isinstance(data, Stream):
        return data.digest
    digest = hashlib.sha256(str((tuple(data.X.shape), tuple(data.Y.shape))).encode("ascii"))
    for start, stop in blocks(data.n_samples, math.prod(data.X.shape) // data.n_samples):
        part = data.part(start, stop)
        for x in (part.X, part.Y, *(() if part.weights is None else (part.weights,))):
            # to_numpy does not accept SciPy's sparse matrices.
            host = x.toarray() if hasattr(x, "toarray") else backend.to_numpy(x)
            digest.update(host.astype("float64").tobytes())
    return digest.hexdigest()

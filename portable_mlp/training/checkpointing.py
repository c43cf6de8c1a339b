"""What a run must remember to go on as if nothing had happened, and when it is written down."""

from __future__ import annotations

import hashlib
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends import Backend, dtype_name
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..storage.checkpoints import Checkpoint, CheckpointFolder
from ..storage.model_errors import refusal
from .batches import Shuffle, blocks
from .monitor import Monitor
from .schedules import Schedule
from .stream import Samples, Stream

if TYPE_CHECKING:
    from .loop import Loop


class Position(NamedTuple):
    """How far a run is.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    batch : int
        Batches done of the epoch after them.
    """

    epoch: int = 0
    batch: int = 0


class Standing(NamedTuple):
    """Where a run stands.

    Attributes
    ----------
    position : Position
        How far it is.
    epoch_start : array of shape (n_parameters,), or (n_models, n_parameters), or None
        The flat parameters at the start of the epoch it is in; not asked for between epochs.
    stopped_because : str or None
        Why it stopped, if it has come to an end.
    """

    position: Position
    epoch_start: Array | None = None
    stopped_because: str | None = None


class Checkpoints:
    """Writes the state of a run into a folder, and brings it back.

    Parameters
    ----------
    folder : CheckpointFolder
        Entered.
    identity : dict
        What makes this run another than others, for JSON: network, options, data.
    every : int or None
        Steps between two states within an epoch; None writes at the end of epochs alone.
    loop, monitor, schedule, shuffle
        The parts of the run that have a state.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        identity: dict[str, Any],
        every: int | None,
        *,
        loop: Loop,
        monitor: Monitor,
        schedule: Schedule,
        shuffle: Shuffle | None,
    ) -> None:
        self.every = every
        self._folder, self._identity = folder, identity
        self._loop, self._monitor, self._schedule, self._shuffle = loop, monitor, schedule, shuffle

    def resume(self) -> Standing:
        """Bring back the newest state; return where it stands.

        Raises
        ------
        ValueError
            If the folder's states are of another run; says what differs.
        ModelFileError
            If none of them is sound, or the newest lacks what a state has.
        """
        found = self._folder.newest()
        if found is None:
            return Standing(Position())
        facts = found.facts
        self._check_same_run(facts.get("run"))
        self._check_whole(found)
        moments = [found.arrays[f"moment_{i}"] for i in range(len(self._loop.state))]
        self._loop.restore(found.arrays["parameters"], moments, found.arrays["total"], facts["n_steps"])
        self._monitor.restore(found.arrays)
        self._schedule.restore(found.arrays["schedule"].tolist())
        if self._shuffle is not None:
            self._shuffle.key = facts["shuffle"]
        start = found.arrays.get("epoch_start")
        if start is not None:
            start = self._loop.backend.asarray(start, dtype=start.dtype.name)
        return Standing(Position(facts["epoch"], facts["batch"]), start, facts["stopped_because"])

    def due(self) -> bool:
        """Tell whether it is time for a state within an epoch."""
        return self.every is not None and self._loop.n_steps % self.every == 0

    def save(self, standing: Standing) -> None:
        """Write the state; where that fails, warn and let training go on.

        A state that is not finite is not written over one that is: the end of the epoch will say where it went wrong.
        """
        if not self._loop.is_finite():
            return
        arrays = self._arrays()
        if standing.position.batch:
            arrays["epoch_start"] = self._loop.backend.to_numpy(standing.epoch_start)
        facts = {
            "run": self._identity,
            "epoch": standing.position.epoch,
            "batch": standing.position.batch,
            "n_steps": self._loop.n_steps,
            "n_moments": len(self._loop.state),
            "shuffle": None if self._shuffle is None else self._shuffle.key,
            "stopped_because": standing.stopped_because,
        }
        try:
            self._folder.write(self._loop.n_steps, Checkpoint(arrays, facts))
        except OSError as error:
            warnings.warn(
                f"no checkpoint was written after step {self._loop.n_steps}: {error}; training goes on without it",
                stacklevel=2,
            )

    def _arrays(self) -> dict[str, Any]:
        """Return what every state has, as it is now; within an epoch there is its start besides."""
        to_numpy = self._loop.backend.to_numpy
        return {
            "parameters": to_numpy(self._loop.flat),
            **{f"moment_{i}": to_numpy(moment) for i, moment in enumerate(self._loop.state)},
            "total": to_numpy(self._loop.total),
            "schedule": self._schedule.memory(),
            **self._monitor.memory(),
        }

    def _check_whole(self, found: Checkpoint) -> None:
        """Refuse a state that `save` cannot have written, though its checksum is right."""
        facts, arrays = found.facts, found.arrays
        counts = [facts.get(name) for name in ("epoch", "batch", "n_steps")]
        whole = (
            all(type(count) is int and count >= 0 for count in counts)
            and isinstance(facts.get("shuffle"), int | None)
            and isinstance(facts.get("stopped_because"), str | None)
        )
        expected = self._arrays()
        if facts.get("batch"):
            expected["epoch_start"] = expected["parameters"]
        if "best" in arrays:
            expected["best"] = expected["parameters"]
        for name, x in expected.items():
            shape = getattr(arrays.get(name), "shape", None)
            if name.startswith("history_"):
                whole &= shape is not None and shape[:1] == (facts.get("epoch"),)
            else:
                whole &= shape == (x.shape if hasattr(x, "shape") else (len(x),))
        if not whole:
            raise refusal(self._folder.path, "the newest checkpoint in it lacks what a state of this run has")

    def _check_same_run(self, saved: Any) -> None:
        saved = saved if isinstance(saved, dict) else {}
        names = sorted(saved.keys() | self._identity.keys())
        differing = [name for name in names if saved.get(name) != self._identity.get(name)]
        if differing:
            told = "; ".join(f"{name} was {saved.get(name)!r}, now {self._identity.get(name)!r}" for name in differing)
            raise ValueError(
                f"{self._folder.path} holds the checkpoints of another training: {told}. Give the same options and "
                "data, or another folder"
            )


def identity_of(
    backend: Backend, net: Network, flat: Array, data: Samples, held_out: Samples | None, **options: Any
) -> dict[str, Any]:
    """Return what makes a run another than others: network, data and options, for JSON."""
    return {
        "network": [list(net.sizes), list(net.activations), net.output, net.loss],
        "parameters": [list(flat.shape), dtype_name(flat.dtype)],
        "data": fingerprint(backend, data),
        "validation": None if held_out is None else fingerprint(backend, held_out),
        **options,
    }


def fingerprint(backend: Backend, data: Samples) -> str:
    """Return a digest of the samples' numbers, the same for every library."""
    if isinstance(data, Stream):
        return data.digest
    digest = hashlib.sha256(str((tuple(data.X.shape), tuple(data.Y.shape))).encode("ascii"))
    for start, stop in blocks(data.n_samples, math.prod(data.X.shape) // data.n_samples):
        part = data.part(start, stop)
        for x in (part.X, part.Y):
            digest.update(backend.to_numpy(x).astype("float64").tobytes())
    return digest.hexdigest()

"""Checkpoints: a folder with the last states of one training, each of them complete or not there.

A state is a file of tensors as `tensor_files` writes them: replaced in one step, verified to the last bit when read.
The newest sound one counts, so that no other file has to name it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pathlib
import re
import types
import warnings
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from .model_errors import Defect, ModelFileError, refusal
from .paths import FilePath
from .tensor_files import STORED, Tensor, open_tensor_file, write_tensor_file

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

CHECKPOINT_VERSION = 1
KEPT = 2
"""Number of states that are kept: should the newest be damaged, the one before it serves."""

IDENTITIES = {"training": "run", "search": "search"}
"""The kinds of run that have states, and for each the fact by which a state is told from those of another run."""

_DIGEST = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"step-([0-9]{12,})\.safetensors")
_LOCK = "lock"


class Checkpoint(NamedTuple):
    """One state.

    Attributes
    ----------
    arrays : dict
        By name: ndarray, float32 or float64; or a list of floats, which comes back as a float64 array.
    facts : dict
        JSON values by name.
    """

    arrays: dict[str, Any]
    facts: dict[str, Any]


class CheckpointFolder(contextlib.AbstractContextManager["CheckpointFolder"]):
    """The folder of one training, which nobody else can write into while the context lasts.

    Parameters
    ----------
    path : str, bytes or path
        Folder, created where it is missing.

    Raises
    ------
    ValueError
        On entering, if another training has the folder.
    OSError
        On entering, if it cannot be made or written to.
    """

    def __init__(self, path: FilePath) -> None:
        # Absolute: a callback may change the working directory.
        self.path = pathlib.Path(os.fsdecode(path)).absolute()
        self._lock: int | None = None
        self._unreadable: set[pathlib.Path] = set()

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.path)
        try:
            # Nobody else writes here: what is left of a write was left by a training that was killed.
            for left in self.path.glob(".portable-mlp-*.tmp"):
                with contextlib.suppress(OSError):
                    left.unlink()
        except BaseException:  # Ctrl-C: there will be no exit
            _unlock(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """Release the folder. The lock's file stays: another training that waits for it must find the same one."""
        if self._lock is not None:
            _unlock(self._lock)

    def write(self, n_steps: int, checkpoint: Checkpoint) -> None:
        """Write the state after so many steps, and remove those before it that are no longer kept.

        Raises
        ------
        OSError
            If it cannot be written; the states before it are what they were.
        TypeError
            If an array is neither float32 nor float64.
        """
        arrays = {name: np.asarray(x) for name, x in checkpoint.arrays.items()}
        for name, x in arrays.items():
            if x.dtype.name not in STORED:
                raise TypeError(f"a checkpoint holds numbers of float32 and float64, but {name} is of {x.dtype}")
        numbers = {name: np.asarray(x, dtype=STORED[x.dtype.name], order="C") for name, x in arrays.items()}
        description = {
            "checkpoint": CHECKPOINT_VERSION,
            "facts": checkpoint.facts,
            "tensors": [[name, x.dtype.name, list(x.shape)] for name, x in numbers.items()],
        }
        payload = np.concatenate([x.reshape(-1).view(np.uint8) for x in numbers.values()])
        path = self.path / _name(n_steps)
        write_tensor_file(path, description, _tensors(description), payload)
        self._unreadable.discard(path)
        self._remove_old(n_steps)

    def newest(self) -> Checkpoint | None:
        """Return the newest state that is sound, None where there is none at all; warn of those that are not.

        Raises
        ------
        ModelFileError
            If there are states, and none is sound.
        """
        problems = []
        for _, path in self._states():
            try:
                return _read(path)
            except (ModelFileError, OSError) as error:
                problems.append(error)
                self._unreadable.add(path)
                warnings.warn(f"a checkpoint is passed over: {error}", stacklevel=2)
        if problems:
            raise refusal(self.path, f"no checkpoint in it can be read; the newest: {problems[0]}")
        return None

    def has_states(self) -> bool:
        """Return whether there is a state, sound or not."""
        return bool(self._states())

    def versions(self) -> frozenset[tuple[str, int, int]]:
        """Return an identity of each state: one that is written anew has another, whatever its step."""
        found = set()
        for _, path in self._states():
            with contextlib.suppress(OSError):  # it is gone, or of no use
                status = path.stat()
                found.add((path.name, status.st_ino, status.st_mtime_ns))
        return frozenset(found)

    def _remove_old(self, n_steps: int) -> None:
        """Remove the states up to a step but for the newest, those that could not be read first.

        States of later steps stay: a run that went back behind them comes to them again. They are not counted, so
        that damaged ones do not push out what was written just now.
        """
        behind = [path for step, path in self._states() if step <= n_steps]
        kept = [path for path in behind if path not in self._unreadable][:KEPT]
        for path in behind:
            if path not in kept:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    warnings.warn(f"an old checkpoint cannot be removed: {error}", stacklevel=2)

    def _states(self) -> list[tuple[int, pathlib.Path]]:
        """Return the states' steps and files, the newest first; none where there is no folder."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = ((_NAME.fullmatch(path.name), path) for path in self.path.iterdir() if path.is_file())
            states = [(int(match[1]), path) for match, path in found if match]
            return sorted((state for state in states if state[1].name == _name(state[0])), reverse=True)
        return []


def check_identity(
    folder: pathlib.Path,
    kind: str,
    facts: Mapping[str, Any],
    identity: Mapping[str, Any],
    derived: Collection[str] = (),
) -> None:
    """Raise ValueError if the states of a folder are of another run; names what differs.

    Parameters
    ----------
    folder : path
        The folder, for the message.
    kind : str
        The kind of run, one of `IDENTITIES`.
    facts : mapping from str to object
        The facts of the state.
    identity : mapping from str to object
        The identity of the run that is to resume, JSON values by name.
    derived : collection of str
        The names of entries that follow from others: they are named only where no other entry differs.
    """
    kinds = [one for one, fact in IDENTITIES.items() if fact in facts]
    if kinds and kind not in kinds:
        raise ValueError(f"{folder} holds the checkpoints of a {kinds[0]}, not of a {kind}. Give another folder")
    found = facts.get(IDENTITIES[kind])
    saved = found if isinstance(found, dict) else {}
    names = sorted(saved.keys() | identity.keys())
    changes = {name: _changes(name, saved.get(name), identity.get(name)) for name in names}
    differing = [name for name in names if changes[name]]
    named = [name for name in differing if name not in derived] or differing
    if named:
        change = "; ".join(change for name in named for change in changes[name])
        raise ValueError(
            f"{folder} holds the checkpoints of another {kind}: {change}. Give the same options and data, or another "
            "folder"
        )


def _changes(name: str, was: Any, now: Any) -> list[str]:
    """Return the changes of an entry of an identity in words; of a dict those of its entries."""
    if was == now:
        return []
    if isinstance(was, dict) and isinstance(now, dict):
        keys = sorted(was.keys() | now.keys())
        return [change for key in keys for change in _changes(f"{name}.{key}", was.get(key), now.get(key))]
    if _is_digest(was) and _is_digest(now):
        return [f"{name} was different"]
    return [f"{name} was {_short(was)!r}, now {_short(now)!r}"]


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _short(value: Any) -> Any:
    """Return a digest shortened, anything else as it is."""
    return f"{value[:8]}..." if _is_digest(value) else value


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return a state as bytes, for another process of the same training."""
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.asarray(json.dumps(checkpoint.facts)), **checkpoint.arrays)
    return buffer.getvalue()


def from_bytes(payload: bytes) -> Checkpoint:
    """Return the state that `to_bytes` was given; nothing is unpickled."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as file:
        arrays = dict(file)
    return Checkpoint(arrays, json.loads(str(arrays.pop("facts"))))


def _name(n_steps: int) -> str:
    return f"step-{n_steps:012d}.safetensors"


def _locked(folder: pathlib.Path) -> int:
    """Return the open lock; the system releases it when the process ends, however it ends."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    if fcntl is None:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            warnings.warn(f"{folder} is on a disk without locks: see that one training at a time uses it", stacklevel=3)
            return lock
        os.close(lock)
        raise ValueError(
            f"{folder}: another training writes its checkpoints here; give each training a folder of its own"
        ) from None
    return lock


def _unlock(lock: int) -> None:
    # Closing alone would leave it to children that were forked meanwhile.
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _read(path: pathlib.Path) -> Checkpoint:
    with open_tensor_file(path) as file:
        described = file.described
        if described.get("checkpoint") != CHECKPOINT_VERSION or not isinstance(described.get("facts"), dict):
            raise Defect(f"not a checkpoint of format version {CHECKPOINT_VERSION}")
        tensors = _tensors(described)
        payload = file.numbers(described, tensors)
    arrays, start = {}, 0
    for tensor in tensors:
        stop = start + tensor.n_bytes
        numbers = payload[start:stop].view(STORED[tensor.dtype]).astype(tensor.dtype)
        arrays[tensor.name], start = numbers.reshape(tensor.shape), stop
    return Checkpoint(arrays, described["facts"])


def _tensors(described: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that a description lists.

    Raises
    ------
    Defect
        If it does not list tensors.
    """
    try:
        tensors = [Tensor(name, dtype, tuple(shape)) for name, dtype, shape in described["tensors"]]
    except (KeyError, TypeError, ValueError):
        raise Defect("its description lists no tensors") from None
    for tensor in tensors:
        sound = isinstance(tensor.name, str) and tensor.dtype in tuple(STORED)
        if not sound or not all(type(n) is int and n >= 0 for n in tensor.shape):
            raise Defect(f"its description lists the tensor {tensor!r}, which cannot be one")
    return tensors

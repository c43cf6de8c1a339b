"""Recordings of a step: made once for all training runs of a program, and bound to the memory of each.

A tape has the addresses of the arrays with which a step was recorded. A recording replaces each by the number of a
block of memory and a place in it. Blocks are the arrays of a run (parameters, moments, samples), and the tape's own,
for which a run gets memory in one piece.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels.activations import ACTIVATIONS, ELEMENTWISE_OUTPUTS
from ..kernels.arrays import Array
from ..kernels.batch import Batch
from ..kernels.losses import LOSSES
from ..kernels.parameters import n_parameters
from ..kernels.step import FUNCTIONS_KEPT, Carry, Program, step
from ..kernels.workspace import make_workspace
from ._compiled_steps import WIDTH
from ._numba_primitives import NumbaPrimitives
from ._tape import Tape, Untapeable, address

ALIGNMENT = 64
"""Bytes of a cache line, at which each of the tape's own arrays begins."""


class TapedSteps(NamedTuple):
    """A recorded step, bound to memory.

    Attributes
    ----------
    operations : ndarray of shape (n_operations, WIDTH), int64
        The operations, with the addresses of this memory.
    rows, scalars : ndarray of shape (batch_size,), int64, and of shape (n_scalars,)
        The inputs of a step: the row numbers of its batch, and the optimizer's numbers.
    loss, total : ndarray of shape (1,), and of shape ()
        The outputs: the loss of the batch, and the epoch's loss so far, which is also an input.
    memory : tuple of ndarray
        All other memory that the operations address, kept alive.
    """

    operations: np.ndarray
    rows: np.ndarray
    scalars: np.ndarray
    loss: np.ndarray
    total: np.ndarray
    memory: tuple[np.ndarray, ...]


class _Own(NamedTuple):
    """An array of the tape: its place in the memory of a run, its shape and dtype."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def within(self, memory: np.ndarray) -> np.ndarray:
        stop = self.start + self.dtype.itemsize * math.prod(self.shape)
        return memory[self.start : stop].view(self.dtype).reshape(self.shape)


class Recording:
    """The operations of a tape for any memory.

    Parameters
    ----------
    tape : Tape
    given : sequence of ndarray
        The arrays that each run brings, as they were at the recording.
    buffers : sequence of ndarray
        The arrays of the tape that are the inputs and outputs of a step, in the order of `TapedSteps`.
    """

    def __init__(self, tape: Tape, given: Sequence[np.ndarray], buffers: Sequence[np.ndarray]) -> None:
        self._given = [(x.dtype, x.shape[1:]) for x in given]
        blocks = [*given, *tape.constants]
        for memory in sorted([*tape.memory, *buffers], key=lambda x: (address(x), -x.nbytes)):
            if not any(_contains(block, memory) for block in blocks):
                blocks.append(memory)
        first = [address(block) for block in blocks]
        sizes = [-(-block.nbytes // ALIGNMENT) * ALIGNMENT for block in blocks[len(given) :]]
        self._starts = np.cumsum([0, *sizes])
        self._operations = np.zeros((len(tape.operations), WIDTH), dtype=np.int64)
        for row, operation in zip(self._operations, tape.operations, strict=True):
            row[: len(operation)] = operation
        self._places = np.asarray([WIDTH * row + place for row, place in tape.places])
        addresses = self._operations.reshape(-1)[self._places]
        self._blocks = np.asarray([_block_of(place, blocks) for place in addresses.tolist()])
        self._operations.reshape(-1)[self._places] -= np.asarray(first)[self._blocks]

        def own(x: np.ndarray) -> _Own:
            block = _block_of(address(x), blocks)
            return _Own(int(self._starts[block - len(given)]) + address(x) - first[block], x.shape, x.dtype)

        self._buffers = [own(x) for x in buffers]
        self._constants = np.zeros(int(self._starts[len(tape.constants)]), dtype=np.uint8)
        for x in tape.constants:
            own(x).within(self._constants)[...] = x

    def bound_to(self, given: Sequence[np.ndarray]) -> TapedSteps | None:
        """Return the step for the arrays of a run; None where their memory is not as that of the recording."""
        for x, (dtype, shape) in zip(given, self._given, strict=True):
            if x.dtype != dtype or x.shape[1:] != shape or not x.flags.c_contiguous:
                return None
        memory = np.empty(int(self._starts[-1]) + ALIGNMENT, dtype=np.uint8)
        memory = memory[-address(memory) % ALIGNMENT :]
        memory[: self._constants.size] = self._constants
        first = np.concatenate([[address(x) for x in given], address(memory) + self._starts])
        operations = self._operations.copy()
        operations.reshape(-1)[self._places] += first[self._blocks]
        rows, scalars, loss, total = (own.within(memory) for own in self._buffers)
        return TapedSteps(operations, rows, scalars, loss, total, (memory, *given))


class TapingPrimitives(NumbaPrimitives):
    """NumPy's primitives, recorded on a tape.

    Parameters
    ----------
    tape : Tape
        Tape to which they are appended.
    """

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Return the samples ``rows``, in ``out``."""
        return self._tape.take(x, rows, out)

    def _run(self, loop: Any, *arguments: Any) -> None:
        self._tape.loop(loop, *arguments)

    def _scalar(self, x: float | Array, dtype: Any) -> Any:
        return self._tape.scalar(x)


def recording_of(program: Program, size: int, carry: Carry, data: Batch, *, gathers: bool) -> Recording:
    """Return the recording of a program's step for batches of a size, for such parameters and samples.

    Without ``gathers`` a batch is all samples, in their own order.

    Raises
    ------
    Untapeable
        If it is a step that tapes cannot represent; any other error of the step itself is raised, too.
    """
    flat = carry.parameters
    if flat.ndim != 1 or flat.dtype not in (np.float32, np.float64) or data.X.dtype != flat.dtype:
        raise Untapeable("several models, or numbers of another kind")
    columns = data.Y.shape[1:], data.Y.dtype
    formulas, alike = _formulas(program), data.weights is None
    record = _recorded if all(map(_is_of_this_library, formulas)) else _recorded.__wrapped__
    return record(program, formulas, size, gathers, flat.dtype, len(carry.state), columns, alike)


def _formulas(program: Program) -> tuple[Callable[..., Any], ...]:
    """Return what the names of a program mean now: users may give them another meaning."""
    net = program.net
    entries = [ACTIVATIONS[name] for name in net.activations]
    if net.output in ELEMENTWISE_OUTPUTS:
        entries.append(ELEMENTWISE_OUTPUTS[net.output])
    return (
        *(formula for entry in entries for formula in (entry.value, entry.backward)),
        LOSSES[str(net.loss)].formula,
        program.optimizer.formula,
    )


def _is_of_this_library(formula: Callable[..., Any]) -> bool:
    """Return whether a formula reads nothing but its arguments; one of a user's is recorded anew in each run."""
    return str(getattr(formula, "__module__", "")).startswith(f"{__package__.partition('.')[0]}.")


@functools.lru_cache(FUNCTIONS_KEPT)
def _recorded(
    program: Program,
    formulas: tuple[Any, ...],
    size: int,
    gathers: bool,
    dtype: np.dtype[Any],
    n_moments: int,
    targets: tuple[tuple[int, ...], np.dtype[Any]],
    alike: bool,
) -> Recording:
    net = program.net
    flat, *moments = (np.empty(n_parameters(net.sizes), dtype) for _ in range(1 + n_moments))
    X, Y = np.empty((size, net.sizes[0]), dtype), np.empty((size, *targets[0]), targets[1])
    weights = None if alike else np.empty(size, dtype)
    n_scalars = len(program.scalars(1, 1.0))
    rows, numbers = np.empty(size if gathers else 0, np.int64), np.empty(n_scalars, dtype)
    loss, total = np.empty(1, dtype), np.empty((), dtype)
    tape = Tape(dtype)
    before = Carry(tape.of(flat), tuple(map(tape.of, moments)), tape.of(total))
    taped_numbers: Any = tuple(map(tape.of, np.split(numbers, n_scalars)))
    workspace = make_workspace(np, net, flat, size, gathers=gathers)
    after, taped_loss = step(
        TapingPrimitives(tape),
        program,
        before,
        _taped(tape, Batch(X, Y, weights)),
        tape.of(rows) if gathers else None,
        taped_numbers,
        _taped(tape, workspace),
    )
    if after.parameters is not before.parameters or any(
        a is not b for a, b in zip(after.state, before.state, strict=True)
    ):
        raise Untapeable("a step that does not write into the parameters")
    tape.copy(taped_loss, tape.of(loss))
    tape.copy(after.total, before.total)
    given = [flat, *moments, X, Y, *([] if weights is None else [weights])]
    return Recording(tape, given, [rows, numbers, loss, total])


def _taped(tape: Tape, x: Any) -> Any:
    """Return an array, or the arrays of a tuple, as taped ones; None stays None."""
    if isinstance(x, np.ndarray):
        return tape.of(x)
    if isinstance(x, tuple):
        taped = [_taped(tape, y) for y in x]
        return type(x)(*taped) if hasattr(x, "_fields") else tuple(taped)
    return x


def _contains(block: np.ndarray, memory: np.ndarray) -> bool:
    return address(block) <= address(memory) and address(memory) + memory.nbytes <= address(block) + block.nbytes


def _block_of(place: int, blocks: Sequence[np.ndarray]) -> int:
    """Return the number of the block that an address is in; of an array without numbers it may be the end."""
    distances = [place - address(block) for block in blocks]
    inside = (i for i, distance in enumerate(distances) if 0 <= distance < blocks[i].nbytes)
    ends = (i for i, distance in enumerate(distances) if distance == blocks[i].nbytes)
    return next(itertools.chain(inside, ends))

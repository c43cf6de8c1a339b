"""Recordings of a step: made once for all training runs of a program, and bound to the memory of each.

A tape has the addresses of the arrays with which a step was recorded. A recording replaces each by the number of a
block of memory and a place in it. Blocks are the arrays of a run (parameters, moments, samples), and the tape's own,
for which a run gets memory in one piece.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..kernels.activations import ACTIVATIONS, ELEMENTWISE_OUTPUTS
from ..kernels.arrays import Array
from ..kernels.batch import Batch, Span
from ..kernels.losses import LOSSES
from ..kernels.parameters import n_parameters
from ..kernels.step import FUNCTIONS_KEPT, Carry, Program, step
from ..kernels.workspace import make_workspace
from ._numba_primitives import NumbaPrimitives
from ._tape import BatchRows, Tape, Untapeable, address
from ._tape_codes import WIDTH

ALIGNMENT = 64
"""Bytes of a cache line, at which each of the tape's own arrays begins."""


class BatchKind(NamedTuple):
    """What distinguishes the batches of a run for a recording.

    Attributes
    ----------
    size : int
        The number of samples.
    gathers : bool
        Whether they are gathered; otherwise a batch is all samples, in their own order.
    masked : bool
        Whether there are dropout masks.
    """

    size: int
    gathers: bool
    masked: bool


class StepNumbers(NamedTuple):
    """The memory through which the recorded steps of a run exchange numbers with their caller.

    Attributes
    ----------
    scalars : ndarray of shape (n_scalars,)
        Input: the optimizer's numbers.
    loss : ndarray of shape (1,)
        Output: the loss of the batch.
    total : ndarray of shape ()
        The epoch's loss so far, input and output.
    """

    scalars: np.ndarray
    loss: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, program: Program, dtype: Any) -> Self:
        """Allocate it for a program."""
        return cls(np.empty(len(program.scalars(1, 1.0)), dtype), np.empty(1, dtype), np.empty((), dtype))


class TapedSteps(NamedTuple):
    """A recorded step, bound to memory.

    Attributes
    ----------
    operations : ndarray of shape (n_operations, WIDTH), int64
        The operations, with the addresses of this memory.
    memory : tuple of ndarray
        All memory that the operations address, kept alive.
    """

    operations: np.ndarray
    memory: tuple[np.ndarray, ...]


class Recording:
    """The operations of a tape for any memory.

    Parameters
    ----------
    tape : Tape
    given : sequence of ndarray
        The arrays that each run brings, as they were at the recording.
    """

    def __init__(self, tape: Tape, given: Sequence[np.ndarray]) -> None:
        self._given = [(x.dtype, x.shape[1:]) for x in given]
        blocks = [*given, *tape.constants]
        for memory in sorted(tape.memory, key=lambda x: (address(x), -x.nbytes)):
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
        self._constants = np.zeros(int(self._starts[len(tape.constants)]), dtype=np.uint8)
        for start, x in zip(self._starts.tolist(), tape.constants, strict=False):
            self._constants[start : start + x.nbytes] = np.frombuffer(x.tobytes(), np.uint8)

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
        return TapedSteps(operations, (memory, *given))


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


class RunTapes:
    """The recorded steps of a training run, for each kind of batch.

    Parameters
    ----------
    program : Program
        The definition of a step.
    carry : Carry
        The parameters and moments, which the steps overwrite.
    data : Batch
        The training samples, in memory that stays where it is.

    Attributes
    ----------
    operations : ndarray of shape (n_operations, WIDTH), int64
        The operations of all steps.
    numbers : StepNumbers
        The memory through which all of them exchange numbers with their caller.
    """

    def __init__(self, program: Program, carry: Carry, data: Batch) -> None:
        self.operations = np.empty((0, WIDTH), np.int64)
        self.numbers = StepNumbers.of(program, carry.parameters.dtype)
        self._program, self._carry, self._data = program, carry, data
        self._memory = arrays_of(carry, data)
        self._kept: list[TapedSteps] = []
        self._places: dict[BatchKind, Span | None] = {}

    @property
    def lacks_some(self) -> bool:
        """Whether the step of some kind of batch could not be recorded."""
        return None in self._places.values()

    def are_of(self, carry: Carry, data: Batch) -> bool:
        """Tell whether the steps use this memory."""
        memory = arrays_of(carry, data)
        return len(memory) == len(self._memory) and all(map(operator.is_, memory, self._memory))

    def place(self, kind: BatchKind) -> Span | None:
        """Return where the operations of a step start and stop; record it first. None if it cannot be recorded."""
        if kind not in self._places:
            try:
                self._places[kind] = self._appended(kind)
            except Exception:  # a real error is raised again when the step is computed
                self._places[kind] = None
        return self._places[kind]

    def _appended(self, kind: BatchKind) -> Span | None:
        recording = recording_of(self._program, kind, self._carry, self._data)
        taped = recording.bound_to([*self._memory, *self.numbers])
        if taped is None:
            return None
        start = len(self.operations)
        self._kept.append(taped)
        self.operations = np.concatenate([self.operations, taped.operations])
        return start, len(self.operations)


def arrays_of(carry: Carry, data: Batch) -> list[np.ndarray]:
    """Return the arrays that a run brings."""
    return [carry.parameters, *carry.state, data.X, data.Y, *([] if data.weights is None else [data.weights])]


def recording_of(program: Program, kind: BatchKind, carry: Carry, data: Batch) -> Recording:
    """Return the recording of a program's step for a kind of batch, for such parameters and samples.

    Raises
    ------
    Untapeable
        If it is a step that tapes cannot represent; any other error of the step itself is raised, too.
    """
    flat = carry.parameters
    if flat.ndim != 1 or flat.dtype not in (np.float32, np.float64) or data.X.dtype != flat.dtype:
        raise Untapeable("several models, or numbers of another kind")
    if not kind.gathers and kind.size != data.n_samples:
        raise Untapeable("a part of the samples that is computed where it is")
    columns = data.Y.shape[1:], data.Y.dtype
    formulas, alike = _formulas(program), data.weights is None
    record = _recorded if all(map(_is_of_this_library, formulas)) else _recorded.__wrapped__
    return record(program, formulas, kind, flat.dtype, len(carry.state), columns, alike)


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
    kind: BatchKind,
    dtype: np.dtype[Any],
    n_moments: int,
    targets: tuple[tuple[int, ...], np.dtype[Any]],
    alike: bool,
) -> Recording:
    net, size = program.net, kind.size
    flat, *moments = (np.empty(n_parameters(net.sizes), dtype) for _ in range(1 + n_moments))
    data = Batch(
        np.empty((size, net.sizes[0]), dtype),
        np.empty((size, *targets[0]), targets[1]),
        None if alike else np.empty(size, dtype),
    )
    carry, numbers = Carry(flat, tuple(moments), np.empty(())), StepNumbers.of(program, dtype)
    tape = Tape(dtype)
    before = Carry(tape.of(flat), tuple(map(tape.of, moments)), tape.of(numbers.total))
    scalars: Any = tuple(map(tape.of, np.split(numbers.scalars, numbers.scalars.size)))
    after, loss = step(
        TapingPrimitives(tape),
        program,
        before,
        _taped(tape, data)._replace(masks=tape.masks(size, net.sizes[1:-1]) if kind.masked else None),
        BatchRows((size,)) if kind.gathers else None,
        scalars,
        _taped(tape, make_workspace(np, net, flat, size, gathers=kind.gathers)),
    )
    if after.parameters is not before.parameters or any(
        a is not b for a, b in zip(after.state, before.state, strict=True)
    ):
        raise Untapeable("a step that does not write into the parameters")
    tape.copy(loss, tape.of(numbers.loss))
    tape.copy(after.total, before.total)
    return Recording(tape, [*arrays_of(carry, data), *numbers])


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

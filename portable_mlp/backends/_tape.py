"""Recording of NumPy steps on a tape, by tracing: a `Taped` array represents future contents of memory.

The portable step is called once, with `Taped` arrays in place of NumPy's. They compute nothing: each NumPy function
appends an operation with the addresses of its operands. A function without an operation, and any request for a value,
raises `Untapeable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ._compiled_steps import LOOPS
from ._tape_codes import CALL, COPY, MASK, N_LENGTHS, N_OPERANDS, N_STRIDES, SUM_ROWS, TAKE, TAKE_LABELS, WHERE, WIDTH
from ._ufunc_loops import inner_loop


class BatchRows(NamedTuple):
    """The row numbers of a batch: each step has its own, so that they have no address.

    Attributes
    ----------
    shape : tuple of int
        The size of the batch, (batch_size,).
    """

    shape: tuple[int]


class Untapeable(TypeError):
    """An operation that a tape cannot represent; the step is then computed call by call."""


class Tape:
    """The operations of a step, and the memory that they use.

    Parameters
    ----------
    dtype : dtype
        Dtype of all real numbers.

    Attributes
    ----------
    operations : list of list of int
        The numbers of each operation, at most `WIDTH`.
    places : list of tuple of int
        The operation and the place in it of each number that is an address.
    memory : list of ndarray
        All arrays that these addresses are in.
    constants : list of ndarray
        Those of them whose contents are part of the recording.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.operations: list[list[int]] = []
        self.places: list[tuple[int, int]] = []
        self.memory: list[np.ndarray] = []
        self.constants: list[np.ndarray] = []
        self._free: dict[int, list[np.ndarray]] = {}

    def of(self, array: np.ndarray) -> Taped:
        """Return an array as a taped one; the tape keeps it alive."""
        self.memory.append(array)
        return Taped(self, array)

    def constant(self, x: Any, dtype: Any) -> Taped:
        """Return a number or an array as a taped one whose contents do not change."""
        self.constants.append(np.array(x, dtype=dtype, order="C"))
        return self.of(self.constants[-1])

    def empty(self, shape: Sequence[int], dtype: Any) -> Taped:
        """Return a new taped array; its memory is reused once no reference to it is left."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        free = self._free.setdefault(size, [])
        if not free:
            self.memory.append(np.empty(size, dtype=np.uint8))
            free.append(self.memory[-1])
        memory = free.pop()
        return Taped(self, memory.view(dtype).reshape(shape), _Lease(memory, free))

    def scalar(self, x: Any) -> Taped:
        """Return a number as a taped 0-d array of the tape's dtype."""
        if isinstance(x, Taped):
            if x.dtype != self.dtype or x.size != 1:
                raise Untapeable(f"a number of another kind: {x.dtype}, {x.shape}")
            return x
        return self.constant(x, self.dtype)

    def add(self, code: int, *numbers: Any) -> None:
        """Append an operation; arrays are replaced by their addresses."""
        if len(numbers) >= WIDTH:
            raise Untapeable("an operation of too many numbers")
        row = [code]
        for x in numbers:
            if isinstance(x, (Taped, np.ndarray)):
                self.places.append((len(self.operations), len(row)))
                x = address(x)
            row.append(x)
        self.operations.append(row)

    def copy(self, x: Any, out: Taped) -> None:
        """Append the copy of a number to ``out``."""
        self.add(COPY, 1, self.scalar(x), out, 1)

    def loop(self, loop: Any, *arguments: Any) -> None:
        """Append a compiled loop; its rows and columns are those of the first array of real numbers."""
        if loop not in LOOPS:
            raise Untapeable("a loop that tapes do not know")
        flat = [x for argument in arguments for x in (argument if isinstance(argument, tuple) else (argument,))]
        for x in flat:
            if not (isinstance(x, Taped) and x.flags.c_contiguous and x.dtype in (self.dtype, np.int64)):
                raise Untapeable("an argument that is no plain memory")
        n, k = (1, *next(x.shape for x in flat if x.ndim > 0 and x.dtype == self.dtype))[-2:]
        code, sizes = LOOPS[loop]
        # A loop that went past the end of its memory would end the process, or worse.
        size_of = {"nk": n * k, "n": n, "k": k, "3n": 3 * n, "1": 1}
        if [x.size for x in flat] != [size_of[size] for size in sizes.split()]:
            raise Untapeable("arguments whose sizes do not fit")
        self.add(code, n, k, *flat)

    def masks(self, n_samples: int, n_units: Sequence[int]) -> tuple[Taped, ...]:
        """Append the copies of the dropout masks of a step, one after the other; return them."""
        masks, start = [], 0
        for n in n_units:
            masks.append(self.empty((n_samples, n), self.dtype))
            self.add(MASK, n_samples * n, start, masks[-1])
            start += n_samples * n
        return tuple(masks)

    def take(self, x: Taped, rows: BatchRows, out: Taped | None) -> Taped:
        """Append the gathering of the batch's rows; return them."""
        if not x.flags.c_contiguous or x.dtype not in (self.dtype, np.int64):
            raise Untapeable("rows of memory that is not in row order")
        out = self._checked_out(out, (*rows.shape, *x.shape[1:]), x.dtype)
        self.add(TAKE if x.dtype == self.dtype else TAKE_LABELS, int(np.prod(x.shape[1:])), x, out)
        return out

    def call(self, ufunc: np.ufunc, *operands: Any, out: Taped | None = None) -> Taped:
        """Append an element-wise function, or a product of matrices or of vectors; return its result."""
        if ufunc.nout != 1 or ufunc.nargs > N_OPERANDS:
            raise Untapeable(f"{ufunc.__name__} has too many operands")
        kinds = tuple(type(x) if isinstance(x, (int, float)) else x.dtype for x in operands)
        *wanted, result = ufunc.resolve_dtypes((*kinds, None))
        inputs = [self._as(x, dtype) for x, dtype in zip(operands, wanted, strict=True)]
        loop = inner_loop(ufunc, f"{''.join(x.char for x in wanted)}->{result.char}")
        if ufunc.signature is not None:
            return self._call_of_cores(ufunc, loop, inputs, result, out)
        shape = np.broadcast_shapes(*(x.shape for x in inputs))
        out = self._checked_out(out, shape, result)
        views = [np.broadcast_to(x.memory, shape) for x in inputs] + [out.memory]
        if all(x.size == 1 or (x.shape == shape and x.flags.c_contiguous) for x in (*inputs, out)):
            strides = [0 if x.size == 1 else x.dtype.itemsize for x in (*inputs, out)]
            self._repeated(loop, 1, views, (), (out.size,), strides)
        elif len(shape) == 2:
            n_rows, n_columns = shape
            self._repeated(
                loop, n_rows, views, [x.strides[0] for x in views], (n_columns,), [x.strides[1] for x in views]
            )
        else:
            raise Untapeable(f"{ufunc.__name__} over {len(shape)} axes")
        return out

    def reduce(
        self, ufunc: np.ufunc, x: Taped, axis: int | None, keepdims: bool = False, out: Taped | None = None
    ) -> Taped:
        """Append a sum or a maximum over one axis of a matrix or a vector; return its result."""
        if x.ndim not in (1, 2) or not x.flags.c_contiguous or (axis is None and x.ndim == 2):
            raise Untapeable("a reduction of this kind")
        axis = x.ndim - 1 if axis is None else axis % x.ndim
        shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape) if keepdims or i != axis)
        out = self._checked_out(out, shape, x.dtype)
        if axis == x.ndim - 1:
            self._reduce_rows(ufunc, x.memory.reshape(-1, x.shape[-1]), out)
        elif x.shape[1] == 1:  # a vector to NumPy
            self._reduce_rows(ufunc, x.memory.reshape(1, -1), out)
        elif ufunc is np.add:
            self.add(SUM_ROWS, *x.shape, x, out)
        else:
            raise Untapeable(f"a reduction of columns by {ufunc.__name__}")
        return out

    def _reduce_rows(self, ufunc: np.ufunc, x: np.ndarray, out: Taped) -> None:
        n_rows, n = x.shape
        if ufunc is np.add:
            others = x
            self.add(COPY, n_rows, self.constant(0, x.dtype), out, 0)
        elif ufunc is np.maximum:
            others = x[:, 1:]
            self.add(COPY, n_rows, x, out, n)
        else:
            raise Untapeable(f"a reduction by {ufunc.__name__}")
        size = x.itemsize
        loop = inner_loop(ufunc, f"{x.dtype.char * 2}->{x.dtype.char}")
        self._repeated(loop, n_rows, [out, others, out], (size, n * size, size), others.shape[1:], (0, size, 0))

    def where(self, condition: Taped, x: Any, y: Any) -> Taped:
        """Append an element-wise choice between two arrays; return its result."""
        shape = np.broadcast_shapes(*(getattr(a, "shape", ()) for a in (condition, x, y)))
        out = self.empty(shape, self.dtype)
        pairs: list[Any] = []
        for a in (condition, x, y):
            dtype = np.dtype(bool) if a is condition else self.dtype
            a = self._as(a, dtype)
            if a.size != 1 and (a.shape != shape or not a.flags.c_contiguous):
                raise Untapeable("a choice between arrays that are not plain")
            pairs += [a, int(a.size != 1)]
        self.add(WHERE, out.size, *pairs, out)
        return out

    def _as(self, x: Any, dtype: Any) -> Taped:
        """Return an operand of a dtype; one that is not taped becomes a constant."""
        if not isinstance(x, Taped):
            x = self.constant(x, dtype)
        if x.dtype != dtype:
            raise Untapeable(f"a conversion of {x.dtype} to {dtype}")
        return x

    def _checked_out(self, out: Any, shape: tuple[int, ...], dtype: Any) -> Taped:
        if out is None:
            return self.empty(shape, dtype)
        if not isinstance(out, Taped) or out.shape != shape or out.dtype != dtype:
            raise Untapeable("a result of another kind")
        if not out.flags.c_contiguous:  # several operations write number after number
            raise Untapeable("a result that is not in row order")
        return out

    def _call_of_cores(
        self, ufunc: np.ufunc, loop: tuple[int, int], inputs: list[Taped], dtype: Any, out: Taped | None
    ) -> Taped:
        a, b = inputs
        if ufunc is np.matmul and a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
            shape: tuple[int, ...] = (a.shape[0], b.shape[1])
            lengths = [1, a.shape[0], a.shape[1], b.shape[1]]
        elif ufunc is np.vecdot and a.ndim == b.ndim == 1 and a.shape == b.shape:
            shape, lengths = (), [1, a.shape[0]]
        else:
            raise Untapeable(f"{ufunc.__name__} of {a.shape} and {b.shape}")
        out = self._checked_out(out, shape, dtype)
        strides = [0, 0, 0, *a.memory.strides, *b.memory.strides, *out.memory.strides]
        self._repeated(loop, 1, [a, b, out], (), lengths, strides)
        return out

    def _repeated(
        self,
        loop: tuple[int, int],
        n: int,
        operands: Sequence[Any],
        steps: Sequence[int],
        lengths: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        padded = [
            [*some, *[0] * (length - len(some))]
            for some, length in (
                (operands, N_OPERANDS),
                (steps, N_OPERANDS),
                (lengths, N_LENGTHS),
                (strides, N_STRIDES),
            )
        ]
        self.add(CALL, *loop, n, *(x for part in padded for x in part))


class _Lease:
    """Memory in use by taped arrays; it is free again when the last of them is deleted."""

    def __init__(self, memory: np.ndarray, free: list[np.ndarray]) -> None:
        self._memory, self._free = memory, free

    def __del__(self) -> None:
        self._free.append(self._memory)


class Taped(NDArrayOperatorsMixin):
    """An array on a tape.

    Parameters
    ----------
    tape : Tape
        Tape to which its operations are appended.
    memory : ndarray
        Memory of its future contents.
    lease : object, optional
        Released when the array and all its views are deleted.
    """

    __hash__ = None  # type: ignore[assignment]
    device = "cpu"

    def __init__(self, tape: Tape, memory: np.ndarray, lease: Any = None) -> None:
        self._tape, self.memory, self._lease = tape, memory, lease
        self.shape, self.ndim, self.size = memory.shape, memory.ndim, memory.size
        self.dtype, self.flags = memory.dtype, memory.flags

    @property
    def mT(self) -> Taped:  # noqa: N802, the standard's name
        """The transpose."""
        return self._view(self.memory.mT)

    def __len__(self) -> int:
        return len(self.memory)

    def __getitem__(self, key: Any) -> Taped:
        key = key if isinstance(key, tuple) else (key,)
        if not all(k is None or k is Ellipsis or isinstance(k, (int, slice)) for k in key):
            raise Untapeable("an index that is no slice")
        return self._view(self.memory[key if Ellipsis in key else (*key, ...)])

    def __iter__(self) -> Iterator[Taped]:
        return (self[i] for i in range(len(self)))

    def _refused(self, *_: Any) -> Any:
        raise Untapeable("the value of an array on a tape")

    __bool__ = __float__ = __int__ = __index__ = __array__ = item = tolist = __setitem__ = _refused

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        out = None if out is None else out[0]
        if method == "__call__" and not options:
            return self._tape.call(ufunc, *inputs, out=out)
        if method == "reduce" and set(options) <= {"axis", "keepdims"}:
            (x,) = inputs
            return self._tape.reduce(ufunc, x, options.get("axis", 0), options.get("keepdims", False), out)
        raise Untapeable(f"{ufunc.__name__}.{method} with {', '.join(options)}")

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, options: Any) -> Any:
        if function not in _FUNCTIONS:
            raise Untapeable(f"numpy.{function.__name__}")
        return _FUNCTIONS[function](self._tape, *arguments, **options)

    def _view(self, memory: np.ndarray) -> Taped:
        if not np.may_share_memory(memory, self.memory):
            raise Untapeable("a copy")
        return Taped(self._tape, memory, self._lease)


def address(x: Taped | np.ndarray) -> int:
    """Return the address of an array's first element."""
    memory = x.memory if isinstance(x, Taped) else x
    return memory.ctypes.data


def _sum(tape: Tape, x: Taped, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Taped:
    if dtype is not None:
        raise Untapeable("a sum of another dtype")
    return tape.reduce(np.add, x, axis, keepdims)


def _max(tape: Tape, x: Taped, axis: Any = None, keepdims: bool = False) -> Taped:
    return tape.reduce(np.maximum, x, axis, keepdims)


def _mean(tape: Tape, x: Taped, axis: Any = None, keepdims: bool = False) -> Taped:
    return tape.reduce(np.add, x, axis, keepdims) / float(x.size)


def _empty_like(tape: Tape, x: Taped, shape: Sequence[int] | None = None) -> Taped:
    return tape.empty(x.shape if shape is None else shape, x.dtype)


def _reshape(tape: Tape, x: Taped, shape: Sequence[int]) -> Taped:
    return x._view(np.reshape(x.memory, shape))


def _expand_dims(tape: Tape, a: Taped, axis: int) -> Taped:
    return a._view(np.expand_dims(a.memory, axis))


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: _sum,
    np.max: _max,
    np.mean: _mean,
    np.where: Tape.where,
    np.empty_like: _empty_like,
    np.reshape: _reshape,
    np.expand_dims: _expand_dims,
}
"""Operations that tapes support beside NumPy's ufuncs."""

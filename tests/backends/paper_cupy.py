"""A stand-in for CuPy on the CPU, as far as training uses it: arrays in the host's memory, kernels compiled as C++.

As CuPy does while a stream is capturing, it writes down what is launched, without running it, and refuses transfers to
the host and products by its own cuBLAS. A graph that is launched repeats that on the same memory.
"""

import contextlib
import ctypes
import functools
import operator
import re
import sys
import types
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import array_api_compat.numpy as host_xp
import numpy as np

from portable_mlp.backends._graph_runner import ONE_AT_A_TIME

from .emulated_cublas import EmulatedCublas
from .emulated_cuda import HEADERS, block_kernel, library


class State:
    """What is current.

    Attributes
    ----------
    devices : list of int
        The numbers of the GPUs that were made current, the current one last.
    streams : dict of int to Stream
        On which work is launched, for each GPU.
    allocator : callable or None
        None is the default pool.
    memory : mapping of int to ndarray
        Everything that was allocated and is in use, by its address.
    n_launched : int
        Kernels and products that have run one by one, not as part of a graph.
    """

    def __init__(self) -> None:
        self.devices = [0]
        self.streams = {0: Stream(device=0), 1: Stream(device=1)}
        self.allocator: Any = None
        self.memory: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self.n_launched = 0

    @property
    def stream(self) -> "Stream":
        return self.streams[self.devices[-1]]

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory that holds nothing of use, aligned as CuPy's is."""
        assert not self.stream.capturing or self.allocator is not None, "a graph's memory comes from a pool of its own"
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.full(n_bytes + 512, 0xFF, dtype=np.uint8)  # NaN, or -1
        host = raw[-raw.ctypes.data % 512 :][:n_bytes].view(dtype).reshape(shape)
        self.memory[raw.ctypes.data] = raw
        return host

    def launch(self, work: Callable[[], None]) -> None:
        """Do some work, or write it down."""
        if self.stream.capturing:
            self.stream.written.append(work)
        else:
            self.n_launched += 1
            work()


class Stream:
    def __init__(self, non_blocking: bool = False, device: int | None = None) -> None:
        self.non_blocking, self.capturing, self.ptr = non_blocking, False, id(self)
        self.device = STATE.devices[-1] if device is None else device
        self.written: list[Callable[[], None]] = []
        self.waited_for: list[Any] = []

    def __enter__(self) -> "Stream":
        assert self.device == STATE.devices[-1], "a stream of another GPU than the current one"
        self._before, STATE.streams[self.device] = STATE.stream, self
        return self

    def __exit__(self, *exception: Any) -> None:
        STATE.streams[self.device] = self._before

    def wait_event(self, event: "Event") -> None:
        assert not self.capturing
        if event.stream is not None:  # CUDA does not wait for an event that nobody has recorded
            self.waited_for.append(event.stream)

    def synchronize(self) -> None:
        assert not self.capturing

    def begin_capture(self) -> None:
        if not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.capturing, self.written = True, []

    def end_capture(self) -> "Graph":
        assert self.capturing
        self.capturing = False
        return Graph(self.written)


class Event:
    def __init__(self, disable_timing: bool) -> None:
        assert disable_timing, "timing would make it slower"
        self.stream: Stream | None = None

    def record(self, stream: Stream) -> None:
        assert not stream.capturing
        self.stream = stream


class Graph:
    def __init__(self, work: list[Callable[[], None]]) -> None:
        self.work = work

    def launch(self) -> None:
        GRAPHS.append(self)
        assert not STATE.stream.capturing
        for do in self.work:
            do()


class Device:
    def __init__(self, id: int | None = None) -> None:
        self.id = STATE.devices[-1] if id is None else id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    __hash__ = None  # type: ignore[assignment] # as CuPy's, which compares alone

    def __enter__(self) -> "Device":
        STATE.devices.append(self.id)
        return self

    def __exit__(self, *exception: Any) -> None:
        STATE.devices.pop()

    def synchronize(self) -> None:
        assert ONE_AT_A_TIME._is_owned(), "it waits for the GPU"
        assert not STATE.stream.capturing


class MemoryPool:
    def free_all_blocks(self) -> None:
        assert ONE_AT_A_TIME._is_owned(), "it waits for the GPU"
        FREED.append(self)

    def malloc(self, size: int) -> None:
        raise AssertionError("stands for itself")


@contextlib.contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    before, STATE.allocator = STATE.allocator, allocator
    try:
        yield
    finally:
        STATE.allocator = before


class ndarray:  # noqa: N801 - CuPy's name
    """An array on the device, whose memory is really the host's."""

    def __init__(self, host: np.ndarray, device: Device | None = None) -> None:
        self.host = host
        self.shape, self.strides, self.dtype = host.shape, host.strides, host.dtype
        self.ndim, self.size, self.flags = host.ndim, host.size, host.flags
        self.data = types.SimpleNamespace(ptr=host.ctypes.data)
        self.device = Device() if device is None else device

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return NAMESPACE

    @property
    def mT(self) -> "ndarray":  # noqa: N802
        return ndarray(self.host.mT, self.device)

    def __getitem__(self, index: Any) -> "ndarray":
        key = index if isinstance(index, tuple) else (index,)
        # With an ellipsis a single number is a view too, as CuPy gives it.
        found = self.host[key if any(k is Ellipsis for k in key) else (*key, ...)]
        assert np.shares_memory(found, self.host) or not found.size
        return ndarray(found, self.device)

    def __setitem__(self, index: Any, value: Any) -> None:
        place = _host(self[index])
        STATE.launch(lambda: np.copyto(place, _host(value)))

    def __float__(self) -> float:
        return float(asnumpy(self))

    def __bool__(self) -> bool:
        return bool(asnumpy(self))

    def __int__(self) -> int:
        return int(asnumpy(self))


def _host(x: Any) -> Any:
    if isinstance(x, ndarray):
        assert x.device == Device(), "an array of another GPU than the current one"
        return x.host
    return type(x)(map(_host, x)) if isinstance(x, list | tuple) else x


def applied(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Launch NumPy's function for CuPy's; the result is new memory."""
    kwargs = {name: _host(x) for name, x in kwargs.items() if name != "device"}
    zeros = [np.zeros_like(x) if isinstance(x, np.ndarray) else x for x in map(_host, args)]
    with np.errstate(all="ignore"):
        shaped = function(*(zeros if STATE.stream.capturing else map(_host, args)), **kwargs)
    if not isinstance(shaped, np.ndarray | np.generic):
        return shaped
    result = STATE.allocate(shaped.shape, shaped.dtype)

    def work() -> None:
        with np.errstate(all="ignore"):
            result[...] = function(*map(_host, args), **kwargs)

    STATE.launch(work)
    return ndarray(result)


for _name in ("add", "sub", "mul", "truediv", "pow", "gt", "ge", "lt", "le", "eq", "ne"):
    _function = getattr(operator, _name)
    setattr(ndarray, f"__{_name}__", lambda a, b, f=_function: applied(f, a, b))
    setattr(ndarray, f"__r{_name}__", lambda a, b, f=_function: applied(f, b, a))
ndarray.__neg__ = lambda a: applied(operator.neg, a)  # type: ignore[attr-defined]
ndarray.__hash__ = object.__hash__  # type: ignore[method-assign]


def asarray(x: Any, dtype: Any = None, copy: bool | None = None, **placement: Any) -> ndarray:
    if isinstance(x, ndarray):
        return x if not copy and dtype in (None, x.dtype) else applied(lambda h: np.array(h, dtype=dtype), x)
    if STATE.stream.capturing:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")
    host = STATE.allocate(np.shape(x), np.asarray(x, dtype=dtype).dtype)
    host[...] = x
    return ndarray(host)


def asnumpy(x: ndarray) -> np.ndarray:
    if STATE.stream.capturing:
        raise RuntimeError("the current stream is capturing, so D2H transfers are disallowed")
    return x.host.copy()


def empty(shape: Any, dtype: Any = np.float64, **placement: Any) -> ndarray:
    return ndarray(STATE.allocate(shape if isinstance(shape, tuple) else (shape,), dtype))


def empty_like(x: ndarray, dtype: Any = None, **placement: Any) -> ndarray:
    """Keep the order of the axes in memory."""
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    memory = STATE.allocate(tuple(x.shape[axis] for axis in order), dtype or x.dtype)
    return ndarray(memory.transpose(np.argsort(order)))


def _filled(value: float) -> Callable[..., ndarray]:
    def make(x: Any, dtype: Any = None, **placement: Any) -> ndarray:
        made = empty_like(x, dtype) if isinstance(x, ndarray) else empty(x, dtype or np.float64)
        made[...] = value
        return made

    return make


def full(shape: Any, value: Any, dtype: Any = None, **placement: Any) -> ndarray:
    made = empty(shape, dtype or np.asarray(value).dtype)
    made[...] = value
    return made


def take(x: ndarray, rows: ndarray, axis: int = 0, out: ndarray | None = None) -> ndarray:
    if out is None:
        return applied(lambda a, r: np.take(a, r, axis=axis, mode="wrap"), x, rows)
    STATE.launch(lambda: np.copyto(out.host, np.take(x.host, rows.host, axis=axis, mode="wrap")))
    return out


def not_capturing() -> bool:
    if STATE.stream.capturing:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    return True


def matmul(a: ndarray, b: ndarray, out: ndarray | None = None) -> ndarray:
    not_capturing()
    if out is None:
        return applied(np.matmul, a, b)
    STATE.launch(lambda: np.copyto(out.host, np.matmul(a.host, b.host)))
    return out


def summed(x: ndarray, axis: int, out: ndarray | None = None) -> ndarray:
    if out is None:
        return applied(np.sum, x, axis=axis)
    STATE.launch(lambda: np.copyto(out.host, np.sum(x.host, axis=axis)))
    return out


TYPES = {"float64": "double", "float32": "float", "int64": "long long", "int32": "int", "uint16": "unsigned short"}


class ElementwiseKernel:
    """Compiles the operation for the host, as CuPy does for the GPU at the first call with new types."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str) -> None:
        assert re.fullmatch(r"\w+", name)
        self.parameters = [(*_parameter(text), False) for text in in_params.split(",")]
        self.parameters += [(*_parameter(text), True) for text in out_params.split(",")]
        self.operation, self.name = operation, name

    def __call__(self, *args: Any, size: int | None = None) -> None:
        assert len(args) == len(self.parameters)
        kinds = self._kinds(args)
        shapes = [
            _host(x).shape for x, (raw, *_) in zip(args, self.parameters, strict=True) if not raw and _is_array(x)
        ]
        assert bool(shapes) == (size is None), "the size is that of arrays, or is given where all are raw"
        shape = (size,) if size is not None else np.broadcast_shapes(*shapes)
        run = compiled(self.operation, tuple(self.parameters), tuple(sorted(kinds.items())))

        def work() -> None:
            given = []
            for x, (raw, kind, _, written) in zip(args, self.parameters, strict=True):
                dtype = kinds.get(kind, kind)
                if written:
                    assert raw or x.shape == shape
                    assert x.dtype == dtype
                given.append(np.ascontiguousarray(_host(x) if raw else np.broadcast_to(_host(x), shape), dtype=dtype))
            run(ctypes.c_ssize_t(int(np.prod(shape))), *(ctypes.c_void_p(g.ctypes.data) for g in given))
            for x, g, (*_, written) in zip(args, given, self.parameters, strict=True):
                if written and not np.shares_memory(g, x.host):
                    x.host[...] = g

        STATE.launch(work)

    def _kinds(self, args: Any) -> dict[str, str]:
        """Return the dtype of each letter, of which arrays decide; they must agree."""
        kinds: dict[str, str] = {}
        for x, (_, kind, *_) in zip(args, self.parameters, strict=True):
            if len(kind) == 1 and _is_array(x):
                assert kinds.setdefault(kind, x.dtype.name) == x.dtype.name, f"{self.name}: two dtypes for {kind}"
        return kinds


def _is_array(x: Any) -> bool:
    return isinstance(x, ndarray)


def _parameter(text: str) -> tuple[bool, str, str]:
    *raw, kind, name = text.split()
    assert raw in ([], ["raw"])
    return bool(raw), kind, name


@functools.cache
def compiled(operation: str, parameters: tuple[Any, ...], kinds: tuple[tuple[str, str], ...]) -> Any:
    """Compile a kernel's operation as a loop of C++, without contracting multiplications and additions."""
    lines = [f"typedef {TYPES[dtype]} {letter};" for letter, dtype in kinds]
    pointers, inside = ["ptrdiff_t n"], []
    for raw, kind, name, written in parameters:
        c_type = TYPES.get(kind, kind)
        const = "" if written else "const "
        pointers.append(f"{const}{c_type}* {name}" if raw else f"{const}{c_type}* all_{name}")
        if not raw:
            inside.append(f"{const}{c_type}& {name} = all_{name}[i];")
    body = "\n".join([*inside, operation])
    signature = ", ".join(pointers)
    source = HEADERS + "using namespace std;\n" + "\n".join(lines)
    source += f'\nextern "C" void run({signature}) {{\nfor (ptrdiff_t i = 0; i < n; ++i) {{\n{body}\n}}\n}}\n'
    return library(source).run


class RawKernel:
    """A kernel of blocks of threads, which take turns on the CPU."""

    def __init__(self, code: str, name: str) -> None:
        self.code, self.name = code, name

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any) -> None:
        kernel, given = block_kernel(self.code, self.name), list(map(_host, args))
        STATE.launch(lambda: kernel(grid, block, given))


class ReductionKernel:
    """Reduces in Python what is mapped by a formula that Python reads too."""

    def __init__(self, in_params: str, out_params: str, *formulas: str) -> None:
        assert (in_params, out_params) == ("T x", "T y")
        self.map, *rest = formulas
        assert rest[:3] == ["a + b", "y = a", "0"]

    def __call__(self, x: ndarray, axis: tuple[int, ...]) -> ndarray:
        return applied(lambda h: eval(self.map, {"x": h}).sum(axis=axis), x)


class Cublas(EmulatedCublas):
    """Products that are launched; in a capture, by the handle of the stream that captures."""

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[int, int] = {}

    def create(self) -> int:
        assert ONE_AT_A_TIME._is_owned(), "it waits for the GPU"
        return super().create()

    def set_stream(self, *arguments: Any, **named: Any) -> None:
        super().set_stream(*arguments, **named)
        handle, stream = (*arguments, *named.values())
        self._streams[handle] = stream

    def gemm_ex(self, *arguments: Any, **named: Any) -> None:
        self._launch(super().gemm_ex, *arguments, **named)

    def gemm_strided_batched_ex(self, *arguments: Any, **named: Any) -> None:
        self._launch(super().gemm_strided_batched_ex, *arguments, **named)

    def _launch(self, multiply: Callable[..., None], handle: int, **named: Any) -> None:
        assert self._streams[handle] == STATE.stream.ptr, "a product on another stream than the current one"
        STATE.launch(lambda: multiply(handle=handle, **named))

    @property
    def _memory(self) -> MutableMapping[int, np.ndarray]:
        return STATE.memory

    @_memory.setter
    def _memory(self, value: MutableMapping[int, np.ndarray]) -> None:
        assert not value


class Namespace(types.ModuleType):
    """``array_api_compat.cupy``: NumPy's functions, launched."""

    def __init__(self) -> None:
        super().__init__("array_api_compat.cupy")
        self.asarray, self.empty, self.empty_like, self.full, self.take = asarray, empty, empty_like, full, take
        self.zeros_like, self.ones_like, self.zeros, self.ones = _filled(0), _filled(1), _filled(0), _filled(1)

    def __array_namespace_info__(self) -> Any:
        dtypes = host_xp.__array_namespace_info__().dtypes
        return types.SimpleNamespace(dtypes=lambda device=None, kind=None: dtypes(kind=kind))

    def __getattr__(self, name: str) -> Any:
        value = getattr(host_xp, name)
        if name in ("isdtype", "finfo", "iinfo", "result_type") or not callable(value):
            return value
        if name in ("expand_dims", "matrix_transpose", "reshape", "permute_dims"):
            return lambda x, *args, **kwargs: ndarray(value(x.host, *args, **kwargs), x.device)
        if name in ("matmul", "vecdot", "tensordot"):  # in array-api-compat all are CuPy's matmul
            return lambda *args, **kwargs: applied(value, *args, **kwargs) if not_capturing() else None
        if isinstance(value, type):
            return value
        return lambda *args, **kwargs: applied(value, *args, **kwargs)


def fake_cupy() -> types.ModuleType:
    """Return the module ``cupy``, with two GPUs."""
    module = types.ModuleType("cupy")
    cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        Event=Event,
        MemoryPool=MemoryPool,
        using_allocator=using_allocator,
        get_current_stream=lambda: STATE.stream,
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 2),
    )
    members = {
        "__version__": "14.2.0",
        "is_available": lambda: True,
        "cuda": cuda,
        "expand_dims": NAMESPACE.expand_dims,
        "broadcast_shapes": np.broadcast_shapes,
        "sum": summed,
        "uint8": np.uint8,
        "uint16": np.uint16,
        "uint32": np.uint32,
        "float32": np.float32,
        "zeros": _filled(0),
    }
    names = (
        "ndarray",
        "asarray",
        "asnumpy",
        "empty",
        "empty_like",
        "take",
        "matmul",
        "ElementwiseKernel",
        "RawKernel",
        "ReductionKernel",
    )
    module.__dict__.update(members | {name: globals()[name] for name in names})
    return module


STATE = State()
NAMESPACE = Namespace()
GRAPHS: list[Graph] = []
"""As they were launched."""
FREED: list[MemoryPool] = []
"""Whose memory was given back."""

OURS = ("_cupy", "_cupy_graph", "_cupy_kernels", "_cupy_primitives", "_cupy_streams")
"""Our modules that import CuPy."""


def forget() -> None:
    """Let our modules be loaded anew, with whatever CuPy there is then."""
    for name in OURS:
        sys.modules.pop(f"portable_mlp.backends.{name}", None)
        vars(sys.modules["portable_mlp.backends"]).pop(name, None)

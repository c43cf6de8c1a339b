"""The candidates on a GPU: our step on three libraries, five ways to write it in PyTorch and JAX, the products alone.

A candidate is made for a case, a precision and a device, in a process whose library `set_precision` has prepared.
Enqueueing work and waiting for it are two calls.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from portable_mlp.backends import get_backend
from portable_mlp.bench import peers
from portable_mlp.bench.candidates import Ours
from portable_mlp.bench.cases import N_BATCHES, Case

TIMED_RATE = 1e-9
"""The learning rate while time is taken.

With a usual one, thousands of steps on a few batches would learn these by heart: the derivatives at the logits would
then be zeros, and a GPU multiplies zeros faster.
"""


class OnDevice(Protocol):
    """A way to train the network of a case on a device.

    Attributes
    ----------
    steps_a_call : int
        Number of steps of one call.
    """

    steps_a_call: int

    def enqueue(self, n_steps: int) -> None:
        """Start steps over the batches in turn, in as many whole calls as come nearest from above."""

    def wait(self) -> None:
        """Return when the last step is done."""

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start, at the usual rate; return the losses."""

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a product of float32 matrices in the precision of the steps, from the host to the host."""


class OursOnDevice(Ours):
    """Our loop on a backend."""

    steps_a_call = 1

    def __init__(self, name: str, case: Case, precision: str, device: str) -> None:
        super().__init__(case, "float32", get_backend(name, device).at_precision(precision), TIMED_RATE)

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a product by the backend's own primitive."""
        backend, ops = self.backend, self.backend.primitives
        with backend.running():
            out = backend.asarray(np.empty((len(a), b.shape[1]), dtype="float32")) if ops.writes else None
            return backend.to_numpy(ops.matmul(backend.asarray(a), backend.asarray(b), out))


class TorchEager(peers.TorchEager):
    """PyTorch with autograd and its fused Adam; bfloat16 by autocast."""

    steps_a_call = 1

    def __init__(self, case: Case, precision: str, device: str) -> None:
        import torch

        # Each weight is cast once a step: a cache of them would save nothing, and must not outlive a graph.
        self._autocast = functools.partial(
            torch.autocast,
            torch.device(device).type,
            dtype=torch.bfloat16,
            enabled=precision == "bfloat16",
            cache_enabled=False,
        )
        super().__init__(case, "float32", device, TIMED_RATE)

    def _loss(self, model: Any, X: Any, y: Any) -> Any:
        with self._autocast():
            return super()._loss(model, X, y)

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a product as a forward pass computes it."""
        x, y = (self._torch.tensor(x, device=self._device) for x in (a, b))
        with self._torch.no_grad(), self._autocast():
            product: np.ndarray = (x @ y).float().cpu().numpy()
        return product


class TorchCompile(TorchEager, peers.TorchCompile):
    """PyTorch, forward and backward pass compiled, and replayed from CUDA graphs; its fused Adam."""

    mode = "reduce-overhead"

    def _step(self, model: Any, optimizer: Any, X: Any, y: Any) -> Any:
        self._torch.compiler.cudagraph_mark_step_begin()
        return super()._step(model, optimizer, X, y)


class TorchGraph(TorchEager):
    """PyTorch, the whole step in a CUDA graph, one for each batch; fused Adam, which may be captured."""

    def __init__(self, case: Case, precision: str, device: str) -> None:
        super().__init__(case, precision, device)
        if not self._torch.cuda.is_available():
            raise RuntimeError("a CUDA graph needs a CUDA device")
        self._graphs = itertools.cycle(self._captured(self._model, self._optimizer))

    def _make_optimizer(self, parameters: Any, rate: float) -> Any:
        return self._torch.optim.Adam(parameters, lr=rate, fused=True, capturable=True)

    def _captured(self, model: Any, optimizer: Any) -> list[tuple[Any, Any]]:
        """Return a graph for each batch, and the loss that it writes. They share memory, and are replayed in turn."""
        self._warm_up(model, optimizer)
        graphs: list[tuple[Any, Any]] = []
        for X, y in self._batches:
            graph = self._torch.cuda.CUDAGraph()
            with self._torch.cuda.graph(graph, pool=graphs[0][0].pool() if graphs else None):
                loss = self._step(model, optimizer, X, y)
            graphs.append((graph, loss))
        return graphs

    def _warm_up(self, model: Any, optimizer: Any) -> None:
        """Take a few steps on a stream of their own, as a capture asks for, and undo them."""
        cuda, start = self._torch.cuda, [p.detach().clone() for p in model.parameters()]
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream):
            for X, y in self._batches:
                self._step(model, optimizer, X, y)
        cuda.current_stream().wait_stream(stream)
        with self._torch.no_grad():
            for p, x in zip(model.parameters(), start, strict=True):
                p.copy_(x)
            for state in optimizer.state.values():
                for moment in state.values():
                    moment.zero_()

    def enqueue(self, n_steps: int) -> None:
        """Replay the graphs in turn."""
        for graph, loss in itertools.islice(self._graphs, n_steps):
            graph.replay()
            self._last_loss = loss

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start, at the usual rate; return the losses."""
        losses = []
        for graph, loss in self._captured(*self._start()):
            graph.replay()
            losses.append(float(loss))
        return losses


class TorchProducts:
    """The matrix products of a step alone, by PyTorch's library, in one CUDA graph for all batches."""

    steps_a_call = N_BATCHES

    def __init__(self, case: Case, precision: str, device: str) -> None:
        import torch

        self._torch, self._device = torch, device
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        generator = torch.Generator(device).manual_seed(0)

        def numbers(rows: int, columns: int) -> Any:
            return torch.randn(rows, columns, generator=generator, device=device).to(self._dtype)

        weights = [numbers(*pair) for pair in itertools.pairwise(case.sizes)]
        self._products = []
        for _ in range(N_BATCHES):
            layers = [numbers(case.batch_size, width) for width in case.sizes]
            for i, W in enumerate(weights):
                h, z = layers[i : i + 2]
                self._products += [(h, W, torch.empty_like(z)), (h.T, z, torch.empty_like(W))]
                if i > 0:
                    self._products.append((z, W.T, torch.empty_like(h)))
        self._replay = self._captured() if torch.device(device).type == "cuda" else self._multiply_all

    def _multiply_all(self) -> None:
        for a, b, out in self._products:
            self._torch.matmul(a, b, out=out)

    def _captured(self) -> Callable[[], None]:
        self._multiply_all()  # chooses and loads the kernels
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph):
            self._multiply_all()
        replay: Callable[[], None] = graph.replay
        return replay

    def enqueue(self, n_steps: int) -> None:
        """Start the products of so many steps."""
        for _ in range(math.ceil(n_steps / self.steps_a_call)):
            self._replay()

    def wait(self) -> None:
        """Return when the last product is done."""
        float(self._products[-1][-1][0, 0])

    def first_losses(self) -> list[float]:
        """Return nothing: products have no loss."""
        return []

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a product of operands in the precision's dtype."""
        x, y = (self._torch.tensor(x, device=self._device).to(self._dtype) for x in (a, b))
        product: np.ndarray = (x @ y).float().cpu().numpy()
        return product


class JaxJit(peers.JaxJit):
    """JAX, the step compiled, its state donated; for bfloat16 parameters and inputs are cast."""

    steps_a_call = 1

    def __init__(self, case: Case, precision: str, device: str) -> None:
        self._products_dtype = "bfloat16" if precision == "bfloat16" else "float32"
        super().__init__(case, "float32", TIMED_RATE)

    def _cast(self, tree: Any) -> Any:
        return self._jax.tree.map(lambda x: x.astype(self._products_dtype), tree)

    def _outputs(self, params: Any, X: Any) -> Any:
        return super()._outputs(self._cast(params), self._cast(X)).astype("float32")

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a product as a forward pass computes it."""
        x, y = self._cast((self._jnp.asarray(a), self._jnp.asarray(b)))
        return np.asarray((x @ y).astype("float32"))


class JaxScan(JaxJit, peers.JaxScan):
    """JAX, `lax.scan` over many steps in a call."""

    multiplications_a_call = 10**13


def set_precision(library: str, precision: str, device: str) -> None:
    """Set a library's global options, whatever the environment says; JAX by itself takes TF32 for float32."""
    if library == "torch":
        import torch

        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    elif library == "jax":
        import jax

        jax.config.update("jax_default_device", get_backend("jax", device).device)
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "tf32" else "highest")


Make: TypeAlias = Callable[[Case, str, str], OnDevice]


class Entry(NamedTuple):
    """A candidate, and the library whose process it runs in.

    Attributes
    ----------
    library : str
        Name of the module that the process imports.
    make : callable
        ``make(case, precision, device)`` returns the candidate; a function or class that can be pickled.
    """

    library: str
    make: Make


FLOOR = "products alone"

CANDIDATES: dict[str, Entry] = {
    FLOOR: Entry("torch", TorchProducts),
    "ours, CuPy": Entry("cupy", functools.partial(OursOnDevice, "cupy")),
    "PyTorch CUDA graph": Entry("torch", TorchGraph),
    "ours, PyTorch": Entry("torch", functools.partial(OursOnDevice, "torch")),
    "JAX scan": Entry("jax", JaxScan),
    "ours, JAX": Entry("jax", functools.partial(OursOnDevice, "jax")),
    "torch.compile": Entry("torch", TorchCompile),
    "PyTorch eager": Entry("torch", TorchEager),
    "JAX jit": Entry("jax", JaxJit),
}
"""The candidates by name, in the order in which they are timed: ours beside the strongest of each library first."""


def reference_losses(case: Case, device: str) -> list[float]:
    """Return the losses of one step for each batch in float64: of PyTorch on the device, else of NumPy."""
    try:
        return peers.TorchEager(case, "float64", device).first_losses()
    except Exception:
        return Ours(case, "float64", get_backend("numpy")).first_losses()

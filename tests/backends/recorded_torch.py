"""A stand-in for CUDA graphs, on the CPU: PyTorch's operations written down without running, and run again later.

As on a GPU a recording knows memory, not names: operations are repeated on the same tensors, numbers from Python are
those of the recording, and what an operation returned lies where it lay then.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat.torch as xp
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class _Writing(TorchDispatchMode):
    """Writes down what is called. Results have the right shape and hold NaN; nothing else is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], None]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a value was read back while recording")
        returns = func._schema.returns
        if any(r.alias_info is not None and not r.alias_info.is_write for r in returns):
            return func(*args, **kwargs)  # a view: no work
        places = [a.name for a in func._schema.arguments]
        names = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        if names:
            self.calls.append(lambda: func(*args, **kwargs))
            targets = [kwargs[n] if n in kwargs else args[places.index(n)] for n in names]
            return None if not returns else targets[0] if len(targets) == 1 else tuple(targets)
        # Zeros, since row numbers may not be there yet.
        copies = tree_map(lambda x: torch.zeros_like(x) if isinstance(x, torch.Tensor) else x, (args, kwargs))
        results = func(*copies[0], **copies[1])
        for result in tree_leaves(results):
            result.fill_(float("nan") if result.is_floating_point() else 0)

        def again() -> None:
            for place, fresh in zip(tree_leaves(results), tree_leaves(func(*args, **kwargs)), strict=True):
                place.copy_(fresh)

        self.calls.append(again)
        return results


class TorchOnPaper:
    """A recorder for `GraphRunner`, on the CPU."""

    xp = xp

    def __init__(self) -> None:
        self.n_recorded: list[int] = []
        self.n_launched = 0

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def table(self, rows: Any, dtype: Any) -> Any:
        return torch.tensor(rows, dtype=dtype)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        with _Writing() as written:
            work()
        self.n_recorded.append(len(written.calls))

        def launch() -> None:
            self.n_launched += 1
            for call in written.calls:
                call()

        return launch

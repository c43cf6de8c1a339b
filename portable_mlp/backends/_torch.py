"""PyTorch, on the CPU and on CUDA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from ..kernels.primitives import Primitives
from ..kernels.step import Program
from ._base import PRECISIONS, Backend, BackendInfo, BackendUnavailable, first_line
from ._graph_runner import ONE_AT_A_TIME, GraphRunner
from ._torch_graph import TorchRecorder
from ._torch_optimizers import recordable
from ._torch_precision import multiplying_at
from ._torch_primitives import torch_primitives, widens_bfloat16
from .runner import Runner


class TorchBackend(Backend):
    """PyTorch on one device: "cpu", "cuda", "cuda:1", ...; "meta" computes shapes alone."""

    name = "torch"

    @classmethod
    def open(cls, device: Any = None) -> TorchBackend:
        """Return the backend on a device, by default PyTorch's own default, which is the CPU unless it was changed."""
        try:
            chosen = torch.get_default_device() if device is None else torch.device(device)
        except (RuntimeError, TypeError):
            raise ValueError(
                f"torch has no device {device!r}; here it has {', '.join(map(repr, cls.info().devices))}"
            ) from None
        try:
            # A device with its index, "cuda" -> "cuda:0", is what tensors report.
            return cls(xp, torch.empty(0, device=chosen).device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise BackendUnavailable(
                f"device {str(device)!r} of torch does not answer: {first_line(error)} "
                f"(devices here: {', '.join(cls.info().devices)})"
            ) from None

    @classmethod
    def info(cls) -> BackendInfo:
        """Return the version and the devices."""
        cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
        return BackendInfo(cls.name, True, torch.__version__, ("cpu", *cuda))

    def synchronize(self) -> None:
        """Wait for the CUDA device; the CPU is never ahead."""
        if self.device.type == "cuda":
            with ONE_AT_A_TIME:
                torch.cuda.synchronize(self.device)

    @property
    def primitives(self) -> Primitives:
        """Functions that write into memory that is there already."""
        return torch_primitives(self.precision == "bfloat16")

    @property
    def precisions(self) -> tuple[str, ...]:
        """All on CUDA, where this PyTorch multiplies bfloat16 into float32; float32 elsewhere."""
        if self.device.type != "cuda":
            return PRECISIONS[:1]
        return PRECISIONS if widens_bfloat16() else tuple(p for p in PRECISIONS if p != "bfloat16")

    def runner(self, program: Program) -> Runner:
        """Record steps as a CUDA graph, which is launched in one go; on the CPU there is nothing to gain."""
        if self.device.type == "cuda":
            return GraphRunner(self, recordable(program), TorchRecorder(self.device))
        return super().runner(program)

    @contextlib.contextmanager
    def undisturbed(self, dtype: Any = None) -> Iterator[None]:
        """Switch autocast off, and set the precision of products; the mode of autograd is unchanged."""
        with without_autocast(self.device.type), multiplying_at(self.precision):
            yield

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Stop autograd from recording, since the gradients are written out."""
        current = torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()
        # Tensors that inference mode makes could not be trained on, or differentiated, after it.
        with torch.inference_mode(False), torch.no_grad(), current, self.undisturbed():
            yield

    def _move(self, x: Any, dtype: Any) -> Any:
        return x.detach().to(device=self.device, dtype=dtype)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        return torch.tensor(host, dtype=dtype, device=self.device)

    def _to_host(self, x: Any) -> np.ndarray:
        # NumPy does not have bfloat16.
        host: np.ndarray = (
            (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu().resolve_conj().resolve_neg().numpy()
        )
        return host


def without_autocast(device_type: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which operations on a kind of device keep the dtype of their arguments."""
    try:
        is_on = torch.is_autocast_enabled(device_type)
    except RuntimeError:  # there is none for "meta"
        is_on = False
    return torch.autocast(device_type, enabled=False) if is_on else contextlib.nullcontext()

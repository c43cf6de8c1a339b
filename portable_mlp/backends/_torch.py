"""PyTorch, on the CPU and on CUDA."""

from __future__ import annotations

import contextlib
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from ..kernels.primitives import Primitives
from ._base import Backend, BackendInfo, BackendUnavailable
from ._torch_primitives import torch_primitives


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
            reason = str(error).splitlines()[0]
            raise BackendUnavailable(
                f"device {str(device)!r} of torch does not answer: {reason} "
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
            torch.cuda.synchronize(self.device)

    @property
    def primitives(self) -> Primitives:
        """Functions that write into memory that is there already."""
        return torch_primitives()

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Stop autograd from recording: the gradients are written out."""
        return torch.no_grad()

    def _move(self, x: Any, dtype: Any) -> Any:
        return x.detach().to(device=self.device, dtype=dtype)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        return torch.tensor(host, dtype=dtype, device=self.device)

    def _to_host(self, x: Any) -> np.ndarray:
        host: np.ndarray = x.detach().cpu().numpy()
        return host

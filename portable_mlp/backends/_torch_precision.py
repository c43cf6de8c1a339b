"""The precision of PyTorch's float32 products: a setting of the whole process, for trainings in any of its threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import NamedTuple, Self

import torch

_MATMULS = [m for m in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul) if hasattr(m, "fp32_precision")]
"""The owners of the newer attributes, from PyTorch 2.9 on."""


class _Settings(NamedTuple):
    """The older setting, None where it was set by the newer attributes, and these."""

    older: str | None
    newer: tuple[str, ...]

    @classmethod
    def now(cls) -> Self:
        """Return the settings of the process."""
        newer = tuple(matmul.fp32_precision for matmul in _MATMULS)
        try:
            return cls(torch.get_float32_matmul_precision(), newer)
        except RuntimeError:
            return cls(None, newer)

    @property
    def are_exact(self) -> bool:
        """Whether products have all bits, as by default."""
        return self.older == "highest" and set(self.newer) <= {"none", "ieee"}

    def restore(self) -> None:
        """Set the process to these settings."""
        if self.older is not None:
            torch.set_float32_matmul_precision(self.older)
        for matmul, before in zip(_MATMULS, self.newer, strict=True):
            matmul.fp32_precision = before


class _ProductPrecision:
    """The precisions that are wanted at the moment, of which the newest is in effect.

    The first one keeps the user's settings, and the last one restores them: trainings in threads end in any order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[object, str] = {}
        self._users: _Settings

    @contextlib.contextmanager
    def multiplying_at(self, precision: str) -> Iterator[None]:
        """Multiply at "float32", "tf32" or "bfloat16", whose factors are rounded beforehand."""
        one = object()
        try:
            self._begin(one, "high" if precision == "tf32" else "highest")
            yield
        finally:
            self._end(one)

    def _begin(self, one: object, wanted: str) -> None:
        with self._lock:
            if not self._wanted:
                self._users = _Settings.now()
                if wanted == "highest" and self._users.are_exact:
                    return
            self._wanted[one] = wanted
            torch.set_float32_matmul_precision(wanted)

    def _end(self, one: object) -> None:
        with self._lock:
            if self._wanted.pop(one, None) is None:
                return
            if self._wanted:
                torch.set_float32_matmul_precision(next(reversed(self._wanted.values())))
            else:
                self._users.restore()


multiplying_at = _ProductPrecision().multiplying_at

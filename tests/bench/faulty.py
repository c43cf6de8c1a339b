"""Candidates of the GPU benchmark that go wrong, each in its own way; processes find them by this file's name."""

import itertools
import os
from typing import Any

from gpu_suite.on_device import OursOnDevice


def dies(case: Any, precision: str, device: str) -> Any:
    """End the process, as a crash in a library does."""
    os._exit(7)


class OnNumpy(OursOnDevice):
    """Nothing wrong yet."""

    def __init__(self, case: Any, precision: str, device: str) -> None:
        super().__init__("numpy", case, precision, device)


class DiesInItsTurn(OnNumpy):
    """Ends the process when it has taken its first step and its warm-up."""

    def __init__(self, case: Any, precision: str, device: str) -> None:
        super().__init__(case, precision, device)
        self._calls = itertools.count(1)

    def enqueue(self, n_steps: int) -> None:
        if next(self._calls) > 2:
            os._exit(8)
        super().enqueue(n_steps)


class TakesAnotherPrecision(OnNumpy):
    """Multiplies in float32, whatever it is asked for."""

    def __init__(self, case: Any, precision: str, device: str) -> None:
        super().__init__(case, "float32", device)


class LearnsSomethingElse(OnNumpy):
    """Takes other steps than everyone."""

    def first_losses(self) -> list[float]:
        return [1.01 * loss for loss in super().first_losses()]

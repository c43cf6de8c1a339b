"""The state of an estimator's optimizer between two calls of ``partial_fit``: options, moments, rate, steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from ..backends import Backend
from ..kernels.optimizers import OPTIMIZERS, Optimizer
from ..training.loop import Loop
from ..training.schedules import SCHEDULES, Progress, divided

AS_SCIKIT_LEARN: dict[str, dict[str, bool]] = {"sgd": {"rate_in_velocity": True}, "adam": {"correct_epsilon": False}}
"""The form of the optimizers that scikit-learn has too; others are as in PyTorch."""


@dataclass
class OptimizerState:
    """A solver with its current state, and scikit-learn's rules for the learning rate.

    Parameters
    ----------
    solver : str
        The name of an entry of ``OPTIMIZERS``.
    options : dict
        The keyword arguments of the optimizer.
    learning_rate_init : float
        The initial learning rate of the schedule.
    schedule : str
        The name of an entry of ``SCHEDULES``.
    schedule_options : dict
        The keyword arguments of the schedule's formula.
    max_iter : int
        The largest number of epochs, by which schedules that need it scale.

    Attributes
    ----------
    rate : float
        The learning rate of the next epoch, or of its first step where the rate changes within an epoch.
    moments : tuple of array or None
        The optimizer's moments, each in the shape of the flat parameters; None before the first step.
    n_steps, n_epochs : int
        The number of steps and of epochs so far.
    """

    solver: str
    options: dict[str, Any]
    learning_rate_init: float
    schedule: str = "constant"
    schedule_options: dict[str, float] = field(default_factory=dict)
    max_iter: int = 200
    rate: float = field(init=False)
    moments: Any = field(init=False, default=None)
    n_steps: int = field(init=False, default=0)
    n_epochs: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.rate = self._scheduled(Progress(0))

    def __copy__(self) -> Self:
        """Return a copy that shares the moments, sooner than by the protocol of pickles: each epoch makes one."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def optimizer(self) -> Optimizer:
        """Return the formulas."""
        return OPTIMIZERS[self.solver].make(**self.options, **AS_SCIKIT_LEARN.get(self.solver, {}))

    @property
    def learning_rate(self) -> float:
        """The learning rate as scikit-learn's optimizers report it: for Adam with the corrections of the last step."""
        if self.solver == "sgd" or self.n_steps == 0:
            return self.rate
        return self.optimizer().scalars(self.n_steps, self.rate)[0]

    def move(self, backend: Backend, dtype: Any) -> None:
        """Move the moments to the device and dtype of the parameters."""
        if self.moments is not None:
            self.moments = tuple(backend.asarray(moment, dtype) for moment in self.moments)

    # The learning rates of `portable_mlp.training.run`.

    @property
    def by_step(self) -> bool:
        """Whether the rate changes within an epoch."""
        return SCHEDULES[self.schedule].by_step

    @property
    def changes_rate(self) -> bool:
        """Whether the rate changes from one epoch or step to the next."""
        return SCHEDULES[self.schedule].changes

    def at(self, progress: Progress) -> float:
        """Return the learning rate of an epoch, or of a step where the rate changes within an epoch."""
        return self._scheduled(progress._replace(epoch=self.n_epochs)) if self.by_step else self.rate

    def epoch_ends(self, samples_seen: int, loop: Loop) -> None:
        """Set the rate of the next epoch, given the samples seen before it, and the loop that has trained on them."""
        self.n_epochs += 1
        if self.changes_rate and not SCHEDULES[self.schedule].divides:
            progress = Progress(self.n_epochs, samples_seen, step=loop.n_steps + 1, n_steps=loop.n_batches)
            self.rate = self._scheduled(progress)

    def continues_after_stall(self) -> tuple[bool, str]:
        """Divide the rate if the schedule does so; return whether to continue, and a sentence about the action."""
        if not SCHEDULES[self.schedule].divides:
            return False, "Stopping."
        rate = divided(self.rate)
        if rate is None:
            return False, "Learning rate too small. Stopping."
        self.rate = rate
        return True, f"Setting learning rate to {self.rate:f}"

    def memory(self) -> list[float]:
        """Return the state that later rates depend on."""
        return [self.rate, float(self.n_epochs)]

    def restore(self, memory: list[float]) -> None:
        """Continue from a result of `memory`."""
        self.rate, n_epochs = memory
        self.n_epochs = int(n_epochs)

    def _scheduled(self, progress: Progress) -> float:
        at = progress._replace(epochs=self.max_iter)
        return SCHEDULES[self.schedule].at(self.learning_rate_init, at, self.schedule_options)

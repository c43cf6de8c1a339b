"""The interface of runners, which take the steps of a training run and own the memory of its batches."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernels.arrays import Array, snapshot
from ..kernels.batch import Batch, Span
from ..kernels.network import Network
from ..kernels.optimizers import Scalars, State
from ..kernels.primitives import KeptParameters, Primitives
from ..kernels.step import Carry, Program
from ..kernels.workspace import Workspace, make_workspace

if TYPE_CHECKING:
    from ._base import Backend

STEPS_A_CALL = 64
"""The most steps in a call of a runner that takes many: progress and Ctrl-C are handled between calls."""

COMPILED_STEPS_A_CALL = 256
"""The same where calls of any number of steps are the same code, and short in time."""

OPERATIONS_A_CALL = 2e9
"""Arithmetic operations per call: a tenth of a second on a slow processor, the longest delay of a Ctrl-C."""


class RunnerCall(NamedTuple):
    """The steps of one call.

    Attributes
    ----------
    data : Batch
        All samples of the training run.
    order : object
        The result of `Runner.prepared` for them.
    spans : sequence of Span
        The batches of one call, as `Runner.calls` divides them: the start and the stop of each in the order.
    scalars : sequence of tuple of float
        The result of `Program.scalars` for each batch.
    masks : sequence of sequence of array, optional
        The dropout masks of each batch.
    """

    data: Batch
    order: Any
    spans: Sequence[Span]
    scalars: Sequence[Scalars]
    masks: Sequence[Sequence[Array]] | None = None

    def one_by_one(self) -> Iterator[RunnerCall]:
        """Yield a call for each step."""
        each = itertools.repeat(None) if self.masks is None else zip(self.masks)
        for span, scalars, masks in zip(self.spans, self.scalars, each, strict=False):
            yield self._replace(spans=[span], scalars=[scalars], masks=masks)


class Runner(abc.ABC):
    """Takes the steps of one training run, in one thread.

    `start` returns the first carry, each `take` the next; a carry that was passed to `take` is used up. The numbers are
    those of `portable_mlp.kernels.step.step`, however many steps a call takes.

    Parameters
    ----------
    backend : Backend
        The library and device of all arrays.
    program : Program
        The definition of a step.
    ops : Primitives, optional
        The primitives of the steps, by default the backend's.

    Attributes
    ----------
    program : Program
        The definition of a step.
    steps_a_call : int
        The most steps in one call of `take`.
    takes_masks : bool
        Whether a call with dropout masks may take many steps.
    joins_epochs : bool
        Whether a call may take steps of several epochs at no cost of its own; not where each number of steps is
        compiled or recorded.
    """

    steps_a_call = 1
    takes_masks = True
    joins_epochs = True

    def __init__(self, backend: Backend, program: Program, ops: Primitives | None = None) -> None:
        self.program = program
        self._backend, self._ops = backend, ops or backend.primitives
        self._workspaces: dict[tuple[int, bool], Workspace] = {}

    def start(self, flat: Array, moments: State, total: Array) -> Carry:
        """Return a carry of flat parameters and moments, which are copied, and the epoch's loss so far.

        All later steps must be of this carry: the memory for batches belongs to its parameters.
        """
        self._workspaces = {}
        return Carry(self._copied(flat), tuple(map(self._copied, moments)), total)

    def to_flat(self, parameters: KeptParameters) -> Array:
        """Return the parameters of a carry, or a moment of them, as a flat vector; it may share their memory."""
        return self._ops.to_flat(self.program.net, parameters)

    def prepared(self, data: Batch, order: Any) -> Any:
        """Convert an order on the host, (n_samples,) or None for the samples' own, to the form that `take` expects."""
        if order is not None:
            return self._backend.asarray(order)
        many = self.steps_a_call > 1
        return self._backend.xp.arange(data.n_samples, device=self._backend.device) if many else None

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterable[Sequence[Span]]:
        """Divide batches into those of one call each.

        Parameters
        ----------
        spans : sequence of Span
            The batches, in the order of their steps.
        n_steps : int
            The number of steps before the first of them.
        every : int or None
            A call ends after a step whose number this divides.

        Returns
        -------
        iterable of sequence of Span
            For each call its batches. Where each number of steps is compiled, they have one size, and their number is a
            power of two, so that few combinations are.
        """
        return zip(spans) if self.steps_a_call == 1 else self._calls_of_many(spans, n_steps, every)

    @abc.abstractmethod
    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take a step for each batch of a call.

        Parameters
        ----------
        carry : Carry
            The result of `start`, or of the previous call.
        call : RunnerCall
            The batches, and the numbers of their steps.

        Returns
        -------
        carry : Carry
            The carry after the last step.
        losses : array
            Each step's mean loss with its penalty, of each model, in the order of the steps.
        """

    def take_epochs(self, carry: Carry, call: RunnerCall, n_epochs: int) -> tuple[Carry, Array]:
        """Take the steps of several epochs in one call, the same batches in each.

        Parameters
        ----------
        carry : Carry
            The result of `start`, or of the previous call, of one model.
        call : RunnerCall
            The batches of all epochs.
        n_epochs : int
            The number of epochs.

        Returns
        -------
        carry : Carry
            The carry after the last step.
        mean_losses : array of shape (n_epochs,)
            The mean loss of each epoch over its samples, summed batch by batch as a carry's total is.
        """
        carry, losses = self.take(carry, call)
        sizes = [float(stop - start) for start, stop in call.spans[: len(call.spans) // n_epochs]]
        xp, n_samples = self._backend.xp, sum(sizes)
        each = xp.asarray(sizes, dtype=losses.dtype, device=self._backend.device)
        total = sum(xp.unstack(xp.reshape(losses, (n_epochs, -1)) * each, axis=1))
        return carry, total / n_samples

    def _calls_of_many(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterator[Sequence[Span]]:
        for _, same_size in itertools.groupby(spans, key=lambda span: span[1] - span[0]):
            until_due = self.steps_a_call if every is None else every - n_steps % every
            while some := list(itertools.islice(same_size, min(self.steps_a_call, until_due))):
                n_steps += len(some)
                until_due = self.steps_a_call if every is None else every - n_steps % every
                while some:
                    n_now = 1 << (len(some).bit_length() - 1)
                    yield some[:n_now]
                    some = some[n_now:]

    def _copied(self, flat: Array) -> KeptParameters:
        return self._ops.from_flat(self.program.net, snapshot(self._backend.xp, flat))

    def _workspace(self, parameters: KeptParameters, n_samples: int, *, gathers: bool = True) -> Workspace | None:
        """Return the workspace for a size of batches, of which an epoch has at most two; None if nothing is written."""
        if not self._ops.writes:
            return None
        key = n_samples, gathers
        if key not in self._workspaces:
            gathers = gathers and not self._backend.takes_sparse
            self._workspaces[key] = make_workspace(
                self._backend.xp, self.program.net, parameters, n_samples, gathers=gathers, layers=self._ops.layers
            )
        return self._workspaces[key]


def runs(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Yield runs of the order, ``(place, (start, stop))``, so that adjacent batches need one copy.

    >>> list(runs([(10, 15), (15, 20), (20, 25), (0, 5)]))
    [(0, (10, 25)), (15, (0, 5))]
    """
    place, (start, stop) = 0, spans[0]
    for next_start, next_stop in spans[1:]:
        if next_start != stop:
            yield place, (start, stop)
            place, start = place + stop - start, next_start
        stop = next_stop
    yield place, (start, stop)


def steps_of_short_call(net: Network, size: int) -> int:
    """Return the most steps, with batches of this size, of a call that keeps Ctrl-C prompt."""
    products = 6 * sum(a * b for a, b in itertools.pairwise(net.sizes))
    return max(1, min(COMPILED_STEPS_A_CALL, int(OPERATIONS_A_CALL / (size * (products + 200 * sum(net.sizes))))))


def calls_of_any_sizes(
    spans: Sequence[Span], n_steps: int, every: int | None, most: Callable[[int], int]
) -> Iterator[Sequence[Span]]:
    """Divide batches into calls of as many as ``most`` says for the size of the first; see `Runner.calls`."""
    done = 0
    while done < len(spans):
        start, stop = spans[done]
        n_now = most(stop - start)
        if every is not None:
            n_now = min(n_now, every - (n_steps + done) % every)
        yield spans[done : done + n_now]
        done += n_now

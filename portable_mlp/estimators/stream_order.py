"""The order of the samples in scikit-learn's epochs, and the masks of dropout, drawn from one random state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..kernels.arrays import Array
from ..kernels.batch import Span
from ..training.batches import counting, spans
from ..training.dropout import factor_of, masks_of
from ..training.order import EpochOrder
from .problem import FitProblem


class StreamOrder:
    """scikit-learn's order: each epoch permutes the one before it, by the stream of the estimator's random state.

    Batches whose weights sum to zero are left out. Dropout draws from the same stream.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
        The draft, whose random state is advanced.
    problem : FitProblem
        The problem, which has the samples and their weights.
    """

    def __init__(self, draft: Any, problem: FitProblem) -> None:
        self.n_samples = problem.data.n_samples
        self._draft, self._problem = draft, problem
        self._batches = spans(self.n_samples, _clipped_batch_size(draft.batch_size, self.n_samples))
        self._permutation = np.arange(self.n_samples)

    @property
    def each_batches(self) -> Sequence[Span] | None:
        """The batches of each epoch; None if they may differ from epoch to epoch, or have masks."""
        return None if self._draft.dropout or self._problem.samples.weights is not None else self.batches()

    def epoch(self, epoch: int, done: int) -> EpochOrder:
        """Return the order of an epoch; within an epoch, the order already drawn.

        Raises
        ------
        ZeroDivisionError
            If the weights sum to zero in every batch.
        """
        draft = self._draft
        if draft.shuffle and not done:
            # The swaps depend on places alone: they permute this order as scikit-learn's permuted row numbers do.
            self._permutation = self._permutation.copy()
            draft._random_state.shuffle(self._permutation)
        batches = self.batches()
        if not batches:
            raise ZeroDivisionError("Weights sum to zero in every batch: nothing can be learnt from them")
        masks = self._masks(batches[done:]) if draft.dropout else None
        return EpochOrder(self._permutation if draft.shuffle else None, batches, masks)

    def batches(self) -> Sequence[Span]:
        """Return the epoch's batches, without those whose weights sum to zero."""
        return counting(self._batches, self._problem.samples.weights, self._permutation)

    def _masks(self, batches: Sequence[Span]) -> Iterator[tuple[Array, ...]]:
        """Draw, on the host, the dropout masks of each batch."""
        rate, backend = self._draft.dropout, self._problem.backend
        factor = factor_of(backend, rate, self._problem.data.X.dtype)
        for start, stop in batches:
            shapes = [(stop - start, n_units) for n_units in self._problem.net.sizes[1:-1]]
            uniform = [self._draft._random_state.random_sample(shape) for shape in shapes]
            yield masks_of(backend, uniform, rate, factor)

    def memory(self) -> tuple[dict[str, Any], int | None]:
        """Return the permutation of the last epoch, which the next one permutes, and the random state."""
        _, key, *rest = self._draft._random_state.get_state(legacy=True)
        return {
            "permutation": self._permutation.astype(float),
            "random_key": key.astype(float),
            "random_rest": [float(number) for number in rest],
        }, None

    def restore(self, arrays: dict[str, Any], key: int | None) -> None:
        """Continue from a result of `memory`."""
        self._permutation = arrays["permutation"].astype(int)
        position, has_gauss, gauss = arrays["random_rest"].tolist()
        words = arrays["random_key"].astype(np.uint32)
        # A new object: the old one may be NumPy's global state, which must not be set.
        self._draft._random_state = np.random.RandomState()
        self._draft._random_state.set_state(("MT19937", words, int(position), int(has_gauss), gauss))


def _clipped_batch_size(asked: str | int, n_samples: int) -> int:
    if asked == "auto":
        return min(200, n_samples)
    if int(asked) > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
        )
    return min(int(asked), n_samples)

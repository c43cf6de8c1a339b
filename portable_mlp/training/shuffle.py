"""Shuffling: the permutation of each epoch, from one key that is drawn on the host."""

from __future__ import annotations

import numpy as np

from ..distributed.group import on_root
from ..kernels.initializers import RandomState, as_sampler


class Shuffle:
    """A new order of the samples for every epoch, and a random generator for each batch.

    One integer is drawn from ``random_state``; with the epoch it keys a counter-based generator (Philox). So the order
    of epoch 7 needs none of the epochs before it.

    Attributes
    ----------
    key : int
        The integer that was drawn.
    """

    def __init__(self, random_state: RandomState) -> None:
        sampler = as_sampler(random_state)
        draw = sampler.integers if isinstance(sampler, np.random.Generator) else sampler.randint
        self.key = on_root(lambda: int(draw(0, 2**63 - 1, dtype=np.int64)))
        # An epoch may be as short as making a generator, which reads the system's entropy: orders reset one.
        self._generator = np.random.Generator(np.random.Philox(key=self.key))
        self._fresh = self._generator.bit_generator.state

    def order(self, epoch: int, n_samples: int, part: int = 0) -> np.ndarray:
        """Return the permutation (n_samples,) of an epoch, int64; or of one of its parts, drawn independently.

        One thread at a time: all orders come from one generator.
        """
        self._generator.bit_generator.state = {**self._fresh, "state": self._place(epoch, 0, part)}
        return self._generator.permutation(n_samples)

    def generator_of_batch(self, epoch: int, batch: int) -> np.random.Generator:
        """Return the random generator of a batch of an epoch, independent of the order."""
        no_part_of_an_order = 2**64 - 1
        return np.random.Generator(np.random.Philox(**self._place(epoch, batch, no_part_of_an_order)))

    def _place(self, epoch: int, batch: int, part: int) -> dict[str, np.ndarray]:
        """Return the key and the counter from which a generator starts."""
        key = np.asarray([self.key, epoch], dtype=np.uint64)
        return {"key": key, "counter": np.asarray([0, 0, batch, part], dtype=np.uint64)}

"""A model of a step's time on more machines than there are, of a few constants that are fitted to measurements.

A step on P ranks computes, then adds up gradients, and nothing overlaps:

    T(P) = fixed + per_sample * (samples of a rank) + all_reduce(bytes, P)

What a rank computes is measured on a rank that is the only one, so that it has in it what being a rank costs. One
process that is no rank at all is what speed-up and efficiency are taken over.

An exchange of n bytes between two ranks takes ``latency + n * per_byte``. With recursive doubling an all-reduce is
ceil(log2 P) of them; with Rabenseifner's algorithm it has twice as many, of ever smaller parts, which together move
2 (P - 1) / P times the bytes. MPI libraries take the one for small messages and the other for large ones, as the model
does.

R. Thakur, R. Rabenseifner, W. Gropp: Optimization of collective communication operations in MPICH (2005),
https://doi.org/10.1177/1094342005051521
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ASSUMPTIONS = (
    "a rank computes as fast beside others as it does by itself, on one BLAS thread",
    "computing is a fixed time and a time for each sample",
    "gradients are added up after the backward pass: nothing overlaps",
    "every pair of ranks is linked alike, and messages do not wait for each other",
    "all ranks arrive at the same moment: no noise, no straggler",
)

MOST_RANKS = 1024
"""The largest number of ranks of a forecast."""


class Link(NamedTuple):
    """The connection of two ranks.

    Attributes
    ----------
    latency : float
        Seconds of an exchange of nothing.
    per_byte : float
        Seconds a byte, of sending, receiving and adding.
    """

    latency: float
    per_byte: float

    @property
    def gigabytes_per_second(self) -> float:
        """The bandwidth."""
        return 1e-9 / self.per_byte if self.per_byte else math.inf

    def all_reduce(self, n_bytes: int, n_ranks: int) -> float:
        """Return the seconds in which ranks add up so many bytes each.

        >>> link = Link(latency=1e-6, per_byte=1e-9)
        >>> link.all_reduce(0, 8), link.all_reduce(10**9, 2)
        (3e-06, 1.000001)
        """
        rounds = math.ceil(math.log2(n_ranks))
        doubling = rounds * (self.latency + n_bytes * self.per_byte)
        rabenseifner = 2 * rounds * self.latency + 2 * (n_ranks - 1) / n_ranks * n_bytes * self.per_byte
        return min(doubling, rabenseifner)


class Compute(NamedTuple):
    """The time that a process computes in a step.

    Attributes
    ----------
    fixed : float
        Seconds a step takes whatever its batch: the optimizer, the calls.
    per_sample : float
        Seconds for each sample.
    """

    fixed: float
    per_sample: float

    def step(self, n_samples: int) -> float:
        """Return the seconds of a step on so many samples."""
        return self.fixed + self.per_sample * n_samples


class Model(NamedTuple):
    """The model of the training of one network.

    Attributes
    ----------
    alone : Compute
        Computing of a process that is no rank.
    rank : Compute
        Computing of each rank.
    link : Link
        Connection between two ranks.
    n_bytes : int
        Size of the gradients in bytes.
    """

    alone: Compute
    rank: Compute
    link: Link
    n_bytes: int

    def step(self, batch_size: int, n_ranks: int) -> float:
        """Return the seconds of a step; the rank with the most samples is the one that all wait for."""
        return self.rank.step(math.ceil(batch_size / n_ranks)) + self.link.all_reduce(self.n_bytes, n_ranks)

    def strong_speed_up(self, batch_size: int, n_ranks: int) -> float:
        """Return how many times faster than one process the ranks take a step on the same batch."""
        return self.alone.step(batch_size) / self.step(batch_size, n_ranks)

    def weak_efficiency(self, batch_size: int, n_ranks: int) -> float:
        """Return one process's time for a batch over that of ranks which have such a batch each."""
        return self.alone.step(batch_size) / self.step(batch_size * n_ranks, n_ranks)


class Forecast(NamedTuple):
    """The forecast of a model for a network.

    Attributes
    ----------
    network : str
        Sizes of its layers.
    batch_size : int
        Number of samples of a step: of all ranks together for the speed-up, of each rank for the efficiency.
    model : Model
        Model of its training.
    ranks : list of int
        Numbers of ranks: 1, 2, 4, ...
    speed_up : list of float
        Speed-up of strong scaling; ends where each rank has one sample.
    efficiency : list of float
        Efficiency of weak scaling for each number of ranks.
    """

    network: str
    batch_size: int
    model: Model
    ranks: list[int]
    speed_up: list[float]
    efficiency: list[float]


def forecast(network: str, batch_size: int, model: Model) -> Forecast:
    """Return the forecast of a model for 1, 2, 4, ..., ``MOST_RANKS`` ranks."""
    ranks = [1 << i for i in range(MOST_RANKS.bit_length())]
    return Forecast(
        network,
        batch_size,
        model,
        ranks,
        [model.strong_speed_up(batch_size, n) for n in ranks if n <= batch_size],
        [model.weak_efficiency(batch_size, n) for n in ranks],
    )


def fit_link(timed: Sequence[tuple[int, float]]) -> Link:
    """Return the link fitted to all-reduces of two ranks, (bytes, seconds); each is a single exchange."""
    return Link(*_line(timed))


def fit_compute(timed: Sequence[tuple[int, float]]) -> Compute:
    """Return the times fitted to steps of one process, (samples, seconds), at two batch sizes or more."""
    return Compute(*_line(timed))


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return start and slope, neither below zero, of the line with the least squares of relative errors.

    Absolute errors would let the largest message alone decide, and say nothing of the latency.
    """
    x, y = np.asarray(points, dtype=float).T
    scale = x.max()  # seconds a byte are tiny beside seconds: columns of one size
    columns, ones = np.stack([1.0 / y, x / scale / y], axis=1), np.ones_like(y)
    line = np.linalg.lstsq(columns, ones)[0]
    if line.min() < 0.0:
        # The best of the lines that are allowed has no start, or no slope.
        alone = np.diag([column @ ones / (column @ column) for column in columns.T])
        line = min(alone, key=lambda one: float(np.sum(np.square(columns @ one - ones))))
    return float(line[0]), float(line[1] / scale)

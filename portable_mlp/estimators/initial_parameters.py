"""Random numbers as scikit-learn draws them, and its initial parameters: weights and biases of each layer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..distributed.group import current_group, is_root, on_root
from ..kernels.network import Network
from ..kernels.parameters import Layer


def same_in_group(rng: np.random.RandomState) -> np.random.RandomState:
    """Return, on every process, a random state that draws the same numbers as that of rank 0."""
    if current_group() is None:
        return rng

    def state() -> list[Any]:
        kind, key, *rest = rng.get_state(legacy=True)
        return [kind, np.asarray(key).tolist(), *rest]

    kind, key, *rest = on_root(state)
    if is_root():
        return rng
    same = np.random.RandomState()
    same.set_state((kind, np.asarray(key, dtype=np.uint32), *rest))
    return same


def draw_layers(rng: np.random.RandomState, net: Network, activation: str | Sequence[str]) -> list[Layer]:
    """Draw W, then b, of every layer from U(-a, a), a = sqrt(6 / (fan_in + fan_out)), or sqrt(2 / ...) for logistic.

    The logistic's narrower bound holds for the layers that apply it and for the output after them.

    Parameters
    ----------
    rng : RandomState
        The source of random numbers, advanced as by scikit-learn.
    net : Network
        The network, whose sizes give the fans of each layer.
    activation : str or sequence of str
        The estimator's parameter, which determines the bound even without a hidden layer.
    """
    names = (
        [activation] * (net.n_hidden + 1) if isinstance(activation, str) else [*activation, *activation[-1:]] or [""]
    )
    layers = []
    for (fan_in, fan_out), name in zip(itertools.pairwise(net.sizes), names, strict=True):
        bound = math.sqrt((2.0 if name == "logistic" else 6.0) / (fan_in + fan_out))
        W = rng.uniform(-bound, bound, (fan_in, fan_out))
        layers.append(Layer(W, rng.uniform(-bound, bound, fan_out)))
    return layers

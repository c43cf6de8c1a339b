"""Initial weights: drawn on the host in float64, so that every library starts from the same numbers.

Biases start at exactly 0 and take no random numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .network import Network
from .options import check_choice, positive_number

RandomState: TypeAlias = int | np.integer[Any] | np.random.RandomState | np.random.Generator | None

Sampler: TypeAlias = np.random.RandomState | np.random.Generator


def as_sampler(random_state: RandomState) -> Sampler:
    """Return a random number generator; NumPy's global random state is never touched.

    Parameters
    ----------
    random_state : None, int, RandomState or Generator
        None draws afresh from the operating system; an int seeds a new RandomState, whose stream NumPy keeps for ever;
        the others are used, and advanced, as they are.

    Raises
    ------
    ValueError
        If an int is not a seed (0 to 2**32 - 1).
    TypeError
        If it is something else.
    """
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        return random_state
    if random_state is not None and (isinstance(random_state, bool) or not isinstance(random_state, int | np.integer)):
        raise TypeError(
            "random_state must be None, an int, a numpy.random.RandomState or a numpy.random.Generator; "
            f"got {random_state!r}"
        )
    if random_state is not None and not 0 <= random_state < 2**32:
        raise ValueError(f"random_state must lie in 0 to 2**32 - 1, got {random_state}")
    return np.random.RandomState(None if random_state is None else int(random_state))


Draw: TypeAlias = Callable[[Sampler, int, int], np.ndarray]


def glorot_uniform(rng: Sampler, fan_in: int, fan_out: int) -> np.ndarray:
    """Draw from U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS 2010)."""
    return _uniform(rng, math.sqrt(6.0 / (fan_in + fan_out)), fan_in, fan_out)


def glorot_normal(rng: Sampler, fan_in: int, fan_out: int) -> np.ndarray:
    """Draw from N(0, 2 / (fan_in + fan_out)), with the variance that Glorot and Bengio derive."""
    return _normal(rng, math.sqrt(2.0 / (fan_in + fan_out)), fan_in, fan_out)


def he_uniform(rng: Sampler, fan_in: int, fan_out: int) -> np.ndarray:
    """Draw from U(-a, a), a = sqrt(6 / fan_in) (He et al., arXiv:1502.01852)."""
    return _uniform(rng, math.sqrt(6.0 / fan_in), fan_in, fan_out)


def he_normal(rng: Sampler, fan_in: int, fan_out: int) -> np.ndarray:
    """Draw from N(0, 2 / fan_in) (He et al., arXiv:1502.01852)."""
    return _normal(rng, math.sqrt(2.0 / fan_in), fan_in, fan_out)


def _uniform(rng: Sampler, a: float, fan_in: int, fan_out: int) -> np.ndarray:
    return rng.uniform(-a, a, (fan_in, fan_out))


def _normal(rng: Sampler, std: float, fan_in: int, fan_out: int) -> np.ndarray:
    return rng.normal(0.0, std, (fan_in, fan_out))


SCHEMES: dict[str, Draw] = {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
}
"""Schemes that need only the layer's fans; "normal" needs its ``std`` too."""

DEFAULT_STD = 0.01
"""The standard deviation of scheme "normal" where none is given."""


def draw_weights(net: Network, scheme: str, random_state: RandomState, std: float | None = None) -> list[np.ndarray]:
    """Draw the weights of a network, layer by layer.

    Parameters
    ----------
    net : Network
        The network, whose sizes give the fans of each layer.
    scheme : str
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", or "normal" with ``std``.
    random_state : None, int, RandomState or Generator
        The source of the random numbers.
    std : float, optional
        Standard deviation of "normal", by default 0.01; for the other schemes it must be None.

    Returns
    -------
    list of ndarray
        One (fan_in, fan_out) float64 array for each layer, on the host.

    Raises
    ------
    ValueError
        If the scheme is unknown, or ``std`` is given without it or is not positive and finite.
    TypeError
        If ``std`` is not a number.
    """
    check_choice("scheme", scheme, (*SCHEMES, "normal"))
    if std is not None and scheme != "normal":
        raise ValueError(f"std belongs to scheme 'normal', but scheme is {scheme!r}")
    scale = DEFAULT_STD if std is None else positive_number("std", std)
    draw: Draw = SCHEMES.get(scheme, lambda rng, fan_in, fan_out: _normal(rng, scale, fan_in, fan_out))
    rng = as_sampler(random_state)
    return [draw(rng, fan_in, fan_out) for fan_in, fan_out in itertools.pairwise(net.sizes)]

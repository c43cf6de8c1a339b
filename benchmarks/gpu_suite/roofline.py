"""A lower bound of a step's time on a GPU: its products at the rates that the GPU reaches, and the optimizer's memory.

For the products the larger of two times counts: to multiply, and to move each operand and result once. The few bytes of
the element-wise work between them are left out; so is the launch of kernels, which is nearly all of the time where a
network is small.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from portable_mlp.bench.cases import Case
from portable_mlp.kernels.parameters import n_parameters

ADAM_PASSES = 7
"""Passes of Adam over the float32 parameters: p, g, m and v are read, p, m and v written."""

FLOAT32, BFLOAT16 = 4, 2
"""Bytes of a number."""


class Product(NamedTuple):
    """One of a step's matrix products, (m, k) by (k, n).

    Attributes
    ----------
    m, k, n : int
        Shapes of the factors.
    is_gradient : bool
        Whether it is a weight's gradient, which is float32 in every precision.
    """

    m: int
    k: int
    n: int
    is_gradient: bool


def products(case: Case) -> list[Product]:
    """Return the products of a step: for each layer forward and its gradient, and back for each but the first."""
    found, batch = [], case.batch_size
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(case.sizes)):
        found.append(Product(batch, fan_in, fan_out, False))
        found.append(Product(fan_in, batch, fan_out, True))
        if i > 0:
            found.append(Product(batch, fan_out, fan_in, False))
    return found


def operations(case: Case) -> int:
    """Return the floating-point operations of a step's products; adding and multiplying are two."""
    return sum(2 * m * k * n for m, k, n, _ in products(case))


def moved_bytes(case: Case, precision: str) -> int:
    """Return the bytes that a step's products read and write, each operand and result once."""
    size = BFLOAT16 if precision == "bfloat16" else FLOAT32
    return sum(
        size * (m * k + k * n) + (FLOAT32 if is_gradient else size) * m * n for m, k, n, is_gradient in products(case)
    )


class Rates(NamedTuple):
    """The rates that a GPU reaches.

    Attributes
    ----------
    float32, tf32, bfloat16 : float
        Floating-point operations a second of large matrix products on random numbers.
    memory : float
        Bytes a second, read and written.
    """

    float32: float
    tf32: float
    bfloat16: float
    memory: float


H200 = Rates(60e12, 400e12, 790e12, 4.3e12)
"""One NVIDIA H200. Measured through PyTorch 2.11: bfloat16 (8192 x 8192 x 8192, random numbers) and memory (a copy of
8.6 GB). float32 and TF32 are taken as nine and eight tenths of the 67 and 495 TFLOP/s in the datasheet."""


def seconds_of_products(case: Case, precision: str, rates: Rates) -> float:
    """Return the roofline of a step's products, in float32, tf32 or bfloat16."""
    rate: float = getattr(rates, precision)
    return max(operations(case) / rate, moved_bytes(case, precision) / rates.memory)


def seconds_of_step(case: Case, precision: str, rates: Rates) -> float:
    """Return the roofline of a step of Adam: its products, and the update of the parameters after them."""
    update = ADAM_PASSES * FLOAT32 * n_parameters(case.sizes)
    return seconds_of_products(case, precision, rates) + update / rates.memory

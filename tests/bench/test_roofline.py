"""The roofline: against numbers that were worked out by hand, and a count of what NumPy multiplies."""

import numpy as np
import pytest
from gpu_suite.roofline import (
    H200,
    moved_bytes,
    operations,
    products,
    seconds_of_products,
    seconds_of_step,
)
from gpu_suite.suite import GPU_CASES

from portable_mlp.bench import candidates
from portable_mlp.bench.cases import Case

DIGITS, MNIST, LARGE_BATCH, BIG = GPU_CASES
MIDDLE = MNIST._replace(batch_size=4096)

# 4 B D H + 6 B H C operations; bytes; microseconds at 60, 400 and 790 TFLOP/s and 4.3 TB/s; these with Adam.
WORKED_OUT = [
    (DIGITS, "float32", 0.0063e9, 0.6e6, 0.14, 0.2),
    (MNIST, "float32", 1.68e9, 20e6, 27.9, 31),
    (MNIST, "tf32", 1.68e9, 20e6, 4.7, 7.5),
    (MNIST, "bfloat16", 1.68e9, 11e6, 2.6, 5.4),
    (MIDDLE, "float32", 6.70e9, 71e6, 112, 115),
    (MIDDLE, "tf32", 6.70e9, 71e6, 16.8, 20),
    (MIDDLE, "bfloat16", 6.70e9, 37e6, 8.5, 12),
    (LARGE_BATCH, "float32", 13.4e9, 140e6, 223, 227),
    (LARGE_BATCH, "tf32", 13.4e9, 140e6, 33.5, 37),
    (LARGE_BATCH, "bfloat16", 13.4e9, 71e6, 17.0, 20),
    (BIG, "float32", 5498e9, 4.7e9, 91.6e3, 92.6e3),
    (BIG, "tf32", 5498e9, 4.7e9, 13.7e3, 14.7e3),
    (BIG, "bfloat16", 5498e9, 2.6e9, 6.96e3, 7.9e3),
]


@pytest.mark.parametrize(("case", "precision", "operations_", "bytes_", "products_", "step"), WORKED_OUT)
def test_numbers_worked_out_by_hand(
    case: Case, precision: str, operations_: float, bytes_: float, products_: float, step: float
) -> None:
    assert operations(case) == pytest.approx(operations_, rel=0.005)
    assert moved_bytes(case, precision) == pytest.approx(bytes_, rel=0.04)  # rounded to one or two digits
    assert 1e6 * seconds_of_products(case, precision, H200) == pytest.approx(products_, rel=0.03)
    assert 1e6 * seconds_of_step(case, precision, H200) == pytest.approx(step, rel=0.08)  # with element-wise work
    assert seconds_of_step(case, precision, H200) > seconds_of_products(case, precision, H200)


def test_the_products_are_those_of_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    case, seen = Case("deep", (6, 9, 5, 4), 8), []
    monkeypatch.setattr(np, "matmul", lambda a, b, out: seen.append((*a.shape, b.shape[1])))
    candidates.Floor(case, "float32").run(1)
    assert sorted(seen) == sorted((m, k, n) for m, k, n, _ in products(case))
    assert sum(is_gradient for *_, is_gradient in products(case)) == 3

"""One training step of each candidate: `nox -s bench`, or `pytest benchmarks --benchmark-only`.

The candidates, and the check that all of them compute the same, are those of `portable-mlp bench`, which times them in
turns: its ratios are the ones to quote. Here each has its own benchmark, for comparing one version with another.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from portable_mlp.bench.candidates import ours_on
from portable_mlp.bench.cases import QUICK, Case
from portable_mlp.bench.measurement import TOLERANCE
from portable_mlp.bench.peers import peers

MAKES = {**{name: ours_on(name) for name in ("numpy", "cupy", "torch", "jax", "strict")}, **peers()}
STEPS = 40


@pytest.mark.parametrize("name", MAKES)
@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_step(benchmark: BenchmarkFixture, case: Case, name: str) -> None:
    """Time forty steps of Adam in float32, after as many to warm up."""
    make = MAKES[name]
    if isinstance(make, str):
        pytest.skip(make)
    try:
        candidate = make(case, "float32")
    except RuntimeError as error:
        pytest.skip(str(error))
    expected = ours_on("numpy")(case, "float64").first_losses()
    assert candidate.first_losses() == pytest.approx(expected, rel=TOLERANCE["float32"])
    steps = max(STEPS, getattr(candidate, "steps_a_call", 1))
    benchmark.group = case.name
    benchmark.pedantic(candidate.run, (steps,), rounds=5, warmup_rounds=1)
    benchmark.extra_info["microseconds a step"] = 1e6 * benchmark.stats.stats.median / steps

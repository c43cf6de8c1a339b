"""The model of many machines: its constants are found again in times that were made with them."""

import math

import numpy as np
import pytest
from scaling_study.model import Compute, Link, Model, fit_compute, fit_link, forecast
from scipy.optimize import nnls

BYTES = [4 * 10**i for i in range(7)]


@pytest.mark.parametrize(("latency", "bandwidth"), [(1.7e-6, 4e9), (25e-6, 1.25e9), (1e-3, 1e8)])
def test_latency_and_bandwidth_are_found_again(latency: float, bandwidth: float) -> None:
    link = fit_link([(n, latency + n / bandwidth) for n in BYTES])
    assert link.latency == pytest.approx(latency, rel=1e-9)
    assert 1 / link.per_byte == pytest.approx(bandwidth, rel=1e-9)


def test_noise_of_ten_per_cent_moves_them_by_ten_per_cent() -> None:
    rng = np.random.default_rng(0)
    link = fit_link([(n, (2e-6 + n / 2e9) * rng.uniform(0.9, 1.1)) for n in BYTES])
    assert link.latency == pytest.approx(2e-6, rel=0.1)
    assert 1 / link.per_byte == pytest.approx(2e9, rel=0.1)


def test_computing_is_found_again_and_nothing_is_below_zero() -> None:
    sizes = [16, 64, 256, 1024]
    assert fit_compute([(n, 80e-6 + 1.3e-6 * n) for n in sizes]) == pytest.approx((80e-6, 1.3e-6), rel=1e-9)
    fixed, per_sample = fit_compute([(n, 1e-6 * n - 5e-6) for n in sizes])
    assert fixed == 0.0
    assert per_sample == pytest.approx(0.8e-6, rel=0.1)


def simulated_doubling(link: Link, n_bytes: int, n_ranks: int) -> float:
    """Return when the last of the ranks is done, each exchanging everything with the one a bit away, bit by bit."""
    clocks = [0.0] * n_ranks
    for distance in (1 << i for i in range(n_ranks.bit_length() - 1)):
        clocks = [max(clocks[i], clocks[i ^ distance]) + link.latency + n_bytes * link.per_byte for i in range(n_ranks)]
    return max(clocks)


def simulated_halving(link: Link, n_bytes: int, n_ranks: int) -> float:
    """Return the same for parts that are halved while they are added up, and doubled while they are collected."""
    distances = [1 << i for i in range(n_ranks.bit_length() - 1)]
    parts = [n_bytes / (2 << i) for i in range(len(distances))]
    return sum(link.latency + part * link.per_byte for part in (*parts, *reversed(parts)))


@pytest.mark.parametrize("n_ranks", [2, 4, 64, 1024])
@pytest.mark.parametrize("n_bytes", [4, 40_000, 4_000_000])
def test_an_all_reduce_is_the_cheaper_of_two_algorithms(n_ranks: int, n_bytes: int) -> None:
    link = Link(2e-6, 1 / 3e9)
    simulated = [simulate(link, n_bytes, n_ranks) for simulate in (simulated_doubling, simulated_halving)]
    assert link.all_reduce(n_bytes, n_ranks) == pytest.approx(min(simulated), rel=1e-12)
    assert link.all_reduce(n_bytes, 1) == 0.0
    # Ranks that are no power of two take the rounds of the next one.
    assert link.all_reduce(4, 2 * n_ranks - 1) == pytest.approx((math.log2(n_ranks) + 1) * (2e-6 + 4 / 3e9))


def test_speed_up_and_efficiency() -> None:
    model = Model(Compute(10e-6, 1e-6), Compute(20e-6, 1e-6), Link(0.0, 0.0), 4000)
    assert model.strong_speed_up(256, 1) == pytest.approx(266 / 276)  # a rank, even the only one, is no process alone
    assert model.strong_speed_up(256, 2) == pytest.approx(266 / 148)
    assert model.strong_speed_up(257, 2) == pytest.approx(267 / 149)
    assert model.strong_speed_up(256, 1024) == pytest.approx(266 / 21)  # some have one sample, the others none
    assert model.weak_efficiency(256, 1024) == pytest.approx(266 / 276)
    slow = model._replace(link=Link(20e-6, 0.0))
    assert slow.strong_speed_up(256, 4) == pytest.approx(266 / (84 + 40))
    assert slow.weak_efficiency(256, 4) == pytest.approx(266 / (276 + 40))


def test_a_forecast_ends_where_each_rank_has_one_sample() -> None:
    model = Model(Compute(10e-6, 1e-6), Compute(20e-6, 1e-6), Link(1e-6, 1e-9), 4000)
    outlook = forecast("40-128-64-5", 256, model)
    assert outlook.ranks == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert outlook.speed_up == [model.strong_speed_up(256, n) for n in outlook.ranks[:9]]
    assert outlook.efficiency == [model.weak_efficiency(256, n) for n in outlook.ranks]


def test_a_line_is_the_best_of_those_that_are_allowed() -> None:
    """SciPy's least squares without negative numbers agree, also where the unbounded ones would have a negative one."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        x, y = rng.uniform(1, 1e6, 5), rng.uniform(1e-6, 1e-3, 5)
        (start, slope), _ = nnls(np.stack([1 / y, x / x.max() / y], axis=1), np.ones(5))
        assert fit_compute(list(zip(x, y, strict=True))) == pytest.approx((start, slope / x.max()), rel=1e-6, abs=1e-16)

"""First weights: the formula, the stream of random numbers, and the same numbers on every library."""

import math

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.kernels.initializers import as_sampler
from tests.reference import assert_close

NET = pm.Network((5, 4, 3, 2))
FANS = ((5, 4), (4, 3), (3, 2))

FORMULAS = {
    "glorot_uniform": lambda rng, i, o: rng.uniform(-math.sqrt(6 / (i + o)), math.sqrt(6 / (i + o)), (i, o)),
    "glorot_normal": lambda rng, i, o: rng.normal(0.0, math.sqrt(2 / (i + o)), (i, o)),
    "he_uniform": lambda rng, i, o: rng.uniform(-math.sqrt(6 / i), math.sqrt(6 / i), (i, o)),
    "he_normal": lambda rng, i, o: rng.normal(0.0, math.sqrt(2 / i), (i, o)),
    "normal": lambda rng, i, o: rng.normal(0.0, 0.01, (i, o)),
}

SEEDS = {
    "int": lambda: 7,
    "numpy int": lambda: np.int32(7),
    "RandomState": lambda: np.random.RandomState(7),
    "Generator": lambda: np.random.default_rng(7),
}


def sampler(seed):
    return seed if isinstance(seed, np.random.RandomState | np.random.Generator) else np.random.RandomState(int(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_gives_same_numbers_on_every_library(lib, seed):
    params = pm.init_params(NET, random_state=SEEDS[seed](), backend=lib.backend, dtype=lib.dtype)
    rng = sampler(SEEDS[seed]())
    assert isinstance(params, tuple)
    for (W, b), (fan_in, fan_out) in zip(params, FANS, strict=True):
        expected = FORMULAS["glorot_uniform"](rng, fan_in, fan_out).astype(lib.dtype)
        assert_close(lib.numpy(W), expected, rtol=0)
        assert_close(lib.numpy(b), np.zeros(fan_out), rtol=0)


@pytest.mark.parametrize("scheme", FORMULAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_scheme_follows_its_formula_layer_by_layer(scheme, seed):
    rng = sampler(SEEDS[seed]())
    params = pm.init_params(NET, scheme=scheme, random_state=SEEDS[seed]())
    for (W, b), (fan_in, fan_out) in zip(params, FANS, strict=True):
        assert W.dtype == b.dtype == np.float64
        assert_close(W, FORMULAS[scheme](rng, fan_in, fan_out), rtol=0)
        assert not b.any()


def test_default_is_glorot_uniform_from_seed_0_on_numpy():
    for layer, same in zip(
        pm.init_params(NET), pm.init_params(NET, scheme="glorot_uniform", random_state=0), strict=True
    ):
        assert isinstance(layer, pm.Layer)
        assert_close(layer.W, same.W, rtol=0)


def test_normal_takes_its_std():
    wide = pm.init_params(NET, scheme="normal", std=2.0, random_state=3)
    rng = np.random.RandomState(3)
    for layer, fans in zip(wide, FANS, strict=True):
        assert_close(layer.W, rng.normal(0.0, 2.0, fans), rtol=0)


@pytest.mark.parametrize("rng", [np.random.RandomState(1), np.random.default_rng(1)], ids=["RandomState", "Generator"])
def test_a_given_generator_is_advanced(rng):
    first, second = (pm.init_params(NET, random_state=rng)[0].W for _ in range(2))
    assert np.all(first != second)


def test_none_draws_afresh():
    first, second = (pm.init_params(NET, random_state=None)[0].W for _ in range(2))
    assert np.all(first != second)


@pytest.mark.parametrize("seed", [None, 0])
def test_global_random_state_is_untouched(seed):
    before = np.random.get_state()[1:3]
    pm.init_params(NET, random_state=seed)
    after = np.random.get_state()[1:3]
    assert_close(after[0], before[0], rtol=0)
    assert after[1] == before[1]


def test_two_calls_share_no_memory():
    first, second = (pm.pack(pm.init_params(NET)) for _ in range(2))
    assert not np.shares_memory(first, second)
    params = pm.init_params(NET)
    arrays = [x for layer in params for x in layer]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(arrays) for y in arrays[:i])


REFUSED = [
    (ValueError, {"scheme": "xavier"}, "scheme must be one of 'glorot_uniform', 'glorot_normal', 'he_uniform', "
     "'he_normal', 'normal'; got 'xavier'"),
    (ValueError, {"std": 0.1}, "std belongs to scheme 'normal', but scheme is 'glorot_uniform'"),
    (ValueError, {"scheme": "normal", "std": 0.0}, "std must be positive and finite, got 0.0"),
    (ValueError, {"scheme": "normal", "std": -1.0}, "std must be positive and finite, got -1.0"),
    (ValueError, {"scheme": "normal", "std": math.nan}, "std must be positive and finite, got nan"),
    (ValueError, {"scheme": "normal", "std": math.inf}, "std must be positive and finite, got inf"),
    (TypeError, {"scheme": "normal", "std": "0.1"}, "std must be a number, got '0.1'"),
    (ValueError, {"random_state": -1}, r"random_state must lie in 0 to 2\*\*32 - 1, got -1"),
    (ValueError, {"random_state": 2**32}, r"random_state must lie in 0 to 2\*\*32 - 1, got 4294967296"),
    (TypeError, {"random_state": True}, "random_state must be None, an int, .* or a numpy.random.Generator; got True"),
    (TypeError, {"random_state": 1.5}, "random_state must be None, an int, .* or a numpy.random.Generator; got 1.5"),
    (TypeError, {"random_state": "0"}, "random_state must be None, an int, .* or a numpy.random.Generator; got '0'"),
    (ValueError, {"dtype": "int64"}, "parameters must be real floating, got dtype 'int64'"),
    (ValueError, {"dtype": "complex128"}, "parameters must be real floating, got dtype 'complex128'"),
    (ValueError, {"dtype": "float99"}, "dtype 'float99' is not available with numpy on cpu; choose one of "),
]  # fmt: skip


@pytest.mark.parametrize(("error", "arguments", "message"), REFUSED)
def test_refusals(error, arguments, message):
    with pytest.raises(error, match=message):
        pm.init_params(NET, **arguments)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_ends_of_the_seeds_are_seeds(seed):
    assert isinstance(as_sampler(seed), np.random.RandomState)

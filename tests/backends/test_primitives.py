"""NumPy's own primitives beside the portable ones: the same bits, whether plain or compiled, wherever they write."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
import scipy.sparse

import portable_mlp as pm
from portable_mlp.backends import _numba_compiling, _numba_loops, _numpy
from portable_mlp.backends._numba_loops import LOOPS_OF_UPDATES
from portable_mlp.backends._numba_primitives import NumbaPrimitives
from portable_mlp.backends._numpy import NumpyBackend, numpy_primitives
from portable_mlp.backends._numpy_primitives import NumpyPrimitives
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels import optimizers
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.kernels.optimizers import adam
from portable_mlp.kernels.primitives import GradientSums, Primitives, portable
from portable_mlp.kernels.workspace import make_workspace
from portable_mlp.tables.model import TableModel
from portable_mlp.tables.preparation import Preparation
from tests.selection import rarely

from .optimizers import OPTIMIZERS

FAST: dict[str, Primitives] = {"plain": NumpyPrimitives(), "compiled": NumbaPrimitives()}
PORTABLE = portable(xp)
NET = pm.Network((4, 6, 3))
SHAPES = [(1, 1), (7, 1), (1, 9), (40, 3), (33, 17), (5, 128), (4, 129), (3, 6, 5)]

EVERYWHERE = [pytest.mark.parametrize("name", FAST), pytest.mark.parametrize("dtype", ["float64", "float32"])]


def on_both(test: Any) -> Any:
    """Run a test with plain and with compiled primitives, in both dtypes."""
    for mark in EVERYWHERE:
        test = mark(test)
    return test


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0, special: bool = True) -> np.ndarray:
    """Return numbers of many sizes, with zeros of both signs, infinities and a NaN where there is room for them."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 3, size=shape)).astype(dtype)
    if special and x.size > 20:
        x.reshape(-1)[:5] = [0.0, -0.0, np.inf, -np.inf, np.nan]
    return x


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@on_both
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_derivatives(activation: str, shape: tuple[int, ...], dtype: str, name: str) -> None:
    z, dh = numbers(shape, dtype), numbers(shape, dtype, seed=1)
    b = numbers((*shape[:-2], shape[-1]), dtype, seed=2, special=False)
    expected_h, expected_z = PORTABLE.activate(activation, z, b)
    h, kept = FAST[name].activate(activation, z.copy(), b)
    same(h, expected_h)
    assert (kept is None) == (expected_z is None) == (not ACTIVATIONS[activation].needs_z)
    expected = PORTABLE.d_activate(activation, dh, expected_z, expected_h)
    same(FAST[name].d_activate(activation, dh.copy(), kept, h), expected)


@on_both
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_products_softmax_and_quotients(shape: tuple[int, ...], dtype: str, name: str) -> None:
    ops, x = FAST[name], numbers(shape, dtype, special=False)
    out = np.full((*shape[:-2], shape[-1]), np.nan, dtype=dtype)
    assert ops.sum_samples(x, out) is out
    same(out, PORTABLE.sum_samples(x))
    same(ops.sum_samples(x), out)
    product = np.full((*shape[:-1], shape[-2]), np.nan, dtype=dtype)
    assert ops.matmul(x, ops.transposed(x), product) is product
    same(product, PORTABLE.matmul(x, PORTABLE.transposed(x)))
    for z in (x, numbers(shape, dtype)):
        same(ops.softmax(z), PORTABLE.softmax(z))
    weight = x.dtype.type(2.7)  # as a sum of weights comes
    for strength, divisor in ((0.1, 7.0), (0.0, 1.0), (0.3, weight), (weight, weight)):
        W = numbers(shape, dtype, seed=3, special=False)
        same(ops.penalised(x.copy(), W, strength, divisor), PORTABLE.penalised(x, W, strength, divisor))
        same(ops.scaled(x.copy(), divisor), PORTABLE.scaled(x, divisor))
        same(ops.divided(x.copy(), divisor, 2), PORTABLE.divided(x, divisor, 2))


@on_both
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("output", ["softmax", "logistic", "identity", "exp"])
def test_losses_and_their_derivatives(output: str, shape: tuple[int, ...], dtype: str, name: str) -> None:
    net = pm.Network((2, shape[-1]), output=output)
    Y = np.eye(shape[-1], dtype=dtype)[np.random.default_rng(0).integers(0, shape[-1], size=shape[:-1])]
    for z in (numbers(shape, dtype, special=False), numbers(shape, dtype), np.zeros(shape, dtype=dtype)):
        for found, expected in zip(
            FAST[name].sample_losses(net, z.copy(), Y), PORTABLE.sample_losses(net, z, Y), strict=True
        ):
            same(found, expected)


@on_both
@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_the_weighted_logarithm_is_scipys(shape: tuple[int, ...], dtype: str, name: str) -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=shape).astype(dtype) ** 9
    p.reshape(-1)[: p.size // 4] = rng.choice([0.0, 1.0, 1e-30, 1.0 - 1e-7, np.nan], size=p.size // 4)
    Y = rng.choice([0.0, 0.0, 1.0, 0.5], size=shape).astype(dtype)
    found = FAST[name].weighted_log(Y, p)
    same(found, FAST["plain"].weighted_log(Y, p))
    eps = np.finfo(dtype).eps
    expected = Y * np.log(np.clip(p, eps, 1 - eps).astype("float64"))
    rtol = 1e-6 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(found, expected, rtol=rtol)
    p[np.isnan(p)] = 0.5
    np.testing.assert_allclose(PORTABLE.weighted_log(Y, p), FAST[name].weighted_log(Y, p), rtol=rtol)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_reported_losses_of_labels_are_those_of_rows(shape: tuple[int, ...], weighted: bool, dtype: str) -> None:
    ops, report, n_classes = FAST["compiled"], REPORTED["cross_entropy"], shape[-1]
    assert ops.takes_labels(pm.Network((2, n_classes)), report)
    labels = np.random.default_rng(0).integers(0, n_classes, size=(shape[-2], 1))
    rows = np.eye(n_classes, dtype=dtype)[labels[:, 0]]
    weights = numbers(shape[-2:-1], dtype, seed=2, special=False) if weighted else None
    b = numbers((*shape[:-2], n_classes), dtype, seed=1, special=False)
    certain = np.broadcast_to(1e4 * rows, shape).astype(dtype)  # p is 0 or 1
    for z in (numbers(shape, dtype, special=False), numbers(shape, dtype), certain, -certain):
        (_, found), *others = ops.reported_losses(report, z.copy(), b, labels, weights, 7.0)
        (_, expected), *expected_others = FAST["plain"].reported_losses(report, z.copy(), b, rows, weights, 7.0)
        for one, other in zip((found, *others), (expected, *expected_others), strict=True):
            same(one, other)


@on_both
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("models", [(), (3,)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_write_into_the_parameters(optimizer: str, models: tuple[int, ...], dtype: str, name: str) -> None:
    chosen = OPTIMIZERS[optimizer]
    p = expected = numbers((*models, 101), dtype)
    p = p.copy()
    state, expected_state = chosen.init(xp, p), chosen.init(xp, p)
    for t in range(1, 6):
        g, scalars = numbers((*models, 101), dtype, seed=t, special=t > 3), chosen.scalars(t, 0.01 * t)
        expected, expected_state = PORTABLE.update(chosen, expected, g, expected_state, scalars)
        written, state = FAST[name].update(chosen, p, g, state, scalars)
        assert written is p
        same(p, expected)
        for found, wanted in zip(state, expected_state, strict=True):
            same(found, wanted)


@on_both
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("strength", "divisor"), [(0.0, 1.0), (0.0, 7.0), (0.3, 7.0), (0.3, 1.0)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_descent_is_reduction_and_update(
    optimizer: str, strength: float, divisor: float, dtype: str, name: str
) -> None:
    chosen, net = OPTIMIZERS[optimizer], pm.Network((5, 4, 3))
    n = 5 * 4 + 4 + 4 * 3 + 3
    expected = numbers((n,), dtype, special=False)
    parameters = expected.copy()
    workspace = make_workspace(xp, net, parameters, 6)
    state, expected_state = chosen.init(xp, parameters), chosen.init(xp, parameters)
    for t in range(1, 6):
        sums, scalars = numbers((n,), dtype, seed=t, special=t > 3), chosen.scalars(t, 0.01 * t)
        workspace.gradient[...] = sums
        alone = GradientSums(pm.unpack(net, expected), pm.unpack(net, sums), strength, divisor)
        expected, expected_state = PORTABLE.reduce_and_update(chosen, expected, alone, expected_state, scalars)
        in_workspace = GradientSums(workspace.params, workspace.grads, strength, divisor)
        returned, state = FAST[name].reduce_and_update(chosen, parameters, in_workspace, state, scalars, workspace)
        assert returned is parameters
        same(parameters, expected)
        for found, wanted in zip(state, expected_state, strict=True):
            same(found, wanted)


@on_both
@pytest.mark.parametrize("labels", ["int64", "int32"])
def test_rows_are_taken_and_labels_encoded_into_memory(labels: str, dtype: str, name: str) -> None:
    ops, x, rows = FAST[name], numbers((9, 4), dtype), np.asarray([3, 8, 0, 3])
    out = np.full((4, 4), np.nan, dtype=dtype)
    assert ops.take(x, rows, -2, out) is out
    same(out, x[rows])
    same(ops.take(x, rows, -2), x[rows])
    column = np.asarray([[2], [0], [3], [2]], dtype=labels)
    assert ops.one_hot(column, 4, out.dtype, out) is out
    same(out, np.eye(4, dtype=dtype)[column[:, 0]])
    same(ops.one_hot(column, 4, out.dtype), out)
    same(np.asarray(ops.total(x[:, 1])), np.asarray(PORTABLE.total(x[:, 1])))


@on_both
def test_every_compiled_formula_is_compared(dtype: str, name: str) -> None:
    """A formula without a loop of its own is computed by NumPy."""
    formulas = {value for key, value in vars(optimizers).items() if key.endswith("_update")}
    assert set(LOOPS_OF_UPDATES) == {optimizer.formula for optimizer in OPTIMIZERS.values()} <= formulas


@on_both
def test_memory_that_is_no_plain_matrix_is_left_to_numpy(dtype: str, name: str) -> None:
    ops, x = FAST[name], numbers((12, 8), dtype, special=False)
    for view in (np.asfortranarray(x), x[::2], x[:, ::2], x.T):
        same(ops.softmax(view), PORTABLE.softmax(view))
        same(ops.sum_samples(view, np.empty(view.shape[1], dtype=dtype)), PORTABLE.sum_samples(view))
        b = numbers((view.shape[1],), dtype, seed=1, special=False)
        copied = view.copy(order="K")
        same(ops.activate("relu", copied, b)[0], PORTABLE.activate("relu", view, b)[0])
    p = np.zeros((10, 2), dtype=dtype)[:, 0]
    moved, _ = ops.update(adam(), p, np.ones(10, dtype=dtype), adam().init(xp, p), (0.1, 1e-8))
    assert moved is p
    assert np.all(p < 0)


@on_both
@pytest.mark.parametrize("batch_size", [7, 16])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_training_is_the_same_to_the_last_bit(
    activation: str, solver: str, batch_size: int, dtype: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = numbers((50, 6), "float64", special=False).astype(dtype)
    y = np.arange(50) % 4
    net = pm.Network((6, 9, 5, 4), activation)
    params = pm.init_params(net, dtype=dtype)
    runs = []
    for ops in (PORTABLE, FAST[name]):
        monkeypatch.setattr(_numpy, "numpy_primitives", lambda ops=ops: ops)
        given = tuple(pm.Layer(W.copy(), b.copy()) for W, b in params)
        runs.append(pm.train(net, given, X, y, solver=solver, batch_size=batch_size, epochs=6, l2=0.01))
        for layer, untouched in zip(given, params, strict=True):
            same(layer.W, untouched.W)
    assert runs[0].history["loss"] == runs[1].history["loss"]
    for found, expected in zip(runs[1].params, runs[0].params, strict=True):
        same(found.W, expected.W)
        same(found.b, expected.b)


@on_both
def test_without_numba_it_is_plain_numpy(dtype: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Any = importlib.util.find_spec
    missing = {"numba"} if name == "plain" else set()
    monkeypatch.setattr(_numpy.importlib.util, "find_spec", lambda m: None if m in missing else found(m))
    numpy_primitives.cache_clear()
    try:
        assert type(numpy_primitives()) is type(FAST[name])
        sparse = numpy_primitives(takes_sparse=True)
        assert isinstance(sparse, type(FAST[name]))
        X, W = scipy.sparse.random_array((9, 30), density=0.2, format="csr", random_state=0, dtype=dtype), None
        W = numbers((30, 4), dtype, special=False)
        out = np.empty((9, 4), dtype=dtype)
        assert sparse.matmul(X, W, out) is out
        np.testing.assert_allclose(out, X.toarray() @ W, rtol=1e-5)
        np.testing.assert_allclose(sparse.matmul(sparse.transposed(X), out), X.toarray().T @ out, rtol=1e-5, atol=1e-6)
    finally:
        numpy_primitives.cache_clear()


def in_a_new_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


TRAIN = """
import numpy as np, portable_mlp as pm
pm.get_backend("numpy").load()
net = pm.Network((3, 4, 2))
pm.train(net, pm.init_params(net), np.ones((9, 3)), np.arange(9) % 2, epochs=1)
print(type(pm.get_backend("numpy").primitives).__name__)
"""


@pytest.mark.thorough  # each time: test_compiled_files, with a function that is compiled in a moment
def test_where_nothing_can_be_kept_on_disk_it_is_compiled_anew() -> None:
    nowhere = """
import numba, numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
try:
    numba.njit(cache=True)(lambda x: x)
except RuntimeError as error:
    print(error)
"""
    refused, name = in_a_new_python(nowhere + TRAIN).splitlines()
    assert "cannot cache function" in refused
    assert name == "NumbaPrimitives"


def test_a_numba_that_cannot_be_imported_is_said_and_done_without() -> None:
    broken = """
import sys, warnings
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.core" or name.startswith("numba.core."):
            raise ImportError("Numba needs an older NumPy")
sys.meta_path.insert(0, Broken())
warnings.simplefilter("ignore")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
"""
    code = broken + "".join(f"    {line}\n" for line in TRAIN.splitlines()) + "print(*(w.message for w in caught))"
    name, warned = in_a_new_python(code).splitlines()
    assert name == "NumpyPrimitives"
    assert warned == "Numba cannot be used: Numba needs an older NumPy; plain NumPy gives the same results, more slowly"


FAILING = """
import warnings
import numba.core.dispatcher as dispatcher, numpy as np, portable_mlp as pm
calls, honest = [], dispatcher.Dispatcher.compile
def fail_at_last(self, signature):
    calls.append(signature)
    if len(calls) > {works}:
        raise MemoryError("no page may hold code\\nfurther lines")
    return honest(self, signature)
dispatcher.Dispatcher.compile = fail_at_last
pm.get_backend("numpy").load()
rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 6)).astype("float32"), np.arange(40) % 3
net = pm.Network((6, 5, 4, 3), ("tanh", "relu"))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for solver in ("adam", "sgd"):
        params = pm.init_params(net, random_state=0, dtype="float32")
        print(pm.train(net, params, X, y, solver=solver, epochs=3, batch_size=16, l2=0.1).history["loss"])
print(len(calls), *(f"{{w.category.__name__}}: {{w.message}}" for w in caught))
"""


@pytest.mark.parametrize("every", [12, *rarely(3)])
def test_what_cannot_be_compiled_is_left_to_numpy_to_the_same_bits(every: int) -> None:
    in_a_new_python(FAILING.format(works=99))  # from now on all code is on disk: every process has as many calls
    *expected, last = in_a_new_python(FAILING.format(works=99)).splitlines()
    n_calls = int(last)
    assert 10 < n_calls < 20
    for works in range(0, n_calls, every):
        *found, last = in_a_new_python(FAILING.format(works=works)).splitlines()
        assert found == expected
        assert last == (
            f"{works + 1} RuntimeWarning: Numba cannot compile here: MemoryError: no page may hold code; "
            "plain NumPy gives the same results, more slowly"
        )


def layers(alter: Callable[[np.ndarray], np.ndarray]) -> Any:
    return tuple(pm.Layer(alter(W), alter(b)) for W, b in pm.init_params(NET, random_state=0))


def read_only(x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, x.shape)


PARAMETERS = {
    "as they are": layers(lambda x: x),
    "read-only": layers(read_only),
    "strided": layers(lambda x: np.repeat(x, 2, axis=-1)[..., ::2]),
    "columns": layers(np.asfortranarray),
    "not aligned": layers(lambda x: np.frombuffer(b"." + x.tobytes(), offset=1).reshape(x.shape)),
    "float16": layers(lambda x: x.astype("float16")),
    "longdouble": layers(lambda x: x.astype("longdouble")),
    "big-endian": layers(lambda x: x.astype(">f8")),
    "models": layers(lambda x: np.stack([x, 2.0 * x])),
}


@pytest.mark.parametrize("kind", PARAMETERS)
def test_any_parameters_predict_beside_compiled_loops(kind: str) -> None:
    """What no loop is compiled for is computed by NumPy; nothing is compiled for a prediction, nothing fails."""
    X, loops = numbers((50, 4), "float64", special=False), (_numba_loops.bias_loop, _numba_loops.bias_relu_loop)
    numpy_primitives()
    pm.predict(NET, PARAMETERS["as they are"], X)
    before = [list(loop.signatures) for loop in loops]
    found = pm.predict(NET, PARAMETERS[kind], X)
    same(found, pm.forward(NET, PARAMETERS[kind], X)[-1])
    assert [list(loop.signatures) for loop in loops] == before
    assert not _numba_compiling.failures


def test_predictions_are_computed_by_the_primitives_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Noting(NumpyPrimitives):
        def activate(self, name: str, z: Any, b: Any) -> Any:
            seen.append(name)
            return super().activate(name, z, b)

    monkeypatch.setattr(NumpyBackend, "primitives_outside_steps", Noting())
    X, params = numbers((50, 4), "float64", special=False), PARAMETERS["models"]
    pm.predict(NET, params, X)
    preparation = Preparation([], None, [], [], classes=["a", "b", "c"])
    TableModel(preparation, NET, params, {}).outputs_of_inputs(X)
    pm.MLPRegressor(hidden_layer_sizes=(6,), random_state=0).partial_fit(X, X[:, 0]).predict(X)
    assert seen == ["relu", "relu", "relu"]

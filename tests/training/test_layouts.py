"""The layout of X, y and the weights is no matter: a step copies its batch, never the table."""

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network

import portable_mlp as pm
from portable_mlp.backends._numpy import numpy_primitives
from tests.memory import peak_memory
from tests.selection import one_in

N_SAMPLES, N_FEATURES, BATCH = 60_000, 40, 2_000
RNG = np.random.default_rng(0)
NET = pm.Network((N_FEATURES, 4, 3))


def unaligned(x: np.ndarray) -> np.ndarray:
    rows = np.zeros(len(x), dtype=[("odd", np.int8), ("x", x.dtype, x.shape[1:])])
    rows["x"] = x
    return rows["x"]


def spread(x: np.ndarray) -> np.ndarray:
    """Return x as every other number of a larger array."""
    wide = np.zeros(tuple(2 * n for n in x.shape), dtype=x.dtype)
    wide[(slice(None, None, 2),) * x.ndim] = x
    return wide[(slice(None, None, 2),) * x.ndim]


def locked(x: np.ndarray) -> np.ndarray:
    x = np.asfortranarray(x)
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "read-only columns": locked,
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "spread": spread,
    "unaligned": unaligned,
}


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    X, y = RNG.normal(size=(N_SAMPLES, N_FEATURES)), RNG.integers(0, 3, N_SAMPLES)
    pm.get_backend("numpy").load()
    pm.train(NET, pm.init_params(NET), X[:BATCH], y[:BATCH], epochs=1)  # what is loaded at first is not counted
    return X, y


@pytest.mark.parametrize(
    ("layout", "shuffle"), one_in(2, [*LAYOUTS, "the same row", "mapped rows", "mapped columns"], [True, False])
)
def test_training_makes_no_second_table(layout: str, shuffle: bool, table: Any, tmp_path: pathlib.Path) -> None:
    """Of 19 MB there are the order of the samples, some batches, and blocks in which finite numbers are looked for."""
    X, y = table
    if layout == "the same row":
        rows = np.broadcast_to(X[:1], X.shape)
    elif layout.startswith("mapped"):
        np.save(tmp_path / "X.npy", LAYOUTS[layout.removeprefix("mapped ")](X))
        rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        rows = LAYOUTS[layout](X)
    one_hot = np.eye(3)[y]
    targets = one_hot if layout == "rows" else LAYOUTS.get(layout, np.asfortranarray)(one_hot)
    options: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "shuffle": shuffle, "random_state": 0}
    params = pm.init_params(NET)
    validation = (rows[: N_SAMPLES // 2], targets[: N_SAMPLES // 2])
    peak = peak_memory(lambda: pm.train(NET, params, rows, targets, validation=validation, **options))
    assert peak < 0.6 * X.nbytes
    found = pm.train(NET, params, rows, targets, **options)
    expected = pm.train(NET, params, np.ascontiguousarray(rows), one_hot, **options)
    np.testing.assert_allclose(pm.pack(found.params), pm.pack(expected.params), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ndim", [1, 2])
def test_a_batch_costs_itself_whatever_it_is_gathered_from(layout: str, ndim: int) -> None:
    x = RNG.normal(size=(N_SAMPLES, N_FEATURES)[:ndim])
    rows = RNG.permutation(N_SAMPLES)[:100]
    held, batch = LAYOUTS[layout](x), []
    peak = peak_memory(lambda: batch.append(numpy_primitives().take(held, rows, -2 if ndim == 2 else 0)))
    assert peak < 2 * batch[0].nbytes + 10_000
    np.testing.assert_array_equal(batch[0], x[rows])
    assert batch[0].flags.c_contiguous  # as scikit-learn's batches are


def test_models_gather_from_any_layout() -> None:
    x = RNG.normal(size=(2, 50, 4))
    rows = RNG.permutation(50)[:7]
    for held in (x, np.asfortranarray(x), spread(x)):
        np.testing.assert_array_equal(numpy_primitives().take(held, rows, -2), x[:, rows, :])


@pytest.mark.parametrize("layout", [*LAYOUTS, "big-endian columns"])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"early_stopping": True}, {"solver": "sgd"}], ids=str)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_fits_have_scikit_learns_bits(layout: str, options: dict[str, Any], kind: str) -> None:
    """Columns stay columns: the last digit of a product may depend on it."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(303, 13))
    Z = np.sin(X @ rng.normal(size=(13, 3)))
    y = Z.argmax(axis=1) if kind == "MLPClassifier" else Z
    held = X.astype(">f8", order="F") if layout == "big-endian columns" else LAYOUTS[layout](X)
    given = {"hidden_layer_sizes": (17, 9), "max_iter": 4, "random_state": 0, "batch_size": 50, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = getattr(pm, kind)(**given).fit(held, y), getattr(neural_network, kind)(**given).fit(held, y)
    for one, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(ours.predict(held), theirs.predict(held))


@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}], ids=str)
def test_estimators_make_no_second_table(layout: str, options: dict[str, Any], table: Any) -> None:
    X, y = table
    held, weights = LAYOUTS[layout](X), spread(np.ones(N_SAMPLES))
    classifier = pm.MLPClassifier((4,), batch_size=BATCH, random_state=0, **options)
    one = peak_memory(lambda: classifier.partial_fit(held[:BATCH], y[:BATCH], weights[:BATCH], classes=[0, 1, 2]))
    # Labels, one-hot targets, weights and the order are some 100 bytes a sample, a row of X is 320.
    assert peak_memory(lambda: classifier.partial_fit(held, y, weights)) - one < 0.6 * X.nbytes
    assert peak_memory(lambda: classifier.predict_proba(held)) < 0.6 * X.nbytes

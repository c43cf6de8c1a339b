"""Bad input raises scikit-learn's errors: the same type, and its whole text first."""

import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import torch
from jax.experimental import sparse as jax_sparse
from sklearn import config_context

import portable_mlp as pm
from portable_mlp.kernels.losses import REGRESSION_LOSSES
from tests.estimators.problems import ours, problem, quietly, theirs

X, y = problem("classes").X, problem("classes").y
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}


def with_value(value: Any, dtype: Any = float) -> np.ndarray:
    changed = X.astype(dtype)
    changed[3, 2] = value
    return changed


class Unfriendly:
    """No number, no text."""


def fitted(make: Callable[..., Any]) -> Any:
    return quietly(make("classes", **OPTIONS).fit, X, y)


# Each is called with a function that makes an estimator of a kind, ours or scikit-learn's.
CALLS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "NaN in X": lambda make: make("classes", **OPTIONS).fit(with_value(np.nan), y),
    "infinity in X": lambda make: make("classes", **OPTIONS).fit(with_value(np.inf), y),
    "infinity in float32": lambda make: make("classes", **OPTIONS).fit(with_value(np.inf, np.float32), y),
    "NaN in sparse X": lambda make: make("classes", **OPTIONS).fit(scipy.sparse.csr_array(with_value(np.nan)), y),
    "NaN to predict": lambda make: fitted(make).predict(with_value(np.nan)),
    "1-D": lambda make: make("classes", **OPTIONS).fit(X[:, 0], y),
    "scalar": lambda make: make("classes", **OPTIONS).fit(1.0, y),
    "3-D": lambda make: make("classes", **OPTIONS).fit(X[:, :, None], y),
    "complex": lambda make: make("classes", **OPTIONS).fit(X + 1j, y),
    "text": lambda make: make("classes", **OPTIONS).fit(with_value("a", object), y),
    "dict": lambda make: make("classes", **OPTIONS).fit(with_value({}, object), y),
    "an object": lambda make: make("classes", **OPTIONS).fit(with_value(Unfriendly, object), y),
    "no rows": lambda make: make("classes", **OPTIONS).fit(X[:0], y[:0]),
    "no columns": lambda make: make("classes", **OPTIONS).fit(X[:, :0], y),
    "lengths": lambda make: make("classes", **OPTIONS).fit(X, y[:5]),
    "another width": lambda make: fitted(make).predict(X[:, :2]),
    "another width, proba": lambda make: fitted(make).predict_proba(X[:, :2]),
    "1-D to predict": lambda make: fitted(make).predict(X[0]),
    "unfitted": lambda make: make("classes").predict(X),
    "unfitted regressor": lambda make: make("number").predict(X),
    "unfitted proba": lambda make: make("classes").predict_proba(X),
    "y None": lambda make: make("classes", **OPTIONS).fit(X, None),
    "y NaN": lambda make: make("number", **OPTIONS).fit(X, np.full(len(X), np.nan)),
    "y NaN, classes": lambda make: make("classes", **OPTIONS).fit(X, np.where(np.arange(len(X)) == 3, np.nan, 1.0)),
    "y continuous": lambda make: make("classes", **OPTIONS).fit(X, X[:, 0]),
    "y text to a regressor": lambda make: make("number", **OPTIONS).fit(X, y),
    "y 3-D": lambda make: make("number", **OPTIONS).fit(X, X[:, :, None]),
    "alpha": lambda make: make("classes", alpha=-1).fit(X, y),
    "batch_size": lambda make: make("classes", batch_size=0).fit(X, y),
    "learning_rate_init": lambda make: make("number", learning_rate_init=0).fit(X, X[:, 0]),
    "power_t": lambda make: make("classes", power_t=-0.5).fit(X, y),
    "max_iter": lambda make: make("classes", max_iter=0).fit(X, y),
    "shuffle": lambda make: make("classes", shuffle="yes").fit(X, y),
    "random_state": lambda make: make("classes", random_state="seed").fit(X, y),
    "tol": lambda make: make("classes", tol=-1e-4).fit(X, y),
    "momentum": lambda make: make("classes", momentum=1.1).fit(X, y),
    "validation_fraction": lambda make: make("classes", validation_fraction=1).fit(X, y),
    "beta_1": lambda make: make("classes", beta_1=1.0).fit(X, y),
    "beta_2": lambda make: make("classes", beta_2=-0.5).fit(X, y),
    "epsilon": lambda make: make("classes", epsilon=0).fit(X, y),
    "n_iter_no_change": lambda make: make("classes", n_iter_no_change=0).fit(X, y),
    "max_fun": lambda make: make("classes", max_fun=0.5).fit(X, y),
    "loss": lambda make: make("number", loss="absolute").fit(X, X[:, 0]),
    "hidden_layer_sizes": lambda make: make("classes", hidden_layer_sizes=-1).fit(X, y),
    "hidden_layer_sizes of 0": lambda make: make("classes", hidden_layer_sizes=(0,)).fit(X, y),
    "hidden_layer_sizes of -3": lambda make: make("classes", hidden_layer_sizes=(5, -3)).fit(X, y),
    "weights of zero": lambda make: make("classes", **OPTIONS).fit(X, y, np.zeros(len(X))),
    "weights too few": lambda make: make("classes", **OPTIONS).fit(X, y, np.ones(3)),
    "weights 2-D": lambda make: make("classes", **OPTIONS).fit(X, y, np.ones((len(X), 2))),
    "weights NaN": lambda make: make("classes", **OPTIONS).fit(X, y, np.full(len(X), np.nan)),
    "partial_fit, no classes": lambda make: make("classes").partial_fit(X, y),
    "partial_fit, other classes": lambda make: make("classes").partial_fit(X, y, classes=["red", "green"]),
    "partial_fit, classes change": lambda make: (
        make("classes").partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y, classes=["red", "green"])
    ),
    "partial_fit, early_stopping": lambda make: make("classes", early_stopping=True).partial_fit(
        X, y, classes=np.unique(y)
    ),
    "partial_fit, width": lambda make: fitted(make).partial_fit(X[:, :2], y),
    "partial_fit with lbfgs": lambda make: make("classes", solver="lbfgs").partial_fit(X, y, classes=np.unique(y)),
    "huge values": lambda make: make("number", **OPTIONS).fit(1e308 * X, X[:, 0]),
    "warm start, other classes": lambda make: quietly(make("classes", **OPTIONS, warm_start=True).fit, X, y).fit(
        X, np.where(y == "red", "green", y)
    ),
    "a validation set of one": lambda make: make("number", early_stopping=True).fit(X[:3], X[:3, 0]),
    "strata of one": lambda make: make("two classes", early_stopping=True).fit(X[:4], [0, 0, 0, 1]),
}


OURS_ALONE = {repr(name) for name in set(REGRESSION_LOSSES) - {"squared_error", "poisson"}}
"""Choices that scikit-learn's estimators do not have."""


def in_order(message: str) -> str:
    """Sort what stands in braces: the order of a set of texts changes with every start of Python."""
    return re.sub(r"\{[^}]*\}", lambda found: str(sorted({*found[0][1:-1].split(", ")} - OURS_ALONE)), message)


def error_of(call: Callable[..., Any], make: Callable[..., Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
        quietly(call, make)
    return caught.value


@pytest.mark.parametrize("name", CALLS)
def test_type_and_text_are_scikit_learns(name: str) -> None:
    found, expected = error_of(CALLS[name], ours), error_of(CALLS[name], theirs)
    assert type(found) is type(expected)
    assert in_order(str(found)).startswith(in_order(str(expected)))


@pytest.mark.parametrize("to_library", [torch.asarray, array_api_strict.asarray], ids=["torch", "strict"])
@pytest.mark.parametrize("dispatch", [False, True])
def test_arrays_of_other_libraries_raise_the_same(dispatch: bool, to_library: Callable[..., Any]) -> None:
    """What can be said of a tensor's values, shape and dtype is said in the same words."""
    bad = {
        "NaN": with_value(np.nan),
        "1-D": X[:, 0],
        "3-D": X[:, :, None],
        "complex": X + 1j,
        "no rows": X[:0],
        "no columns": X[:, :0],
        "lengths": X[:5],
        "infinity": with_value(np.inf, np.float32),
    }
    for name, host in bad.items():
        labels = np.zeros(0, dtype=int) if name == "no rows" else np.arange(len(X)) % 3
        expected = error_of(lambda make, host=host, labels=labels: make("classes", **OPTIONS).fit(host, labels), theirs)
        with config_context(array_api_dispatch=dispatch), pytest.raises(type(expected)) as caught:
            ours("classes", **OPTIONS).fit(to_library(host), to_library(labels))
        assert str(caught.value) == str(expected), name


def test_warnings_are_scikit_learns() -> None:
    """A fit that stops early, a column of targets, a large batch: told in the same words, of the same kind."""

    def warned(make: Callable[..., Any], call: Callable[..., Any]) -> list[tuple[type, str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(make)
        return [(w.category, str(w.message)) for w in caught]

    calls = (
        lambda make: make("classes", **OPTIONS).fit(X, y),
        lambda make: make("classes", **OPTIONS).fit(X, y[:, None]),
        lambda make: make("number", **OPTIONS).fit(X, X[:, :1]),
        lambda make: make("classes", **OPTIONS, batch_size=1000).fit(X, y),
        lambda make: make("classes", **{**OPTIONS, "solver": "lbfgs"}).fit(X, y),
        lambda make: make("classes", **{**OPTIONS, "solver": "lbfgs", "max_fun": 2}).fit(X, y),
    )
    for call in calls:
        assert warned(ours, call) == warned(theirs, call) != []


def test_what_it_prints_is_scikit_learns(capsys: pytest.CaptureFixture[str]) -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"early_stopping": True},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 1},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 1, "learning_rate": "adaptive", "max_iter": 9},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 1, "learning_rate": "adaptive", "learning_rate_init": 1e-6},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 1, "early_stopping": True, "max_iter": 9},
    ]
    for parameters in cases:
        printed = []
        for make in (ours, theirs):
            quietly(make("classes", **{**OPTIONS, "verbose": True, **parameters}).fit, X, y)
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1] != ""


def test_ctrl_c_keeps_what_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    from portable_mlp.training.loop import Loop

    original, calls = Loop.epoch, []

    def interrupted(self: Loop, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args, **options)

    monkeypatch.setattr(Loop, "epoch", interrupted)
    clf = pm.MLPClassifier(**{**OPTIONS, "max_iter": 10})
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(X, y)
    assert clf.n_iter_ == 2
    monkeypatch.undo()
    np.testing.assert_array_equal(
        clf.coefs_[0], quietly(pm.MLPClassifier(**{**OPTIONS, "max_iter": 2}).fit, X, y).coefs_[0]
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_masks_and_negative_weights_are_warned_of() -> None:
    clf = ours("classes", **{**OPTIONS, "solver": "sgd", "learning_rate_init": 1e-4})
    with pytest.warns(UserWarning, match="X is a masked array: its mask is ignored"):
        clf.fit(np.ma.masked_array(X, mask=X > 1), y)
    with pytest.warns(UserWarning, match="some of sample_weight are negative"):
        clf.fit(X, y, np.where(np.arange(len(X)) == 3, -1.0, 1.0))


OUR_OWN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "backend": ({"backend": "numpi"}, {}, "there is no backend 'numpi'; choose one of 'auto', 'numpy'"),
    "device": ({"device": "cuda"}, {}, "numpy has no device 'cuda'"),
    "dropout": ({"dropout": 1.0}, {}, r"The 'dropout' parameter of MLPClassifier must be a float in the range \[0.0"),
    "compat": ({"compat": "torch"}, {}, "The 'compat' parameter of MLPClassifier must be"),
    "class_weight": ({"class_weight": "equal"}, {}, "The 'class_weight' parameter of MLPClassifier must be"),
    "activation": ({"activation": "softmax"}, {}, "The 'activation' parameter of MLPClassifier must be"),
    "solver": ({"solver": "hadoken"}, {}, "The 'solver' parameter of MLPClassifier must be a str among"),
    "activations": ({"activation": ["relu", "tanh"]}, {}, "activation must be one name, or one for each of the 1"),
    "an activation": ({"activation": ["sigmoid"]}, {}, "activation must be one of 'identity'"),
    "learning_rate": ({"learning_rate": "step"}, {}, "The 'learning_rate' parameter of MLPClassifier must be"),
    "validation_data": ({}, {"validation_data": X}, r"validation_data must be \(X_val, y_val\) or"),
    "its classes": ({}, {"validation_data": (X[:3], ["red", "pink", "red"])}, r"the classes \['pink'\], which the"),
    "its width": ({}, {"validation_data": (X[:3, :2], y[:3])}, "X has 2 features, but MLPClassifier is expecting 5"),
    "its NaN": ({}, {"validation_data": (with_value(np.nan), y)}, "Input X contains NaN"),
}


@pytest.mark.parametrize("name", OUR_OWN)
def test_our_own_parameters_are_checked(name: str) -> None:
    parameters, arguments, message = OUR_OWN[name]
    with pytest.raises(ValueError, match=message):
        pm.MLPClassifier(**{**OPTIONS, **parameters}).fit(X, y, **arguments)


def test_validation_data_of_another_number_of_outputs() -> None:
    with pytest.raises(ValueError, match="y_val has 3 outputs, but y has 1"):
        pm.MLPRegressor(**OPTIONS).fit(X, X[:, 0], validation_data=(X, X[:, :3]))


def test_balanced_classes_cannot_be_counted_call_by_call() -> None:
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        pm.MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))


def test_a_warm_start_of_another_shape_says_what_to_do() -> None:
    clf = quietly(pm.MLPClassifier(**OPTIONS, warm_start=True).fit, X, y)
    clf.set_params(hidden_layer_sizes=(4,))
    with pytest.raises(ValueError, match=r"fit a clone of this estimator, or set warm_start=False"):
        clf.fit(X, y)


@pytest.mark.parametrize("sizes", [3.0, (3.0,), ("3",), (None,), [[3, 2]], np.array(3), (3, 2.0)], ids=repr)
def test_sizes_that_are_no_whole_numbers(sizes: Any) -> None:
    quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)  # after this one (3.0,) was taken for (3,)
    with pytest.raises(TypeError, match=r"'?hidden_layer_sizes'? (parameter of MLPC.* must be an|must be whole num)"):
        pm.MLPClassifier(**{**OPTIONS, "hidden_layer_sizes": sizes}).fit(X, y)


def test_every_weight_of_every_batch_zero_or_cancelled() -> None:
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero in every batch"):
        quietly(pm.MLPClassifier(**OPTIONS).fit, X[:2], y[:2], [1.0, -1.0])


# --- Arrays whose numbers cannot be read one by one


def tensors() -> dict[str, tuple[Any, str]]:
    dense = torch.asarray(X)
    square = torch.ones((20, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, that these are prototypes
        return {
            "coo": (dense.to_sparse(), r"layout torch.sparse_coo .*: \.to_dense\(\) makes it dense"),
            "csr": (dense.to_sparse_csr(), r"layout torch.sparse_csr .*: \.to_dense\(\)"),
            "csc": (dense.to_sparse_csc(), r"layout torch.sparse_csc .*: \.to_dense\(\)"),
            "bsr": (square.to_sparse_bsr((2, 2)), r"layout torch.sparse_bsr .*: \.to_dense\(\)"),
            "nested": (torch.nested.nested_tensor([torch.ones(3)] * 20), r"a nested tensor .*to_padded_tensor"),
            "quantized": (
                torch.quantize_per_tensor(dense.float(), 0.1, 0, torch.qint8),
                r"a quantized tensor .*: \.dequantize\(\)",
            ),
            "meta": (dense.to("meta"), r"a tensor on the meta device .*: it has no numbers"),
            "masked": (
                torch.masked.masked_tensor(dense, torch.ones_like(dense, dtype=torch.bool)),
                r"a masked tensor .*: \.to_tensor\(value\)",
            ),
            "BCOO": (jax_sparse.BCOO.fromdense(jnp.asarray(X)), r"a sparse BCOO of jax.* \.todense\(\)"),
        }


@pytest.mark.parametrize("name", ["coo", "csr", "csc", "bsr", "nested", "quantized", "meta", "masked", "BCOO"])
def test_arrays_without_a_number_in_every_place(name: str) -> None:
    unreadable, message = tensors()[name]
    dense, y = torch.asarray(X), (np.arange(len(X)) % 2)
    fitted = quietly(pm.MLPClassifier((3,), max_iter=1).fit, dense, y)
    calls = [
        lambda: pm.MLPClassifier((3,)).fit(unreadable, y),
        lambda: pm.MLPClassifier((3,)).fit(dense, unreadable),
        lambda: pm.MLPClassifier((3,)).fit(dense, y, unreadable),
        lambda: pm.MLPClassifier((3,)).fit(dense, y, validation_data=(unreadable, y)),
        lambda: fitted.predict(unreadable),
        lambda: fitted.score(dense, unreadable),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=message) as caught:
            call()
        assert len(str(caught.value)) < 200


def test_columns_of_a_table_are_for_other_estimators(tmp_path: pathlib.Path) -> None:
    """scikit-learn would take the names of the columns for numbers."""
    (tmp_path / "flats.csv").write_text("rent,rooms\n990,2\n1250,3\n")
    table = pm.read_table(tmp_path / "flats.csv", target="rent")
    for call in (pm.MLPRegressor().fit, pm.MLPRegressor().partial_fit):
        with pytest.raises(TypeError, match="TableRegressor take them as they are, and TableEncoder makes a matrix"):
            call(table.X, table.y)
    fitted = pm.MLPRegressor(tol=1e9, n_iter_no_change=1).fit(pm.TableEncoder().fit_transform(table.X), table.y)
    with pytest.raises(TypeError, match="TableEncoder makes a matrix of them"):
        fitted.predict(table.X)


def test_an_estimator_within_jit_says_what_runs_there() -> None:
    with pytest.raises(TypeError, match=r"a traced JAX array, .*outside of jax.jit, .*; forward, predict and"):
        jax.jit(lambda x: pm.MLPClassifier((3,)).fit(x, np.arange(len(X)) % 2))(jnp.asarray(X))


def test_conjugates_and_negatives_that_pytorch_only_notes_are_read() -> None:
    negative = torch._neg_view(torch.asarray(X[:, 0]))
    one, other = (
        quietly(pm.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit, X, y)
        for y in (negative, -X[:, 0])
    )
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    with pytest.raises(ValueError, match="Complex data not supported"):
        pm.MLPClassifier((3,)).fit((torch.asarray(X) + 0j).conj(), np.arange(len(X)) % 2)

"""Weights of samples and of classes in `train`: repetition, scikit-learn's numbers, batches in which nothing counts."""

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.neural_network import MLPClassifier
from sklearn.utils import compute_class_weight

import portable_mlp as pm
from tests.distributed.fakes import on_ranks
from tests.reference import assert_close, float32_exact

RNG = np.random.default_rng(0)
N = 40
X, Y = float32_exact(RNG.normal(size=(N, 4))), RNG.integers(0, 3, N)
COUNTS = RNG.integers(0, 4, N)
WEIGHTS = float32_exact(RNG.uniform(0.5, 3.0, N))
NET = pm.Network((4, 6, 3), activation="tanh")
BINARY = pm.Network((4, 6, 1), output="logistic")
REAL = pm.Network((4, 6, 2), output="identity")
OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 8, "learning_rate": 0.05, "l2": 0.01}


def train(net: pm.Network = NET, x: Any = X, y: Any = Y, **options: Any) -> pm.TrainResult:
    return pm.train(net, pm.init_params(net), x, y, **{**OPTIONS, **options})


def numbers(result: pm.TrainResult) -> np.ndarray:
    return np.asarray(pm.pack(result.params))


@pytest.mark.thorough_on("jax")
@pytest.mark.parametrize("solver", ["adamw", "lbfgs"])
def test_whole_weights_are_repetition(lib: Any, solver: str) -> None:
    def flat(x: Any, y: Any, **weights: Any) -> np.ndarray:
        params = pm.init_params(NET, backend=lib.backend, dtype=lib.dtype)
        options = {**OPTIONS, "solver": solver, "batch_size": 500, "clip_norm": 0.5, **weights}
        return lib.numpy(pm.pack(pm.train(NET, params, lib.array(x), lib.backend.asarray(y), **options).params))

    repeated = np.repeat(np.arange(N), COUNTS)
    weighted = flat(X, Y, sample_weight=lib.array(COUNTS.astype(float)))
    assert_close(weighted, flat(X[repeated], Y[repeated]), rtol=1e-10 if lib.dtype == "float64" else 1e-3)


def test_steps_are_scikit_learns() -> None:
    common = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1, "batch_size": 8, "shuffle": False}
    theirs = MLPClassifier((6,), **common, alpha=0.0, warm_start=True, random_state=0, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, Y)
        start = tuple(pm.Layer(W.copy(), b.copy()) for W, b in zip(theirs.coefs_, theirs.intercepts_, strict=True))
        theirs.set_params(max_iter=4).fit(X, Y, WEIGHTS)
    options = {"solver": "sgd", "momentum": 0.0, "learning_rate": 0.1, "batch_size": 8, "shuffle": False, "epochs": 4}
    result = pm.train(pm.Network((4, 6, 3)), start, X, Y, sample_weight=WEIGHTS, **options)
    found = [pm.Layer(W, b) for W, b in zip(theirs.coefs_, theirs.intercepts_, strict=True)]
    assert_close(numbers(result), pm.pack(found), rtol=1e-12)


@pytest.mark.parametrize("net", [NET, BINARY], ids=["softmax", "logistic"])
@pytest.mark.parametrize("own", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_balanced_classes_have_scikit_learns_weights(net: pm.Network, own: Any, form: str) -> None:
    y = np.minimum(Y, 1) if net is BINARY else Y
    classes = np.unique(y)
    by_class = compute_class_weight("balanced", classes=classes, y=y, sample_weight=own)
    targets = np.eye(len(classes))[y] if form == "one-hot" and net is NET else y
    balanced = train(net, y=targets, class_weight="balanced", sample_weight=own)
    expected = numbers(train(net, y=y, sample_weight=by_class[y] * (1.0 if own is None else own)))
    assert_close(numbers(balanced), expected, rtol=1e-12)
    given = dict(zip(classes, by_class, strict=True))
    assert_close(numbers(train(net, y=y, class_weight=given, sample_weight=own)), expected, rtol=1e-12)
    assert np.abs(numbers(train(net, y=y, sample_weight=own)) - expected).max() > 1e-4


def test_the_classifier_counts_balanced_classes_by_their_weights() -> None:
    repeated = np.repeat(np.arange(N), COUNTS)
    common = {"hidden_layer_sizes": (5,), "solver": "lbfgs", "alpha": 0.0, "random_state": 0, "max_iter": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weighted = pm.MLPClassifier(**common, class_weight="balanced").fit(X, Y, COUNTS)
        plain = pm.MLPClassifier(**common, class_weight="balanced").fit(X[repeated], Y[repeated])
    assert_close(weighted.coefs_[0], plain.coefs_[0], rtol=1e-9)


def test_validation_is_weighted() -> None:
    held_out = (X[::-1], Y, WEIGHTS)
    result = train(validation=held_out, epochs=1)
    proba = pm.predict(NET, result.params, X[::-1])
    assert result.history["validation_loss"][0] == pytest.approx(log_loss(Y, proba, sample_weight=WEIGHTS), rel=1e-12)
    right = accuracy_score(Y, proba.argmax(axis=1), sample_weight=WEIGHTS)
    assert result.history["validation_score"][0] == pytest.approx(right, rel=1e-12)
    # And with the weights that the classes of the training data have.
    result = train(validation=held_out, epochs=1, class_weight={2: 5.0})
    weights, proba = WEIGHTS * np.where(Y == 2, 5.0, 1.0), pm.predict(NET, result.params, X[::-1])
    assert result.history["validation_loss"][0] == pytest.approx(log_loss(Y, proba, sample_weight=weights), rel=1e-12)


def test_the_score_of_a_regression_is_weighted() -> None:
    targets = RNG.normal(size=(N, 2))
    result = train(REAL, y=targets, validation=(X, targets, WEIGHTS), epochs=1)
    expected = r2_score(targets, pm.predict(REAL, result.params, X), sample_weight=WEIGHTS)
    assert result.history["validation_score"][0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_in_which_nothing_counts_is_skipped(shuffle: bool, tmp_path: pathlib.Path) -> None:
    weights = WEIGHTS.copy()
    if shuffle:
        weights[7:] = 0.0  # 33 of 40: whole batches of every order
    else:
        weights[8:16] = 0.0
    options = {"shuffle": shuffle, "sample_weight": weights}
    result = train(**options)
    assert np.isfinite(result.history["loss"]).all()
    if not shuffle:
        kept = np.r_[:8, 16:N]
        expected = train(x=X[kept], y=Y[kept], shuffle=False, sample_weight=weights[kept])
        np.testing.assert_array_equal(numbers(result), numbers(expected))
        assert result.history["loss"] == expected.history["loss"]
    train(**options, epochs=1, checkpoint=tmp_path, checkpoint_every=1)
    first, _ = sorted(tmp_path.glob("step-*"))
    for path in tmp_path.glob("step-*"):
        if path != first:
            path.unlink()
    resumed = train(**options, checkpoint=tmp_path, resume=True)
    np.testing.assert_array_equal(numbers(resumed), numbers(result))


def test_other_weights_are_another_run(tmp_path: pathlib.Path) -> None:
    options: dict[str, Any] = {"checkpoint": tmp_path, "sample_weight": WEIGHTS, "class_weight": {0: 2.0, 1: 3.0}}
    train(**options, epochs=1)
    with pytest.raises(ValueError, match="another training: data was"):
        train(**{**options, "sample_weight": None}, resume=True)
    with pytest.raises(ValueError, match="another training: class_weight was"):
        train(**{**options, "class_weight": "balanced"}, resume=True)
    np.testing.assert_array_equal(
        numbers(train(**options, resume=True)), numbers(train(sample_weight=WEIGHTS, class_weight={0: 2.0, 1: 3.0}))
    )


WEIGHED: dict[str, Any] = {"sample_weight": np.where(np.arange(N) // 8 == 2, 0.0, WEIGHTS), "class_weight": "balanced"}


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_group_trains_what_one_process_trains(size: int) -> None:
    alone = train(**WEIGHED, shuffle=False)
    for outcome in on_ranks(size, lambda rank: train(**WEIGHED, shuffle=False), reproducible=True):
        assert_close(numbers(outcome), numbers(alone), rtol=1e-12)


def test_ranks_with_samples_of_their_own() -> None:
    def own(rank: int, **options: Any) -> pm.TrainResult:
        rows = slice(0, 15) if rank == 0 else slice(15, None)
        weights = options.pop("weights", WEIGHTS)[rows]
        return train(x=X[rows], y=Y[rows], sample_weight=weights, **options)

    alone = train(sample_weight=WEIGHTS, class_weight={1: 4.0})
    for outcome in on_ranks(2, lambda rank: own(rank, class_weight={1: 4.0}), samples="own"):
        assert_close(numbers(outcome), numbers(alone), rtol=1e-12)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"class_weight": "balanced"}, "of which each process has its own: give a dict"),
        ({"weights": np.zeros(N) + (np.arange(N) % 2)}, "leave out those that do not count"),
    ]
    for options, message in refused:
        for outcome in on_ranks(2, lambda rank, options=options: own(rank, **options), samples="own"):
            with pytest.raises(ValueError, match=message):
                raise outcome


def test_ranks_must_have_the_same_weights() -> None:
    for outcome in on_ranks(2, lambda rank: train(sample_weight=WEIGHTS + rank)):
        with pytest.raises(ValueError, match="each rank must be given the same samples"):
            raise outcome
    for outcome in on_ranks(2, lambda rank: train(sample_weight=WEIGHTS if rank else None)):
        with pytest.raises(ValueError, match="sample_weight is False on rank 0 and True on rank 1"):
            raise outcome


def test_models_share_the_weights() -> None:
    alone = [pm.init_params(NET, random_state=seed) for seed in range(2)]
    together = tuple(pm.Layer(*(np.stack(x) for x in zip(*layers, strict=True))) for layers in zip(*alone, strict=True))
    options = {**OPTIONS, "sample_weight": WEIGHTS, "class_weight": "balanced", "validation": (X, Y, WEIGHTS)}
    result = pm.train(NET, together, X, Y, **options)
    for i, params in enumerate(alone):
        expected = pm.train(NET, params, X, Y, **options)
        assert_close(pm.pack([pm.Layer(W[i], b[i]) for W, b in result.params]), numbers(expected), rtol=1e-12)
        assert result.history["validation_score"][-1][i] == pytest.approx(expected.history["validation_score"][-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": np.ones(3)}, r"sample_weight must have shape \(40,\)"),
        ({"sample_weight": np.where(np.arange(N) == 3, np.nan, 1.0)}, r"sample_weight\[3\] is nan"),
        ({"sample_weight": -WEIGHTS}, "sample_weight must not be negative; got -"),
        ({"sample_weight": np.zeros(N)}, "the weights of all samples are 0"),
        (
            {"sample_weight": np.full(N, 1e300), "class_weight": {0: 1e300}},
            "the weights of samples, times class_weight, are too large for float64: give smaller ones",
        ),
        ({"validation": (X, Y, np.zeros(N))}, "in the validation data: the weights of all samples are 0"),
        ({"validation": (X, Y, WEIGHTS, 1)}, r"validation must be a pair \(X_val, y_val\), or"),
        (
            {"class_weight": "even"},
            "a dict from classes to numbers, 'balanced' or None; got 'even'",
        ),
        ({"class_weight": {0: -1.0}}, "class_weight must be a finite number, not negative; got -1.0"),
        ({"class_weight": {7: 2.0}}, r"The classes, \[0, 1, 2\], are not in class_weight"),
        (
            {"net": REAL, "y": np.ones((N, 2)), "class_weight": "balanced"},
            "class_weight is for one class a sample",
        ),
        ({"y": np.full((N, 3), 1 / 3), "class_weight": "balanced"}, "labels, or one-hot rows of 0 and 1"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(**options)

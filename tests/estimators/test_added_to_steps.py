"""AdamW, clipping, label smoothing and warm-up in the estimators: the steps of `train`, from the same weights."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from tests.reference import assert_close

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4))
TARGETS = {"three": RNG.integers(0, 3, 50), "two": RNG.integers(0, 2, 50), "number": RNG.normal(size=50)}
NETS = {
    "three": pm.Network((4, 6, 3)),
    "two": pm.Network((4, 6, 1), output="logistic"),
    "number": pm.Network((4, 6, 1), output="identity"),
}
ADDED: dict[str, dict[str, Any]] = {
    "decay": {"weight_decay": 0.5},
    "clipping": {"clip_norm": 0.05},
    "warm-up": {"warmup_steps": 6},
    "smoothing": {"label_smoothing": 0.2},
    "all": {"weight_decay": 0.5, "clip_norm": 0.1, "warmup_steps": 6, "label_smoothing": 0.2},
}


def estimator(task: str, **options: Any) -> Any:
    kind = pm.MLPRegressor if task == "number" else pm.MLPClassifier
    common = {"hidden_layer_sizes": (6,), "solver": "adamw", "alpha": 0.0, "batch_size": 16, "shuffle": False}
    return kind(**common, random_state=0, max_iter=4, warm_start=True, learning_rate_init=0.02, **options)


def fitted(model: Any, y: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@pytest.mark.parametrize("added", ADDED)
@pytest.mark.parametrize("task", TARGETS)
def test_a_fit_takes_the_steps_of_train(task: str, added: str) -> None:
    options = {name: x for name, x in ADDED[added].items() if task != "number" or name != "label_smoothing"}
    model = fitted(estimator(task), TARGETS[task])
    start = tuple(pm.Layer(W.copy(), b.copy()) for W, b in zip(model.coefs_, model.intercepts_, strict=True))
    fitted(model.set_params(**options), TARGETS[task])
    result = pm.train(
        NETS[task],
        start,
        X,
        TARGETS[task],
        **{"solver": "adamw", "learning_rate": 0.02, "batch_size": 16, "epochs": 4, "shuffle": False, **options},
    )
    found = [pm.Layer(W, b) for W, b in zip(model.coefs_, model.intercepts_, strict=True)]
    assert_close(pm.pack(found), pm.pack(result.params), rtol=1e-10)
    plain = fitted(fitted(estimator(task), TARGETS[task]), TARGETS[task])
    assert not options or np.abs(plain.coefs_[0] - model.coefs_[0]).max() > 1e-6


def test_numbers_of_numpy_are_plain_numbers() -> None:
    given = {"clip_norm": np.float32(0.25), "warmup_steps": np.int64(6), "label_smoothing": np.float32(0.25)}
    plain = {name: value.item() for name, value in given.items()}
    for backend in ("numpy", "strict"):
        ours, expected = (
            fitted(estimator("three", backend=backend, **options), TARGETS["three"]) for options in (given, plain)
        )
        assert np.array_equal(ours.loss_curve_, expected.loss_curve_)


def test_they_are_saved_and_left_behind_in_words(tmp_path: Any) -> None:
    model = fitted(estimator("three", **ADDED["all"]), TARGETS["three"])
    model.save(tmp_path / "m.safetensors")
    assert pm.MLPClassifier.load(tmp_path / "m.safetensors").get_params() == model.get_params()
    with pytest.raises(ValueError, match="scikit-learn has no such estimator"):
        model.to_sklearn()
    with pytest.warns(UserWarning, match="has no clip_norm"):  # nor AdamW's moments
        model.set_params(solver="adam").to_sklearn()
    with pytest.warns(UserWarning, match="has no clip_norm"):
        fitted(estimator("three", clip_norm=0.1).set_params(solver="adam"), TARGETS["three"]).to_sklearn()


@pytest.mark.parametrize(
    ("name", "value"), [("weight_decay", -1.0), ("clip_norm", 0.0), ("warmup_steps", -1), ("label_smoothing", 1.0)]
)
def test_a_wrong_value_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"The {name!r} parameter of MLPClassifier must be"):
        estimator("three", **{name: value}).fit(X, TARGETS["three"])

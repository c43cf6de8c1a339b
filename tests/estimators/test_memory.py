"""The memory of a fit: what grows with the samples is bytes, not floats."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.estimators.same_fits import digests_of_numbers
from tests.estimators.problems import quietly
from tests.memory import peak_memory

N_SAMPLES, N_CLASSES = 4_000, 500


@pytest.mark.parametrize("options", [{"solver": "adam"}, {"solver": "sgd", "early_stopping": True}])
@pytest.mark.parametrize("incremental", [False, True])
def test_labels_of_many_classes_stay_labels(incremental: bool, options: dict[str, Any]) -> None:
    """One-hot rows of all samples would be 16 MB as floats, 2 MB as bytes; those of a batch are 80 kB."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N_SAMPLES, 2)), rng.permutation(np.arange(N_SAMPLES) % N_CLASSES)
    clf = pm.MLPClassifier(
        **{"early_stopping": False, **options, "validation_fraction": 0.01},
        hidden_layer_sizes=(2,),
        batch_size=20,
        max_iter=1,
        random_state=0,
    )
    if incremental:
        clf.set_params(early_stopping=False)
    fit = clf.partial_fit if incremental else clf.fit
    known = {"classes": np.arange(N_CLASSES)} if incremental else {}
    quietly(fit, X[:1000], y[:1000], **known)  # what is imported and cached is not counted
    tracemalloc.start()
    try:
        quietly(fit, X, y, **known)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < N_SAMPLES * N_CLASSES


ROWS = np.arange(100_000)
SMALL: dict[str, Any] = {"hidden_layer_sizes": (2,), "max_iter": 1, "solver": "sgd", "batch_size": len(ROWS)}


def made(n_models: int, **options: Any) -> list[Any]:
    return [pm.MLPRegressor(random_state=i, **{**SMALL, **options}) for i in range(n_models)]


def test_models_of_one_fold_share_its_row_numbers() -> None:
    X = np.random.default_rng(0).normal(size=(len(ROWS), 1))

    def peak(n_models: int) -> int:
        models, rows = made(n_models), [ROWS] * n_models
        return peak_memory(lambda: quietly(pm.fit_many, models, X, X[:, 0], rows=rows, n_jobs=1))

    peak(2)
    assert peak(8) < peak(2) + ROWS.nbytes


def test_ranks_compare_digests_of_row_numbers() -> None:
    compared = [digests_of_numbers(*several) for several in ([ROWS, None], [ROWS[:-1], None], [ROWS], [ROWS, ROWS])]
    assert len(set(compared)) == 4
    assert compared[0] == digests_of_numbers(ROWS.astype(np.int32), None)
    assert peak_memory(lambda: digests_of_numbers(*[ROWS] * 20)) < 3 * ROWS.nbytes


def test_models_that_fail_keep_no_samples() -> None:
    X = np.random.default_rng(0).normal(size=(len(ROWS), 1))
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"), pytest.raises(ExceptionGroup) as raised:
            quietly(pm.fit_many, made(3, learning_rate_init=1e300, max_iter=3), X, X[:, 0], rows=[ROWS] * 3, n_jobs=1)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(raised.value.exceptions) == 3
    assert kept < X.nbytes

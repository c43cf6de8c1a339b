"""The memory of a fit: what grows with the samples is bytes, not floats."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from tests.estimators.problems import quietly

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

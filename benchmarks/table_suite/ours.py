"""The library's own estimators of tables, on columns as they are."""

import numpy as np

import portable_mlp as pm

from .splits import Split


def ours(preset: str, split: Split, seed: int) -> np.ndarray:
    """Train what the preset says, on NumPy in float32; nothing is prepared by hand."""
    options = {"preset": preset, "random_state": seed, "backend": "numpy"}
    if split.task == "classification":
        return pm.TableClassifier(**options).fit(split.X, split.y).predict_proba(split.X_test)
    return pm.TableRegressor(**options).fit(split.X, split.y).predict(split.X_test)

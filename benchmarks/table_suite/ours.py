"""The recipe of `portable_mlp.tables.recipe`, on columns that are prepared by hand."""

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

import portable_mlp as pm
from portable_mlp.tables.recipe import Recipe, recipe

from .preparation import by_hand
from .splits import Split, is_text


def ours(preset: str, split: Split, seed: int) -> np.ndarray:
    """Train what the preset says, on NumPy in float32, and answer with the mean of its networks."""
    n_classes = int(split.y.max()) + 1 if split.task == "classification" else None
    chosen = recipe(len(split.y), n_classes, preset)
    X, X_test = by_hand(split.X, split.X_test)
    pieces, test_pieces = piecewise(split.X, split.X_test, **chosen.encoding)
    X, X_test = (np.hstack(parts).astype(np.float32) for parts in ((X, pieces), (X_test, test_pieces)))
    if split.task == "classification":
        return answers(chosen, X, split.y, X_test, seed)
    mean, scale = split.y.mean(), split.y.std()
    y = ((split.y - mean) / scale).astype(np.float32)
    return np.clip(answers(chosen, X, y, X_test, seed)[:, 0], y.min(), y.max()) * scale + mean


def answers(chosen: Recipe, X: np.ndarray, y: np.ndarray, X_test: np.ndarray, seed: int) -> np.ndarray:
    """Return the mean over the recipe's networks of their outputs, (n_rows, n_outputs) in float64."""
    is_classes = y.dtype.kind == "i"
    n_outputs = int(y.max()) + 1 if is_classes else 1
    net = pm.Network(
        (X.shape[1], *chosen.hidden, n_outputs), chosen.activation, output="softmax" if is_classes else "identity"
    )
    total = np.zeros((len(X_test), n_outputs))
    for member, (rows, held_out) in enumerate(_parts(chosen, y, seed, is_classes)):
        validation = (X[held_out], y[held_out]) if len(held_out) else None
        start = pm.init_params(net, random_state=1000 * seed + member, dtype="float32")
        options = {**chosen.training, "random_state": 1000 * seed + member}
        result = pm.train(net, start, X[rows], y[rows], validation=validation, **options)
        total += pm.predict(net, result.params, X_test)
    return total / chosen.n_networks


def _parts(chosen: Recipe, y: np.ndarray, seed: int, is_classes: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows to train on and those held out, for each network."""
    everything = np.arange(len(y))
    if not chosen.hold_out:
        return [(everything, everything[:0])] * chosen.n_networks
    if chosen.n_networks == 1:
        classes = y if is_classes else None
        return [train_test_split(everything, test_size=chosen.hold_out, random_state=seed, stratify=classes)]
    folds = (StratifiedKFold if is_classes else KFold)(chosen.n_networks, shuffle=True, random_state=seed)
    return list(folds.split(everything, y))


def piecewise(X: pd.DataFrame, X_test: pd.DataFrame, n_pieces: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return each number's way through the pieces between its quantiles: 0 below a piece, 1 above, linear within."""
    parts: tuple[list[np.ndarray], ...] = ([np.empty((len(X), 0))], [np.empty((len(X_test), 0))])
    for name in (name for name in X.columns if n_pieces and not is_text(X[name])):
        median = X[name].median()
        edges = np.unique(np.quantile(X[name].fillna(median), np.linspace(0.0, 1.0, n_pieces + 1)))
        if len(edges) > 2:
            for part, frame in zip(parts, (X, X_test), strict=True):
                numbers = frame[name].fillna(median).to_numpy(dtype=float)[:, None]
                part.append(np.clip((numbers - edges[:-1]) / np.diff(edges), 0.0, 1.0))
    return np.hstack(parts[0]), np.hstack(parts[1])

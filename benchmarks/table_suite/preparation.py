"""Frames as the methods take them."""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .splits import is_text

MOST_CATEGORIES = 31
"""Of a text column, that one-hot columns are made of by hand: the most frequent values, and all others."""


def by_hand(X: pd.DataFrame, X_test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return what a person prepares: medians for gaps, standardised numbers, one-hot texts."""
    texts = [name for name in X.columns if is_text(X[name])]
    numbers = [name for name in X.columns if name not in texts]
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    preparation = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers), (one_hot, texts)
    )
    X, X_test = (_with(frame, {name: _spelled(frame[name]) for name in texts}) for frame in (X, X_test))
    return preparation.fit_transform(X), preparation.transform(X_test)


def as_categories(X: pd.DataFrame, X_test: pd.DataFrame, most: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return frames whose texts are categories, the ``most`` frequent ones of the training rows."""
    kinds = {}
    for name in filter(lambda name: is_text(X[name]), X.columns):
        kinds[name] = pd.CategoricalDtype(_spelled(X[name]).value_counts().index[:most])
    as_kinds = ({name: _spelled(frame[name]).astype(kind) for name, kind in kinds.items()} for frame in (X, X_test))
    return tuple(_with(frame, columns) for frame, columns in zip((X, X_test), as_kinds, strict=True))


def without_gaps(X: pd.DataFrame, X_test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return frames in float32 whose numbers have no gaps; a column that had some in training has an indicator."""
    new: tuple[dict[str, pd.Series], ...] = ({}, {})
    for name in filter(lambda name: not is_text(X[name]), X.columns):
        median, has_gaps = X[name].median(), X[name].isna().any()
        for columns, frame in zip(new, (X, X_test), strict=True):
            columns[name] = frame[name].fillna(median).astype(np.float32)
            if has_gaps:
                columns[f"{name} is missing"] = frame[name].isna().astype(np.float32)
    return _with(X, new[0]), _with(X_test, new[1])


def _with(frame: pd.DataFrame, columns: dict[str, pd.Series]) -> pd.DataFrame:
    """Return a frame with columns added or replaced, of any names: a column may be called "self"."""
    return pd.DataFrame({**{name: frame[name] for name in frame}, **columns})


def _spelled(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "missing").astype(str)

"""Tables read into frames, their two halves, and their splits into rows to train and to test on."""

import functools
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from .collect import listed

FEWEST_OF_A_CLASS = 8
"""Rows of rarer classes are left out."""

SHARE_TESTED = 0.25
GAPS = ["", "NA", "NaN", "nan", "null"]
DELIMITERS = {"tab": "\t", "space": " "}
DATES = r"^(\d{4}-\d\d-\d\d|[A-Z][a-z]{2} +\d+ \d{4}$)"


class Split(NamedTuple):
    """Rows of one table; ``y`` are labels from 0 or quantities."""

    task: str
    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray


def measured(half: str) -> list[str]:
    """Return the names of the tables to "choose" by, or of those to "report" on."""
    return [name for name, row in listed().items() if row["half"] == half]


def is_text(column: pd.Series) -> bool:
    """Return whether a column is of texts."""
    return not pd.api.types.is_numeric_dtype(column)


@functools.cache
def read(folder: pathlib.Path, name: str) -> tuple[str, pd.DataFrame, np.ndarray]:
    """Return a table's task, features and targets (texts are classes), after what a person does by hand first.

    Rows without a target, the nameless index, ids, leaks and columns that tell every row apart go; dates become days, a
    month and a weekday.
    """
    row = listed()[name]
    delimiter = DELIMITERS.get(row["delimiter"], row["delimiter"])
    options = {"sep": delimiter, "quotechar": row["quote"], "keep_default_na": False, "na_values": GAPS}
    frame = pd.read_csv(folder / f"{name}.csv", encoding_errors="replace", low_memory=False, **options)
    frame = frame.dropna(subset=[row["target"]])
    target = frame.pop(row["target"])
    left_out = [column for column in row["left_out"].split("|") if column]
    frame = frame.drop(columns=[*left_out, *(c for c in frame.columns if c.startswith("Unnamed: 0"))])
    frame = pd.concat([_as_features(frame[c]) for c in frame.columns if not _is_useless(frame[c])], axis=1)
    if row["task"] == "regression":
        return row["task"], frame.reset_index(drop=True), target.to_numpy(dtype=np.float64)
    return row["task"], frame.reset_index(drop=True), target.astype(str).to_numpy()


def _is_useless(column: pd.Series) -> bool:
    n_values = column.nunique()
    constant = n_values == 0 or (n_values == 1 and not column.isna().any())
    return constant or (is_text(column) and n_values > 0.9 * len(column))


def _as_features(column: pd.Series) -> pd.DataFrame:
    if column.dtype == bool:
        return column.astype(float).to_frame()
    if not is_text(column) or not column.dropna().astype(str).head(200).str.match(DATES).all():
        return column.to_frame()
    dates = pd.to_datetime(column, errors="coerce", format="mixed")
    days = (dates - pd.Timestamp("2000-01-01")).dt.days
    parts = {"days": days, "month": dates.dt.month, "weekday": dates.dt.day_of_week}
    return pd.DataFrame({f"{column.name} {part}": numbers.astype(float) for part, numbers in parts.items()})


def split(folder: pathlib.Path, name: str, seed: int, most_rows: int) -> Split:
    """Split ``most_rows`` drawn rows, or all if there are no more; classes keep their shares, rare ones go."""
    task, X, y = read(folder, name)
    drawn = np.random.default_rng(seed).permutation(len(y))[:most_rows]
    X, y = X.iloc[drawn], y[drawn]
    classes = None
    if task == "classification":
        _, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
        kept = counts[labels] >= FEWEST_OF_A_CLASS
        X, y = X[kept], np.unique(y[kept], return_inverse=True)[1]
        classes = y
    X, X_test, y, y_test = train_test_split(X, y, test_size=SHARE_TESTED, random_state=seed, stratify=classes)
    return Split(task, X.reset_index(drop=True), y, X_test.reset_index(drop=True), y_test)

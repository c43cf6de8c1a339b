"""A transformer of scikit-learn that encodes tables, over `tables.encoding`."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ..kernels.suggestions import suggesting_class
from ..tables.column_names import numbered_names
from ..tables.columns import Columns, Reading
from ..tables.encoder_options import EncoderOptions
from ..tables.encoding import ColumnReport, Encoder
from ..tables.errors import listed
from ..tables.frames import columns_of_array, columns_of_frame, is_frame, is_missing, with_gaps_for_masks
from ..tables.known_columns import known_columns
from ..tables.targets import numeric_targets
from ..tables.typed_columns import RawColumn, conformed, meaning_of

__all__ = ["TableEncoder", "TakesTables"]


class TakesTables:
    """An estimator whose inputs may be texts and categories, and may have gaps."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _without_gaps(y: np.ndarray) -> np.ndarray:
    """Return targets; raise ValueError if one is missing."""
    if np.isnan(y).any() if y.dtype.kind == "f" else y.dtype.kind == "O" and any(map(is_missing, y.flat)):
        raise ValueError("y has missing values, but the target of each row is needed")
    return y


@suggesting_class
class TableEncoder(TakesTables, TransformerMixin, BaseEstimator):
    """Encode tables with numbers, texts, truth values, dates and missing cells as a real matrix.

    A column is treated according to its cells: numbers are scaled to zero mean and unit deviation, their gaps become
    the median and are marked in a column of their own; texts have a column of 0 and 1 each, rare and unseen ones
    together, and missing ones; many different texts become the means of their targets, which are cross-fitted; truth
    values are numbers, 1 and 0; dates become the elapsed time, the year, and sines and cosines of month, weekday and
    hour. Constant columns, and those that only identify rows, are dropped. `columns_` lists the treatments.

    Parameters
    ----------
    categorical : sequence of str, default=()
        Names of columns whose cells are categories, whatever they look like: whole numbers that are codes.
    drop : sequence of str, default=()
        Names of columns to leave out.
    max_levels : int, default=30
        A column of more different texts is encoded by its targets' means; where there are no targets, the commonest
        texts have columns, so many.
    min_count : int, default=2
        Texts in fewer rows are rare.
    n_pieces : int, default=0
        Features that each number has beside itself, one for each piece between its quantiles (of 8 pieces, eighths of
        the rows): 0 below the piece, 1 above it, linear within. A network then bends where the rows are; 8 is a good
        number. 0 for none.
    decimal : {".", ","}, default="."
        The mark before the fraction of numbers in columns of texts.
    target_type : {"auto", "classification", "regression"}, default="auto"
        What ``y`` is; "auto" takes texts, and few whole numbers, for classes.

    Attributes
    ----------
    columns_ : list of ColumnReport
        For each column its name, its kind, how many features it became, and in words how.
    n_features_in_ : int
        How many columns there were.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if all are texts.

    See Also
    --------
    portable_mlp.read_table : Read a table from a file.

    Notes
    -----
    As with ``sklearn.preprocessing.TargetEncoder``, ``fit(X, y).transform(X)`` is not ``fit_transform(X, y)`` where a
    column has many texts: a training row is not encoded by its own target. Pipelines and searches do the right one.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> X = {"rooms": [2.0, np.nan, 4.0], "district": ["north", "south", "north"], "lift": [True, False, True]}
    >>> encoder = pm.TableEncoder(min_count=1).fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['rooms', 'rooms_missing', 'district_north', 'district_south', 'lift']
    >>> encoder.transform({"lift": [False], "rooms": [3.0], "district": ["west"]}).round(3).tolist()
    [[0.0, 0.0, 0.0, 0.0, -1.414]]
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - as scikit-learn has it
        "categorical": [list, tuple, np.ndarray],
        "drop": [list, tuple, np.ndarray],
        "max_levels": [Interval(Integral, 1, None, closed="left")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "n_pieces": [Interval(Integral, 0, None, closed="left")],
        "decimal": [StrOptions({".", ","})],
        "target_type": [StrOptions({"auto", "classification", "regression"})],
    }

    def __init__(
        self,
        *,
        categorical: Any = (),
        drop: Any = (),
        max_levels: int = 30,
        min_count: int = 2,
        n_pieces: int = 0,
        decimal: str = ".",
        target_type: str = "auto",
    ) -> None:
        self.categorical = categorical
        self.drop = drop
        self.max_levels = max_levels
        self.min_count = min_count
        self.n_pieces = n_pieces
        self.decimal = decimal
        self.target_type = target_type

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what each column is, and what becomes of it.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            The training rows: a frame of pandas, polars or PyArrow, arrays by their names, a structured array, or
            `read_table`'s columns. Columns without names are called x0, x1, ...
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Their targets, for columns of many texts.

        Returns
        -------
        TableEncoder
            The encoder itself, fitted.

        Raises
        ------
        ValueError
            If a parameter, X or y cannot be used; with what was expected, and what came.
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Learn from training rows, and encode them by what was learnt without them.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            The training rows, of any kind that `fit` accepts.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Their targets, for columns of many texts.
        **fit_params
            Not accepted: there are no other options.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            Or a data frame, if `set_output` asked for one.

        Raises
        ------
        ValueError
            If a parameter, X or y cannot be used; with what was expected, and what came.
        TypeError
            If there are other options.
        """
        if fit_params:
            raise TypeError(f"fit_transform takes X and y, not {', '.join(sorted(fit_params))}")
        return self._fit(X, y)

    def transform(self, X: Any) -> Any:
        """Encode rows.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            Rows with the same columns as in `fit`; of those with names, in any order, and others are left alone.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            Or a data frame, if `set_output` asked for one.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If a column is lacking, or a cell contradicts what its column was when it was learnt.
        """
        check_is_fitted(self)
        return self._encoder.transform(self._known(X, self))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features.

        Parameters
        ----------
        input_features : None
            Not used; names are those of the columns that were learnt.

        Returns
        -------
        ndarray of shape (n_features_out,), object
            Each column's name, with what it stands for behind it.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        """
        check_is_fitted(self)
        return np.array(self._encoder.feature_names, dtype=object)

    @property
    def columns_(self) -> list[ColumnReport]:
        """What is done with each column."""
        try:
            return self._encoder.report
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no attribute 'columns_' before it is fitted") from None

    def _known(self, X: Any, learner: BaseEstimator) -> Columns:
        """Return the columns of rows, each read as what it was when the learner, whom messages name, learnt it."""
        X, columns = self._columns(X, learner, reset=False)
        readings = self._encoder.readings
        lacking = [name for name in readings if name not in columns]
        if lacking and not hasattr(self, "feature_names_in_"):
            raise ValueError(
                f"{type(learner).__name__} was fitted to an array, whose columns have no names, and X has the columns "
                f"{listed(list(columns))}: give it an array too, such as X.to_numpy()"
            )
        if lacking:
            names = ", ".join(map(repr, lacking))
            raise ValueError(f"X lacks the columns {names}, which {type(learner).__name__} learnt")
        return known_columns(X, columns, readings)

    def _understood(self, X: Any) -> Columns:
        """Return the columns of training rows, each read as what its cells are."""
        _, columns = self._columns(X, self, reset=True)
        unknown = [name for name in (*self.categorical, *self.drop) if name not in columns]
        if unknown:
            raise ValueError(f"X has no column {unknown[0]!r}; its columns are {', '.join(map(repr, columns))}")
        kept = {name: column() for name, column in columns.items() if name not in self.drop}
        if not kept:
            names = listed(list(columns))
            raise ValueError(f"drop leaves none of the columns {names}" if columns else "X has no columns")
        as_text = Reading("text", "code")
        return Columns(
            {
                name: conformed(column, as_text) if name in self.categorical else meaning_of(column, self.decimal)
                for name, column in kept.items()
            }
        )

    def _fit(self, X: Any, y: Any) -> np.ndarray:
        self._validate_params()
        table = self._understood(X)
        outputs = None if y is None else numeric_targets(_without_gaps(np.asarray(y)), self.target_type)
        check_consistent_length(table, outputs)
        options = EncoderOptions(max_levels=self.max_levels, min_count=self.min_count, n_pieces=self.n_pieces)
        self._encoder, matrix = Encoder.learn(table, outputs, options)
        return matrix

    def _columns(
        self, X: Any, learner: BaseEstimator, *, reset: bool
    ) -> tuple[Any, dict[str, Callable[[], RawColumn]]]:
        """Return the table, validated if it is an array, and functions that give its columns, by their names.

        The messages of the validation name the learner.
        """
        if is_frame(X):
            columns = columns_of_frame(X)
            if reset:
                self.n_features_in_ = len(columns)
                self.feature_names_in_ = np.array(list(columns), dtype=object)
            return X, columns
        if isinstance(X, np.ndarray):
            X = with_gaps_for_masks(X)
            X = X.astype(object) if X.dtype.kind == "T" else X  # NumPy's own texts, which scikit-learn does not check
        X = validate_data(
            learner, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=1 + reset
        )
        names = getattr(self, "feature_names_in_", numbered_names(X.shape[1]))
        return X, columns_of_array(X, list(names))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_encoder")

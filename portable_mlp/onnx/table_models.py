"""Models of tables as ONNX files, which take the raw columns and answer as `TableModel` does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from ..backends import dtype_name
from ..kernels.parameters import Params, unpack
from ..storage.paths import FilePath
from ..tables.cells import MISSING, MISSING_NUMBERS, Cells, read_as
from ..tables.column_encodings import (
    CategoryColumn,
    ColumnEncoding,
    NumberColumn,
    TargetMeanColumn,
    is_number_without_gaps,
)
from ..tables.date_encoding import DateColumn
from ..tables.errors import shown
from ..tables.model import TableModel
from ..tables.number_features import Pieces
from ..tables.preparation import Preparation
from .dates import append_dates
from .features import in_order, pieces_of_columns, scaled_columns
from .files import checked_scaling, checked_target_scaling, host_vector, host_vectors, write_model
from .graph import ML_DOMAIN, Graph
from .inference import append_answers, append_network, checked_range, output_name, with_both_classes
from .training import export_onnx_training, training_model


def export_table_model(path: FilePath, model: TableModel) -> None:
    """Write the model of a table as an ONNX file that takes raw rows.

    Numbers, and truth values that were no text in the table, are numbers in the dtype of the parameters; in float64
    where float32 does not have the numbers of a column, such as Julian days or Unix times within a day, up to a small
    part of their spread. Where all columns are such, without gaps, the graph has one input ``X`` (n_samples,
    n_columns). Else it has one input (n_samples, 1) for each column that the model needs, of the column's name:
    numbers, NaN for a gap; texts, and truth values that are words, as texts without blanks around them, the empty text
    for a gap; dates as seconds since 1970, UTC, in float64, NaN for a gap. The output is ``proba``, a column for each
    class, or ``prediction`` in the target's own units; of an ensemble the mean. If a column has the output's name, the
    output has an underscore behind it.

    Parameters
    ----------
    path : str, bytes or path
        File to create or to replace in one step, usually ending in ".onnx".
    model : TableModel
        The model, on any library and device.

    Raises
    ------
    ValueError
        If a column has a name that no input can have, or a text that UTF-8 cannot write; if the target's numbers are
        too large or too small for the dtype; if the parameters exceed the 2 GB that an ONNX file can have.
    ImportError
        If onnx is missing.
    OSError
        If the file cannot be written.
    """
    preparation, net, params = model.preparation, model.net, model.params
    if preparation.classes is not None and net.sizes[-1] == 1:
        net, params = with_both_classes(net, params)
    columns = _columns(preparation)
    flat = host_vectors(net, params)
    graph = Graph()
    layers = unpack(net, flat)
    features, layers = _append_features(graph, columns, layers, _dtype_of_numbers(columns, flat.dtype))
    y = append_network(graph, features, net, layers)
    scaling = checked_target_scaling(net, _target_scaling(preparation, flat.dtype), flat.dtype)
    append_answers(graph, y, scaling, checked_range(net, _target_range(preparation)), flat.dtype)
    described = _metadata(preparation, columns)
    write_model(path, graph.model(output_name(net), net.sizes[-1], flat.dtype), net, described)


def export_table_training(path: FilePath, model: TableModel, solver: str) -> None:
    """Write the training step of a table's model as an ONNX file, as `export_onnx_training` does for a network.

    It takes the raw columns and raw targets. Where all columns are numbers without gaps that the dtype of the
    parameters has, they are a matrix ``X`` of this dtype. Else the inputs are those of `export_table_model`, with
    numbers in float64. An input or output of the step that has a column's name has an underscore behind it: ``y_``,
    ``step_``. The encoding stays as it is: only the parameters of the network go on learning.

    Of two classes and one output, ``proba`` is that of the second class, and y is 1 for it.

    Raises
    ------
    ValueError
        If the model is an ensemble; as `export_table_model` and `export_onnx_training`.
    TypeError, ImportError, OSError
        As `export_onnx_training`.
    """
    if model.n_networks > 1:
        raise ValueError(f"the model is an ensemble of {model.n_networks} networks, but a training step is of one")
    preparation, net = model.preparation, model.net
    columns = _columns(preparation)
    dtype = np.dtype(dtype_name(model.params[0].W.dtype))
    target_scaling = _target_scaling(preparation, dtype)
    numbers = [column for column in columns if _is_number(column) and is_number_without_gaps(column)]
    if len(numbers) == len(columns) and all(_has_numbers(column, dtype) for column in numbers):
        export_onnx_training(
            path,
            net,
            model.params,
            _metadata(preparation, columns),
            solver=solver,
            input_scaling=([column.mean for column in numbers], [column.scale for column in numbers]),
            input_edges=[column.edges for column in numbers],
            target_scaling=target_scaling,
        )
        return
    step, described = training_model(net, model.params, solver, {}, target_scaling=target_scaling)
    graph = Graph()
    features, _ = _append_features(graph, columns, unpack(net, host_vector(net, model.params)), np.dtype(np.float64))
    write_model(path, graph.before(step, X=features), net, _metadata(preparation, columns), training=described)


def example_inputs(preparation: Preparation) -> dict[str, list[list[Any]]]:
    """Return a row as the file of `export_table_model` takes it: a nested list for each input, by its name.

    Numbers are the medians of the rows that were trained on, texts are known ones, a date is 1 January 1970.
    """
    columns = _columns(preparation)
    if _is_matrix(columns):
        return {"X": [[_example(column) for column in columns]]}
    return {column.name: [[_example(column)]] for column in columns}


def _example(column: ColumnEncoding) -> Any:
    if _is_number(column):
        return column.mean if math.isnan(column.median) else column.median
    return 0.0 if isinstance(column, DateColumn) else _known_texts(column)[0]


def _is_matrix(columns: Sequence[ColumnEncoding]) -> bool:
    """Tell whether the graph takes all columns as one matrix."""
    return all(_is_number(column) and is_number_without_gaps(column) for column in columns)


def _columns(preparation: Preparation) -> list[ColumnEncoding]:
    """Return the encodings of the columns that are needed, in the table's order."""
    if preparation.encoder is not None:
        return [column for column in preparation.encoder.columns if column.reading is not None]
    # A matrix of numbers, whose columns may have no names, and whose gaps are no median.
    names = preparation.feature_names or [""] * len(preparation.input_mean)
    scaling = zip(names, preparation.input_mean, preparation.input_scale, strict=True)
    return [NumberColumn(name, "", math.nan, mean, scale, gaps=False) for name, mean, scale in scaling]


def _target_scaling(preparation: Preparation, dtype: np.dtype) -> tuple[Any, Any] | None:
    """Return mean and scale of the targets, None for classes; raise ValueError where the dtype does not have them."""
    if preparation.classes is not None:
        return None
    mean, scale = np.asarray(preparation.target_mean), np.asarray(preparation.target_scale)
    with np.errstate(over="ignore"):
        has_them = np.isfinite(mean.astype(dtype)) & np.isfinite(scale.astype(dtype)) & (scale.astype(dtype) > 0)
    if not has_them.all():
        name = shown(preparation.target_name or "y")
        raise ValueError(
            f"the numbers of the target {name} are too large or too small for {dtype}: train with the dtype float64"
        )
    return mean, scale


def _target_range(preparation: Preparation) -> tuple[Any, Any] | None:
    return None if preparation.target_low is None else (preparation.target_low, preparation.target_high)


def _metadata(preparation: Preparation, columns: Sequence[ColumnEncoding]) -> dict[str, Any]:
    """Return the metadata of the file: names of classes, columns and target, where they are known."""
    named = {
        "classes": preparation.classes,
        "feature_names": [column.name for column in columns if column.name],
        "target_name": preparation.target_name,
    }
    return {name: value for name, value in named.items() if value}


def _append_features(
    graph: Graph, columns: Sequence[ColumnEncoding], layers: Params, dtype_of_numbers: np.dtype
) -> tuple[str, Params]:
    """Append the inputs of the network (n_samples, n_inputs); return their name, and the layers that take them.

    Numbers are a matrix: all of them are scaled at once. Each text has a row in a table of its column.
    """
    dtype = layers[0].W.dtype
    x = _append_inputs(graph, columns, dtype_of_numbers)
    starts = itertools.accumulate((len(column.feature_names) for column in columns), initial=0)
    placed = list(zip(starts, columns, strict=False))
    numbers = [(start, column) for start, column in placed if _is_number(column)]
    parts, places = [], []
    if numbers:
        number_parts, number_places, layers = _append_numbers(graph, x, numbers, layers, dtype_of_numbers)
        parts += number_parts
        places += number_places
    for i, (start, column) in enumerate(placed):
        if not _is_number(column):
            if isinstance(column, DateColumn):
                parts.append(append_dates(graph, column, i, dtype))
            else:
                parts.append(_append_texts(graph, column, i, dtype))
            places += range(start, start + len(column.feature_names))
    return in_order(graph, parts, np.argsort(places)), layers


def _append_inputs(graph: Graph, columns: Sequence[ColumnEncoding], dtype: np.dtype) -> str:
    """Append the inputs; return the matrix of the numbers (n_samples, n_columns), empty if there are none.

    The numbers are in ``dtype``.
    """
    if _is_matrix(columns):
        return graph.input("X", dtype, len(columns))
    _check_inputs(columns)
    for column in columns:
        graph.input(column.name, _dtype_of_input(column, dtype), 1)
    numbers = [column.name for column in columns if _is_number(column)]
    return graph.node("Concat", *numbers, to="X", axis=1) if numbers else ""


def _check_inputs(columns: Sequence[ColumnEncoding]) -> None:
    """Raise ValueError unless the graph can have an input for each column."""
    for name in (column.name for column in columns):
        if not name or not _is_utf8(name):
            raise ValueError(f"an input of an ONNX file cannot have the name {shown(name)}: rename the column")


def _is_utf8(text: str) -> bool:
    """Tell whether UTF-8, and so an ONNX file, can write a text: it has no lone surrogate."""
    return text == text.encode(errors="ignore").decode()


def _dtype_of_input(column: ColumnEncoding, dtype: np.dtype) -> Any:
    """Return the dtype of a column's input: object for texts, float64 for the seconds of dates."""
    if isinstance(column, DateColumn):
        return np.float64
    return dtype if _is_number(column) else object


def _dtype_of_numbers(columns: Sequence[ColumnEncoding], dtype: np.dtype) -> np.dtype:
    """Return the dtype of the inputs of numbers: that of the network, or float64 where that has not all of them."""
    exact = all(_has_numbers(column, dtype) for column in columns if _is_number(column))
    return dtype if exact else np.dtype(np.float64)


_SMALL_PART = 2.0**-13
"""The part of a column's spread, or of a piece's width, that an input may be rounded by."""
_HEADROOM = 2.0**10
"""The factor by which other numbers, and differences of them, may exceed those that are known."""


def _has_numbers(column: NumberColumn, dtype: np.dtype) -> bool:
    """Tell whether a dtype has the numbers of a column, up to a small part of their spread and of the pieces' widths.

    The edges of pieces are numbers of the column: where the dtype has them, it has the column. Without pieces, half the
    spacing of the dtype's numbers at the mean is what a number may lose.
    """
    if dtype == np.float64:
        return True  # in which `predict` reads them
    edges = np.asarray(column.edges)
    if np.abs([column.mean, column.scale, *edges]).max() > np.finfo(dtype).max / _HEADROOM:
        return False
    if not column.edges:
        return float(np.spacing(dtype.type(abs(column.mean)))) / 2.0 <= _SMALL_PART * column.scale
    lost = np.abs(edges.astype(dtype) - edges)
    return bool((np.maximum(lost[:-1], lost[1:]) <= _SMALL_PART * np.diff(edges)).all())


def _is_number(column: ColumnEncoding) -> TypeGuard[NumberColumn]:
    """Tell whether the graph takes a column as numbers; truth values that are words in the table are texts."""
    return isinstance(column, NumberColumn) and (column.kind == "number" or not column.form)


def _append_numbers(
    graph: Graph, x: str, placed: Sequence[tuple[int, NumberColumn]], layers: Params, dtype: np.dtype
) -> tuple[list[str], list[int], Params]:
    """Append the features of the numbers in ``dtype``, whose first ones have these places among the network's inputs.

    Returns
    -------
    parts : list of str
        The scaled numbers, their pieces, and the indicators of their gaps, in the dtype of the layers.
    places : list of int
        The place of each of these features.
    layers : tuple of Layer
        The layers that take them.
    """
    starts, columns = zip(*placed, strict=True)
    raw = x
    medians = np.asarray([column.median for column in columns], dtype)
    if not np.isnan(medians).all():
        missing = graph.node("IsNaN", raw, to="X_missing")
        x = graph.node("Where", missing, graph.constant("medians", medians), raw, to="X_filled")
    scaling = [column.mean for column in columns], [column.scale for column in columns]
    checked = checked_scaling("input_scaling", scaling, len(columns), dtype)
    parts, places = [x], list(starts)
    if checked is not None:
        parts[0], layers = scaled_columns(graph, x, layers, checked, np.asarray(starts), dtype)
    pieces = Pieces.between([column.edges for column in columns])
    if pieces is not None:
        parts.append(pieces_of_columns(graph, x, pieces, dtype))
        places += [start + i for start, column in placed for i in range(1, len(column.edges))]
    with_gaps = [i for i, column in enumerate(columns) if column.gaps]
    if with_gaps:
        parts.append(_append_indicators(graph, raw, with_gaps, dtype))
        places += [start + len(column.feature_names) - 1 for start, column in placed if column.gaps]
    if dtype != layers[0].W.dtype:
        zero = graph.number(0.0, layers[0].W.dtype)
        parts = [graph.node("CastLike", part, zero, to=f"{part}_cast") for part in parts]
    return parts, places, layers


def _append_indicators(graph: Graph, x: str, columns: Sequence[int], dtype: np.dtype) -> str:
    """Append 1 where a column of x, one of these, has a gap, else 0."""
    chosen = graph.node("Gather", x, graph.constant("columns_with_gaps", np.asarray(columns)), to="X_of_gaps", axis=1)
    one, zero = graph.number(1.0, dtype), graph.number(0.0, dtype)
    return graph.node("Where", graph.node("IsNaN", chosen, to="gaps"), one, zero, to="indicators")


def _append_texts(graph: Graph, column: ColumnEncoding, number: int, dtype: np.dtype) -> str:
    """Append the features of a column of texts, the one with this number: each text has a row in a table.

    An unknown text has the last row. A word that is no truth value has a row that does not exist, and is an error, as
    in `predict`.
    """
    assert column.reading is not None  # a column that is needed
    texts = _known_texts(column)
    for text in texts:
        if not _is_utf8(text):
            raise ValueError(
                f"column {shown(column.name)} has the text {shown(text)}, which UTF-8 cannot write: change it"
            )
    # Longer than any other, it is none of them.
    unknown = ["?" * (1 + max(map(len, texts)))] if column.reading.kind == "text" else []
    cells = Cells.of(column.name, [*texts, *unknown], str)
    rows = column.transform(read_as(cells, column.reading).values).astype(dtype)
    row = graph.node(
        "LabelEncoder",
        column.name,
        to=f"row{number}",
        domain=ML_DOMAIN,
        keys_strings=texts,
        values_int64s=list(range(len(texts))),
        default_int64=len(texts),
    )
    found = graph.node("Gather", graph.constant(f"rows{number}", rows), row, to=f"found{number}", axis=0)
    return graph.node("Flatten", found, to=f"texts{number}", axis=1)


def _known_texts(column: ColumnEncoding) -> list[str]:
    """Return the texts that are not encoded as an unknown one, missing cells among them."""
    if isinstance(column, NumberColumn):
        words = (
            map("".join, itertools.product(*zip(word, word.upper(), strict=True))) for word in column.form.split("/")
        )
        return [*itertools.chain.from_iterable(words), *sorted(MISSING_NUMBERS)]
    assert isinstance(column, CategoryColumn | TargetMeanColumn)
    # Data frames turn whole numbers beside gaps into 3.0; files may have 3. and 3.00.
    codes = [f"{level}{end}" for level in column.levels if column.form == "code" for end in (".", ".0", ".00")]
    return list(dict.fromkeys([*column.levels, *codes, *sorted(MISSING)]))

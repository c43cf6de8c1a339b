"""``portable-mlp predict``: from raw rows and a model file to predictions."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import numpy as np
import typer

from ..backends import get_backend
from ..storage.models import ESTIMATOR_ENTRY
from ..tables.columns import Columns
from ..tables.digits import digits, refuse_with_digits
from ..tables.model import TableModel
from ..tables.preparation import Preparation
from ..tables.reading import (
    ReadingOptions,
    check_output,
    read_known_columns,
    read_prediction_table,
    write_table,
)
from .options import BackendOption, DelimiterOption, MaxRowsOption
from .output_files import STREAM, check_writable
from .table_options import EncodingOption
from .terminal import StandardOutput, echo


def predict(
    model: Annotated[pathlib.Path, typer.Argument(help="Model file: of train, of save_model, or of an estimator.")],
    data: Annotated[
        str, typer.Argument(help="digits, or a table with the columns the model was trained on; - is standard input.")
    ],
    proba: Annotated[bool, typer.Option("--proba", help="Write each class's probability too.")] = False,
    output: Annotated[
        str,  # a path would take ./- for -
        typer.Option(help="File to write: .csv, .tsv, these compressed (.csv.gz), or .parquet; - is standard output."),
    ] = STREAM,
    spreadsheet_safe: Annotated[
        bool, typer.Option("--spreadsheet-safe", help="Put ' before class names that a spreadsheet takes for formulas.")
    ] = False,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    max_rows: MaxRowsOption = None,
    backend: BackendOption = "auto",
) -> None:
    """Predict with a saved model; write a CSV with the column prediction.

    Example: portable-mlp predict houses.safetensors new.csv --output prices.csv
    """
    to_stdout = output == STREAM
    if not to_stdout:
        path = pathlib.Path(output)
        check_writable("--output", path.absolute() if str(path) == STREAM else path, sources=(model, data))
        check_output(output)
    chosen = get_backend(backend)
    table_model, metadata = TableModel.load(model, backend=chosen)
    preparation, net = table_model.preparation, table_model.net
    if isinstance(metadata.get(ESTIMATOR_ENTRY), dict) and net.output == "logistic" and preparation.classes is None:
        raise ValueError(
            f"{model} is of an estimator for several labels or a single class; in Python, "
            "portable_mlp.MLPClassifier.load(path) predicts with it"
        )
    if proba and preparation.classes is None:
        raise ValueError(f"{model} predicts quantities, not classes: --proba does not go with it")
    X, ids = _rows(data, preparation, delimiter, encoding, max_rows)
    if isinstance(X, np.ndarray) and X.shape[1] != net.sizes[0]:
        raise ValueError(f"{data} has {X.shape[1]} features, but {model} takes {net.sizes[0]}")
    outputs = table_model.outputs(X)
    header, columns = _columns(preparation, outputs, proba)
    if ids is not None and preparation.table is not None:
        header, columns = [preparation.table["id"], *header], [["" if text is None else text for text in ids], *columns]
    write_table(StandardOutput() if to_stdout else output, header, columns, spreadsheet_safe=spreadsheet_safe)
    if not to_stdout:
        echo(f"{len(outputs)} predictions written to {output}", err=True)


def _rows(
    data: str, preparation: Preparation, delimiter: str | None, encoding: str | None, max_rows: int | None
) -> tuple[np.ndarray | Columns, np.ndarray | None]:
    """Return the rows, and what names them if the model was told."""
    if data == "digits":
        refuse_with_digits(delimiter=delimiter, encoding=encoding, max_rows=max_rows)
        return digits().X, None
    if preparation.encoder is not None:
        options = ReadingOptions(**preparation.table or {}, max_rows=max_rows)
        options = options._replace(delimiter=delimiter or options.delimiter, encoding=encoding or options.encoding)
        table = read_known_columns(data, preparation.encoder.readings, options)
        return table.X, table.ids
    if encoding is not None:
        raise ValueError("--encoding goes with models of tables as they are; this one takes UTF-8")
    names = tuple(preparation.feature_names) or None
    X = read_prediction_table(data, names, preparation.target_name, delimiter=delimiter, max_rows=max_rows).X
    return X, None


def _columns(preparation: Preparation, outputs: np.ndarray, proba: bool) -> tuple[list[str], list[Any]]:
    predictions = preparation.predictions(outputs)
    if predictions.ndim == 1 or predictions.shape[1] == 1:
        header, columns = ["prediction"], [predictions.reshape(-1)]
    else:
        header = [f"prediction_{j}" for j in range(predictions.shape[1])]
        columns = list(predictions.T)
    if proba:
        header += [f"proba_{name}" for name in preparation.classes or ()]
        columns += list(outputs.T)
    return header, columns

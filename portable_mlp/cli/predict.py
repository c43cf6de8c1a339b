"""``portable-mlp predict``: from raw rows and a model file to predictions."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import numpy as np
import typer

from ..backends import get_backend
from ..tables.preparation import Preparation
from ..tables.reading import check_output, write_parts
from .evaluate import KnownAnswers
from .misuse import PROGRAM
from .options import BackendOption, DelimiterOption, MaxRowsOption
from .output_files import STREAM, check_writable
from .saved_model import AnswerOptions, KnownRows, SavedModel, read_rows
from .score_table import show_scores
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
    saved = SavedModel.load(model, get_backend(backend))
    preparation = saved.model.preparation
    if proba and preparation.classes is None:
        raise ValueError(f"{model} predicts quantities, not classes: --proba does not go with it")
    answers = KnownAnswers(saved.model)

    def predictions(rows: KnownRows) -> tuple[list[str], list[Any]]:
        outputs = saved.model.outputs(rows.X)
        answers.add(rows, outputs)
        header, columns = _columns(preparation, outputs, proba)
        if rows.ids is None or preparation.table is None:
            return header, columns
        return [preparation.table["id"], *header], [["" if text is None else text for text in rows.ids], *columns]

    parts = map(predictions, read_rows(saved, data, AnswerOptions(delimiter, encoding, max_rows)))
    write_parts(StandardOutput() if to_stdout else output, parts, spreadsheet_safe=spreadsheet_safe)
    if not to_stdout:
        echo(f"{answers.n_rows} predictions written to {output}", err=True)
    if answers.note is not None:
        echo(f"{PROGRAM}: {answers.note}", err=True)
    scores = answers.scores()
    if scores is not None:
        show_scores(scores, err=True)


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

"""The report of a training as one page: scores, pictures, the treatment of columns, and the use of the model."""

from __future__ import annotations

import pathlib
import pprint
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..html_parts import escaped, html_cell, html_row, html_table
from ..tables.calibration import calibration, confidences
from ..tables.encoding import ColumnReport
from ..tables.importance import Importance
from ..tables.measures import MEASURES, Labels, score_text
from ..tables.raw import ReadingOptions
from ..tables.scores import Scores
from ..training.result import History
from .html_page import document, image
from .report_pictures import learning_curve, predicted_and_true, reliability

MOST_CLASSES = 40
"""The most classes whose confusion matrix fits a page."""

_PYTHON = """import pandas as pd
import portable_mlp as pm

model = pm.{estimator}.load({model!r})
frame = {frame}
print(model.predict(frame)){proba}"""

_ONNX = """import numpy as np
import onnxruntime

row = {row}
dtypes = {{"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}}
session = onnxruntime.InferenceSession({onnx!r})
inputs = {{one.name: np.array(row[one.name], dtypes[one.type]) for one in session.get_inputs()}}
print(session.get_modelmeta().custom_metadata_map)  # the names of columns and classes
print(session.run(None, inputs))"""

REPORT_STYLE = """
th:first-child, td:first-child { text-align: left; }
table.left td, table.left th { text-align: left; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; }
.warning { background: #fff3cd; padding: .6rem; border-left: .3rem solid #d39e00; }
.bar { display: inline-block; height: .8rem; background: #1f77b4; }
.wide { overflow-x: auto; }
"""


_WORDS_IN_TREATMENTS = {
    "scaled": "Scaled numbers have the mean 0 and the deviation 1.",
    "pieces": "A piece lies between two quantiles of a number; its feature is 0 below, 1 above, and linear within.",
    "categor": "Each category has a feature, 1 in its rows and 0 in all others.",
    "mean of its targets": "Rows to train on get the mean of other rows than themselves.",
}
"""Parts of treatments, and sentences that explain them."""


class TrainingReport(NamedTuple):
    """The content of the page of a training.

    Attributes
    ----------
    data : str
        The table that the model was trained on.
    summary : dict
        What was trained, by names for people.
    histories : list of dict
        The history of each network of the model.
    scored_on : str
        The rows that were scored, in words.
    scores : Scores
        The scores on these rows.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        The targets of these rows.
    answers : ndarray of shape (n_rows, n_outputs)
        The probabilities of the classes, or the predicted quantities.
    classes : list or None
        The classes; None for quantities.
    importances : list of Importance
        The columns, the most important first.
    columns : list of ColumnReport
        What is done with each column.
    notes : tuple of str
        Remarks on the table, such as an unusual delimiter.
    example : dict from str to list
        A row as the ONNX file takes it, by its inputs.
    saved : path or None
        The file of the model.
    reading : ReadingOptions
        How the table was read.
    """

    data: str
    summary: dict[str, Any]
    histories: list[History]
    scored_on: str
    scores: Scores
    y: np.ndarray
    answers: np.ndarray
    classes: list[Any] | None
    importances: list[Importance]
    columns: Sequence[ColumnReport]
    notes: tuple[str, ...]
    example: dict[str, list[list[Any]]]
    saved: pathlib.Path | None
    reading: ReadingOptions = ReadingOptions()

    def page(self) -> str:
        """Return the page, in HTML."""
        title = f"A model of {self.summary['target'] or 'y'}, trained on {pathlib.PurePath(self.data).name}"
        sections = (
            f"<h1>{escaped(title)}</h1>",
            *self._scores(),
            *self._calibration(),
            "<h2>Learning curve</h2>",
            image(learning_curve(self.histories), "The loss of training and validation over the epochs"),
            *self._importance(),
            *self._columns(),
            "<h2>The model</h2>",
            _facts(self.summary),
            *self._usage(),
        )
        return document(title, REPORT_STYLE, "\n".join(sections))

    def _scores(self) -> Iterator[str]:
        """Yield the scores beside the baseline, and the confusion matrix."""
        scores = self.scores
        yield f"<h2>Scores</h2><p>Of {escaped(self.scored_on)}. The baseline is {escaped(scores.baseline_name)}.</p>"
        if scores.warning is not None:
            yield f'<p class="warning">{escaped(scores.warning)}.</p>'
        spread = scores.spread or {}
        yield html_table(
            ("score", "model", *(("spread over folds",) if spread else ()), "baseline"),
            (
                html_row(
                    html_cell(cell)
                    for cell in (
                        MEASURES[name].words,
                        score_text(value),
                        *((f"± {score_text(spread[name], 2)}",) if spread else ()),
                        score_text(scores.baseline[name]),
                    )
                )
                for name, value in scores.model.items()
            ),
        )
        if scores.confusion is not None:
            yield "<h2>Classes</h2>"
            yield html_table(
                ("class", "rows", "precision", "recall", "F1"),
                (
                    html_row(
                        map(html_cell, (one.name, one.n_rows, *map(score_text, (one.precision, one.recall, one.f1))))
                    )
                    for one in scores.by_class
                ),
            )
            yield from _confusion(scores)

    def _calibration(self) -> Iterator[str]:
        """Yield predictions against the truth."""
        yield "<h2>Calibration</h2>" if self.classes is not None else "<h2>Predicted and true</h2>"
        if self.classes is None:
            yield from self._quantities()
            return
        if len(self.classes) == 2:
            what, right = f"of {self.classes[1]!r}", "it occurred"
            sides = "above the line it occurs more often than predicted, below it less often"
        else:
            what, right = "of the predicted class", "it was right"
            sides = "above the line the model is underconfident, below it overconfident"
        groups = calibration(*confidences(self.answers, Labels.of(self.y, self.classes).codes))
        yield (
            f"<p>Predicted probability {escaped(what)}, and how often {right}, in groups of rows with similar "
            f"probabilities: {sides}.</p>"
        )
        yield image(reliability(groups, "predicted probability"), "Observed frequency over predicted probability")

    def _quantities(self) -> Iterator[str]:
        y = self.y.reshape(len(self.y), -1).astype(np.float64)
        for output in range(y.shape[1]):
            true, predicted = y[:, output], self.answers[:, output]
            half, most = np.quantile(np.abs(true - predicted), (0.5, 0.9))
            yield (
                f"<p>{f'Output {output}: half' if y.shape[1] > 1 else 'Half'} of the predictions are within "
                f"{score_text(half)} of the truth, nine of ten within {score_text(most)}.</p>"
            )
            yield image(predicted_and_true(true, predicted, calibration(predicted, true)), "True over predicted")

    def _importance(self) -> Iterator[str]:
        if not self.importances:
            return
        loss = "log loss" if self.classes is not None else "RMSE"
        largest = max(self.importances[0].mean, 1e-300)
        yield (
            f"<h2>Importance of the columns</h2><p>How much the {loss} of these rows rises when the cells of a column "
            "are shuffled. Columns that say the same share their importance.</p>"
        )
        rows = (
            f"<tr>{html_cell(one.name)}{html_cell(score_text(one.mean))}{html_cell(f'± {score_text(one.spread, 2)}')}"
            f'<td style="width: 50%; text-align: left"><span class="bar" '
            f'style="width: {100 * max(one.mean, 0.0) / largest:.1f}%"></span></td></tr>'
            for one in self.importances
        )
        yield html_table(("column", "rise", "spread", ""), rows)

    def _columns(self) -> Iterator[str]:
        if not self.columns:
            return
        yield "<h2>What is done with each column</h2>"
        yield "".join(f"<p>{escaped(note)}</p>" for note in self.notes)
        treatments = {part for one in self.columns for part in _WORDS_IN_TREATMENTS if part in one.treatment}
        explained = " ".join(words for part, words in _WORDS_IN_TREATMENTS.items() if part in treatments)
        yield f"<p>{explained}</p>" if explained else ""
        yield html_table(
            ("column", "kind", "features", "treatment"),
            (html_row(map(html_cell, (one.name, one.kind, one.n_features, one.treatment))) for one in self.columns),
        )

    def _usage(self) -> Iterator[str]:
        """Yield the lines that use the model in a shell, in Python and in another program."""
        yield "<h2>How to use it</h2>"
        if self.saved is None:
            yield '<p class="warning">The model was not saved: <code>--save model.safetensors</code> keeps it.</p>'
        model = str(self.saved or "model.safetensors")
        onnx, quoted = str(pathlib.PurePath(model).with_suffix(".onnx")), shlex.quote(model)
        proba = self.classes is not None
        usage = {
            "On the command line": f"portable-mlp predict {quoted} new.csv{' --proba' * proba} --output answers.csv\n"
            f"portable-mlp evaluate {quoted} labelled.csv\nportable-mlp inspect {quoted}"
        }
        if self.columns:
            usage["In Python"] = _PYTHON.format(
                estimator="TableClassifier" if proba else "TableRegressor",
                model=model,
                frame=_read_by_pandas(self.reading),
                proba="\nprint(model.predict_proba(frame))" * proba,
            )
        usage["As ONNX"] = f"portable-mlp export {quoted} {shlex.quote(onnx)}"
        usage["ONNX in Python"] = _ONNX.format(onnx=onnx, row=pprint.pformat(self.example, width=100, sort_dicts=False))
        for heading, lines in usage.items():
            yield f"<h3>{heading}</h3><pre>{escaped_lines(lines)}</pre>"


def _read_by_pandas(reading: ReadingOptions) -> str:
    """Return the call that reads a text table like the one that was trained on, its cells as they are written.

    >>> _read_by_pandas(ReadingOptions(delimiter=";"))
    "pd.read_csv('new.csv', dtype=str, keep_default_na=False, sep=';')"
    """
    arguments = ["'new.csv'", "dtype=str", "keep_default_na=False"]
    arguments += [] if reading.delimiter in (None, ",") else [f"sep={reading.delimiter!r}"]
    arguments += [] if reading.encoding in (None, "utf-8") else [f"encoding={reading.encoding!r}"]
    called = f"pd.read_csv({', '.join(arguments)}"
    return f"{called})" if reading.header else f"{called}, header=None).add_prefix('x')"


def escaped_lines(text: str) -> str:
    """Return lines as HTML, for an element that keeps their ends."""
    return "\n".join(map(escaped, text.split("\n")))


def _confusion(scores: Scores) -> Iterator[str]:
    """Yield the confusion matrix, with darker cells for larger shares; of many classes the commonest mistakes."""
    assert scores.confusion is not None
    names = [one.name for one in scores.by_class]
    counts = scores.confusion
    if len(names) > MOST_CLASSES:
        mistakes = counts - np.diag(np.diag(counts))
        order = np.argsort(-mistakes, axis=None, kind="stable")[:MOST_CLASSES]
        pairs = [(i, j) for i, j in zip(*np.unravel_index(order, counts.shape), strict=True) if mistakes[i, j]]
        yield "<h2>The commonest mistakes</h2>"
        yield html_table(
            ("true", "predicted", "rows"),
            (html_row(map(html_cell, (names[i], names[j], mistakes[i, j]))) for i, j in pairs),
        )
        return
    yield "<h2>Confusion matrix</h2><p>Rows are true classes, columns predicted ones.</p>"
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = (
        html_row(
            [
                html_cell(name),
                *(
                    html_cell(count, style=f"background: rgba(31, 119, 180, {0.7 * share:.2f})")
                    for count, share in zip(counts[i].tolist(), shares[i].tolist(), strict=True)
                ),
            ]
        )
        for i, name in enumerate(names)
    )
    yield f'<div class="wide">{html_table(("true", *names), rows)}</div>'


def _facts(summary: dict[str, Any]) -> str:
    shown = {name.replace("_", " "): value for name, value in summary.items() if value is not None}
    rows = (
        html_row(map(html_cell, (name, score_text(value) if isinstance(value, float) else value)))
        for name, value in shown.items()
    )
    return html_table(("", ""), rows)

"""The output of ``portable-mlp train``: what was trained, what it came to, and the scores."""

from __future__ import annotations

import math
from typing import Any

from ..backends import Backend
from ..tables.errors import counted
from ..tables.fitting import PreparedTable
from ..tables.preparation import Preparation
from ..training.result import TrainResult
from .options import print_json
from .score_table import show_scores, show_warning
from .table_options import show_columns
from .terminal import echo
from .trainer import Trained

FEW_STEPS = 200
"""Fewer steps than this leave most networks half-trained."""


def setting(prepared: PreparedTable, backend: Backend, dtype: str) -> dict[str, Any]:
    """Return what was trained, and on what."""
    preparation, training = prepared.preparation, prepared.recipe.training
    several = {"networks": prepared.recipe.n_networks} if prepared.recipe.n_networks > 1 else {}
    return {
        "task": preparation.task,
        "target": preparation.target_name,
        "outputs": preparation.n_outputs,
        "rows": prepared.n_rows,
        "held_out": prepared.n_held_out,
        **several,
        "network": "-".join(map(str, prepared.net.sizes)),
        **{name: training[name] for name in ("solver", "learning_rate", "schedule", "batch_size", "l2")},
        "backend": backend.name,
        "device": backend.device_name,
        "dtype": dtype,
    }


def figures(prepared: PreparedTable, results: list[TrainResult]) -> dict[str, Any]:
    """Return what the training came to; of several networks the mean."""
    each = [_figures_of(result, prepared, patient="patience" in prepared.training()) for result in results]
    if len(each) == 1:
        return each[0]
    means = {name: sum(one[name] for one in each) / len(each) for name, x in each[0].items() if isinstance(x, float)}
    return {name: means.get(name, x) for name, x in each[0].items() if name != "best_epoch"}


def _figures_of(result: TrainResult, prepared: PreparedTable, *, patient: bool) -> dict[str, Any]:
    """Return what a training came to: the losses of the epoch whose parameters were kept."""
    history = result.history
    # With patience the parameters are those of the best epoch, also where it did not run out.
    kept = result.best_epoch - 1 if patient and result.best_epoch is not None else -1
    found: dict[str, Any] = {
        "epochs": result.n_epochs,
        "stopped_because": result.stopped_because,
        "loss": history["loss"][kept] if history["loss"] else None,
    }
    if history.get("validation_loss"):
        score = "validation_r2" if prepared.preparation.classes is None else "validation_accuracy"
        found["best_epoch"] = result.best_epoch
        found["validation_loss"] = history["validation_loss"][kept]
        found[score] = history["validation_score"][kept]
    return found


def details(trained: Trained, notes: tuple[str, ...]) -> dict[str, Any]:
    """Return what is for programs alone: scores, remarks, the treatment of each column, the history of each network."""
    assessment = trained.assessment
    histories = [result.history for result in trained.fitted.results]
    found: dict[str, Any] = {}
    if assessment is not None:
        found["assessment"] = {"scored_on": assessment.scored_on, **assessment.scores.to_json()}
    found["notes"] = list(notes)
    found["columns"] = [one._asdict() for one in trained.prepared.preparation.report]
    return found | {"history": histories[0] if len(histories) == 1 else histories}


def show_table(preparation: Preparation, notes: tuple[str, ...]) -> None:
    """Print what was noticed of the table, and what is done with each of its columns."""
    for note in notes:
        echo(f"  {note}")
    if preparation.encoder is not None:
        show_columns(preparation.report)
    if preparation.target_low is not None:
        echo(f"  predictions stay {preparation.range_in_words}, as the targets do")


def show_summary(summary: dict[str, Any], details: dict[str, Any] | None) -> None:
    """Print the summary for people; with the details, as JSON for programs."""
    if details is not None:
        print_json({**summary, **details})
        return
    for name, value in summary.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        if name == "held_out" and not value:
            shown = "none: trained to the end on all rows"
        if name == "saved" and value is None:
            shown = "no (--save model.safetensors keeps the model)"
        echo(f"{name.replace('_', ' '):<20}{shown}")


def show_assessment(trained: Trained, *, as_json: bool) -> None:
    """Print the scores, if they were asked for, and the warning on stderr."""
    scores = trained.scores()
    if scores is None:
        return
    if trained.assessment is not None and not as_json:
        echo(f"scored on {trained.assessment.scored_on}")
        show_scores(scores)
    else:
        show_warning(scores)
    answers = scores.confusion
    if answers is not None and (answers.sum(axis=0) > 0).sum() == 1 and not _is_weighted(trained.prepared):
        echo(
            "portable-mlp: one class is predicted for every row; --class-weight balanced makes rows of rare classes "
            "count more",
            err=True,
        )


def _is_weighted(prepared: PreparedTable) -> bool:
    return prepared.training().get("class_weight") is not None


def hint(prepared: PreparedTable, result: TrainResult) -> None:
    """Say on stderr when the network can hardly have learnt: of so many classes, or in so few steps."""
    classes = prepared.preparation.classes
    if classes is not None and 2 * len(classes) > prepared.n_rows:
        echo(
            f"portable-mlp: {len(classes)} classes in {counted(prepared.n_rows, 'row')}: hardly a target comes twice; "
            "--target names another column",
            err=True,
        )
    n_trained = prepared.n_rows - prepared.n_held_out
    n_steps = result.n_epochs * math.ceil(n_trained / prepared.recipe.training["batch_size"])
    if result.stopped_because == "max_epochs" and n_steps < FEW_STEPS:
        echo(
            f"portable-mlp: only {n_steps} steps were taken; a smaller --batch-size or more --epochs may fit better",
            err=True,
        )

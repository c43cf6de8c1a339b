"""The report of ``train`` as a file."""

from __future__ import annotations

import pathlib
from typing import Any

from ..onnx.table_models import example_inputs
from ..tables.raw import ReadingOptions
from .output_files import write_file
from .report_page import TrainingReport
from .trainer import Trained


def write_report(
    path: pathlib.Path,
    data: str,
    summary: dict[str, Any],
    trained: Trained,
    notes: tuple[str, ...],
    saved: pathlib.Path | None,
    reading: ReadingOptions,
) -> None:
    """Write the page of a training whose model was scored, in one step."""
    assessment = trained.assessment
    assert assessment is not None  # a report asks for it
    report = TrainingReport(
        data=data,
        summary=summary,
        histories=[result.history for result in trained.fitted.results],
        scored_on=assessment.scored_on,
        scores=assessment.scores,
        y=assessment.y,
        answers=assessment.answers,
        classes=assessment.classes,
        importances=assessment.importances(),
        columns=trained.prepared.preparation.report,
        notes=notes,
        example=example_inputs(trained.prepared.preparation),
        saved=saved,
        reading=reading,
    )
    write_file(path, report.page(), "report")

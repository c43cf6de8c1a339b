"""The order of a training's end: the model is saved before it is scored and printed, so that no error costs it."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

from ..distributed.group import on_root
from ..tables.errors import DataError
from .trainer import Trained


def saved_and_scored(trained: Trained, data: str, save: pathlib.Path | None, **also: Any) -> Trained:
    """Save the model, then score it, if these were asked for.

    An error of a row to score names ``data``, the table, and the file that has the model. ``also`` are further entries
    of the file's metadata.
    """
    if save is not None:
        on_root(lambda: trained.fitted.model.save(save, **also))
    try:
        return trained.scored()
    except DataError as error:
        kept = "" if save is None else f"; {save} has the model"
        raise DataError(f"{data}: {error}{kept}") from None


@contextlib.contextmanager
def kept_all_the_same(checkpoint: pathlib.Path | None) -> Iterator[None]:
    """Add to the words of an error of saving that a folder has what was computed."""
    try:
        yield
    except OSError as error:
        if checkpoint is not None:
            error.strerror = (
                f"{error.strerror}; {checkpoint} has what was computed: the same command with --resume computes none "
                "of it again"
            )
        raise


@contextlib.contextmanager
def saved_all_the_same(save: pathlib.Path | None) -> Iterator[None]:
    """Add to the words of an error of printing that the model was saved."""
    try:
        yield
    except OSError as error:
        if save is not None:
            error.strerror = f"{error.strerror}; {save} has the model"
        raise

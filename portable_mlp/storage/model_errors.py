"""The refusal of a model file: one error, which names the file and the reason and is safe on any terminal."""

from __future__ import annotations

import os

from ..printable import printable
from .paths import FilePath

__all__ = ["Defect", "ModelFileError", "refusal"]

_CHARACTERS_OF_REASONS = 300


class ModelFileError(ValueError):
    """A model file that cannot be used; the message begins with its path and has the reason."""


class Defect(Exception):
    """A fault in the content of a file, before its path is known."""


def refusal(path: FilePath, reason: object) -> ModelFileError:
    """Return the error for a file, without control characters and not too long: both parts may be somebody else's."""
    why = str(reason)
    if len(why) > _CHARACTERS_OF_REASONS:
        why = why[:_CHARACTERS_OF_REASONS] + "..."
    return ModelFileError(f"{printable(os.fsdecode(path))}: {printable(why)}")

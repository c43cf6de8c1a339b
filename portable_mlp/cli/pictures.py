"""Pictures, drawn with matplotlib where it is installed, without a screen."""

from __future__ import annotations

import io
from typing import Any

from ..backends.extras import load
from ..svg_curves import COLORS

(BLUE, VERMILION), GREY = COLORS, "#666666"
"""Colours that people of any colour vision tell apart; shapes or words differ too."""


def load_matplotlib() -> Any:
    """Return matplotlib's Figure.

    Raises
    ------
    ImportError
        If matplotlib is missing; names the command that installs it.
    """
    return load("matplotlib.figure", "the picture is drawn with matplotlib", "plot").Figure


def png(figure: Any) -> bytes:
    """Return a figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()

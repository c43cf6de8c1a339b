"""Pictures, drawn with matplotlib where it is installed, without a screen."""

from __future__ import annotations

import io
from typing import Any


def load_matplotlib() -> Any:
    """Return matplotlib's Figure.

    Raises
    ------
    ImportError
        If matplotlib is missing; names the command that installs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('the picture is drawn with matplotlib: pip install "portable-mlp[plot]"') from None
    return Figure


def png(figure: Any) -> bytes:
    """Return a figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()

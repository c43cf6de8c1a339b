"""What scikit-learn's docstrings need on a site that is not its own."""

import re
from typing import Any

from sphinx.application import Sphinx

LINKS = re.compile(r":(?:ref|term|class|func|meth):`~?([^`<]*?)(?:\s*<[^`>]*>)?`")


def skip_inherited(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out methods of scikit-learn's base classes, which every estimator of its has."""
    return True if getattr(member, "__module__", None) and member.__module__.startswith("sklearn.") else None


def unlink(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Make plain text of links to scikit-learn's own pages and glossary."""
    lines[:] = LINKS.sub(r"\1", "\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions."""
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("autodoc-process-docstring", unlink, priority=900)  # after numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}

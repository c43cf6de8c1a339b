"""Parts of HTML, of notebooks and of whole pages: texts that are escaped, and tables of them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from .printable import printable

MOST_ROWS_SHOWN = 40
"""The most rows that a notebook shows of a table."""
MOST_CHARACTERS = 300
"""The most characters that a notebook shows of a cell."""


def escaped(text: object) -> str:
    """Return a text as HTML that shows it; what is invisible or reorders the text is written out."""
    return html.escape(printable(str(text)))


def html_table(headings: Sequence[object], rows: Iterable[str]) -> str:
    """Return a table of headings, which are texts, and results of `html_row`."""
    head = "".join(f"<th>{escaped(heading)}</th>" for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def html_row(cells: Iterable[str], kind: str = "") -> str:
    """Return a row of results of `html_cell`; ``kind`` is its class for the style."""
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f"{opening}{''.join(cells)}</tr>"


def html_cell(text: object, **attributes: object) -> str:
    """Return a cell that shows a text; an attribute is named as HTML names it, with an underscore for a hyphen."""
    written = "".join(f' {name.replace("_", "-")}="{escaped(value)}"' for name, value in attributes.items())
    return f"<td{written}>{escaped(text)}</td>"


def notebook_table(headings: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a table of texts for a notebook: the first rows and the last one, where there are more than fit.

    >>> notebook_table(("name", "value"), [("<a>", 1)])
    '<table><thead><tr><th>name</th><th>value</th></tr></thead><tbody><tr><td>&lt;a&gt;</td><td>1</td></tr></tbody></table>'
    """
    shown = list(rows)
    if len(shown) > MOST_ROWS_SHOWN:
        left_out = len(shown) - MOST_ROWS_SHOWN + 1
        shown[MOST_ROWS_SHOWN - 2 : -1] = [(f"... {left_out} more", *[""] * (len(headings) - 1))]
    return html_table(headings, (html_row(html_cell(_shortened(text)) for text in row) for row in shown))


def number_text(number: float) -> str:
    """Return a number with four significant digits, a large one without its fraction.

    >>> number_text(58421.7), number_text(0.000123456)
    ('58,422', '0.0001235')
    """
    return f"{number:,.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:.4g}"


def _shortened(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def notebook_heading(shown: object, facts: Mapping[str, object]) -> str:
    """Return the line above a table in a notebook: the class of what is shown, and facts that are not None.

    >>> notebook_heading((), {"n_epochs": 20, "best_epoch": None})
    '<p><strong>tuple</strong>: n_epochs 20</p>'
    """
    known = ", ".join(f"{name} {_shortened(fact)}" for name, fact in facts.items() if fact is not None)
    return f"<p><strong>{escaped(type(shown).__name__)}</strong>: {escaped(known)}</p>"

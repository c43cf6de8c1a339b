"""Pages of HTML that need nothing but a browser: no network, and no script but their own."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from ..storage.printable import printable

BASE_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }
th { background: #f4f4f4; }
img { max-width: 100%; }
"""


def escaped(text: object) -> str:
    """Return a text as HTML that shows it; what is invisible or reorders the text is written out."""
    return html.escape(printable(str(text)))


def document(title: str, style: str, body: str, script: str = "") -> str:
    """Return a page.

    Parameters
    ----------
    title : str
        The title, a text.
    style : str
        Rules of CSS beside ``BASE_STYLE``.
    body : str
        The content, in HTML.
    script : str
        JavaScript to run on the page; none if empty.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{escaped(title)}</title><style>{BASE_STYLE}{style}</style></head>
<body>
{body}{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def image(content: bytes, alt: str) -> str:
    """Return a PNG picture as HTML; ``alt`` says what it shows."""
    return f'<img alt="{escaped(alt)}" src="data:image/png;base64,{base64.b64encode(content).decode("ascii")}">'


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

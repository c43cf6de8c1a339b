"""Pages of HTML that need nothing but a browser: no network, and no script but their own."""

from __future__ import annotations

import base64

from ..html_parts import escaped

BASE_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }
th { background: #f4f4f4; }
img { max-width: 100%; }
"""


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

"""The pictures of the gallery: in the site's style, as SVG that is dark where the browser prefers a dark page."""

import pathlib
from typing import Any

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import figure_rst

STYLE = pathlib.Path(__file__).with_name("pictures.mplstyle")

# What the style draws in the first colour, a dark page shows in the second.
IN_THE_DARK = {
    "#fffffe": "#14181e",  # the page
    "#222832": "#ced6dd",  # text and axes
    "#d1d5da": "#3b434e",  # grid and frames of legends
    "#0072b2": "#56b4e9",
    "#d55e00": "#f0a05a",
    "#009e73": "#2cc295",
    "#aa4499": "#dd8fd0",
}


def use_style(gallery_conf: dict[str, Any], name: str | None) -> None:
    """Start an example with the site's style; the gallery has reset matplotlib just before."""
    plt.style.use(STYLE)


def save_pictures(block: tuple[Any, ...], variables: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Write the figures that a block has left open, and return the reStructuredText that shows them."""
    paths = []
    for number, name in zip(plt.get_fignums(), variables["image_path_iterator"], strict=False):
        path = pathlib.Path(name).with_suffix(".svg")
        plt.figure(number).savefig(path)
        path.write_text(also_dark(path.read_text(encoding="utf-8")), encoding="utf-8")
        paths.append(str(path))
    plt.close("all")
    return figure_rst(paths, gallery_conf["src_dir"])


def also_dark(svg: str) -> str:
    """Return a drawing of matplotlib's with rules for dark pages, which override the colours of its elements."""
    rules = "".join(
        f'[style*="{what}: {light}"] {{ {what}: {dark} !important }}\n'
        for light, dark in IN_THE_DARK.items()
        for what in ("fill", "stroke")
    )
    start = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:start]}\n<style>@media (prefers-color-scheme: dark) {{\n{rules}}}</style>{svg[start:]}"

"""The figures of the page "How it works", in one style: ``python docs/images/how_it_works.py`` writes them as SVG.

Each is narrow enough for a phone. Values, parameters and gradients differ in colour (Okabe and Ito 2008, which people
tell apart who see no red or no green), and by their names and outlines too; a browser that prefers a dark page draws
them dark.
"""

import html
import pathlib
from collections.abc import Callable, Iterator

WIDTH = 440
CELL = 15
VALUE, PARAMETER, GRADIENT = "value", "parameter", "gradient"
Term = tuple[str, tuple[int, int], str]
"""A matrix: its kind, its shape, its name."""

STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #222832; text-anchor: middle; }
  .name { font-style: italic; }
  .small { font-size: 12px; fill: #48566b; }
  .left { text-anchor: start; }
  .ground { fill: #ffffff; }
  .line { stroke: #8a94a3; fill: none; }
  .value { fill: #cfe5f3; stroke: #0072b2; }
  .parameter { fill: #cdeee3; stroke: #00795a; stroke-width: 2; }
  .gradient { fill: #fbdcc8; stroke: #d55e00; stroke-dasharray: 3 2; }
  .forward { stroke: #0072b2; stroke-width: 2; fill: none; marker-end: url(#forward); }
  .backward { stroke: #d55e00; stroke-width: 2; stroke-dasharray: 5 3; fill: none; marker-end: url(#backward); }
  #forward path { fill: #0072b2; }
  #backward path { fill: #d55e00; }
  @media (prefers-color-scheme: dark) {
    text { fill: #ced6dd; }
    .small { fill: #9ca4af; }
    .ground { fill: #14181e; }
    .line { stroke: #5c6673; }
    .value { fill: #123a52; stroke: #56b4e9; }
    .parameter { fill: #0b4434; stroke: #2cc295; }
    .gradient { fill: #57300f; stroke: #f0a05a; }
    .forward { stroke: #56b4e9; }
    .backward { stroke: #f0a05a; }
    #forward path { fill: #56b4e9; }
    #backward path { fill: #f0a05a; }
  }
"""

HEADS = "".join(
    f'<marker id="{name}" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="5" markerHeight="5" orient="auto">'
    '<path d="M0 0 L6 3 L0 6 z"/></marker>'
    for name in ("forward", "backward")
)


def svg(height: int, description: str, parts: Iterator[str]) -> str:
    """Return a drawing of the common width; the description is read by those who cannot see it."""
    body = "\n".join(parts)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
<title>{html.escape(description)}</title>
<style>{STYLE}</style>
<defs>{HEADS}</defs>
<rect class="ground" width="{WIDTH}" height="{height}"/>
{body}
</svg>
"""


def text(x: float, y: float, words: str, kind: str = "name") -> str:
    """Return words around x, on the line y."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{html.escape(words)}</text>'


def arrow(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return an arrow, "forward" or "backward"."""
    return f'<path class="{kind}" d="M{x1:g} {y1:g} L{x2:g} {y2:g}"/>'


def matrix(kind: str, x: float, y: float, shape: tuple[int, int], name: str) -> str:
    """Return a matrix as a grid of cells around the point (x, y): its name above, its shape below."""
    rows, columns = shape
    left, top = x - columns * CELL / 2, y - rows * CELL / 2
    cells = "".join(
        f'<rect class="{kind}" x="{left + j * CELL:g}" y="{top + i * CELL:g}" width="{CELL}" height="{CELL}"/>'
        for i in range(rows)
        for j in range(columns)
    )
    below = text(x, top + rows * CELL + 15, f"{rows} × {columns}", "small")
    return cells + text(x, top - 7, name) + below


def product(y: float, *terms: Term | str) -> Iterator[str]:
    """Yield matrices and the signs between them in a row around y, centred on the drawing."""
    widths = [24 if isinstance(term, str) else max(term[1][1] * CELL, 34) for term in terms]
    x = (WIDTH - sum(widths)) / 2
    for term, width in zip(terms, widths, strict=True):
        if isinstance(term, str):
            yield text(x + width / 2, y + 5, term, "sign")
        else:
            kind, shape, name = term
            yield matrix(kind, x + width / 2, y, shape, name)
        x += width


def network() -> Iterator[str]:
    """Yield the units of a 3-4-2 network and the weights between them."""
    columns = {x: [130 + (i - (n - 1) / 2) * 46 for i in range(n)] for x, n in ((70, 3), (220, 4), (370, 2))}
    (x0, inputs), (x1, hidden), (x2, outputs) = columns.items()
    for left, starts, right, ends in ((x0, inputs, x1, hidden), (x1, hidden, x2, outputs)):
        yield from (f'<path class="line" d="M{left} {a:g} L{right} {b:g}"/>' for a in starts for b in ends)
    for (x, places), letter in zip(columns.items(), "xhp", strict=True):
        for i, y in enumerate(places, start=1):
            yield f'<circle class="value" cx="{x}" cy="{y:g}" r="15"/>{text(x, y + 5, letter + "₀₁₂₃₄"[i])}'
    for x, words in ((145, "W₁  3 × 4"), (295, "W₂  4 × 2")):
        yield f'<rect class="parameter" x="{x - 37}" y="8" width="74" height="24" rx="4"/>{text(x, 25, words)}'
    for x, first, second in ((70, "3 features", ""), (220, "4 hidden units", "tanh"), (370, "2 classes", "softmax")):
        yield text(x, 244, first, "plain") + text(x, 262, second, "small")


def forward() -> Iterator[str]:
    """Yield the forward pass of five samples, a row of matrices for each line of the code."""
    X, h, p = (VALUE, (5, 3), "X"), (VALUE, (5, 4), "h"), (VALUE, (5, 2), "p")
    z1, z2 = (VALUE, (5, 4), "z₁"), (VALUE, (5, 2), "z₂")
    yield from product(75, X, "·", (PARAMETER, (3, 4), "W₁"), "+", (PARAMETER, (1, 4), "b₁"), "=", z1)
    yield arrow("forward", 120, 142, 120, 176) + text(134, 164, "h = tanh(z₁), element by element", "plain left")
    yield from product(245, h, "·", (PARAMETER, (4, 2), "W₂"), "+", (PARAMETER, (1, 2), "b₂"), "=", z2)
    yield arrow("forward", 120, 312, 120, 346) + text(134, 334, "p = softmax(z₂), row by row", "plain left")
    yield from product(415, p, "→", (VALUE, (1, 1), "L"))


def chain() -> Iterator[str]:
    """Yield the chain of values, forward above and backward below it."""
    places = {40: "X", 130: "z₁", 220: "h", 310: "z₂", 400: "L"}
    labels = {85: "· W₁ + b₁", 175: "tanh", 265: "· W₂ + b₂", 355: "loss"}
    for x, name in places.items():
        yield f'<rect class="value" x="{x - 20}" y="36" width="40" height="30" rx="5"/>{text(x, 56, name)}'
    for x, name in labels.items():
        yield arrow("forward", x - 23, 51, x + 22, 51) + text(x, 26, name, "small")
    for x, name in list(places.items())[1:]:
        words = "1" if name == "L" else f"d{name}"
        yield f'<rect class="gradient" x="{x - 20}" y="104" width="40" height="30" rx="5"/>{text(x, 124, words)}'
    for x, words in ((175, "· (1 − h²)"), (265, "· W₂ᵀ"), (355, "p − Y")):
        yield arrow("backward", x + 23, 119, x - 22, 119) + text(x, 96, words, "small")
    for x, of_weights, of_bias in (
        (130, "dW₁ = Xᵀ · dz₁", "db₁ = sum of rows"),
        (310, "dW₂ = hᵀ · dz₂", "db₂ = sum of rows"),
    ):
        yield arrow("backward", x, 136, x, 166)
        yield f'<rect class="gradient" x="{x - 72}" y="170" width="144" height="46" rx="5"/>'
        yield text(x, 189, of_weights) + text(x, 207, of_bias, "small")


def backward() -> Iterator[str]:
    """Yield the products of the backward pass, a row of matrices for each line of the code."""
    dz1, dz2, dh = (GRADIENT, (5, 4), "dz₁"), (GRADIENT, (5, 2), "dz₂"), (GRADIENT, (5, 4), "dh")
    yield from product(62, (GRADIENT, (4, 2), "dW₂"), "=", (VALUE, (4, 5), "hᵀ"), "·", dz2)
    yield from product(190, dh, "=", dz2, "·", (PARAMETER, (2, 4), "W₂ᵀ"))
    yield from product(318, dz1, "=", dh, "∘", (VALUE, (5, 4), "1 − h²"))
    yield from product(446, (GRADIENT, (3, 4), "dW₁"), "=", (VALUE, (3, 5), "Xᵀ"), "·", dz1)


def batches() -> Iterator[str]:
    """Yield twelve samples, their order in an epoch, and the three batches that it is cut into."""
    for x, words in ((60, "samples"), (190, "a new order"), (350, "one epoch")):
        yield text(x, 22, words, "plain")
    for i in range(12):
        yield sample_box(60, 46 + i * 20, i + 1)
    for place, sample in enumerate((7, 2, 10, 4, 12, 1, 9, 5, 3, 11, 8, 6)):
        y = 34 + place * 20 + place // 4 * 12
        yield f'<path class="line" d="M85 {55 + (sample - 1) * 20} L165 {y + 9}"/>{sample_box(190, y, sample)}'
    for batch in range(3):
        y = 74 + batch * 92
        yield arrow("forward", 219, y, 276, y)
        yield f'<rect class="parameter" x="280" y="{y - 24}" width="140" height="48" rx="5"/>'
        yield text(350, y - 4, f"step {batch + 1}", "plain") + text(350, y + 14, "both passes, update", "small")
        if batch < 2:
            yield arrow("forward", 350, y + 26, 350, y + 64)


def sample_box(x: int, y: int, number: int) -> str:
    """Return a sample as a box with its number; x is the middle, y the top."""
    box = f'<rect class="value" x="{x - 25}" y="{y}" width="50" height="18"/>'
    return box + text(x, y + 14, str(number), "small")


FIGURES: dict[str, tuple[int, str, Callable[[], Iterator[str]]]] = {
    "network": (274, "A network of 3 inputs, 4 hidden units and 2 outputs; each line is a weight", network),
    "forward": (470, "The forward pass as products of matrices, for five samples", forward),
    "chain": (226, "Forward along the chain X, z1, h, z2, L; backward from L to dz2, dh and dz1", chain),
    "backward": (506, "The backward pass as products of matrices, for five samples", backward),
    "batches": (312, "Twelve samples in a new order, cut into three batches of four: three steps, one epoch", batches),
}


def drawings() -> dict[str, str]:
    """Return each figure by the name of its file."""
    return {f"{name}.svg": svg(height, words, draw()) for name, (height, words, draw) in FIGURES.items()}


if __name__ == "__main__":
    for name, content in drawings().items():
        (pathlib.Path(__file__).parent / name).write_text(content, encoding="utf-8")

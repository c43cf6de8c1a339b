"""Pages of the documentation: their blocks, run from top to bottom as a reader runs them."""

import pathlib
import re
import shlex
from typing import Any, NamedTuple

import pytest

from portable_mlp.cli.app import run

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guides").glob("*.md"))]

_BLOCK = re.compile(
    r"(<!-- not run: [^>]+-->\s*)?^```(\w+)\n(.*?)^```$|^<!-- run:\n(.*?)^-->$", re.DOTALL | re.MULTILINE
)
_NUMBER = re.compile(r"(?<![\w.-])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


class Block(NamedTuple):
    """A fenced block.

    Attributes
    ----------
    language : str
        The word after the fence. Hidden Python stands in a comment, ``<!-- run:``.
    code : str
        The lines within.
    runs : bool
        Whether it is run; a comment ``<!-- not run: reason -->`` before a block leaves it out.
    """

    language: str
    code: str
    runs: bool


def blocks_of(path: pathlib.Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    return [
        Block(language or "python", code or hidden, not left_out)
        for left_out, language, code, hidden in _BLOCK.findall(path.read_text(encoding="utf-8"))
    ]


def code_of(path: pathlib.Path, language: str) -> list[str]:
    """Return the code of a page's blocks in a language."""
    return [block.code for block in blocks_of(path) if block.language == language]


def run_page(path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run a page's blocks ``python`` and ``console``; compare what each prints with the block ``output`` after it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(path):
        if block.language == "output":
            assert_alike(capfd.readouterr().out, block.code)
        elif block.runs and block.language in ("python", "console"):
            capfd.readouterr()
            if block.language == "python":
                exec(block.code, names)
            else:
                for command in re.findall(r"^\$ portable-mlp (.*)$", block.code, re.MULTILINE):
                    assert run(shlex.split(command)) == 0, capfd.readouterr().err
    return names


def assert_alike(printed: str, shown: str) -> None:
    """Check that the lines of a page were printed, in order; "..." stands for lines that the page leaves out."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        assert line == "..." or any(is_alike(line, other) for other in lines), f"{line!r} is not in\n{printed}"


def is_alike(shown: str, printed: str) -> bool:
    """Return whether words are equal, and numbers to a tenth: libraries add up in different orders."""
    if _NUMBER.sub("0", shown).split() != _NUMBER.sub("0", printed).split():
        return False
    ours, theirs = ([float(x.replace(",", "")) for x in _NUMBER.findall(line)] for line in (shown, printed))
    return theirs == pytest.approx(ours, rel=0.1, abs=1e-9)

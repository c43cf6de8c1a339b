"""The programs of the page about ONNX, run: ``nox -s elsewhere -- FOLDER`` says where onnxruntime's release lies."""

import os
import pathlib
import re
import subprocess

import pytest

DOCS = pathlib.Path(__file__).parents[1]
PAGE = (DOCS / "guides" / "onnx.md").read_text(encoding="utf-8")
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def run(*command: str, folder: pathlib.Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the tutorial's model."""
    made = tmp_path_factory.mktemp("flats")
    run("python", "-c", blocks(TUTORIAL, "python")[0], folder=made)
    for command in re.findall(r"^\$ (portable-mlp (?:train|export) .*)$", TUTORIAL, re.MULTILINE):
        run(*command.split(), folder=made)
    return made


@pytest.fixture(scope="module")
def rent(folder: pathlib.Path) -> float:
    """Return what the tutorial's web server answers."""
    return float(run("python", "-c", blocks(TUTORIAL, "python")[2], folder=folder).split()[1])


def test_the_lines_of_the_browser_in_node(folder: pathlib.Path, rent: float) -> None:
    code = re.findall(r"^<script type=\"module\">\n(.*?)^</script>", blocks(PAGE, "html")[0], re.DOTALL | re.MULTILINE)[
        0
    ]
    code = re.sub(r'from ".*"', 'from "onnxruntime-web"', code)
    code = code.replace('create("flats.onnx")', 'create((await import("fs")).readFileSync("flats.onnx"))')
    code = re.sub(r"document.*textContent = (.*);", r"console.log(\1);", code)
    (folder / "rent.mjs").write_text(code, encoding="utf-8")
    run("npm", "install", "--no-audit", "--no-fund", "onnxruntime-web", folder=folder)
    assert float(run("node", "rent.mjs", folder=folder)) == pytest.approx(rent, abs=0.06)


def test_the_program_in_c(folder: pathlib.Path, rent: float) -> None:
    (folder / "rent.c").write_text(blocks(PAGE, "c")[0], encoding="utf-8")
    (folder / "onnxruntime").symlink_to(pathlib.Path(os.environ["ONNXRUNTIME"]).resolve())
    (command,) = re.findall(r"^cc rent\.c .*$", PAGE, re.MULTILINE)
    run(*command.split(), "-Wall", "-Wextra", "-Werror", folder=folder)
    assert float(run("./rent", folder=folder).split()[1]) == pytest.approx(rent, abs=0.06)

"""Each extra by itself, and none: a command works with what is installed, or says what to install."""

import functools
import importlib.metadata
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.selection import one_in, rarely

PROJECT = "portable-mlp"
EXTRAS = sorted(importlib.metadata.metadata(PROJECT).get_all("Provides-Extra") or ())

BLOCKED = """
import json, sys

class Installed:
    "The finders of modules, for which the blocked ones are not installed."
    def __init__(self, finders, blocked):
        self.finders, self.blocked = finders, blocked
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            return None
        return next(filter(None, (finder.find_spec(name, path, target) for finder in self.finders)), None)

blocked = set(json.loads(sys.argv[1]))
assert not blocked & {name.partition(".")[0] for name in sys.modules}
sys.meta_path[:] = [Installed(sys.meta_path[:], blocked)]
"""

ALONE = BLOCKED + "from portable_mlp.__main__ import main; sys.argv[1:] = ['backends']; sys.exit(main())"

COMMANDS = """
import contextlib, io
from portable_mlp.cli import bench, demo
from portable_mlp.cli.app import run

demo.EPOCHS, demo.TIMED_EPOCHS = 1, 2
bench.measure = lambda case, dtype, candidates, rounds: []
for line in json.loads(sys.argv[2]):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line.split())
    err.flush()
    print(json.dumps([line, code, err.buffer.getvalue().decode()]))
"""

LINES = {
    "train table.csv --epochs 1 --save model.safetensors": (),
    "train table.csv --epochs 1 --solver lbfgs": ("lbfgs", "sklearn"),
    "train table.csv --epochs 1 --backend torch": ("torch",),
    "train table.csv --epochs 1 --backend jax": ("jax",),
    "train table.csv --epochs 1 --backend strict": ("strict",),
    "train table.csv --procs 1 --epochs 1": ("mpi",),
    "train digits --epochs 1": ("sklearn",),
    "tune table.csv --trials 2 --folds 2 --epochs 1": (),
    "tune table.csv --trials 1 --folds 2 --epochs 1 --plot tune.png": ("plot",),
    "predict model.safetensors table.csv": (),
    "evaluate model.safetensors table.csv": (),
    "predict model.safetensors table.csv --output out.tsv.gz": (),
    "predict model.safetensors table.csv --output out.parquet": ("parquet",),
    "train table.parquet --epochs 1": ("parquet",),
    "inspect model.safetensors": (),
    "export model.safetensors model.onnx": ("onnx",),
    "gradcheck --backend numpy": (),
    "backends": (),
    "doctor --json": (),
    "bench --quick": (),
    "bench --quick --plot bench.png": ("plot",),
    "accelerate script.py": ("sklearn",),
    "demo": ("demo",),
    "--help": (),
    "--version": (),
}
"""Each command, and the extras of which one is enough for it, beside the command line's own."""


packages_distributions = functools.cache(importlib.metadata.packages_distributions)


@functools.cache
def requirements(name: str) -> list[Requirement]:
    """Return what a distribution asks for with any extra, nothing for one that is not installed."""
    try:
        return list(map(Requirement, importlib.metadata.requires(name) or []))
    except importlib.metadata.PackageNotFoundError:
        return []


def needs(name: str, extras: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the distributions, with their extras, that a distribution asks for itself."""
    for requirement in requirements(name):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def closure(extras: set[str]) -> set[str]:
    """Return the distributions that are installed with these extras of the project."""
    found: set[tuple[str, frozenset[str]]] = set()
    left = [(PROJECT, frozenset(extras))]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += needs(*one)
    return {name for name, _ in found}


def not_installed(extras: set[str]) -> list[str]:
    """Return the modules that are here and would not be with these extras alone."""
    installed = closure(extras)
    return [
        module
        for module, distributions in packages_distributions().items()
        # What starts with an underscore is nobody's to import; some of it is loaded as Python starts.
        if not installed & set(map(canonicalize_name, distributions)) and not module.startswith("_")
    ]


@pytest.fixture(autouse=True)
def in_a_folder_with_a_table(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("table.csv").write_text("a,y\n" + "".join(f"{i},{i / 3}\n" for i in range(30)))
    pathlib.Path("script.py").write_text("from sklearn.neural_network import MLPClassifier\n")
    pathlib.Path("table.parquet").write_bytes(b"PAR1")


def run_python(code: str, extras: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, json.dumps(not_installed(extras)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_the_closure_is_what_pip_installs() -> None:
    assert {"numpy", "array-api-compat", "typer", "rich"} <= closure({"cli"})
    assert closure({"demo"}) == closure({"cli", "sklearn", "plot"})
    assert {"sklearn", "scipy", "matplotlib", "torch", "pandas"} <= set(not_installed({"cli"}))


@pytest.mark.parametrize("extra", one_in(3, [None, *(extra for extra in EXTRAS if "typer" not in closure({extra}))]))
def test_without_the_command_line_one_sentence_says_what_to_install(extra: str | None) -> None:
    done = run_python(ALONE, set() if extra is None else {extra})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("portable-mlp: the command line needs typer, which is missing: pip install ")
    assert "[cli]" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("extra", "every_line"),
    [
        ("cli", True),
        *((extra, False) for extra in ("sklearn", "onnx", "strict")),
        *rarely(
            ("demo", True),
            *((extra, False) for extra in EXTRAS if extra not in ("cli", "demo", "sklearn", "onnx", "strict")),
        ),
    ],
)
def test_every_command_works_or_says_what_to_install(extra: str, every_line: bool) -> None:
    """Each time only those that ask for an extra, which the command line's own extra alone does not bring."""
    extras = {"cli", extra}
    there = extras | {name for name in EXTRAS if closure({name}) <= closure(extras)}
    lines = [line for line, enough in LINES.items() if every_line or enough or "--save" in line]
    done = run_python(BLOCKED + COMMANDS, extras, json.dumps(lines))
    assert done.returncode == 0, done.stderr
    for line, code, err in map(json.loads, done.stdout.splitlines()):
        enough = LINES[line]
        if not enough or there & set(enough):
            # The Parquet file that is there is broken: PyArrow was asked for it.
            assert code == 0 or ("PyArrow: " not in err and "table.parquet: " in err), (line, err)
        else:
            assert code == 2, (line, err)
            assert "pip install " in err, (line, err)
            assert any(f"[{name}]" in err for name in enough), (line, err)

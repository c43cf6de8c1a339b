"""Data are never programs: the package has no pickle, no eval and no other way from a file to running code."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "portable_mlp"
MODULES = {
    *("pickle", "_pickle", "cPickle", "pickletools", "marshal", "shelve", "copyreg", "code", "codeop", "dbm", "xdrlib"),
    *("dill", "cloudpickle", "joblib", "jsonpickle", "yaml", "skops", "runpy"),
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "loads_pickle", "import_module", "load_module", "exec_module", "fromstring"}
LOADERS = {"np", "numpy", "torch", "joblib", "cupy"}
"""Modules whose ``load`` reads pickles, unless NumPy's is told not to."""

ALLOWED = {
    # The libraries' own modules, from the registry there; and a script that the user names on the command line.
    "backends/__init__.py": {"import_module"},
    "cli/accelerate.py": {"runpy"},
    # The commands, by the list there.
    "cli/commands.py": {"import_module"},
    # What an extra installs, under names that stand in the source.
    "backends/extras.py": {"import_module"},
    "tables/columns.py": {"import_module"},
    # What the processes of a group send each other, which run one program for one user; no file is read.
    "distributed/exchange.py": {"pickle"},
    # joblib's threads; nothing is loaded by it.
    "estimators/joblib_backends.py": {"joblib.parallel"},
    "estimators/searches.py": {"joblib", "joblib.parallel"},
    "estimators/threads.py": {"joblib", "joblib.parallel"},
}


def suspects(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of whatever could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in MODULES:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Name) and node.id in BUILTINS:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            safe = any(
                word.arg == "allow_pickle" and isinstance(word.value, ast.Constant) and word.value.value is False
                for word in node.keywords
            )
            if getattr(node.func.value, "id", None) in LOADERS and not safe:
                yield node.lineno, "load"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_run_what_it_reads(path: pathlib.Path) -> None:
    allowed = ALLOWED.get(path.relative_to(PACKAGE).as_posix(), set())
    found = [
        f"{path}:{line} {name}" for line, name in suspects(path.read_text(encoding="utf-8")) if name not in allowed
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as p",
        "from pickle import loads",
        "def f():\n    from joblib import load",
        "import yaml.loader",
        "eval('1')",
        "f = eval",
        "x = __import__('os')",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allow)",
        "torch.load(path, weights_only=True)",
        "pd.read_pickle(path)",
        "importlib.import_module(name)",
    ],
)
def test_the_search_finds_each_of_them(source: str) -> None:
    """The negative control."""
    assert len(list(suspects(source))) == 1


def test_the_search_leaves_others_alone() -> None:
    source = (
        "import re\nre.compile('x')\nbackend.compile(step)\nnp.load(path, allow_pickle=False)\nfrom .pickle import x"
    )
    assert list(suspects(source)) == []


def test_what_is_allowed_is_needed() -> None:
    for name, allowed in ALLOWED.items():
        assert {found for _, found in suspects((PACKAGE / name).read_text(encoding="utf-8"))} == allowed

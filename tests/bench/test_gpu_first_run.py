"""The script for the first minutes on a GPU, which nobody has run there, names nothing that is not there any more."""

import ast
import importlib.util
import pathlib
import re

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "gpu_first_run.sh"
PROGRAMS = re.findall(r"<<'PY'\n(.*?)\nPY\n", SCRIPT.read_text(encoding="utf-8"), re.DOTALL)
OURS = ("portable_mlp", "gpu_suite")
NODES = (node for program in PROGRAMS for node in ast.walk(ast.parse(program)) if isinstance(node, ast.ImportFrom))
IMPORTS = sorted(
    {(node.module, alias.name) for node in NODES if str(node.module).split(".")[0] in OURS for alias in node.names}
)


def names_at_the_top(source: str) -> set[str]:
    """Return what the top level of a module binds; by its text, since some modules need CuPy to be imported."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                names |= {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
    return names


def test_the_programs_were_found() -> None:
    assert len(PROGRAMS) >= 4
    assert ("gpu_suite.suite", "measure") in IMPORTS


@pytest.mark.parametrize("entry", IMPORTS, ids=" ".join)
def test_what_is_imported_is_there(entry: tuple[str, str]) -> None:
    module, name = entry
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = pathlib.Path(spec.origin)
    assert name in names_at_the_top(source.read_text(encoding="utf-8")) or (source.parent / f"{name}.py").exists()

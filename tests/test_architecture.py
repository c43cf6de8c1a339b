"""The arrows between the packages, which of them may name a library, names with one meaning, modules that are used."""

import ast
import itertools
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from portable_mlp.backends import _REGISTRY
from portable_mlp.cli.commands import COMMANDS

PACKAGE = pathlib.Path(__file__).parent.parent / "portable_mlp"
ROOMS = ("kernels", "backends", "storage", "distributed", "training", "tables", "onnx", "estimators", "bench", "cli")
"""From the ground up: a room may import those before it."""
NEIGHBOURS = {("tables", "onnx"), ("estimators", "bench")}
"""Rooms side by side, which do not know each other."""
MAY_IMPORT = {room: {other for other in ROOMS[:i] if (other, room) not in NEIGHBOURS} for i, room in enumerate(ROOMS)}
LIBRARIES = {"numpy", "cupy", "torch", "jax", "array_api_strict"}
ON_THE_HOST = {
    *("kernels/initializers.py", "training/shuffle.py", "training/batches.py", "training/group_order.py"),  # which draw
    "training/class_weights.py",  # which counts
}
HEAVY = [
    *("torch", "jax", "cupy", "nvmath", "array_api_strict", "sklearn", "scipy", "pandas", "numba", "dask", "mpi4py"),
    *("matplotlib", "rich", "typer", "safetensors", "onnx", "ndonnx", "spox", "onnxruntime", "pyarrow"),
]

DOORS = {
    "portable_mlp",
    "portable_mlp.__main__",
    *(f"portable_mlp.cli.{command}" for command in COMMANDS),
    *(f"portable_mlp.backends.{entry.file}" for entry in _REGISTRY.values()),
    "portable_mlp.backends._numpy_sparse",
}
"""The modules that users, the shell or a registry of names load; all others are imported from these."""

NAMES_THAT_ARE_MEANT = {
    "T": "a type variable",
    "main": "the entry point of a program, in each module that is one",
    **dict.fromkeys(("backends", "predict", "train"), "a command of the command line, and the function behind it"),
    **dict.fromkeys(("forward", "loss_and_grad", "predict"), "a kernel, and the same kernel as users call it"),
    **dict.fromkeys(("cross_entropy", "one_hot"), "a kernel, and what CuPy has in its place"),
}
"""Public names that stand at the top of several modules, and why."""

MODULES_TO_REACH: set[str] = set()
"""Modules that nothing but a test imports yet. A module is taken off when something imports it."""


def _modules(room: str) -> list[pathlib.Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def _imported(path: pathlib.Path) -> set[str]:
    """Return the dotted names a file imports, its own package's made absolute."""
    package = ("portable_mlp", *path.relative_to(PACKAGE).parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room: str) -> None:
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[room] - {room}
    for path in _modules(room):
        rooms = {name.split(".")[1] for name in _imported(path) if name.startswith("portable_mlp.")}
        assert not rooms & forbidden, f"{path} imports {rooms & forbidden}"


@pytest.mark.parametrize("room", ["kernels", "training"])
def test_no_library_by_name(room: str) -> None:
    for path in _modules(room):
        libraries = {name.split(".")[0] for name in _imported(path)} & LIBRARIES
        allowed = {"numpy"} if f"{room}/{path.name}" in ON_THE_HOST else set()
        assert libraries <= allowed, f"{path} names {libraries}"


def test_every_room_is_known() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "path", _modules("kernels") + _modules("training"), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_nothing_that_waits_for_a_device_or_leaves_the_standard(path: pathlib.Path) -> None:
    """``@`` hides the product from a backend; ``clip`` and ``sign`` wait for the device on CuPy."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.MatMult), path
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "xp":
            assert node.attr not in {"clip", "sign", "nonzero"}, f"{path}:{node.lineno} uses xp.{node.attr}"


def test_every_library_that_is_imported_is_declared() -> None:
    """A library that only the tests install would be missing where the package is used."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9_-]", name)[0].replace("-", "_").lower() for name in asked}
    modules = {"scikit_learn": "sklearn", "cupy_cuda13x": "cupy", "cupy_cuda12x": "cupy", "nvmath_python": "nvmath"}
    known = {modules.get(name, name) for name in declared} | sys.stdlib_module_names | {"portable_mlp"}
    for path in PACKAGE.rglob("*.py"):
        assert {name.split(".")[0] for name in _imported(path)} <= known, path


def test_import_loads_numpy_and_array_api_compat_alone() -> None:
    code = f"import sys, portable_mlp; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_module_is_reached_from_a_door() -> None:
    """What is reached from none of them is dead."""
    paths = {_name(path): path for path in PACKAGE.rglob("*.py")}
    reached: set[str] = set()
    ahead = set(DOORS)
    assert ahead <= set(paths)
    while ahead:
        name = ahead.pop()
        reached.add(name)
        ahead |= ({name.rpartition(".")[0]} | _imported(paths[name])) & set(paths) - reached
    assert set(paths) - reached == MODULES_TO_REACH


def test_a_public_name_has_one_meaning() -> None:
    where: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for name in _defined(path):
            where.setdefault(name, set()).add(path.relative_to(PACKAGE).as_posix())
    several = {name: sorted(files) for name, files in where.items() if len(files) > 1 and not name.startswith("_")}
    meant = NAMES_THAT_ARE_MEANT.keys()
    assert {name: files for name, files in several.items() if name not in meant} == {}, "give one of them another name"
    assert meant - several.keys() == set(), "these have one meaning now: take them off the list"


def _name(path: pathlib.Path) -> str:
    """Return the dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _defined(path: pathlib.Path) -> set[str]:
    """Return the names that a module defines at its top; names that it imports are others'."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names

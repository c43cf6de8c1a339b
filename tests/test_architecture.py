"""The packages and their arrows, the places that may name a library, names with one meaning, modules in use."""

import ast
import functools
import graphlib
import itertools
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import portable_mlp
from portable_mlp.backends import _REGISTRY
from portable_mlp.cli.commands import COMMANDS

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "portable_mlp"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOMS = ("kernels", "backends", "storage", "distributed", "training", "tables", "onnx", "estimators", "bench", "cli")
"""From the ground up: a room may import those before it."""
NEIGHBOURS = {("estimators", "bench")}
"""Rooms side by side, which do not know each other."""
MAY_IMPORT = {room: {other for other in ROOMS[:i] if (other, room) not in NEIGHBOURS} for i, room in enumerate(ROOMS)}
LIBRARIES = {"numpy", "cupy", "torch", "jax", "mlx", "dpnp", "array_api_strict"}
ON_THE_HOST = {
    *("kernels/initializers.py", "training/shuffle.py", "training/group_order.py"),  # which draw
    "training/batches.py",  # which has orders that were drawn
    *("training/class_weights.py", "training/weights.py"),  # which count, and multiply
}
LOADERS = {"import_module", "load", "load_module", "load_pyarrow"}
"""The functions that import a library by its name, a str."""

PLACES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("array_api_strict", "dpctl", "dpnp", "mlx", "numba", "nvmath"), ("backends/",)),
    **dict.fromkeys(("jax", "torch"), ("backends/", "bench/peers.py")),
    "cupy": ("backends/", "distributed/nccl.py"),
    "dask": ("estimators/dask_inputs.py",),
    "matplotlib": ("cli/pictures.py",),
    "mpi4py": ("distributed/",),
    "narwhals": ("tables/frames.py",),
    **dict.fromkeys(("ndonnx", "onnx", "onnxruntime", "spox"), ("onnx/",)),
    "pandas": ("tables/columns.py",),
    "pyarrow": ("tables/",),
    "rich": ("cli/", "training/progress"),
    "safetensors": (),
    "scipy": ("backends/_numpy_primitives.py", "estimators/", "training/lbfgs.py"),
    "sklearn": ("bench/peers.py", "estimators/", "tables/digits.py"),
    "typer": ("cli/",),
}
"""The packages and modules that may name each library beside NumPy."""

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
    "one_hot": "a kernel, and what CuPy has in its place",
}
"""Public names that stand at the top of several modules, and why."""

MODULES_TO_REACH: set[str] = set()
"""Modules that nothing but a test imports yet. A module is taken off when something imports it."""


def _modules(room: str) -> list[pathlib.Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@functools.cache
def _imported(path: pathlib.Path) -> set[str]:
    """Return the dotted names a file imports, its own package's made absolute."""
    return set().union(*(_names(node, path) for node in ast.walk(_parsed(path))))


def _imported_at_once(path: pathlib.Path, modules: set[str]) -> set[str]:
    """Return the modules that a file imports as soon as it is imported itself, not in a function or for types alone."""
    found = [_names(node, path) & modules for node in _parsed(path).body]
    return {name for names in found for name in names if not any(other.startswith(f"{name}.") for other in names)}


def _names(node: ast.AST, path: pathlib.Path) -> set[str]:
    """Return the dotted names that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    package = ("portable_mlp", *path.relative_to(PACKAGE).parts[:-1])
    base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
    module = ".".join(filter(None, (base, node.module)))
    return {module, *(f"{module}.{alias.name}" for alias in node.names)}


@functools.cache
def _loaded(path: pathlib.Path) -> set[str]:
    """Return the names that a file gives to functions which import."""
    names = set()
    for node in ast.walk(_parsed(path)):
        match node:
            case ast.Call(ast.Name(called) | ast.Attribute(_, called), [ast.Constant(str() as name), *_]):
                names |= {name} if called in LOADERS else set()
    return names


@functools.cache
def _parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("library", PLACES)
def test_a_library_is_named_in_its_places_alone(library: str) -> None:
    for path in PACKAGE.rglob("*.py"):
        if library in {name.split(".")[0] for name in _imported(path) | _loaded(path)}:
            assert path.relative_to(PACKAGE).as_posix().startswith(PLACES[library]), f"{path} names {library}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_module_asks_arrays_for_their_library_and_device(path: pathlib.Path) -> None:
    """array-api-compat does not know every library: those that it does not know are asked in ``kernels/arrays.py``."""
    asked = {"array_namespace", "device"}
    found = {f"array_api_compat.{name}" for name in asked} & _imported(path)
    for node in ast.walk(_parsed(path)):
        match node:
            case ast.Attribute(ast.Name("array_api_compat"), name) if name in asked:
                found.add(f"array_api_compat.{name}")
    assert not found or path == PACKAGE / "kernels" / "arrays.py"


def test_imports_go_round_nowhere() -> None:
    paths = {_name(path): path for path in PACKAGE.rglob("*.py")}
    imports = {name: _imported_at_once(path, set(paths)) - {name} for name, path in paths.items()}
    graphlib.TopologicalSorter(imports).prepare()


def test_every_room_is_known() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "path", _modules("kernels") + _modules("training"), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_nothing_that_waits_for_a_device_or_leaves_the_standard(path: pathlib.Path) -> None:
    """``@`` hides the product from a backend; ``clip`` and ``sign`` wait for the device on CuPy."""
    for node in ast.walk(_parsed(path)):
        assert not isinstance(node, ast.MatMult), path
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "xp":
            assert node.attr not in {"clip", "sign", "nonzero"}, f"{path}:{node.lineno} uses xp.{node.attr}"


def test_every_library_that_is_imported_is_declared() -> None:
    """A library that only the tests install would be missing where the package is used."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9_-]", name)[0].replace("-", "_").lower() for name in asked}
    modules = {"scikit_learn": "sklearn", "cupy_cuda13x": "cupy", "cupy_cuda12x": "cupy", "nvmath_python": "nvmath"}
    known = {modules.get(name, name) for name in declared} | sys.stdlib_module_names | {"portable_mlp"}
    for path in PACKAGE.rglob("*.py"):
        assert {name.split(".")[0] for name in _imported(path)} <= known, path


def test_import_loads_numpy_and_array_api_compat_alone() -> None:
    code = f"import sys, portable_mlp; print([name for name in {[*PLACES]} if name in sys.modules])"
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


def test_the_tour_names_what_there_is() -> None:
    """Every function of CONTRIBUTING's table is in one of the files beside it, and so are the docstring's modules."""
    tour = re.findall(r"^\| (`[^|]*) \| (`[^|]*) \|", CONTRIBUTING, re.MULTILINE)
    assert tour
    for functions, files in tour:
        there = set().union(*(_names_inside(PACKAGE / file) for file in re.findall(r"`(\S+\.py)`", files)))
        assert {name.rpartition(".")[2] for name in re.findall(r"`(\S+)`", functions)} <= there, files
    modules = re.findall(r"^    (\w+\.\w+)  ", portable_mlp.__doc__ or "", re.MULTILINE)
    assert modules
    assert [name for name in modules if not (PACKAGE / f"{name.replace('.', '/')}.py").exists()] == []


def test_help_lists_every_public_name_once() -> None:
    overview = (portable_mlp.__doc__ or "").split("::")[1].split("``")[0]
    rows = [line.split("  ")[-1].strip() for line in overview.splitlines() if line]
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(portable_mlp.__all__)


def test_contributing_names_files_that_exist() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", CONTRIBUTING)) - {
        "portable_mlp/backends/_name.py",
        "portable_mlp/cli/name.py",
    }
    folders = [ROOT, PACKAGE, *(PACKAGE / room for room in ROOMS), ROOT / "benchmarks"]
    assert [file for file in named if not any((folder / file).exists() for folder in folders)] == []


def _name(path: pathlib.Path) -> str:
    """Return the dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _defined(path: pathlib.Path) -> set[str]:
    """Return the names that a module defines at its top; names that it imports are others'."""
    names = set()
    for node in _parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _names_inside(path: pathlib.Path) -> set[str]:
    """Return the names of the functions and methods of a module."""
    return {node.name for node in ast.walk(_parsed(path)) if isinstance(node, ast.FunctionDef)}

"""Numba's compiled code on disk: current, whole or made anew, and never the end of a training."""

import builtins
import errno
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from numba.extending import intrinsic

from portable_mlp.backends import _compiled_files, _numba_loops
from portable_mlp.backends._compiled_files import CompiledFiles, code_fingerprint
from portable_mlp.backends._numba_compiling import compiled_on_call, kept_on_disk
from tests.selection import one_in, rarely

PACKAGE = pathlib.Path(_compiled_files.__file__).parents[1]
FACTOR = 2.0
inner = compiled_on_call(lambda x: 3.0 * x)


def six_fold(x: float) -> float:
    return FACTOR * inner(x)  # type: ignore[no-any-return]


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where compiled code is kept."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def called(x: Any = 1.0, result: float = 6.0) -> str:
    """Compile as a new process would, and call; return where the code came from."""
    function = kept_on_disk(six_fold)
    assert function(x) == result
    return "disk" if sum(function.stats.cache_hits.values()) else "compiler"


def files(folder: pathlib.Path, kind: str = "*") -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob(kind) if path.is_file())


def test_code_is_found_again(folder: pathlib.Path) -> None:
    assert [called(), called(), called(1, 6.0), called(1, 6.0), called()] == ["compiler", "disk"] * 2 + ["disk"]
    assert len(files(folder, "*.nbi")) == 1
    assert len(files(folder, "*.nbc")) == len(files(folder)) - 1 == 2


def test_two_processes_that_write_at_once_mix_nothing_up(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one's index is the last; its entry leads to its own code."""
    monkeypatch.setattr(_compiled_files._SealedFiles, "_load_index", lambda self: {})
    assert [called(1.0), called(1)] == ["compiler", "compiler"]
    monkeypatch.undo()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    assert [called(1), called(1.0), called(1.0)] == ["disk", "compiler", "disk"]


CHANGES: dict[str, tuple[Any, float]] = {
    "a global": (("FACTOR", 4.0), 12.0),
    "a function that is called": (("inner", compiled_on_call(lambda x: 5.0 * x)), 10.0),
    "the options of a function that is called": (("inner", numba.njit(error_model="python")(inner.py_func)), 6.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_code_follows_whatever_is_compiled_in(
    change: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, value), result = CHANGES[change]
    assert called() == "compiler"
    before = files(folder)
    monkeypatch.setattr(sys.modules[__name__], name, value)
    assert [called(result=result), called(result=result)] == ["compiler", "disk"]
    assert not set(before) & set(files(folder))  # nobody will ask for the old ones again
    assert len(files(folder)) == len(before)


def test_code_of_another_version_is_compiled_anew(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert called() == "compiler"
    assert _compiled_files.VERSIONS.startswith(f"numba {numba.__version__}, llvmlite ")
    monkeypatch.setattr(_compiled_files, "VERSIONS", "numba 99.0, llvmlite 9.0")
    assert [called(), called()] == ["compiler", "disk"]


def test_what_has_no_exact_text_is_not_kept(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", np.full(2000, 2.0))
    function = kept_on_disk(lambda: FACTOR[3])  # type: ignore[index]
    with pytest.raises(TypeError, match=r"constant array.* of type ndarray is not kept on disk"):
        code_fingerprint(function)
    assert function() == 2.0
    assert files(folder) == []


def test_every_loop_of_the_primitives_is_kept() -> None:
    loops = [one for one in vars(_numba_loops).values() if isinstance(getattr(one, "_cache", None), CompiledFiles)]
    assert len(loops) == 18
    assert len(set(map(code_fingerprint, loops))) == len(loops)


@intrinsic  # type: ignore[untyped-decorator]
def doubled(typing_context: Any, x: Any) -> Any:
    return x(x), lambda context, builder, signature, arguments: builder.fadd(arguments[0], arguments[0])


@intrinsic  # type: ignore[untyped-decorator]
def squared(typing_context: Any, x: Any) -> Any:
    return x(x), lambda context, builder, signature, arguments: builder.fmul(arguments[0], arguments[0])


chosen = doubled


def by_intrinsic(x: float) -> float:
    return chosen(x)  # type: ignore[no-any-return]


def test_code_follows_the_instructions_that_are_written_by_hand(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_where() -> tuple[float, bool]:
        function = kept_on_disk(by_intrinsic)
        return function(3.0), bool(sum(function.stats.cache_hits.values()))

    assert [from_where(), from_where()] == [(6.0, False), (6.0, True)]
    monkeypatch.setattr(sys.modules[__name__], "chosen", squared)
    assert [from_where(), from_where()] == [(9.0, False), (9.0, True)]


@pytest.mark.parametrize("damage", ["none", "half", "gone"])
@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
def test_whether_code_is_there(kind: str, damage: str, folder: pathlib.Path) -> None:
    function = kept_on_disk(six_fold)
    signature = (numba.float64,)
    assert not function._cache.has(signature, function.targetctx)
    assert function(1.0) == 6.0
    (path,) = files(folder, kind)
    if damage == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "gone":
        path.unlink()
    assert function._cache.has(signature, function.targetctx) == (damage == "none")
    assert not function._cache.has((numba.float32,), function.targetctx)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "shorter than its digest": lambda content: content[:20],
    "half": lambda content: content[: len(content) // 2],
    "without its digest": lambda content: content[:-32],
    "without its last byte": lambda content: content[:-1],
    "longer": lambda content: content + b"x",
    "a flipped bit": flipped,
    "zeros": lambda content: bytes(len(content)),
    "random bytes": lambda content: np.random.default_rng(0).bytes(len(content)),
    "text": lambda content: b"cos\nabort\n(tR." * 9,
}


@pytest.mark.parametrize(("kind", "damage"), one_in(2, ["*.nbi", "*.nbc"], DAMAGES))
def test_a_damaged_file_is_made_anew(kind: str, damage: str, folder: pathlib.Path) -> None:
    called()
    for path in files(folder, kind):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert [called(), called()] == ["compiler", "disk"]


def test_a_file_that_was_another_is_made_anew(folder: pathlib.Path) -> None:
    called(1.0), called(1)
    one, other = files(folder, "*.nbc")
    shutil.copy(one, other)
    assert [called(1.0), called(1), called(1.0), called(1)].count("compiler") == 1


@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
def test_a_folder_in_the_place_of_a_file_costs_no_call(kind: str, folder: pathlib.Path) -> None:
    called()
    for path in files(folder, kind):
        path.unlink()
        path.mkdir()
    assert [called(), called()] == ["compiler", "compiler"]
    assert [path for path in files(folder) if ".tmp." in path.name] == []


class FullDisk(io.BytesIO):
    def write(self, content: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def refuse(number: int) -> Any:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize(
    ("number", "kind", "step"),
    one_in(2, [errno.ENOSPC, errno.EACCES], [".nbi", ".nbc"], ["open", "write", "rename"]),
)
def test_what_cannot_be_written_stays_in_memory(
    number: int, kind: str, step: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest_open, honest_replace = open, os.replace

    def failing_open(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if kind in str(path) and "w" in mode:
            return refuse(number)() if step == "open" else FullDisk()
        return honest_open(path, mode, *args, **kwargs)

    if step == "rename":
        monkeypatch.setattr(os, "replace", lambda a, b: refuse(number)() if kind in str(b) else honest_replace(a, b))
    else:
        monkeypatch.setattr(builtins, "open", failing_open)
    assert [called(), called()] == ["compiler", "compiler"]
    monkeypatch.setattr(builtins, "open", honest_open)
    monkeypatch.setattr(os, "replace", honest_replace)
    assert [path for path in files(folder) if ".tmp." in path.name] == []
    assert [called(), called()] == ["compiler", "disk"]


def test_what_cannot_be_read_is_compiled(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called()
    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse(errno.EACCES))
    assert called() == "compiler"


def test_where_nothing_can_be_written_the_next_folder_is_used(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system folder is not writable, and HOME may be missing: Numba tries one after the other."""
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse(errno.EROFS))
    assert [called(), called()] == ["compiler", "compiler"]
    assert files(folder) == []


@pytest.mark.parametrize("lost", ["IndexDataCacheFile", "CompileResultCacheImpl", "NullCache"])
def test_a_numba_with_other_internals_compiles_in_memory(
    lost: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(f"numba.core.caching.{lost}")
    monkeypatch.delitem(sys.modules, _compiled_files.__name__)
    assert [called(), called()] == ["compiler", "compiler"]
    assert files(folder) == []


TRAIN = """
import numpy as np, portable_mlp as pm
pm.get_backend("numpy").load()
net = pm.Network((3, 4, 2))
result = pm.train(net, pm.init_params(net, random_state=0), np.ones((9, 3)), np.arange(9) % 2, epochs=3)
print(pm.__file__, type(pm.get_backend("numpy").primitives).__name__, result.history["loss"])
"""


@pytest.mark.parametrize("named", [True, *rarely(False)])
def test_training_follows_the_formulas(named: bool, tmp_path: pathlib.Path) -> None:
    """A file that has changed, with the times and the size of the old one, as a checkout or an image may leave it."""
    package = tmp_path / "portable_mlp"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.nbi", "*.nbc", "optimizers.*.pyc"))
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    if named:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "compiled")

    def losses(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", TRAIN],
            env=environment | more,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        path, kind, found = done.stdout.split(maxsplit=2)
        assert path.startswith(str(package))
        assert kind == ("NumpyPrimitives" if more else "NumbaPrimitives")
        return found

    first = losses()
    assert files(tmp_path / "compiled" if named else package, "*.nbc") != []
    optimizers = package / "kernels" / "optimizers.py"
    stamp = optimizers.stat()
    source = optimizers.read_text(encoding="utf-8")
    changed = source.replace(
        "return p - step * m / (sqrt(v) + epsilon), m, v", "return p - step * g / (sqrt(v) + epsilon), m, v"
    )
    assert changed != source
    optimizers.write_text(changed, encoding="utf-8")
    os.utime(optimizers, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert optimizers.stat().st_size == stamp.st_size
    assert losses() == losses(NUMBA_DISABLE_JIT="1") != first

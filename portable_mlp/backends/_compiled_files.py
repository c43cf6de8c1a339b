"""Numba's compiled code on disk: identified by everything that it depends on, and verified before use.

Numba identifies its files by the source file of the function alone, so that code would survive a change of another
function that is compiled into it; and a truncated file crashes the program. Here the name of a file has a digest of the
functions in memory, and its content ends with a digest of itself. Code that cannot be read is compiled and written
again; code that cannot be written stays in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import inspect
import io
import os
import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from numba.core.caching import CompileResultCacheImpl, IndexDataCacheFile, NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

VERSIONS = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numba", "llvmlite"))
DIGEST_SIZE = 32


class CompiledFiles(NullCache):
    """The files of one function, in the place of Numba's own cache.

    This class alone uses Numba's internals; if they fail, the code stays in memory.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        # Chooses the folder: NUMBA_CACHE_DIR, beside the source, or the user's own.
        self._numbas = CompileResultCacheImpl(dispatcher.py_func)

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self._numbas.locator.get_cache_path())

    def has(self, sig: Any, target_context: Any) -> bool:
        """Tell whether there is whole compiled code for a signature."""
        with contextlib.suppress(Exception):
            files = self._files()
            name = files._load_index()[self._key(sig, target_context.codegen())]
            return _is_sealed(files._data_path(name))
        return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature; None if there is no intact file."""
        with contextlib.suppress(Exception):
            target_context.refresh()
            reduced = self._files().load(self._key(sig, target_context.codegen()))
            return None if reduced is None else self._numbas.rebuild(target_context, reduced)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write compiled code where that is possible."""
        with contextlib.suppress(Exception):
            if self._numbas.check_cachable(data):
                self._numbas.locator.ensure_cache_path()
                self._files().save(self._key(sig, data.codegen), self._numbas.reduce(data))

    def _files(self) -> _SealedFiles:
        return _SealedFiles(self.cache_path, self._dispatcher.py_func, code_fingerprint(self._dispatcher))

    def _key(self, sig: Any, codegen: Any) -> tuple[Any, Any]:
        """Return the key of an overload of the function: its types, and the processor that it is compiled for."""
        return sig, codegen.magic_tuple()


class _SealedFiles(IndexDataCacheFile):
    """Numba's pair of an index and compiled code, each of which ends with a digest of its name and content."""

    def __init__(self, folder: str, function: Callable[..., Any], made_of: str) -> None:
        self._function = (
            f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}.{sys.implementation.cache_tag}"
        )
        self._base = f"{self._function}-{made_of[:16]}"
        super().__init__(folder, self._base, made_of)

    def save(self, key: Any, data: Any) -> None:
        """Write compiled code, then the index that names it, and remove the files of other versions."""
        # Numba numbers the files, so that two processes could take one number for two signatures.
        name = f"{self._base}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})
        for path in pathlib.Path(self._cache_path).glob(f"{self._function}-*"):
            if not path.name.startswith(self._base):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _load_index(self) -> dict[Any, str]:
        return super()._load_index() if _is_sealed(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        path = self._data_path(name)
        if not _is_sealed(path):
            raise FileNotFoundError(path)
        return super()._load_data(name)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[BinaryIO]:
        content = io.BytesIO()
        yield content
        with super()._open_for_write(filepath) as file:
            file.write(content.getvalue() + _seal(filepath, content.getvalue()))


def _seal(path: str, content: bytes) -> bytes:
    return hashlib.sha256(os.path.basename(path).encode() + content).digest()


def _is_sealed(path: str) -> bool:
    """Return whether a file is intact. Readers stop before the seal: a pickle has an end of its own."""
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError:
        return False
    return content[-DIGEST_SIZE:] == _seal(path, content[:-DIGEST_SIZE])


def code_fingerprint(dispatcher: Dispatcher) -> str:
    """Return a digest of what Numba compiles: the function, what it calls, their options, and the compiler's versions.

    The functions in memory count, not their files, which may have changed since they were imported.
    """
    return hashlib.sha256("\n".join([VERSIONS, *_parts(dispatcher, set())]).encode()).hexdigest()


def _parts(dispatcher: Dispatcher, seen: set[int]) -> Iterator[str]:
    """Yield a function's options, its code and the globals it names, then the same of those it calls."""
    if id(dispatcher) in seen:
        return
    seen.add(id(dispatcher))
    function = dispatcher.py_func
    code = function.__code__
    yield repr((sorted(dispatcher.targetoptions.items()), code.co_code, code.co_names, code.co_varnames))
    yield repr((code.co_argcount, function.__defaults__, [_constant(x) for x in code.co_consts]))
    bound = inspect.getclosurevars(function)
    for name, value in sorted(({**bound.nonlocals, **bound.globals}).items()):
        if isinstance(value, Dispatcher):
            yield name
            yield from _parts(value, seen)
        elif isinstance(value, _Intrinsic):
            yield f"{name} = {_all_of(value._defn.__code__)}"
        elif isinstance(value, types.ModuleType) or getattr(value, "__module__", "").startswith("numba."):
            yield f"{name} = {value.__name__}"  # as old as the versions say
        else:
            yield f"{name} = {_constant(value)}"


def _all_of(code: types.CodeType) -> str:
    """Return what the function of an intrinsic does, with the functions inside it; it uses Numba and llvmlite alone."""
    constants = [_all_of(x) if isinstance(x, types.CodeType) else _constant(x) for x in code.co_consts]
    return repr((code.co_code, code.co_names, code.co_varnames, constants))


def _constant(value: Any) -> str:
    """Return the exact text of a constant; one without, such as an array, may not be compiled in."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    raise TypeError(f"code with a constant {value!r} of type {type(value).__name__} is not kept on disk")

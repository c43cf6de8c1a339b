"""Compilation by Numba: at the first call, kept on disk; where it fails, plain NumPy computes."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba

from .deferred_interrupts import interrupts_held_back

Cls = TypeVar("Cls")

failures: list[Exception] = []
"""The first error of a compilation; from then on nothing is compiled."""

_classes: list[type] = []
"""The classes that lose their compiled methods then."""


def compiled_on_call(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function when it is called for the first time."""
    # NumPy's rules for a division by zero: Python's would need a branch in every loop, which then is no vector loop.
    compiled = numba.njit(error_model="numpy", **options)(function)
    compile_for = compiled.compile

    @functools.wraps(compile_for)
    def compile_or_interpret(signature: Any) -> Any:
        try:
            if not failures:
                with interrupts_held_back():
                    return compile_for(signature)
        except Exception as error:
            _leave_it_to_numpy(error)
        return function  # Numba then calls it: slow, with the same bits, and for the last time

    compiled.compile = compile_or_interpret
    return compiled


def with_compiled_methods(cls: type[Cls]) -> type[Cls]:
    """Let a class lose its public methods once something cannot be compiled, so that it inherits those of NumPy."""
    _classes.append(cls)
    return cls


def _leave_it_to_numpy(error: Exception) -> None:
    """Remove the compiled methods, so that those of plain NumPy are inherited, and warn."""
    failures.append(error)
    for cls in _classes:
        for name in [name for name in vars(cls) if not name.startswith("_")]:
            delattr(cls, name)
    reason = next(iter(str(error).splitlines()), "")
    warnings.warn(
        f"Numba cannot compile here: {type(error).__name__}: {reason}; plain NumPy gives the same results, more slowly",
        RuntimeWarning,
        stacklevel=5,
    )


def kept_on_disk(function: Callable[..., Any], **options: Any) -> Any:
    """Compile, and store the result on disk if there is a folder to write to."""
    compiled = compiled_on_call(function, **options)
    with contextlib.suppress(Exception):  # no such folder, or an unknown version of Numba
        from ._compiled_files import CompiledFiles

        compiled._cache = CompiledFiles(compiled)
    return compiled

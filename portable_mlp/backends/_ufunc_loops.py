"""The inner loops of NumPy's own functions, found in the public C struct of every ufunc."""

from __future__ import annotations

import ctypes
import functools

import numpy as np


class _Ufunc(ctypes.Structure):
    """The first fields of ``PyUFuncObject`` (numpy/ufuncobject.h), after the header of all objects."""

    _fields_ = [
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    ]


@functools.cache
def inner_loop(ufunc: np.ufunc, signature: str) -> tuple[int, int]:
    """Return the addresses of a ufunc's inner loop for types such as "ff->f", and of the loop's data.

    Raises
    ------
    LookupError
        If it has none.
    """
    struct = _Ufunc.from_address(id(ufunc) + object.__basicsize__)
    if (struct.nin, struct.nout, struct.ntypes) != (ufunc.nin, ufunc.nout, ufunc.ntypes):
        raise LookupError(f"the struct of {ufunc} is not as this NumPy's header says")
    if signature not in ufunc.types:
        raise LookupError(f"{ufunc} has no loop {signature}")
    i = ufunc.types.index(signature)
    function = struct.functions[i]
    if not function:
        raise LookupError(f"{ufunc} has no inner loop for {signature}")
    return function, (struct.data[i] or 0) if struct.data else 0

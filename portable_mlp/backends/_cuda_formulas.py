"""The kernels' element-wise formulas as CUDA C++: traced once, so that each becomes one kernel.

A formula of `portable_mlp.kernels` is called with names in place of arrays. What it computes with them is written down,
one line an operation, in the order in which it was computed; a type ``T`` stands for the dtype.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any


class Trace:
    """The lines of a formula so far; also the namespace ``xp`` that the formula is given."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._numbers = itertools.count()

    def line(self, expression: str, kind: str = "T") -> Name:
        """Write down one operation; return its result."""
        name = Name(self, f"t{next(self._numbers)}")
        self.lines.append(f"const {kind} {name} = {expression};")
        return name

    def maximum(self, a: Any, b: Any) -> Name:
        """Return the larger; NaN where either is."""
        return self.line(f"({a} >= {b} || {a} != {a}) ? {a} : {b}")

    def minimum(self, a: Any, b: Any) -> Name:
        """Return the smaller; NaN where either is."""
        return self.line(f"({a} <= {b} || {a} != {a}) ? {a} : {b}")

    def where(self, condition: Any, a: Any, b: Any) -> Name:
        """Return ``a`` where the condition holds, else ``b``."""
        return self.line(f"{condition} ? {a} : {b}")

    def full(self, shape: tuple[()], value: float, **placement: Any) -> Name:
        """Return a constant."""
        return self.line(literal(value))

    def abs(self, x: Any) -> Name:
        """Return the absolute value."""
        return self.line(f"fabs({x})")

    def __getattr__(self, function: str) -> Callable[[Any], Name]:
        if function not in ("exp", "expm1", "log", "log1p", "sqrt", "tanh"):
            raise AttributeError(f"no formula has used {function} so far: say here what it is in C++")
        return lambda x: self.line(f"{function}({x})")


class Name:
    """An intermediate result, or an argument, of a formula that is traced."""

    dtype = device = None

    def __init__(self, trace: Trace, text: str) -> None:
        self._trace, self._text = trace, text

    def __str__(self) -> str:
        return self._text

    def __neg__(self) -> Name:
        return self._trace.line(f"-{self}")

    def __add__(self, other: Any) -> Name:
        return self._trace.line(f"{self} + {_text(other)}")

    def __radd__(self, other: Any) -> Name:
        return self._trace.line(f"{_text(other)} + {self}")

    def __sub__(self, other: Any) -> Name:
        return self._trace.line(f"{self} - {_text(other)}")

    def __rsub__(self, other: Any) -> Name:
        return self._trace.line(f"{_text(other)} - {self}")

    def __mul__(self, other: Any) -> Name:
        return self._trace.line(f"{self} * {_text(other)}")

    def __rmul__(self, other: Any) -> Name:
        return self._trace.line(f"{_text(other)} * {self}")

    def __truediv__(self, other: Any) -> Name:
        return self._trace.line(f"{self} / {_text(other)}")

    def __rtruediv__(self, other: Any) -> Name:
        return self._trace.line(f"{_text(other)} / {self}")

    def __gt__(self, other: Any) -> Name:
        return self._trace.line(f"{self} > {_text(other)}", "bool")

    def __ge__(self, other: Any) -> Name:
        return self._trace.line(f"{self} >= {_text(other)}", "bool")

    def __bool__(self) -> bool:
        raise TypeError("a formula that asks for a truth value cannot be traced: use xp.where")


def literal(value: float) -> str:
    """Return a number in the formula's dtype, as C++ writes it.

    >>> literal(0.1)
    'T(0.1)'
    """
    return f"T({float(value)!r})"


def _text(x: Any) -> str:
    return str(x) if isinstance(x, Name) else literal(x)


def traced(formula: Callable[..., Any], arguments: Sequence[str], results: Sequence[str]) -> str:
    """Return the lines that compute ``results = formula(xp, *arguments)``.

    Parameters
    ----------
    formula : callable
        Of a namespace and numbers; returns one result, or as many as there are names for.
    arguments, results : sequence of str
        Names of C++ variables of the type T. A result may be an argument, which is then written over at the end.

    Examples
    --------
    >>> print(traced(lambda xp, x, b: xp.tanh(x + b), ["x", "b"], ["x"]))
    const T t0 = x + b;
    const T t1 = tanh(t0);
    x = t1;
    """
    trace = Trace()
    found = formula(trace, *(Name(trace, name) for name in arguments))
    computed = found if isinstance(found, tuple) else (found,)
    lines = [f"{name} = {result};" for name, result in zip(results, computed, strict=True)]
    return "\n".join([*trace.lines, *lines])

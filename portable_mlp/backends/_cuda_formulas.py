"""The kernels' element-wise formulas as CUDA C++: traced once, so that each becomes one kernel.

The operations of a formula of `portable_mlp.kernels` become lines of C++, one each, in the order of computation; a type
``T`` is the dtype.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..kernels.tracing import Symbol, Tracer, Untraceable, trace

EXPRESSIONS = {
    "full": "{0}",
    "negative": "-{0}",
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "equal": "{0} == {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    # NaN where either is.
    "maximum": "({0} >= {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} <= {1} || {0} != {0}) ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
    "abs": "fabs({0})",
    **{name: f"{name}({{0}})" for name in ("exp", "expm1", "isinf", "log", "log1p", "sqrt", "tanh")},
}
"""The C++ of each operation."""

BOOLEANS = ("equal", "greater", "greater_equal", "less", "less_equal", "isinf")
"""The operations that result in a truth value."""


class Lines(Tracer):
    """The lines of a formula so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._numbers = itertools.count()

    def operation(self, name: str, *operands: Symbol | float) -> Symbol:
        """Append the line of one operation; return its result."""
        line = expression(name, *operands)
        result = Symbol(self, f"t{next(self._numbers)}")
        self.lines.append(f"const {'bool' if name in BOOLEANS else 'T'} {result} = {line};")
        return result


def expression(name: str, *operands: Symbol | float) -> str:
    """Return an operation as C++ writes it.

    >>> expression("maximum", 0.5, 2.0)
    '(T(0.5) >= T(2.0) || T(0.5) != T(0.5)) ? T(0.5) : T(2.0)'
    """
    if name not in EXPRESSIONS:
        raise Untraceable(f"no formula has used {name} so far: say in EXPRESSIONS what it is in C++")
    return EXPRESSIONS[name].format(*map(_operand, operands))


def literal(value: float) -> str:
    """Return a number in the formula's dtype, as C++ writes it.

    >>> literal(0.1)
    'T(0.1)'
    """
    return f"T({float(value)!r})"


def _operand(x: Symbol | float) -> str:
    return str(x) if isinstance(x, Symbol) else literal(x)


def traced(formula: Callable[..., Any], arguments: Sequence[str], results: Sequence[str]) -> str:
    """Return the lines that compute ``results = formula(xp, *arguments)``.

    Parameters
    ----------
    formula : callable
        ``formula(xp, *arguments)``, which returns one result, or one for each name.
    arguments, results : sequence of str
        Names of C++ variables of the type T. A result may be an argument, which is then overwritten at the end.

    Raises
    ------
    Untraceable
        If an operation has no C++ here.

    Examples
    --------
    >>> print(traced(lambda xp, x, b: xp.tanh(x + b), ["x", "b"], ["x"]))
    const T t0 = x + b;
    const T t1 = tanh(t0);
    x = t1;
    """
    tracer = Lines()
    found = trace(formula, tracer, *arguments)
    computed = found if isinstance(found, tuple) else (found,)
    lines = [f"{name} = {result};" for name, result in zip(results, computed, strict=True)]
    return "\n".join([*tracer.lines, *lines])

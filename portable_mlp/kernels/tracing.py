"""Element-wise formulas written down instead of computed: a formula is called with symbols in the place of arrays.

Every operation of the formula is passed to a tracer, in the order in which it would be computed. What the tracer makes
of it, a line of C++ or a node of a graph, is its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Untraceable(TypeError):
    """A formula that does what cannot be written down; it is computed by its arrays' own library instead."""


class Tracer:
    """The namespace ``xp`` that a formula is given; a subclass writes down its operations."""

    def operation(self, name: str, *operands: Symbol | float) -> Symbol:
        """Write down one operation, and return its result.

        Parameters
        ----------
        name : str
            The array API standard's name of the function or the operator, such as "exp" or "add"; "full" is a
            constant.
        *operands : Symbol or float
            In its order.

        Raises
        ------
        Untraceable
            If the tracer does not know the operation.
        """
        raise NotImplementedError

    def full(self, shape: tuple[()], value: float, **placement: Any) -> Symbol:
        """Return a constant."""
        return self.operation("full", value)

    def __getattr__(self, function: str) -> Callable[..., Symbol]:
        return functools.partial(self.operation, function)


class Symbol:
    """An intermediate result, or an argument, of a formula that is traced.

    Parameters
    ----------
    tracer : Tracer
        Where its operations are written down.
    name : str
        What the tracer calls it.
    """

    dtype = device = None

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._tracer, self._name = tracer, name

    def __str__(self) -> str:
        return self._name

    def __neg__(self) -> Symbol:
        return self._tracer.operation("negative", self)

    def __add__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("add", self, other)

    def __radd__(self, other: float) -> Symbol:
        return self._tracer.operation("add", other, self)

    def __sub__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("subtract", self, other)

    def __rsub__(self, other: float) -> Symbol:
        return self._tracer.operation("subtract", other, self)

    def __mul__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("multiply", self, other)

    def __rmul__(self, other: float) -> Symbol:
        return self._tracer.operation("multiply", other, self)

    def __truediv__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("divide", self, other)

    def __rtruediv__(self, other: float) -> Symbol:
        return self._tracer.operation("divide", other, self)

    def __gt__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("greater", self, other)

    def __ge__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("greater_equal", self, other)

    def __lt__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("less", self, other)

    def __le__(self, other: Symbol | float) -> Symbol:
        return self._tracer.operation("less_equal", self, other)

    def __bool__(self) -> bool:
        raise Untraceable("a formula that asks for a truth value cannot be traced: use xp.where")


def trace(formula: Callable[..., Any], tracer: Tracer, *names: str) -> Any:
    """Return ``formula(tracer, *symbols)``, where the symbols have these names.

    Raises
    ------
    Untraceable
        If the formula does something that symbols do not, such as to take a power or to ask for a shape.
    """
    try:
        return formula(tracer, *(Symbol(tracer, name) for name in names))
    except Untraceable:
        raise
    except (AttributeError, TypeError) as error:
        raise Untraceable(f"the formula cannot be traced: {error}") from error

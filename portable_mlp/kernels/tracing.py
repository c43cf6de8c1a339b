"""Tracing of element-wise formulas: a formula is called with symbols in the place of arrays.

Every operation of the formula is passed to a tracer, in the order in which it would be computed; the tracer translates
it, for example into a line of C++ or a node of a graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Untraceable(TypeError):
    """A formula with an operation that cannot be traced; the library of its arrays computes it instead."""


class Tracer:
    """The namespace ``xp`` that a formula receives; a subclass records its operations."""

    def operation(self, name: str, *operands: Symbol | float) -> Symbol:
        """Record one operation, and return its result.

        Parameters
        ----------
        name : str
            The array API standard's name of the function or the operator, such as "exp" or "add"; "full" is a
            constant.
        *operands : Symbol or float
            The operands, in the order of the operation.

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
        The tracer that records its operations.
    name : str
        Its name in what the tracer writes.
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

    def __eq__(self, other: Any) -> Any:
        return self._tracer.operation("equal", self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise Untraceable("a formula that asks for a truth value cannot be traced: use xp.where")


def trace(formula: Callable[..., Any], tracer: Tracer, *names: str) -> Any:
    """Return ``formula(tracer, *symbols)`` for symbols with these names.

    Raises
    ------
    Untraceable
        If the formula uses what symbols do not have, such as a power or a shape.
    """
    try:
        return formula(tracer, *(Symbol(tracer, name) for name in names))
    except Untraceable:
        raise
    except (AttributeError, TypeError) as error:
        raise Untraceable(f"the formula cannot be traced: {error}") from error

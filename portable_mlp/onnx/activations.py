"""Activations and outputs in ONNX's standard operators.

A formula takes a graph and the names of z and h; it appends the nodes from one to the other, and returns the name of
the result. An activation that has none here is traced from its kernel, operation by operation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..kernels.activations import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from ..kernels.tracing import Symbol, Tracer, Untraceable, trace
from .graph import Graph

NodeFormula: TypeAlias = Callable[[Graph, str, str], str]


def _operator(operator: str, **attributes: Any) -> NodeFormula:
    return lambda graph, z, h: graph.node(operator, z, to=h, **attributes)


def _unchanged(graph: Graph, z: str, h: str) -> str:
    return z


def _silu(graph: Graph, z: str, h: str) -> str:
    """``z logistic(z)``: Swish is younger than the opset, and not in every onnxruntime that knows it."""
    return graph.node("Mul", z, graph.node("Sigmoid", z, to=f"{h}_logistic"), to=h)


def _silu_in_float64(graph: Graph, z: str, h: str) -> str:
    """``z / (1 + e^-z)``: for a Sigmoid times its input onnxruntime up to 1.23 puts an operator of float32."""
    e = graph.node("Exp", graph.node("Neg", z, to=f"{h}_neg"), to=f"{h}_exp")
    return graph.node("Div", z, graph.node("Add", e, _one(graph), to=f"{h}_denominator"), to=h)


def _leaky_relu(graph: Graph, z: str, h: str) -> str:
    """``max(z, slope z)``."""
    slope = graph.constant("leaky_slope", np.asarray(LEAKY_SLOPE))
    return graph.node("Max", z, graph.node("Mul", z, slope, to=f"{h}_leak"), to=h)


def _elu(graph: Graph, z: str, h: str) -> str:
    """``max(z, e^min(z, 0) - 1)``: an exponential lies above its tangent."""
    zero = graph.constant("zero", np.asarray(0.0))
    e = graph.node("Exp", graph.node("Min", z, zero, to=f"{h}_negative"), to=f"{h}_exp")
    return graph.node("Max", z, graph.node("Sub", e, _one(graph), to=f"{h}_expm1"), to=h)


def _softplus(graph: Graph, z: str, h: str) -> str:
    """``max(z, 0) - log(logistic(|z|))``, which overflows for no z."""
    logistic = graph.node("Sigmoid", graph.node("Abs", z, to=f"{h}_abs"), to=f"{h}_logistic")
    log = graph.node("Log", logistic, to=f"{h}_log")
    return graph.node("Sub", graph.node("Relu", z, to=f"{h}_relu"), log, to=h)


def _gelu(graph: Graph, z: str, h: str) -> str:
    """``z logistic(2 u)`` with ``2 u = z (a + b z^2)``: (1 + tanh u) / 2 is the logistic of 2 u."""
    a = graph.constant("gelu_a", np.asarray(2.0 * GELU_SCALE))
    b = graph.constant("gelu_b", np.asarray(2.0 * GELU_SCALE * GELU_CUBIC))
    square = graph.node("Mul", z, z, to=f"{h}_square")
    factor = graph.node("Add", graph.node("Mul", square, b, to=f"{h}_cubic"), a, to=f"{h}_factor")
    logistic = graph.node("Sigmoid", graph.node("Mul", z, factor, to=f"{h}_2u"), to=f"{h}_logistic")
    return graph.node("Mul", z, logistic, to=h)


def _one(graph: Graph) -> str:
    return graph.constant("one", np.asarray(1.0))


FORMULAS: dict[str, NodeFormula] = {
    "identity": _unchanged,
    "relu": _operator("Relu"),
    "tanh": _operator("Tanh"),
    "logistic": _operator("Sigmoid"),
    "leaky_relu": _operator("LeakyRelu", alpha=LEAKY_SLOPE),
    "elu": _operator("Elu", alpha=1.0),
    "softplus": _operator("Softplus"),
    "gelu": _operator("Gelu", approximate="tanh"),
    "silu": _silu,
    "exp": _operator("Exp"),
    "softmax": _operator("Softmax", axis=-1),
}
"""The formulas of hidden layers and outputs by name: short forms, which runtimes know well."""

IN_FLOAT64: dict[str, NodeFormula] = {
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "gelu": _gelu,
    "silu": _silu_in_float64,
}
"""The formulas for float64 where the operator does not serve it: onnxruntime lacks it, or ONNX rounds its constants."""


OPERATORS = {
    "negative": "Neg",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "equal": "Equal",
    "maximum": "Max",
    "minimum": "Min",
    "where": "Where",
    "abs": "Abs",
    **{name: name.capitalize() for name in ("exp", "log", "sqrt", "tanh", "sin", "floor")},
}
"""The operator of each operation of a traced formula."""


class Nodes(Tracer):
    """A tracer that appends a node for each operation.

    Parameters
    ----------
    graph : Graph
        Graph to which the nodes are appended.
    prefix : str
        Beginning of the names of the nodes.
    dtype : dtype
        Dtype of the constants.
    """

    def __init__(self, graph: Graph, prefix: str, dtype: np.dtype) -> None:
        self._graph, self._prefix, self._dtype = graph, prefix, dtype
        self._numbers = itertools.count()

    def operation(self, name: str, *operands: Symbol | float) -> Symbol:
        """Append a node; return its result."""
        if name == "full":
            return Symbol(self, self._text(*operands))
        if name not in OPERATORS:
            raise Untraceable(f"no operator is known for {name}")
        to = f"{self._prefix}_{next(self._numbers)}"
        return Symbol(self, self._graph.node(OPERATORS[name], *map(self._text, operands), to=to))

    def log1p(self, x: Symbol) -> Symbol:
        """Return ``log(1 + x)`` as ``log(u) x / (u - 1)`` with u = 1 + x rounded, which keeps small x (W. Kahan)."""
        u = 1.0 + x
        return self.where(self.operation("equal", u, 1.0), x, self.log(u) * x / (u - 1.0))

    def expm1(self, x: Symbol) -> Symbol:
        """Return ``e^x - 1`` as ``2 t / (1 - t)`` with t = tanh(x / 2), which keeps small x; plain beyond 1."""
        t = self.tanh(0.5 * x)
        return self.where(x > 1.0, self.exp(x) - 1.0, 2.0 * t / (1.0 - t))

    def _text(self, x: Symbol | float) -> str:
        return str(x) if isinstance(x, Symbol) else self._graph.number(x, self._dtype)


def _traced_from_kernel(name: str, dtype: np.dtype) -> NodeFormula:
    def from_kernel(graph: Graph, z: str, h: str) -> str:
        try:
            return str(trace(ACTIVATIONS[name].value, Nodes(graph, h, dtype), z))
        except Untraceable as error:
            advice = "add it to portable_mlp/onnx/activations.py"
            raise ValueError(f"activation {name!r} has no ONNX form yet: {advice} ({error})") from None

    return from_kernel


def formula(name: str, dtype: np.dtype) -> NodeFormula:
    """Return the formula of an activation or output, by name.

    It raises ValueError where there is none and the kernel cannot be traced.
    """
    known = FORMULAS | IN_FLOAT64 if dtype == np.float64 else FORMULAS
    return known[name] if name in known else _traced_from_kernel(name, dtype)

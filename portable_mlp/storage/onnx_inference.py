"""A network as an ONNX graph: one Gemm a layer, its activation, and the weights inside the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..kernels.activations import GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from ..kernels.network import Network
from ..kernels.parameters import Layer, Params, unpack
from .onnx_files import Scaling, checked_scaling, checked_target_scaling, encoded, host_vector, load, write

OPSET = 20
"""The first version of ONNX's operators that has Gelu; onnxruntime runs it from 1.17 (January 2024) on."""

IR_VERSION = 9
"""The version of the file format that came with it."""


def export_onnx(
    path: str | os.PathLike[str],
    net: Network,
    params: Params,
    metadata: dict[str, Any] | None = None,
    *,
    input_scaling: Scaling | None = None,
    target_scaling: Scaling | None = None,
) -> None:
    """Write a network as an ONNX file, which onnxruntime and many other programs run (needs the extra ``onnx``).

    The graph has one input ``X`` of shape (n_samples, n_features), any number of samples, and one output (n_samples,
    n_outputs) with what `predict` computes: ``proba`` for the outputs softmax and logistic, else ``prediction``. Both
    have the dtype of the parameters, which are in the file as W1, b1, W2, ...

    Parameters
    ----------
    path : str or path
        Where; usually "*.onnx". An existing file is replaced in one step.
    net : Network
        What the parameters are for.
    params : tuple of Layer
        Parameters of any library and device, float32 or float64; one model.
    metadata : dict, optional
        Such as ``{"classes": ["no", "yes"]}``: each entry becomes a metadata property of the file, as JSON.
    input_scaling : pair of array-like of shape (n_features,), optional
        Mean and scale of each column, for a network that was trained on ``(X - mean) / scale``: the graph then takes
        raw rows.
    target_scaling : pair of array-like of shape (n_outputs,), optional
        Mean and scale of each target, for a network that was trained on ``(y - mean) / scale``: the graph then answers
        in the targets' own units.

    Raises
    ------
    ValueError
        If ``params`` belong to another network, have an axis of models, are not finite or exceed the 2 GB that an ONNX
        file can have; if a scaling does not fit; if an entry of ``metadata`` is one of the file's own.
    TypeError
        If the parameters are not float32 or float64, or ``metadata`` cannot be said in JSON.
    ImportError
        If onnx is missing.
    OSError
        If the file cannot be written.

    Notes
    -----
    A layer is at most three nodes, but for elu, silu, softplus and gelu in float64: onnxruntime has these in float32
    only, and their formulas make five to seven nodes. Opset 20; the same model gives the same bytes.

    Examples
    --------
    >>> import onnxruntime, pathlib, tempfile, numpy as np, portable_mlp as pm
    >>> net = pm.Network((2, 3, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "xor.onnx"
    ...     pm.export_onnx(path, net, pm.init_params(net), metadata={"classes": ["no", "yes"]})
    ...     session = onnxruntime.InferenceSession(path)
    >>> session.run(["proba"], {"X": np.asarray([[0.0, 0.0]])})
    [array([[0.5, 0.5]])]
    """
    flat = host_vector(net, params)
    in_scaling = checked_scaling("input_scaling", input_scaling, net.sizes[0], flat.dtype)
    out_scaling = checked_target_scaling(net, target_scaling, flat.dtype)
    graph = _Graph()
    x, layers = "X", unpack(net, flat)
    if in_scaling is not None:
        x, layers = _scale_input(graph, layers, *in_scaling)
    for i, ((W, b), name) in enumerate(zip(layers, (*net.activations, net.output), strict=True), start=1):
        z = graph.node("Gemm", x, graph.constant(f"W{i}", W), graph.constant(f"b{i}", b), to=f"z{i}")
        x = _formula(name, flat.dtype)(graph, z, f"h{i}")
    if out_scaling is not None:
        _scale_output(graph, x, *(number.astype(flat.dtype) for number in out_scaling))
    write(path, encoded(graph.model(net, flat.dtype), net, metadata))


def output_name(net: Network) -> str:
    """Return the name of the graph's output."""
    return "proba" if net.output in ("softmax", "logistic") else "prediction"


class _Graph:
    """Nodes in the order in which they are computed, each named after what it computes, and constants."""

    def __init__(self) -> None:
        self._helper = load("onnx.helper")
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        """Keep an array under a name, which is returned."""
        self._constants[name] = value
        return name

    def node(self, operator: str, *inputs: str, to: str, **attributes: Any) -> str:
        """Append a node; return the name of its output."""
        self._nodes.append(self._helper.make_node(operator, inputs, [to], name=to, **attributes))
        return to

    def model(self, net: Network, dtype: np.dtype) -> Any:
        """Return the model from X to the output of the last node, which gets the output's name."""
        make_value, to_tensor = self._helper.make_tensor_value_info, load("onnx.numpy_helper").from_array
        kind, output = self._helper.np_dtype_to_tensor_dtype(dtype), output_name(net)
        self._nodes[-1].name = self._nodes[-1].output[0] = output
        graph = self._helper.make_graph(
            self._nodes,
            "multi-layer perceptron",
            [make_value("X", kind, ["n_samples", net.sizes[0]])],
            [make_value(output, kind, ["n_samples", net.sizes[-1]])],
            [to_tensor(value, name) for name, value in self._constants.items()],
        )
        opset = self._helper.make_opsetid("", OPSET)
        return self._helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def _scale_input(graph: _Graph, layers: Params, mean: np.ndarray, scale: np.ndarray) -> tuple[str, Params]:
    """Append ``(X - mean) / scale``; return the name of the result, and the layers that take it.

    It is not folded into the first weights: far from zero, ``X W / scale`` and ``mean W / scale`` would cancel in the
    product's sum, each rounded, where the difference ``X - mean`` of two such numbers is exact. What the mean itself
    loses where it is rounded to float32 is made good in the biases.
    """
    (W, b), *others = layers
    rounded = mean.astype(b.dtype)
    centred = graph.node("Sub", "X", graph.constant("input_mean", rounded), to="X_centred")
    scaled = graph.node("Div", centred, graph.constant("input_scale", scale.astype(b.dtype)), to="X_scaled")
    lost = (mean - rounded) / scale
    return scaled, (Layer(W, (b - lost @ W.astype(np.float64)).astype(b.dtype)), *others)


def _scale_output(graph: _Graph, y: str, mean: np.ndarray, scale: np.ndarray) -> None:
    """Append ``y scale + mean``."""
    scaled = graph.node("Mul", y, graph.constant("target_scale", scale), to="y_scaled")
    graph.node("Add", scaled, graph.constant("target_mean", mean), to="y")


_Formula: TypeAlias = Callable[[_Graph, str, str], str]
"""``formula(graph, z, h)`` appends the nodes from z to h, and returns the name of the result."""


def _formula(name: str, dtype: np.dtype) -> _Formula:
    return (_FORMULAS | _FLOAT64_FORMULAS if dtype == np.float64 else _FORMULAS)[name]


def _operator(operator: str, **attributes: Any) -> _Formula:
    return lambda graph, z, h: graph.node(operator, z, to=h, **attributes)


def _identity(graph: _Graph, z: str, h: str) -> str:
    return z


def _silu(graph: _Graph, z: str, h: str) -> str:
    """``z logistic(z)``: Swish is younger than the opset, and not in every onnxruntime that knows it."""
    return graph.node("Mul", z, graph.node("Sigmoid", z, to=f"{h}_logistic"), to=h)


def _silu_in_float64(graph: _Graph, z: str, h: str) -> str:
    """``z / (1 + e^-z)``: for a Sigmoid times its input onnxruntime up to 1.23 puts an operator of float32."""
    e = graph.node("Exp", graph.node("Neg", z, to=f"{h}_neg"), to=f"{h}_exp")
    return graph.node("Div", z, graph.node("Add", e, _one(graph), to=f"{h}_denominator"), to=h)


def _leaky_relu(graph: _Graph, z: str, h: str) -> str:
    """``max(z, slope z)``."""
    slope = graph.constant("leaky_slope", np.asarray(LEAKY_SLOPE))
    return graph.node("Max", z, graph.node("Mul", z, slope, to=f"{h}_leak"), to=h)


def _elu(graph: _Graph, z: str, h: str) -> str:
    """``max(z, e^min(z, 0) - 1)``: an exponential lies above its tangent."""
    zero = graph.constant("zero", np.asarray(0.0))
    e = graph.node("Exp", graph.node("Min", z, zero, to=f"{h}_negative"), to=f"{h}_exp")
    return graph.node("Max", z, graph.node("Sub", e, _one(graph), to=f"{h}_expm1"), to=h)


def _softplus(graph: _Graph, z: str, h: str) -> str:
    """``max(z, 0) - log(logistic(|z|))``, which overflows for no z."""
    logistic = graph.node("Sigmoid", graph.node("Abs", z, to=f"{h}_abs"), to=f"{h}_logistic")
    log = graph.node("Log", logistic, to=f"{h}_log")
    return graph.node("Sub", graph.node("Relu", z, to=f"{h}_relu"), log, to=h)


def _gelu(graph: _Graph, z: str, h: str) -> str:
    """``z logistic(2 u)`` with ``2 u = z (a + b z^2)``: (1 + tanh u) / 2 is the logistic of 2 u."""
    a = graph.constant("gelu_a", np.asarray(2.0 * GELU_SCALE))
    b = graph.constant("gelu_b", np.asarray(2.0 * GELU_SCALE * GELU_CUBIC))
    square = graph.node("Mul", z, z, to=f"{h}_square")
    factor = graph.node("Add", graph.node("Mul", square, b, to=f"{h}_cubic"), a, to=f"{h}_factor")
    logistic = graph.node("Sigmoid", graph.node("Mul", z, factor, to=f"{h}_2u"), to=f"{h}_logistic")
    return graph.node("Mul", z, logistic, to=h)


def _one(graph: _Graph) -> str:
    return graph.constant("one", np.asarray(1.0))


_FORMULAS: dict[str, _Formula] = {
    "identity": _identity,
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
"""What a layer applies, by name, of hidden layers and outputs."""

_FLOAT64_FORMULAS: dict[str, _Formula] = {
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "gelu": _gelu,
    "silu": _silu_in_float64,
}
"""Where onnxruntime has no operator in float64, or, for Gelu, one whose constants are rounded to float32."""

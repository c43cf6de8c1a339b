"""A network as an ONNX graph: one Gemm a layer, its activation, and the weights inside the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.network import Network
from ..kernels.parameters import Layer, Params, unpack
from ..kernels.suggestions import suggesting
from ..storage.paths import FilePath
from .activations import formula
from .files import Scaling, checked_scaling, checked_target_scaling, host_vector, write_model
from .graph import Graph


@suggesting
def export_onnx(
    path: FilePath,
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
    path : str, bytes or path
        File to create or to replace in one step, usually "*.onnx".
    net : Network
        Network of the parameters.
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
        If the parameters are not float32 or float64, or ``metadata`` cannot be written as JSON.
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
    graph = Graph()
    x, layers = "X", unpack(net, flat)
    if in_scaling is not None:
        x, layers = _scale_input(graph, layers, *in_scaling)
    for i, ((W, b), name) in enumerate(zip(layers, (*net.activations, net.output), strict=True), start=1):
        z = graph.node("Gemm", x, graph.constant(f"W{i}", W), graph.constant(f"b{i}", b), to=f"z{i}")
        x = formula(name, flat.dtype)(graph, z, f"h{i}")
    if out_scaling is not None:
        _scale_output(graph, x, *(number.astype(flat.dtype) for number in out_scaling))
    model = graph.model(net.sizes[0], output_name(net), net.sizes[-1], flat.dtype)
    write_model(path, model, net, metadata)


def output_name(net: Network) -> str:
    """Return the name of the graph's output."""
    return "proba" if net.output in ("softmax", "logistic") else "prediction"


def _scale_input(graph: Graph, layers: Params, mean: np.ndarray, scale: np.ndarray) -> tuple[str, Params]:
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


def _scale_output(graph: Graph, y: str, mean: np.ndarray, scale: np.ndarray) -> None:
    """Append ``y scale + mean``."""
    scaled = graph.node("Mul", y, graph.constant("target_scale", scale), to="y_scaled")
    graph.node("Add", scaled, graph.constant("target_mean", mean), to="y")

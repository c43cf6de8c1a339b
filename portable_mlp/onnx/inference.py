"""A network as an ONNX graph: one Gemm a layer, its activation, and the weights inside the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.arrays import namespace_of
from ..kernels.network import Network
from ..kernels.parameters import Layer, Params, unpack
from ..kernels.suggestions import suggesting
from ..storage.paths import FilePath
from .activations import formula
from .features import in_order, pieces_of_columns, scaled_columns
from .files import Scaling, checked_edges, checked_scaling, checked_target_scaling, host_vector, write_model
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
    input_edges: Sequence[Sequence[float]] | None = None,
    target_range: tuple[Any, Any] | None = None,
) -> None:
    """Write a network as an ONNX file, which onnxruntime and many other programs run (needs the extra ``onnx``).

    The graph has one input ``X`` of shape (n_samples, n_features), any number of samples, and one output (n_samples,
    n_outputs) with what `predict` computes: ``proba`` for the outputs softmax and logistic, else ``prediction``. Both
    have the dtype of the parameters, which are in the file as W1, b1, W2, ...

    Parameters
    ----------
    path : str, bytes or path
        File to create or to replace in one step, usually ending in ".onnx".
    net : Network
        Network of the parameters.
    params : tuple of Layer
        Parameters of any library and device, float32 or float64; one model.
    metadata : dict, optional
        Such as ``{"classes": ["no", "yes"]}``: each entry becomes a metadata property of the file, as JSON.
    input_scaling : pair of array-like of shape (n_columns,), optional
        Mean and scale of each column, for a network that was trained on ``(X - mean) / scale``: the graph then takes
        raw rows. Numbers that float32 rounds too coarsely, such as Julian days, need parameters of float64.
    target_scaling : pair of array-like of shape (n_outputs,), optional
        Mean and scale of each target, for a network that was trained on ``(y - mean) / scale``: the graph then answers
        in the targets' own units.
    input_edges : sequence of sequences of float, optional
        For each column of X the edges between which it has pieces, as those of `TableEncoder`: the network takes each
        column, scaled, and behind it its pieces.
    target_range : pair of array-like of shape (n_outputs,), optional
        The least and the greatest value of each answer.

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
    pieces = checked_edges(net, input_edges, flat.dtype)
    n_columns = net.sizes[0] if pieces is None else pieces.n_columns
    in_scaling = checked_scaling("input_scaling", input_scaling, n_columns, flat.dtype)
    out_scaling = checked_target_scaling(net, target_scaling, flat.dtype)
    bounds = checked_range(net, target_range)
    graph = Graph()
    x, layers = graph.input("X", flat.dtype, n_columns), unpack(net, flat)
    scaled = x
    if in_scaling is not None:
        places = np.arange(n_columns) if pieces is None else np.flatnonzero(pieces.order < n_columns)
        scaled, layers = scaled_columns(graph, x, layers, in_scaling, places, flat.dtype)
    features = scaled
    if pieces is not None:
        features = in_order(graph, [scaled, pieces_of_columns(graph, x, pieces, flat.dtype)], pieces.order)
    y = append_network(graph, features, net, layers)
    append_answers(graph, y, out_scaling, bounds, flat.dtype)
    write_model(path, graph.model(output_name(net), net.sizes[-1], flat.dtype), net, metadata)


def append_network(graph: Graph, x: str, net: Network, layers: Params) -> str:
    """Append the layers of a network, or of several with a leading axis, whose outputs are averaged.

    Parameters
    ----------
    graph : Graph
        The graph so far.
    x : str
        The inputs of the network (n_samples, n_inputs).
    net : Network
        The network, or each of several.
    layers : tuple of Layer
        Its parameters on the host.

    Returns
    -------
    str
        The outputs (n_samples, n_outputs).
    """
    several = layers[0].W.ndim == 3
    for i, ((W, b), name) in enumerate(zip(layers, (*net.activations, net.output), strict=True), start=1):
        weights, biases = graph.constant(f"W{i}", W), graph.constant(f"b{i}", b[:, None, :] if several else b)
        if several:
            z = graph.node("Add", graph.node("MatMul", x, weights, to=f"product{i}"), biases, to=f"z{i}")
        else:
            z = graph.node("Gemm", x, weights, biases, to=f"z{i}")
        x = formula(name, W.dtype)(graph, z, f"h{i}")
    if several:
        x = graph.node("ReduceMean", x, graph.constant("models", np.asarray([0])), to="mean", keepdims=0)
    return x


def append_answers(
    graph: Graph, y: str, scaling: Scaling | None, bounds: tuple[np.ndarray, np.ndarray] | None, dtype: np.dtype
) -> None:
    """Append ``y scale + mean``, between the least and the greatest answers; ONNX's Clip takes one pair for all.

    It is written ``mean - y (-scale)``, for the reason of `scaled_columns`.
    """
    if scaling is not None:
        mean, scale = (number.astype(dtype) for number in scaling)
        scaled = graph.node("Mul", y, graph.constant("target_scale", -scale), to="y_scaled")
        y = graph.node("Sub", graph.constant("target_mean", mean), scaled, to="y")
    if bounds is not None:
        low, high = (bound.astype(dtype) for bound in bounds)
        raised = graph.node("Max", y, graph.constant("target_low", low), to="y_raised")
        graph.node("Min", raised, graph.constant("target_high", high), to="y_in_range")


def output_name(net: Network) -> str:
    """Return the name of the graph's output."""
    return "proba" if net.output in ("softmax", "logistic") else "prediction"


def with_both_classes(net: Network, params: Params) -> tuple[Network, Params]:
    """Return a network of one logistic output with a probability for either class.

    logistic(z) is the second entry of softmax(0, z). Parameters may have a leading axis of models.
    """
    W, b = params[-1]
    xp = namespace_of(W)
    both = Layer(xp.concat([xp.zeros_like(W), W], axis=-1), xp.concat([xp.zeros_like(b), b], axis=-1))
    return Network((*net.sizes[:-1], 2), net.activation), (*params[:-1], both)


def checked_range(net: Network, bounds: tuple[Any, Any] | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the least and the greatest answers (n_outputs,), if given; raise ValueError where they do not fit."""
    if bounds is None:
        return None
    low, high = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    if low.shape != (net.sizes[-1],) or high.shape != low.shape or not (low <= high).all():
        raise ValueError(f"target_range must be a pair (low, high) of shape ({net.sizes[-1]},) each, low <= high")
    return low, high

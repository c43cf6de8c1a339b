"""A network as an ONNX graph: one Gemm a layer, its activation, and the weights inside the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.network import Network
from ..kernels.parameters import Layer, Params, unpack
from ..kernels.suggestions import suggesting
from ..storage.paths import FilePath
from .activations import formula
from .files import Pieces, Scaling, checked_edges, checked_scaling, checked_target_scaling, host_vector, write_model
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
        File to create or to replace in one step, usually "*.onnx".
    net : Network
        Network of the parameters.
    params : tuple of Layer
        Parameters of any library and device, float32 or float64; one model.
    metadata : dict, optional
        Such as ``{"classes": ["no", "yes"]}``: each entry becomes a metadata property of the file, as JSON.
    input_scaling : pair of array-like of shape (n_columns,), optional
        Mean and scale of each column, for a network that was trained on ``(X - mean) / scale``: the graph then takes
        raw rows.
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
    pieces = checked_edges(net, input_edges)
    n_columns = net.sizes[0] if pieces is None else pieces.n_columns
    in_scaling = checked_scaling("input_scaling", input_scaling, n_columns, flat.dtype)
    out_scaling = checked_target_scaling(net, target_scaling, flat.dtype)
    bounds = _checked_range(net, target_range)
    graph = Graph()
    x, layers = "X", unpack(net, flat)
    if in_scaling is not None:
        x, layers = _scale_input(graph, layers, *in_scaling, pieces)
    if pieces is not None:
        x = _add_pieces(graph, x, pieces, flat.dtype)
    for i, ((W, b), name) in enumerate(zip(layers, (*net.activations, net.output), strict=True), start=1):
        z = graph.node("Gemm", x, graph.constant(f"W{i}", W), graph.constant(f"b{i}", b), to=f"z{i}")
        x = formula(name, flat.dtype)(graph, z, f"h{i}")
    if out_scaling is not None:
        x = _scale_output(graph, x, *(number.astype(flat.dtype) for number in out_scaling))
    if bounds is not None:
        _keep_in_range(graph, x, *(number.astype(flat.dtype) for number in bounds))
    model = graph.model(n_columns, output_name(net), net.sizes[-1], flat.dtype)
    write_model(path, model, net, metadata)


def output_name(net: Network) -> str:
    """Return the name of the graph's output."""
    return "proba" if net.output in ("softmax", "logistic") else "prediction"


def _scale_input(
    graph: Graph, layers: Params, mean: np.ndarray, scale: np.ndarray, pieces: Pieces | None
) -> tuple[str, Params]:
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
    W_of_columns = (W if pieces is None else W[np.flatnonzero(pieces.order < pieces.n_columns)]).astype(np.float64)
    return scaled, (Layer(W, (b - lost @ W_of_columns).astype(b.dtype)), *others)


def _add_pieces(graph: Graph, x: str, pieces: Pieces, dtype: np.dtype) -> str:
    """Append the pieces of the columns of X to x, which are the same columns, scaled; return the name of all features.

    Pieces are of the raw numbers: near an edge their difference is exact.
    """
    zero, one = (graph.constant(name, np.asarray(value, dtype)) for name, value in (("zero", 0), ("one", 1)))
    of_piece = graph.node("Gather", "X", graph.constant("piece_column", pieces.column), to="X_of_pieces", axis=1)
    above = graph.node("Sub", of_piece, graph.constant("piece_low", pieces.low.astype(dtype)), to="above_low")
    ratio = graph.node("Div", above, graph.constant("piece_width", pieces.width.astype(dtype)), to="ratio")
    within = graph.node("Clip", ratio, zero, one, to="pieces")
    both = graph.node("Concat", x, within, to="columns_and_pieces", axis=1)
    return graph.node("Gather", both, graph.constant("feature_order", pieces.order), to="features", axis=1)


def _scale_output(graph: Graph, y: str, mean: np.ndarray, scale: np.ndarray) -> str:
    """Append ``y scale + mean``; return the name of the result."""
    scaled = graph.node("Mul", y, graph.constant("target_scale", scale), to="y_scaled")
    return graph.node("Add", scaled, graph.constant("target_mean", mean), to="y")


def _checked_range(net: Network, bounds: tuple[Any, Any] | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the least and the greatest answers (n_outputs,), if given; raise ValueError where they do not fit."""
    if bounds is None:
        return None
    low, high = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    if low.shape != (net.sizes[-1],) or high.shape != low.shape or not (low <= high).all():
        raise ValueError(f"target_range must be a pair (low, high) of shape ({net.sizes[-1]},) each, low <= high")
    return low, high


def _keep_in_range(graph: Graph, y: str, low: np.ndarray, high: np.ndarray) -> None:
    """Append ``min(max(y, low), high)``; ONNX's Clip takes one pair for all outputs."""
    raised = graph.node("Max", y, graph.constant("target_low", low), to="y_raised")
    graph.node("Min", raised, graph.constant("target_high", high), to="y_in_range")

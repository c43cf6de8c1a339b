"""Columns of numbers as nodes of an ONNX graph: scaled, and beside each its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.parameters import Layer, Params
from ..tables.number_features import Pieces
from .files import Scaling
from .graph import Graph


def scaled_columns(
    graph: Graph, x: str, layers: Params, scaling: Scaling, places: np.ndarray, dtype: np.dtype
) -> tuple[str, Params]:
    """Append ``(x - mean) / scale``, as ``(mean - x) / -scale``, which has the same bits.

    onnxruntime leaves out a subtraction of 0 and a division by 1, and takes numbers of float64 for these that become
    them in float32, such as a mean of 1e-50.

    It is not folded into the first weights: far from zero, ``x W / scale`` and ``mean W / scale`` would cancel in the
    product's sum, each rounded, where the difference ``x - mean`` of two such numbers is exact. What the mean itself
    loses where it is rounded to ``dtype`` is made good in the biases.

    Parameters
    ----------
    graph : Graph
        The graph so far.
    x : str
        The columns (n_samples, n_columns).
    layers : tuple of Layer
        Layers of the network that takes them, perhaps with a leading axis of models.
    scaling : pair of ndarray of shape (n_columns,)
        Mean and scale of each column.
    places : ndarray of shape (n_columns,)
        The place of each column among the inputs of the network.
    dtype : dtype
        Dtype of the columns.

    Returns
    -------
    scaled : str
        The scaled columns (n_samples, n_columns), in ``dtype``.
    layers : tuple of Layer
        The layers that take them.
    """
    ((W, b), *others), (mean, scale) = layers, scaling
    rounded = mean.astype(dtype)
    centred = graph.node("Sub", graph.constant("input_mean", rounded), x, to="X_centred")
    scaled = graph.node("Div", centred, graph.constant("input_scale", -scale.astype(dtype)), to="X_scaled")
    lost = (mean - rounded) / scale
    return scaled, (Layer(W, (b - lost @ W[..., places, :].astype(np.float64)).astype(b.dtype)), *others)


def pieces_of_columns(graph: Graph, x: str, pieces: Pieces, dtype: np.dtype) -> str:
    """Append the pieces of raw columns (n_samples, n_columns); return the name of the result (n_samples, n_pieces).

    Pieces are of the raw numbers: near an edge their difference is exact. No width may be 0 in ``dtype``, that of the
    columns: 0 / 0 would be NaN.
    """
    of_piece = graph.node("Gather", x, graph.constant("piece_column", pieces.column), to="X_of_pieces", axis=1)
    above = graph.node("Sub", of_piece, graph.constant("piece_low", pieces.low.astype(dtype)), to="above_low")
    ratio = graph.node("Div", above, graph.constant("piece_width", pieces.width.astype(dtype)), to="ratio")
    return graph.node("Clip", ratio, graph.number(0.0, dtype), graph.number(1.0, dtype), to="pieces")


def in_order(graph: Graph, parts: Sequence[str], order: np.ndarray) -> str:
    """Append the inputs of a network: the features of all parts, one part after another, in the order of these places.

    Parameters
    ----------
    graph : Graph
        The graph so far.
    parts : sequence of str
        Features, each (n_samples, n_features of the part).
    order : ndarray of shape (n_features,), int64
        For each input of the network the place of its feature.

    Returns
    -------
    str
        The inputs (n_samples, n_features).
    """
    features = graph.node("Concat", *parts, to="parts", axis=1) if len(parts) > 1 else parts[0]
    if np.array_equal(order, np.arange(len(order))):
        return features
    return graph.node("Gather", features, graph.constant("feature_order", order), to="features", axis=1)

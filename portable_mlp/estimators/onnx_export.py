"""A fitted estimator as an ONNX file: its network, whose outputs are those of ``predict_proba`` or ``predict``."""

from __future__ import annotations

from typing import Any

import array_api_compat
from sklearn.base import is_classifier

from ..kernels.network import Network
from ..kernels.parameters import Layer, Params
from ..onnx.inference import export_onnx
from ..storage.paths import FilePath


def to_onnx(estimator: Any, net: Network, params: Params, path: FilePath) -> None:
    """Write a fitted estimator, which computes ``net`` with ``params``; see `BaseMLP.to_onnx`."""
    metadata = {}
    if is_classifier(estimator):
        metadata["classes"] = estimator._labels.tolist()
        if estimator.n_outputs_ == 1:
            net, params = _with_both_classes(net, params)
    if hasattr(estimator, "feature_names_in_"):
        metadata["feature_names"] = estimator.feature_names_in_.tolist()
    export_onnx(path, net, params, metadata)


def _with_both_classes(net: Network, params: Params) -> tuple[Network, Params]:
    """Return the network with a probability for either class: logistic(z) is the second entry of softmax(0, z)."""
    W, b = params[-1]
    xp = array_api_compat.array_namespace(W)
    both = Layer(xp.concat([xp.zeros_like(W), W], axis=1), xp.concat([xp.zeros_like(b), b]))
    return Network((*net.sizes[:-1], 2), net.activation), (*params[:-1], both)

"""A fitted estimator as an ONNX file: its network, whose outputs are those of ``predict_proba`` or ``predict``."""

from __future__ import annotations

from typing import Any

from sklearn.base import is_classifier

from ..kernels.network import Network
from ..kernels.parameters import Params
from ..onnx.inference import export_onnx, with_both_classes
from ..storage.paths import FilePath


def to_onnx(estimator: Any, net: Network, params: Params, path: FilePath) -> None:
    """Write a fitted estimator, which computes ``net`` with ``params``; see `BaseMLP.to_onnx`."""
    metadata = {}
    if is_classifier(estimator):
        metadata["classes"] = estimator._labels.tolist()
        if estimator.n_outputs_ == 1:
            net, params = with_both_classes(net, params)
    if hasattr(estimator, "feature_names_in_"):
        metadata["feature_names"] = estimator.feature_names_in_.tolist()
    export_onnx(path, net, params, metadata)

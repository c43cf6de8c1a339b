"""An ONNX graph, put together node by node, with the weights inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from .files import load_onnx

OPSET = 20
"""The first version of ONNX's operators that has Gelu; onnxruntime runs these graphs from 1.18 (May 2024) on."""

IR_VERSION = 9
"""The version of the file format that came with it."""


class Graph:
    """Nodes in the order of computation, each named after its result, and constants."""

    def __init__(self) -> None:
        self._helper = load_onnx("onnx.helper")
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add an array under a name; return the name."""
        self._constants[name] = value
        return name

    def node(self, operator: str, *inputs: str, to: str, **attributes: Any) -> str:
        """Append a node; return the name of its output."""
        self._nodes.append(self._helper.make_node(operator, inputs, [to], name=to, **attributes))
        return to

    def model(self, n_features: int, output: str, n_outputs: int, dtype: np.dtype) -> Any:
        """Return the model from X to the result of the last node, which is named ``output``."""
        make_value, to_tensor = self._helper.make_tensor_value_info, load_onnx("onnx.numpy_helper").from_array
        kind = self._helper.np_dtype_to_tensor_dtype(dtype)
        self._nodes[-1].name = self._nodes[-1].output[0] = output
        graph = self._helper.make_graph(
            self._nodes,
            "multi-layer perceptron",
            [make_value("X", kind, ["n_samples", n_features])],
            [make_value(output, kind, ["n_samples", n_outputs])],
            [to_tensor(value, name) for name, value in self._constants.items()],
        )
        opset = self._helper.make_opsetid("", OPSET)
        return self._helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

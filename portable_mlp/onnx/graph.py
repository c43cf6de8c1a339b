"""An ONNX graph, put together node by node, with the weights inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .files import load_onnx

OPSET = 20
"""The first version of ONNX's operators that has Gelu; onnxruntime runs these graphs from 1.18 (May 2024) on."""

ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3
"""The operators of classical machine learning, of which LabelEncoder is the one that reads texts."""

IR_VERSION = 9
"""The version of the file format that came with it."""


class Graph:
    """Inputs, nodes in the order of computation, each named after its result, and constants.

    The names of inputs are given, perhaps those of a table's columns. Inputs come first: the name of a constant or
    node that is one of an input gets underscores behind it.
    """

    def __init__(self) -> None:
        self._helper = load_onnx("onnx.helper")
        self._inputs: dict[str, Any] = {}
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}

    def input(self, name: str, dtype: Any, n_columns: int) -> str:
        """Add an input (n_samples, n_columns), of texts if the dtype is object; return its name."""
        self._inputs[name] = self._matrix(name, dtype, n_columns)
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add an array under a name; return the name."""
        free = self._free(name)
        self._constants[free] = value
        return free

    def number(self, value: float, dtype: Any) -> str:
        """Add a number, once for each dtype; return its name."""
        return self.constant(f"{np.dtype(dtype)}_{value!r}", np.asarray(value, dtype))

    def node(self, operator: str, *inputs: str, to: str, **attributes: Any) -> str:
        """Append a node; return the name of its output."""
        free = self._free(to)
        self._nodes.append(self._helper.make_node(operator, inputs, [free], name=free, **attributes))
        return free

    def model(self, output: str, n_outputs: int, dtype: np.dtype) -> Any:
        """Return the model from the inputs to the result of the last node, which is named ``output``."""
        free = self._free(output)
        self._nodes[-1].name = self._nodes[-1].output[0] = free
        graph = self._helper.make_graph(
            self._nodes,
            "multi-layer perceptron",
            list(self._inputs.values()),
            [self._matrix(free, dtype, n_outputs)],
            self._tensors(),
        )
        return self._helper.make_model(graph, opset_imports=self._opsets({}), ir_version=IR_VERSION)

    def before(self, model: Any, **given: str) -> Any:
        """Return a model that computes this graph first, and then another model.

        Names of the other model's inputs and outputs that are those of an input here get underscores behind them.

        Parameters
        ----------
        model : onnx.ModelProto
            The other model, of this or a later version of ONNX's operators.
        **given : str
            Inputs of that model, and the results of this graph that they become.
        """
        others = model.graph
        interface = [value.name for value in (*others.input, *others.output)]
        new_names = {"": "", **{name: self._free(name) for name in interface}, **given}

        def renamed(name: str) -> str:
            return new_names.get(name) or (name and self._free(f"model/{name}"))

        for node in others.node:
            node.name = renamed(node.name)
            node.input[:], node.output[:] = map(renamed, node.input), map(renamed, node.output)
        for value in (*others.input, *others.output, *others.initializer):
            value.name = renamed(value.name)
        inputs = [value for value in others.input if value.name not in given.values()]
        joined = self._helper.make_graph(
            [*self._nodes, *others.node],
            others.name,
            [*self._inputs.values(), *inputs],
            others.output,
            [*self._tensors(), *others.initializer],
        )
        later = {entry.domain: entry.version for entry in model.opset_import}
        return self._helper.make_model(joined, opset_imports=self._opsets(later), ir_version=model.ir_version)

    def _tensors(self) -> list[Any]:
        """Return the constants."""
        to_tensor = load_onnx("onnx.numpy_helper").from_array
        return [to_tensor(value, name) for name, value in self._constants.items()]

    def _opsets(self, others: Mapping[str, int]) -> list[Any]:
        """Return the versions of the operators that are used, and of others, which replace the own ones."""
        versions = {"": OPSET, ML_DOMAIN: ML_OPSET, **others}
        used = {"", *others, *(node.domain for node in self._nodes)}
        return [self._helper.make_opsetid(domain, versions[domain]) for domain in sorted(used)]

    def _matrix(self, name: str, dtype: Any, n_columns: int) -> Any:
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._helper.make_tensor_value_info(name, kind, ["n_samples", n_columns])

    def _free(self, name: str) -> str:
        while name in self._inputs:
            name += "_"
        return name

"""The training step as an ONNX graph: the library's own kernels, traced with ndonnx, whose arrays are graph nodes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels.activations import OUTPUTS
from ..kernels.arguments import check_targets
from ..kernels.arrays import Array, constant
from ..kernels.batch import Batch, encode_targets
from ..kernels.docstrings import documented_with, quoted
from ..kernels.network import Network
from ..kernels.optimizers import OPTIMIZERS
from ..kernels.options import check_choice
from ..kernels.parameters import Params, n_parameters, unpack
from ..kernels.primitives import BatchLoss, Primitives
from ..kernels.primitives import GradientSums as Sums
from ..kernels.step import Carry, Objective, Program, advance, passes
from ..kernels.suggestions import suggesting
from ..storage.paths import FilePath
from ..tables.number_features import Pieces
from ..training.options import OF_OPTIMIZERS, TRAINING_OPTIONS, checked, of_optimizer
from .files import (
    Scaling,
    checked_edges,
    checked_scaling,
    checked_target_scaling,
    host_vector,
    load_onnx,
    write_model,
)
from .inference import output_name
from .namespace import OnnxNamespace


@documented_with(optimizers=quoted(OPTIMIZERS), options=quoted(sorted(OF_OPTIMIZERS)))
@functools.partial(suggesting, keywords=sorted(OF_OPTIMIZERS))
def export_onnx_training(
    path: FilePath,
    net: Network,
    params: Params,
    metadata: dict[str, Any] | None = None,
    *,
    solver: str = TRAINING_OPTIONS["solver"].default,
    input_scaling: Scaling | None = None,
    target_scaling: Scaling | None = None,
    input_edges: Sequence[Sequence[float]] | None = None,
    **options: float,
) -> None:
    """Write one training step as an ONNX file, with which training continues wherever onnxruntime runs.

    The step is that of `train`: forward, loss, backward, update, from the same kernels. Its inputs are

    * ``X`` (n_samples, n_features), and ``y``: for softmax int64 labels (n_samples,), else (n_samples, n_outputs);
    * what a step changes: ``parameters`` (n_parameters,), flat as `pack` makes them; the moments, as long: ``m`` and
      ``v`` of "adam" and "adamw", ``v`` of "sgd" with momentum; and ``step``, an int64 number, the steps taken so far;
    * ``learning_rate`` and ``l2``, two float64 numbers.

    All but X and y may be left out: the file holds the given parameters, moments of 0, step 0, and the learning rate
    and l2 that `train` has by default. The outputs are ``loss``, the batch's mean with the penalty; ``proba`` or
    ``prediction``, what the network made of X before the step; and ``next_parameters``, ``next_m``, ... for the next
    step.

    Parameters
    ----------
    path : str, bytes or path
        File to create or to replace in one step, usually ending in ".onnx".
    net : Network
        Network that is trained.
    params : tuple of Layer
        First parameters, of any library and device, float32 or float64; one model.
    metadata : dict, optional
        Metadata properties of the file, as for `export_onnx`.
    solver : str
        Optimizer that makes the update, one of {optimizers}.
    input_scaling : pair of array-like of shape (n_columns,), optional
        As for `export_onnx`: X is raw then.
    target_scaling : pair of array-like of shape (n_outputs,), optional
        As for `export_onnx`: y and the prediction are raw then, the loss is of the scaled targets.
    input_edges : sequence of sequences of float, optional
        The same as for `export_onnx`.
    **options : float
        Options of the optimizers, as for `train` and with its defaults: {options}. The file has those of its solver.

    Raises
    ------
    ValueError
        As `export_onnx`; or if an option is not as described. The file holds every moment too, and so reaches 2 GB
        with a third of the parameters.
    TypeError
        As `export_onnx`.
    ImportError
        If onnx or ndonnx is missing.
    OSError
        If the file cannot be written.

    Notes
    -----
    onnxruntime warns that such inputs are not constants, as is meant: ``SessionOptions.log_severity_level = 3`` is
    silent. The solver and its constants are in the metadata property "training". Opset 21.

    Examples
    --------
    >>> import onnxruntime, pathlib, tempfile, numpy as np, portable_mlp as pm
    >>> net = pm.Network((2, 8, 2), activation="tanh")
    >>> options = onnxruntime.SessionOptions()
    >>> options.log_severity_level = 3
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "xor_step.onnx"
    ...     pm.export_onnx_training(path, net, pm.init_params(net))
    ...     session = onnxruntime.InferenceSession(path, options)
    >>> batch = {"X": np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), "y": np.asarray([0, 1, 1, 0])}
    >>> state = {"learning_rate": np.asarray(0.05)}
    >>> for _ in range(200):
    ...     loss, proba, *new = session.run(None, batch | state)
    ...     state |= zip(["parameters", "m", "v", "step"], new)
    >>> bool(loss < 0.01), proba.argmax(axis=1)
    (True, array([0, 1, 1, 0]))
    """
    if not options.keys() <= OF_OPTIMIZERS:
        raise TypeError("an option is of no optimizer")  # `suggesting` names it
    model, described = training_model(
        net,
        params,
        solver,
        options,
        input_scaling=input_scaling,
        target_scaling=target_scaling,
        input_edges=input_edges,
    )
    write_model(path, model, net, metadata, training=described)


def training_model(
    net: Network,
    params: Params,
    solver: str,
    options: Mapping[str, float],
    *,
    input_scaling: Scaling | None = None,
    target_scaling: Scaling | None = None,
    input_edges: Sequence[Sequence[float]] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Return the model of a training step, and a description of its solver, for `export_onnx_training`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As `export_onnx_training`.
    """
    check_choice("solver", solver, tuple(OPTIMIZERS))
    own = of_optimizer(checked({"solver": solver, **options}))
    optimizer = OPTIMIZERS[solver].make(**own)
    flat = host_vector(net, params, copies=1 + len(optimizer.moments))
    pieces = checked_edges(net, input_edges, flat.dtype)
    n_columns = net.sizes[0] if pieces is None else pieces.n_columns
    step = _Step(
        Program(Objective(net), optimizer),
        n_columns,
        checked_scaling("input_scaling", input_scaling, n_columns, flat.dtype),
        pieces,
        checked_target_scaling(net, target_scaling, flat.dtype),
    )
    model = _model_of(step, flat.dtype)
    to_tensor = load_onnx("onnx.numpy_helper").from_array
    model.graph.initializer.extend(to_tensor(value, name) for name, value in _first_state(step, flat).items())
    return model, {"solver": solver, **own}


class _Step(NamedTuple):
    """The definition of a step, without the values of the parameters."""

    program: Program
    n_columns: int
    input_scaling: Scaling | None
    pieces: Pieces | None
    target_scaling: Scaling | None

    @property
    def net(self) -> Network:
        """The network."""
        return self.program.net

    @property
    def moments(self) -> tuple[str, ...]:
        """The names of the optimizer's moments."""
        return self.program.optimizer.moments


def _first_state(step: _Step, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return the default of each input that may be left out."""
    return {
        "parameters": flat,
        **{name: np.zeros_like(flat) for name in step.moments},
        "step": np.asarray(0),
        "learning_rate": np.asarray(TRAINING_OPTIONS["learning_rate"].default),
        "l2": np.asarray(TRAINING_OPTIONS["l2"].default),
    }


def _inputs(xp: Any, step: _Step, dtype: Any) -> dict[str, Array]:
    n_outputs = step.net.sizes[-1]
    flat = {"shape": (n_parameters(step.net.sizes),), "dtype": dtype}
    if step.net.output == "softmax":
        y = xp.argument(shape=("n_samples",), dtype=xp.int64)
    else:
        y = xp.argument(shape=("n_samples", n_outputs), dtype=dtype)
    return {
        "X": xp.argument(shape=("n_samples", step.n_columns), dtype=dtype),
        "y": y,
        **{name: xp.argument(**flat) for name in ("parameters", *step.moments)},
        "step": xp.argument(shape=(), dtype=xp.int64),
        "learning_rate": xp.argument(shape=(), dtype=xp.float64),
        "l2": xp.argument(shape=(), dtype=xp.float64),
    }


def _model_of(step: _Step, dtype: np.dtype) -> Any:
    """Return the model of a step, from its inputs to its outputs, without the values of the first state."""
    xp = OnnxNamespace()
    inputs = _inputs(xp, step, xp.from_numpy_dtype(dtype))
    X, y, flat, *moments, n_steps, rate, l2 = inputs.values()
    ops = Primitives(xp)
    loss, sums, y_hat = _evaluated(ops, step, X, y, flat, l2)
    n_steps = n_steps + 1
    # These are Python's float64 outside a graph too, and meet the arrays in the arrays' dtype.
    scalars = step.program.scalars(xp.astype(n_steps, xp.float64), rate, xp.sqrt)
    in_dtype = tuple(xp.astype(number, flat.dtype) for number in scalars)
    before = Carry(flat, tuple(moments), constant(xp, flat, 0.0))
    (flat, moments, _), loss = advance(ops, step.program, before, loss, sums, 1.0, in_dtype)
    after = zip(("parameters", *step.moments, "step"), (flat, *moments, n_steps), strict=True)
    outputs = {"loss": loss, output_name(step.net): y_hat, **{f"next_{name}": x for name, x in after}}
    model = xp.build(inputs, outputs)
    model.graph.name = "training step of a multi-layer perceptron"
    return model


def _evaluated(
    ops: Primitives, step: _Step, X: Array, y: Array, flat: Array, l2: Array
) -> tuple[BatchLoss, Sums, Array]:
    """Return a batch's loss without the penalty, the sums of its gradients, and the output for X."""
    xp, net, params = ops.xp, step.net, unpack(step.net, flat)
    Y = check_targets(xp, net, y, n_samples=y.shape[0], models=(), dtype=flat.dtype)
    batch = encode_targets(ops, net, Batch(_features(xp, X, step), Y))
    batch = batch._replace(Y=_in_scaled_units(xp, batch.Y, step.target_scaling))
    n_samples = xp.astype(X.dynamic_shape[0], xp.float64)
    strength, divisor = xp.astype(l2 * n_samples, flat.dtype), xp.astype(n_samples, flat.dtype)
    loss, sums, logits = passes(ops, step.program.objective, params, batch, divisor, strength)
    y_hat = OUTPUTS[net.output](xp, logits)
    return loss, sums, _in_raw_units(xp, y_hat, step.target_scaling)


def _features(xp: Any, X: Array, step: _Step) -> Array:
    """Return the inputs of the network: each column, scaled, and behind it its pieces."""
    scaled, pieces = _in_scaled_units(xp, X, step.input_scaling), step.pieces
    if pieces is None:
        return scaled
    low, width, column, order = map(xp.asarray, (pieces.low, pieces.width, pieces.column, pieces.order))
    ratio = (xp.take(xp.astype(X, xp.float64), column, axis=1) - low) / width
    within = xp.minimum(xp.maximum(ratio, xp.asarray(0.0)), xp.asarray(1.0))
    return xp.take(xp.concat([scaled, xp.astype(within, X.dtype)], axis=1), order, axis=1)


def _in_scaled_units(xp: Any, x: Array, scaling: Scaling | None) -> Array:
    if scaling is None:
        return x
    mean, scale = map(xp.asarray, scaling)
    return xp.astype((xp.astype(x, xp.float64) - mean) / scale, x.dtype)


def _in_raw_units(xp: Any, x: Array, scaling: Scaling | None) -> Array:
    if scaling is None:
        return x
    mean, scale = map(xp.asarray, scaling)
    return xp.astype(xp.astype(x, xp.float64) * scale + mean, x.dtype)

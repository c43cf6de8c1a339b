"""The training step as an ONNX graph: onnxruntime takes the steps that `train` takes, and those that PyTorch takes."""

import inspect
import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import portable_mlp as pm
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.kernels.optimizers import OPTIMIZERS
from tests.selection import and_rarely_others, one_in

RTOL = {"float32": 1e-5, "float64": 1e-12}
N_SAMPLES, BATCH_SIZE = 195, 10  # 20 steps, the last of 5 samples


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "step.onnx"


def session(path: pathlib.Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that inputs with a value are not constants
    return onnxruntime.InferenceSession(path, options)


def data(net: pm.Network, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(N_SAMPLES, net.sizes[0])).astype(dtype)
    if net.output == "softmax":
        return X, rng.integers(0, net.sizes[-1], N_SAMPLES)
    return X, rng.uniform(0.1, 0.9, (N_SAMPLES, net.sizes[-1])).astype(dtype)


def learnt(path: pathlib.Path, X: np.ndarray, y: np.ndarray, **numbers: float) -> tuple[dict[str, Any], float]:
    """Take one step for every batch; return the state after them, and the mean loss over samples."""
    steps = session(path)
    names = [output.name for output in steps.get_outputs()]
    state: dict[str, Any] = {name: np.asarray(number) for name, number in numbers.items()}
    losses = []
    for start in range(0, len(X), BATCH_SIZE):
        batch = {"X": X[start : start + BATCH_SIZE], "y": y[start : start + BATCH_SIZE]}
        results = dict(zip(names, steps.run(None, batch | state), strict=True))
        state |= {name.removeprefix("next_"): x for name, x in results.items() if name.startswith("next_")}
        losses.append(float(results["loss"]) * len(batch["X"]))
    return state, sum(losses) / len(X)


def compare(path: pathlib.Path, net: pm.Network, dtype: str = "float64", l2: float = 0.01, **options: Any) -> None:
    """Compare twenty steps with those of `train`, relative to the largest parameter."""
    params = pm.init_params(net, random_state=1, dtype=dtype)
    X, y = data(net, dtype)
    pm.export_onnx_training(path, net, params, **options)
    expected = pm.train(
        net, params, X, y, learning_rate=0.02, batch_size=BATCH_SIZE, epochs=1, shuffle=False, l2=l2, **options
    )
    state, loss = learnt(path, X, y, learning_rate=0.02, l2=l2)
    flat = pm.pack(expected.params)
    assert state["parameters"].dtype == flat.dtype
    np.testing.assert_allclose(state["parameters"], flat, rtol=0, atol=RTOL[dtype] * float(np.abs(flat).max()))
    assert loss == pytest.approx(expected.history["loss"][0], rel=RTOL[dtype])
    assert state["step"] == 20


@pytest.mark.parametrize(
    ("activation", "dtype"),
    and_rarely_others([("relu", "float64"), ("gelu", "float32"), ("softplus", "float64")], ACTIVATIONS, RTOL),
)
def test_twenty_steps_are_those_of_train(activation: str, dtype: str, path: pathlib.Path) -> None:
    compare(path, pm.Network((4, 7, 6, 3), activation=activation), dtype)


@pytest.mark.parametrize(
    ("output", "loss", "dtype"),
    [
        ("logistic", "binary_cross_entropy", "float32"),
        ("logistic", "squared_error", "float64"),
        ("identity", "squared_error", "float32"),
        ("relu", "squared_error", "float64"),
        ("exp", "squared_error", "float32"),
        ("exp", "poisson", "float64"),
    ],
)
def test_with_every_output_and_loss(output: str, loss: str, dtype: str, path: pathlib.Path) -> None:
    compare(path, pm.Network((4, 7, 3), activation="tanh", output=output, loss=loss), dtype)


OPTIONS = {
    "nesterov": {"solver": "sgd"},
    "momentum": {"solver": "sgd", "nesterov": False, "momentum": 0.5},
    "plain": {"solver": "sgd", "momentum": 0.0},
    "adam": {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
    "adamw": {"solver": "adamw", "weight_decay": 0.3},
}


@pytest.mark.parametrize(("name", "l2", "dtype"), one_in(3, OPTIONS, [0.0, 0.3], RTOL))
def test_with_every_solver(name: str, l2: float, dtype: str, path: pathlib.Path) -> None:
    compare(path, pm.Network((4, 7, 3), activation="tanh"), dtype, l2, **OPTIONS[name])


def test_without_a_hidden_layer(path: pathlib.Path) -> None:
    compare(path, pm.Network((4, 3)))


def test_twenty_steps_are_those_of_pytorch(path: pathlib.Path) -> None:
    """An oracle that shares no line with the kernels: autograd and torch.optim."""
    net = pm.Network((4, 7, 3), activation="gelu")
    params = pm.init_params(net, random_state=1)
    X, y = data(net)
    pm.export_onnx_training(path, net, params)
    state, _ = learnt(path, X, y, learning_rate=0.02)
    weights = [torch.tensor(x, requires_grad=True) for layer in params for x in layer]
    optimizer = torch.optim.Adam(weights, lr=0.02)
    for start in range(0, N_SAMPLES, BATCH_SIZE):
        W1, b1, W2, b2 = weights
        hidden = torch.nn.functional.gelu(torch.tensor(X[start : start + BATCH_SIZE]) @ W1 + b1, approximate="tanh")
        loss = torch.nn.functional.cross_entropy(hidden @ W2 + b2, torch.tensor(y[start : start + BATCH_SIZE]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    expected = np.concatenate([x.detach().numpy().reshape(-1) for x in weights])
    np.testing.assert_allclose(state["parameters"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("solver", "moments"), [("adam", ["m", "v"]), ("adamw", ["m", "v"]), ("sgd", ["v"])])
def test_inputs_and_outputs(solver: str, moments: list[str], path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 3))
    params = pm.init_params(net, dtype="float32")
    pm.export_onnx_training(path, net, params, {"classes": ["a", "b", "c"]}, solver=solver)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    changed = ["parameters", *moments, "step"]
    assert [x.name for x in model.graph.input] == ["X", "y", *changed, "learning_rate", "l2"]
    assert [x.name for x in model.graph.output] == ["loss", "proba", *(f"next_{name}" for name in changed)]
    steps = session(path)
    assert [(x.name, x.shape, x.type) for x in steps.get_inputs()] == [
        ("X", ["n_samples", 4], "tensor(float)"),
        ("y", ["n_samples"], "tensor(int64)"),
    ]
    assert {x.name: x.type for x in steps.get_overridable_initializers()} == {
        **dict.fromkeys(("parameters", *moments), "tensor(float)"),
        "step": "tensor(int64)",
        "learning_rate": "tensor(double)",
        "l2": "tensor(double)",
    }
    assert [(x.name, x.shape) for x in steps.get_outputs()][:2] == [("loss", []), ("proba", ["n_samples", 3])]
    kept = steps.get_modelmeta().custom_metadata_map
    assert json.loads(kept["classes"]) == ["a", "b", "c"]
    assert json.loads(kept["training"])["solver"] == solver
    assert set(kept) == {"classes", "network", "opset", "training"}


def test_the_graph_has_standard_operators_and_no_branches(path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 3), activation=["softplus"])
    pm.export_onnx_training(path, net, pm.init_params(net))
    model = onnx.load(path)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 21)]
    assert (model.ir_version, len(model.functions), model.producer_name) == (10, 0, "portable_mlp")
    operators = [node.op_type for node in model.graph.node]
    assert not {"If", "Loop", "Scan"} & set(operators)
    # Forward, and back: the weights of two layers, and the way through one.
    assert operators.count("Gemm") == 2 + 2 + 1
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["opset"]) == 21


def test_what_is_left_out_is_the_first_state(path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 3))
    params = pm.init_params(net)
    X, y = data(net)
    pm.export_onnx_training(path, net, params)
    first = {
        "parameters": pm.pack(params),
        **{name: np.zeros_like(pm.pack(params)) for name in ("m", "v")},
        "step": np.asarray(0),
        "learning_rate": np.asarray(0.001),
        "l2": np.asarray(0.0),
    }
    steps = session(path)
    for left_out, given in zip(
        steps.run(None, {"X": X, "y": y}), steps.run(None, {"X": X, "y": y, **first}), strict=True
    ):
        np.testing.assert_array_equal(left_out, given)


def test_the_prediction_is_that_of_the_parameters_before_the_step(path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 3))
    X, y = data(net)
    pm.export_onnx_training(path, net, pm.init_params(net))
    others = pm.init_params(net, random_state=9)
    (proba,) = session(path).run(["proba"], {"X": X, "y": y, "parameters": pm.pack(others)})
    np.testing.assert_allclose(proba, pm.predict(net, others, X), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", RTOL)
def test_raw_rows_and_targets_are_scaled_in_the_graph(dtype: str, path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 2), activation="tanh", output="identity")
    params = pm.init_params(net, dtype=dtype)
    rng = np.random.default_rng(0)
    X = rng.integers(1990, 2026, (N_SAMPLES, 4)).astype(dtype)
    y = (1e6 + rng.integers(-(10**4), 10**4, (N_SAMPLES, 2))).astype(dtype)
    scalings = [(x.astype("float64").mean(axis=0), x.astype("float64").std(axis=0)) for x in (X, y)]
    pm.export_onnx_training(path, net, params, input_scaling=scalings[0], target_scaling=scalings[1])
    scaled = [
        ((x.astype("float64") - mean) / scale).astype(dtype) for x, (mean, scale) in zip((X, y), scalings, strict=True)
    ]
    expected = pm.train(net, params, *scaled, learning_rate=0.02, batch_size=BATCH_SIZE, epochs=1, shuffle=False)
    state, loss = learnt(path, X, y, learning_rate=0.02)
    flat = pm.pack(expected.params)
    np.testing.assert_allclose(state["parameters"], flat, rtol=0, atol=RTOL[dtype])
    assert loss == pytest.approx(expected.history["loss"][0], rel=RTOL[dtype])
    (prediction,) = session(path).run(["prediction"], {"X": X, "y": y, "parameters": flat})
    mean, scale = scalings[1]
    np.testing.assert_allclose(prediction, pm.predict(net, expected.params, scaled[0]) * scale + mean, rtol=RTOL[dtype])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "lbfgs"}, f"solver must be one of {', '.join(map(repr, OPTIMIZERS))}; got 'lbfgs'"),
        ({"solver": "sgd", "momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"beta_1": -0.1}, r"beta_1 must lie in \[0, 1\)"),
        ({"beta_2": 2.0}, r"beta_2 must lie in \[0, 1\)"),
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"epsilom": 0.1}, "unexpected keyword argument 'epsilom', did you mean 'epsilon'?"),
        ({"input_scalings": None}, "unexpected keyword argument 'input_scalings', did you mean 'input_scaling'?"),
        ({"batch_size": 10}, "unexpected keyword argument 'batch_size'"),
    ],
)
def test_options_that_are_wrong_are_refused(options: Any, message: str, path: pathlib.Path) -> None:
    net = pm.Network((4, 3))
    with pytest.raises(TypeError if "unexpected" in message else ValueError, match=message):
        pm.export_onnx_training(path, net, pm.init_params(net), **options)
    assert not path.exists()


def test_the_defaults_are_those_of_train(path: pathlib.Path) -> None:
    net, defaults = pm.Network((4, 3)), inspect.signature(pm.train).parameters
    pm.export_onnx_training(path, net, pm.init_params(net))
    model = onnx.load(path)
    first = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
    assert {name: float(first[name]) for name in ("learning_rate", "l2")} == {
        name: defaults[name].default for name in ("learning_rate", "l2")
    }
    kept = json.loads({entry.key: entry.value for entry in model.metadata_props}["training"])
    assert kept == {name: defaults[name].default for name in ("solver", "beta_1", "beta_2", "epsilon")}


def test_without_onnxruntime_the_same_file_is_written(tmp_path: pathlib.Path) -> None:
    """ndonnx, which traces, would use it where it is installed."""
    net = pm.Network((4, 7, 3), activation="gelu")
    pm.export_onnx_training(tmp_path / "with.onnx", net, pm.init_params(net))
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'onnxruntime' else find(name, *rest)\n"
        "sys.modules['onnxruntime'] = None\n"
        "import portable_mlp as pm; net = pm.Network((4, 7, 3), activation='gelu')\n"
        "pm.export_onnx_training(sys.argv[1], net, pm.init_params(net))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "without.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "without.onnx").read_bytes() == (tmp_path / "with.onnx").read_bytes()

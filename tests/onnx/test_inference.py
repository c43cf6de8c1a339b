"""Networks as ONNX graphs: what onnxruntime computes from them, what a reader finds in them, what is refused."""

import hashlib
import json
import math
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import portable_mlp as pm
from portable_mlp.kernels.activations import ACTIVATIONS, OUTPUTS
from portable_mlp.onnx.activations import FORMULAS, IN_FLOAT64

NET = pm.Network((4, 7, 6, 3), activation=["tanh", "relu"])
RTOL = {"float32": 1e-6, "float64": 1e-12}
MORE_THAN_THREE_NODES = {"elu": 5, "silu": 5, "softplus": 6, "gelu": 7}
"""In float64, with the Gemm; see the comments where they are written."""


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.onnx"


def params_of(net: pm.Network, dtype: str = "float64", backend: str = "numpy") -> pm.Params:
    """Return parameters whose biases are not 0."""
    rng = np.random.default_rng(5)
    chosen = pm.get_backend(backend)
    layers = pm.init_params(net, random_state=1)
    return tuple(
        pm.Layer(chosen.asarray(W, dtype=dtype), chosen.asarray(b + rng.normal(size=b.shape) / 4, dtype=dtype))
        for W, b in layers
    )


def rows(n_samples: int, dtype: str = "float64", n_features: int = 4) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n_samples, n_features)).astype(dtype)


def answer(path: pathlib.Path, X: np.ndarray) -> np.ndarray:
    (y_hat,) = onnxruntime.InferenceSession(path).run(None, {"X": X})
    return y_hat


def assert_close(actual: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    """Compare relative to the largest value."""
    assert (actual.dtype, actual.shape) == (np.dtype(dtype), expected.shape)
    largest = float(np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RTOL[dtype] * largest)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_predicts_the_same(activation: str, output: str, dtype: str, path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 6, 3), activation=activation, output=output)
    params = params_of(net, dtype)
    pm.export_onnx(path, net, params)
    for n_samples in (1, 7, 300):
        X = rows(n_samples, dtype)
        assert_close(answer(path, X), pm.predict(net, params, X), dtype)
    assert answer(path, rows(0, dtype)).shape == (0, 3)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_far_out_it_is_the_same_too(activation: str, dtype: str, path: pathlib.Path) -> None:
    """What overflows on the way, in a formula of its own, must not reach the result."""
    net = pm.Network((1, 1, 1), activation=activation, output="identity")
    one, zero = np.ones((1, 1), dtype), np.zeros(1, dtype)
    params = (pm.Layer(one, zero), pm.Layer(one, zero))
    pm.export_onnx(path, net, params)
    for z in (-1e4, -800.0, -90.0, -1e-9, 0.0, 1e-9, 90.0, 800.0, 1e4):
        X = np.full((1, 1), z, dtype)
        np.testing.assert_allclose(answer(path, X), pm.predict(net, params, X), rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_traced_from_its_kernel_it_is_the_same_to_the_last_digits(
    activation: str, dtype: str, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an activation without a form of its own is written; near 0 and far out too."""
    monkeypatch.delitem(FORMULAS, activation, raising=False)
    monkeypatch.delitem(IN_FLOAT64, activation, raising=False)
    net = pm.Network((1, 1, 1), activation=activation, output="identity")
    params = (pm.Layer(np.ones((1, 1), dtype), np.zeros(1, dtype)),) * 2
    pm.export_onnx(path, net, params)
    positive = np.concatenate([10.0 ** np.arange(-30, 5), np.linspace(0.01, 2.9, 99)])
    X = np.concatenate([-positive, [0.0], positive]).astype(dtype)[:, None]
    eps = np.finfo(dtype).eps
    # 1 + tanh u of gelu cancels for negative u.
    atol = 4 * eps if activation == "gelu" else 0.0
    np.testing.assert_allclose(answer(path, X), pm.predict(net, params, X), rtol=4 * eps, atol=atol)


@pytest.mark.parametrize(
    "net", [pm.Network((4, 3)), pm.Network((4, 1), output="identity"), NET, pm.Network((4, 1, 2), output="logistic")]
)
def test_any_depth_and_width(net: pm.Network, path: pathlib.Path) -> None:
    pm.export_onnx(path, net, params_of(net))
    assert_close(answer(path, rows(9)), pm.predict(net, params_of(net), rows(9)), "float64")


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_graph_is_clean(activation: str, dtype: str, path: pathlib.Path) -> None:
    net = pm.Network((4, 7, 3), activation=activation)
    pm.export_onnx(path, net, params_of(net, dtype))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert (model.ir_version, len(model.functions)) == (9, 0)
    (x,), (y,) = model.graph.input, model.graph.output
    assert shape_of(x) == ("X", ["n_samples", 4])
    assert shape_of(y) == ("proba", ["n_samples", 3])
    most = MORE_THAN_THREE_NODES.get(activation, 3) if dtype == "float64" else 3
    assert len(model.graph.node) <= most + 2 or activation not in FORMULAS  # traced: a node an operation
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def shape_of(value: Any) -> tuple[str, list[Any]]:
    return value.name, [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_names_tell_what_is_computed(path: pathlib.Path) -> None:
    params = params_of(NET)
    pm.export_onnx(path, NET, params)
    graph = onnx.load(path).graph
    assert [(node.op_type, *node.input, *node.output) for node in graph.node] == [
        ("Gemm", "X", "W1", "b1", "z1"),
        ("Tanh", "z1", "h1"),
        ("Gemm", "h1", "W2", "b2", "z2"),
        ("Relu", "z2", "h2"),
        ("Gemm", "h2", "W3", "b3", "z3"),
        ("Softmax", "z3", "proba"),
    ]
    assert [node.name for node in graph.node] == [node.output[0] for node in graph.node]
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert list(arrays) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    for array, expected in zip(arrays.values(), (x for layer in params for x in layer), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_header_and_metadata_say_what_it_is(path: pathlib.Path) -> None:
    pm.export_onnx(path, NET, params_of(NET), {"classes": ["äster", "=rose", "tulip"], "remark": {"a": [1, None]}})
    model = onnx.load(path)
    assert (model.producer_name, model.producer_version) == ("portable_mlp", pm.__version__)
    kept = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert {name: json.loads(value) for name, value in kept.items()} == {
        "classes": ["äster", "=rose", "tulip"],
        "network": {
            "sizes": [4, 7, 6, 3],
            "activation": ["tanh", "relu"],
            "output": "softmax",
            "loss": "cross_entropy",
        },
        "opset": 20,
        "remark": {"a": [1, None]},
    }
    assert "äster" in kept["classes"]


@pytest.mark.parametrize(
    ("metadata", "kind", "message"),
    [
        ({"opset": 3}, ValueError, "metadata has the entry 'opset', which an ONNX file has of its own"),
        ({"x": math.nan}, ValueError, "metadata must hold what JSON can say"),
        ({"x": np.float32(1)}, TypeError, "metadata must hold what JSON can say"),
        ({1: "x"}, TypeError, "metadata must be a dict whose keys are texts"),
        (["x"], TypeError, "metadata must be a dict whose keys are texts"),
        ({"classes": ["\ud800"]}, ValueError, "metadata must hold texts that UTF-8 can write, without '.ud800'"),
        ({"\ud800": 1}, ValueError, "metadata must hold texts that UTF-8 can write, without '.ud800'"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused(
    metadata: Any, kind: type[Exception], message: str, path: pathlib.Path
) -> None:
    with pytest.raises(kind, match=message):
        pm.export_onnx(path, NET, params_of(NET), metadata)
    assert not path.exists()


def test_the_same_model_gives_the_same_bytes(path: pathlib.Path) -> None:
    def content(params: pm.Params, metadata: dict[str, Any]) -> bytes:
        pm.export_onnx(path, NET, params, metadata)
        return path.read_bytes()

    first = content(params_of(NET), {"a": 1, "b": [2]})
    assert content(params_of(NET), {"b": [2], "a": 1}) == first
    assert content(params_of(NET, backend="torch"), {"a": 1, "b": [2]}) == first
    in_columns = tuple(pm.Layer(np.asfortranarray(W), b.astype(">f8")) for W, b in params_of(NET))
    in_columns = tuple(pm.Layer(W.astype(">f8", order="F"), b) for W, b in in_columns)
    assert content(in_columns, {"a": 1, "b": [2]}) == first


def test_the_bytes_hold_nothing_of_the_process(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys, portable_mlp as pm; net = pm.Network((2, 3, 2), activation='gelu')\n"
        "for write in (pm.export_onnx, pm.export_onnx_training): write(sys.argv[1], net, pm.init_params(net)); "
        "print(__import__('hashlib').sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
    )
    # The tree that is tested, from another folder, where hashes of texts are others.
    environment = {"PYTHONPATH": str(pathlib.Path(pm.__file__).parents[1]), "PYTHONHASHSEED": "1"}
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "elsewhere" / "there.onnx")]
    done = subprocess.run(
        command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    net = pm.Network((2, 3, 2), activation="gelu")
    here = ""
    for write in (pm.export_onnx, pm.export_onnx_training):
        write(tmp_path / "here.onnx", net, pm.init_params(net))
        here += hashlib.sha256((tmp_path / "here.onnx").read_bytes()).hexdigest() + "\n"
    assert done.stdout == here
    assert str(tmp_path).encode() not in (tmp_path / "here.onnx").read_bytes()


@pytest.mark.parametrize("dtype", RTOL)
def test_raw_rows_far_from_zero_lose_nothing(dtype: str, path: pathlib.Path) -> None:
    """Years and cents: in float32 neither folded weights nor a rounded mean would reach 1e-6 here."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(1990, 2026, 200), rng.integers(10**6, 10**6 + 99, 200), rng.normal(size=200)])
    X = X.astype("float32").astype("float64")
    mean, scale = X.mean(axis=0), X.std(axis=0)
    net = pm.Network((3, 8, 2), activation="tanh", output="identity")
    params = params_of(net, dtype)
    pm.export_onnx(path, net, params, input_scaling=(mean, scale))
    scaled = ((X - mean) / scale).astype(dtype)
    assert_close(answer(path, X.astype(dtype)), pm.predict(net, params, scaled), dtype)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Sub", "Div", "Gemm", "Tanh", "Gemm"]


@pytest.mark.parametrize("dtype", RTOL)
def test_answers_come_in_the_targets_own_units(dtype: str, path: pathlib.Path) -> None:
    net = pm.Network((4, 5, 2), output="identity")
    params = params_of(net, dtype)
    pm.export_onnx(path, net, params, target_scaling=([2e5, -3.0], [3e4, 0.1]))
    expected = pm.predict(net, params, rows(50, dtype)).astype("float64") * [3e4, 0.1] + [2e5, -3.0]
    actual = answer(path, rows(50, dtype))
    for j in range(2):
        assert_close(actual[:, j], expected[:, j], dtype)
    assert [node.output[0] for node in onnx.load(path).graph.node][-1] == "prediction"


def test_a_scaling_that_changes_nothing_leaves_no_node(path: pathlib.Path) -> None:
    net = pm.Network((4, 3))
    pm.export_onnx(
        path, net, params_of(net), input_scaling=(np.zeros(4), np.ones(4)), target_scaling=([0] * 3, [1] * 3)
    )
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Gemm", "Softmax"]


@pytest.mark.parametrize(
    ("scalings", "message"),
    [
        ({"input_scaling": ([0.0] * 3, [1.0] * 4)}, r"input_scaling must be .* of shape \(4,\) each; got \(3,\) and"),
        (
            {"input_scaling": ([0.0] * 4, [1.0, 1.0, 0.0, 1.0])},
            "input_scaling must be finite, and every scale positive",
        ),
        ({"input_scaling": ([0.0] * 4, [1.0, 1.0, 1e-60, 1.0])}, "every scale positive, in float32"),
        ({"input_scaling": ([math.inf] * 4, [1.0] * 4)}, "input_scaling must be finite"),
        ({"input_edges": [[0.0, 1.0], []]}, "2 columns and 1 pieces between input_edges are not the 4 inputs of"),
        ({"input_edges": [[1.0, 1.0]]}, "input_edges must be finite, and ascend in every column"),
        ({"input_edges": [[-math.inf, 1.0]]}, "input_edges must be finite, and ascend"),
        ({"input_edges": [[0.0, 1.0], [0.0, 1e-60]]}, "every column; those of column 1 do not, in float32"),
        ({"input_edges": [[0.0, 1.0], [1e39, 2e39]]}, "every column; those of column 1 do not, in float32"),
        ({"input_scaling": 3.0}, r"input_scaling must be a pair \(mean, scale\)"),
        ({"input_scaling": (["x"] * 4, [1.0] * 4)}, r"input_scaling must be a pair \(mean, scale\)"),
        ({"target_scaling": ([1.0] * 3, [1.0] * 3)}, "target_scaling does not go with the output 'softmax'"),
    ],
)
def test_a_scaling_that_does_not_fit_is_refused(scalings: Any, message: str, path: pathlib.Path) -> None:
    for write in (pm.export_onnx, pm.export_onnx_training):
        with pytest.raises(ValueError, match=message):
            write(path, NET, params_of(NET, "float32"), **scalings)
    assert not path.exists()


def huge(net: pm.Network) -> pm.Params:
    """Return parameters that take no memory."""
    zero = np.zeros((), dtype="float32")
    shapes = zip(net.sizes[:-1], net.sizes[1:], strict=True)
    return tuple(pm.Layer(np.broadcast_to(zero, shape), np.broadcast_to(zero, shape[1:])) for shape in shapes)


@pytest.mark.parametrize("write", [pm.export_onnx, pm.export_onnx_training])
def test_what_is_no_model_for_a_file_is_refused(write: Any, path: pathlib.Path) -> None:
    params = params_of(NET)
    with pytest.raises(ValueError, match="belong to another network"):
        write(path, pm.Network((4, 3)), params)
    with pytest.raises(ValueError, match="an ONNX file holds one model, but params have a leading axis of models"):
        write(path, NET, tuple(pm.Layer(np.stack([W, W]), np.stack([b, b])) for W, b in params))
    with pytest.raises(TypeError, match="float32 or float64, got float16"):
        write(path, NET, tuple(pm.Layer(W.astype("float16"), b.astype("float16")) for W, b in params))
    with pytest.raises(ValueError, match="params hold NaN or infinity"):
        write(path, NET, (*params[:-1], pm.Layer(params[-1].W * np.nan, params[-1].b)))
    wide = pm.Network((30_000, 30_000, 2))
    with pytest.raises(ValueError, match=r"take [\d,]+ bytes, but an ONNX file can have 2,147,483,647 at most"):
        write(path, wide, huge(wide))
    assert not path.exists()


def test_moments_count_for_the_limit_too(path: pathlib.Path) -> None:
    net = pm.Network((15_000, 15_000, 2))
    with pytest.raises(ValueError, match=r"take 2,7[\d,]+ bytes"):
        pm.export_onnx_training(path, net, huge(net))


def test_a_path_that_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "nowhere" / "model.onnx"
    with pytest.raises(OSError, match=r"nowhere.model\.onnx"):
        pm.export_onnx(missing, NET, params_of(NET))
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        pm.export_onnx(tmp_path, NET, params_of(NET))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pm.export_onnx(path, NET, params_of(NET))
    before = path.read_bytes()

    def full_disk(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    for write in (pm.export_onnx, pm.export_onnx_training):
        with pytest.raises(OSError, match="No space left"):
            write(path, NET, pm.init_params(NET))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("module", "write"),
    [("onnx", pm.export_onnx), ("onnx", pm.export_onnx_training), ("ndonnx", pm.export_onnx_training)],
)
def test_a_missing_library_comes_with_its_command(
    module: str, write: Any, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in (module, "ndonnx", "spox")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module}, which is missing: pip install "\.\[onnx\]"'):
        write(path, NET, params_of(NET))
    assert not path.exists()

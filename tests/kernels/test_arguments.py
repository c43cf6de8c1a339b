"""What a kernel refuses at the door, each with the offending numbers in the message."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.kernels.arguments import check_params, check_targets
from portable_mlp.kernels.targets import one_hot
from tests.kernels.tiny_library import to_tiny
from tests.reference import assert_close

SIZES = (3, 4, 2)
N = 5
SOFTMAX = pm.Network(SIZES)
LOGISTIC = pm.Network(SIZES, output="logistic")
ONE_VALUE = pm.Network((3, 4, 1), output="identity")
LABELS = np.asarray([0, 1, 1, 0, 1])


def zeros(*shape, dtype="float64"):
    return np.zeros(shape, dtype=dtype)


def call(net=SOFTMAX, *, params=None, X=None, y=LABELS, **options):
    """Call loss_and_grad with arguments that fit, except those that are given."""
    X = zeros(N, net.sizes[0]) if X is None else X
    return pm.loss_and_grad(net, pm.init_params(net) if params is None else params, X, y, **options)


def models(params=None, n_models=2):
    """Return parameters with one more leading axis."""
    params = pm.init_params(SOFTMAX) if params is None else params
    return tuple(pm.Layer(np.stack([W] * n_models), np.stack([b] * n_models)) for W, b in params)


def replaced(i, **parts):
    """Return good parameters of which some arrays of layer i are others."""
    params = pm.init_params(SOFTMAX)
    return (*params[:i], params[i]._replace(**parts), *params[i + 1 :])


TWO_MODELS = models()

WIDE = pm.init_params(pm.Network((3, 5, 2)))
WEIGHTS = "sample_weight must have shape (5,), one weight for each sample; got "

SHAPES = {
    "too few features": ({"X": zeros(N, 2)}, "X has 2 features, but Network((3, 4, 2)"),
    "too many features": ({"X": zeros(N, 7)}, "takes 3; X has shape (5, 7)"),
    "a single sample": ({"X": zeros(3)}, "X must have shape (n_samples, n_features), got (3,); a single sample is X["),
    "models of X alone": ({"X": zeros(2, N, 3)}, "X must have shape (n_samples, n_features), got (2, 5, 3)"),
    "a number as X": ({"X": zeros()}, "X must have shape (n_samples, n_features), got ()"),
    "empty batch": ({"X": zeros(0, 3), "y": LABELS[:0]}, "X has no samples: its shape is (0, 3)"),
    "too few labels": ({"y": LABELS[:4]}, "for 5 samples and 2 outputs; got (4,)"),
    "too many labels": ({"y": np.tile(LABELS, 2)}, "y must have shape (5,) of integer labels or (5, 2), for 5 samples"),
    "narrow one-hot": ({"y": zeros(N, 1)}, "for 5 samples and 2 outputs; got (5, 1)"),
    "wide one-hot": ({"y": zeros(N, 3)}, "for 5 samples and 2 outputs; got (5, 3)"),
    "short one-hot": ({"y": zeros(4, 2)}, "for 5 samples and 2 outputs; got (4, 2)"),
    "a number as y": ({"y": np.asarray(1)}, "for 5 samples and 2 outputs; got ()"),
    "(n,) for two": ({"net": LOGISTIC, "y": zeros(N)}, "y must have shape (5, 2), for 5 samples and 2 out"),
    "two for one": ({"net": ONE_VALUE, "y": zeros(N, 2)}, "y must have shape (5, 1) or (5,), for 5 samples and 1 out"),
    "values for models": ({"y": zeros(2, N, 2)}, "for 5 samples and 2 outputs; got (2, 5, 2)"),
    "too few weights": ({"sample_weight": zeros(4)}, WEIGHTS + "(4,)"),
    "weights as a column": ({"sample_weight": zeros(N, 1)}, WEIGHTS + "(5, 1)"),
    "weights of models": ({"sample_weight": zeros(2, N)}, WEIGHTS + "(2, 5)"),
    "a layer too few": ({"params": WIDE[:1]}, "has 2 layers of parameters, but params has 1: they belong to another"),
    "a layer too many": ({"params": WIDE * 2}, "has 2 layers of parameters, but params has 4"),
    "no layer": ({"params": ()}, "has 2 layers of parameters, but params has 0"),
    "another network": ({"params": WIDE}, "params[0] has W of shape (3, 5) and b of shape (5,), but Network((3, 4, 2)"),
    "another second layer": ({"params": replaced(1, W=zeros(4, 3))}, "params[1] has W of shape (4, 3) and b of"),
    "W transposed": ({"params": replaced(0, W=zeros(4, 3))}, "needs (3, 4) and (4,): they belong to another network"),
    "b as a row": ({"params": replaced(0, b=zeros(1, 4))}, "params[0] has W of shape (3, 4) and b of shape (1, 4)"),
    "W as a vector": ({"params": replaced(0, W=zeros(12))}, "params[0] has W of shape (12,) and b of shape (4,)"),
    "other models of X": ({"params": TWO_MODELS, "X": zeros(3, N, 3)}, "X must have shape (n_samples, n_features) or "),
    "other models of y": ({"params": TWO_MODELS, "y": np.stack([LABELS] * 3)}, "got (3, 5)"),
    "other models of weights": ({"params": TWO_MODELS, "sample_weight": zeros(3, N)}, "got (3, 5)"),
    "models of one layer": ({"params": (TWO_MODELS[0], WIDE[1])}, "params[1] has W of shape (5, 2) and b of"),
    "models of models": ({"params": models(models(n_models=2))}, "params[0] has W of shape (2, 2, 3, 4)"),
    "negative l2": ({"l2": -0.5}, "l2 must be a finite number, not negative; got -0.5"),
    "l2 not a number": ({"l2": float("nan")}, "l2 must be a finite number, not negative; got nan"),
    "infinite l2": ({"l2": float("inf")}, "l2 must be a finite number, not negative; got inf"),
    "unknown reduction": ({"reduction": "average"}, "reduction must be one of 'mean', 'sum'; got 'average'"),
    "no reduction": ({"reduction": None}, "reduction must be one of 'mean', 'sum'; got None"),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_wrong_values_are_refused_with_their_numbers(case):
    arguments, message = SHAPES[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        call(**arguments)


FLOATING = "params[0].W must be real floating, got "
AN_ARRAY = " must be an array (NumPy, CuPy, PyTorch, JAX, ...), got "

KINDS = {
    "X a list": ({"X": [[0.0] * 3] * N}, "X" + AN_ARRAY + "list; backend.asarray(...) makes one"),
    "y a list": ({"y": LABELS.tolist()}, "y" + AN_ARRAY + "list"),
    "weights a list": ({"sample_weight": [1.0] * N}, "sample_weight" + AN_ARRAY + "list"),
    "W a list": ({"params": replaced(1, W=[[0.0] * 2] * 4)}, "params[1].W" + AN_ARRAY + "list"),
    "b a number": ({"params": replaced(0, b=0.0)}, "params[0].b" + AN_ARRAY + "float"),
    "params a number": ({"params": 3}, "params must be a tuple of Layer(W, b), got int"),
    "params a vector": ({"params": zeros(26)}, "params must be a tuple of Layer(W, b), got ndarray"),
    "integer W": ({"params": replaced(0, W=zeros(3, 4, dtype="int64"))}, FLOATING + "int64"),
    "integer b": ({"params": replaced(1, b=zeros(2, dtype="int32"))}, "params[1].b must be real floating, got int32"),
    "complex W": ({"params": replaced(0, W=zeros(3, 4, dtype="complex64"))}, FLOATING + "complex64"),
    "two dtypes": (
        {"params": replaced(1, W=zeros(4, 2, dtype="float32"))},
        "params must have one dtype, but params[1].W is float32 and params[0].W float64",
    ),
    "float labels": ({"y": LABELS.astype(float)}, "y must be integer labels for a softmax output, "),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_wrong_kinds_are_refused_by_name(case):
    arguments, message = KINDS[case]
    with pytest.raises(TypeError, match=re.escape(message)):
        call(**arguments)


STRANGERS = {
    "numpy and torch": ("numpy", "cpu", "torch", "cpu", "numpy array on cpu", "torch array on cpu"),
    "jax and numpy": ("jax", "cpu", "numpy", "cpu", "jax array on .*", "numpy array on cpu"),
    "two strict devices": ("strict", "cpu", "strict", "device1", "strict array on .*CPU.*", "array on .*device1.*"),
    "two torch devices": ("torch", "cpu", "torch", "meta", "torch array on cpu", "torch array on meta"),
}  # fmt: skip
"""The library and device that the call begins on, those of a stranger, and what the message calls them."""


@pytest.mark.parametrize("place", ["params[0].W", "params[1].b", "X", "y", "sample_weight"])
@pytest.mark.parametrize("case", STRANGERS)
def test_two_libraries_or_devices_are_refused_by_name(case, place):
    *where, name_here, name_there = STRANGERS[case]
    here, there = pm.get_backend(*where[:2]), pm.get_backend(*where[2:])

    def array(name, host):
        return (there if name == place else here).asarray(host)

    params = tuple(
        pm.Layer(array(f"params[{i}].W", W), array(f"params[{i}].b", b))
        for i, (W, b) in enumerate(pm.init_params(SOFTMAX))
    )
    X, y, weights = array("X", zeros(N, 3)), array("y", LABELS), array("sample_weight", np.ones(N))
    # The others are compared with the first array: if that one is the stranger, the second is named.
    message = (
        f"{re.escape(place)} is an? .*{name_there} but params\\[0\\].W is an? .*{name_here}; .*never moved silently"
    )
    if place == "params[0].W":
        message = f"params\\[0\\].b is an? .*{name_here} but params\\[0\\].W is an? .*{name_there}; "
    with pytest.raises(ValueError, match="^" + message):
        pm.loss_and_grad(SOFTMAX, params, X, y, sample_weight=weights)


SHARDED = """
import jax, numpy as np, portable_mlp as pm
from jax.sharding import Mesh, NamedSharding, PartitionSpec

net, rng = pm.Network((3, 4, 2)), np.random.default_rng(0)
params, X, y = pm.init_params(net), rng.normal(size=(8, 3)), np.arange(8) % 2
mesh, other = (Mesh(np.asarray(some), ("samples",)) for some in (jax.devices()[:2], jax.devices()[1:3]))

def sharded(x, *axes, mesh=mesh):
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))

there = tuple(pm.Layer(*map(sharded, layer)) for layer in params)
loss, grads = pm.loss_and_grad(net, there, sharded(X, "samples"), sharded(y, "samples"), l2=0.1)
expected = pm.loss_and_grad(net, params, X, y, l2=0.1)
np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
np.testing.assert_allclose(pm.pack(grads), pm.pack(expected[1]), rtol=1e-12, atol=1e-15)
for elsewhere in (sharded(X, "samples", mesh=other), jax.device_put(X, jax.devices()[0])):
    try:
        pm.forward(net, there, elsewhere)
    except ValueError as error:
        print("never moved silently" in str(error))
"""


@pytest.mark.thorough  # a process with three devices
def test_arrays_sharded_over_the_same_devices_meet():
    """Each has a place of its own in JAX, and the one of labels or constants is another again."""
    variables = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run([sys.executable, "-c", SHARDED], env=variables, capture_output=True, text=True, timeout=120)
    assert found.stdout.split() == ["True", "True"], found.stderr


def test_two_libraries_on_one_device_are_refused_too():
    params = tuple(pm.Layer(*map(pm.get_backend("strict").asarray, layer)) for layer in pm.init_params(SOFTMAX))
    X = to_tiny(zeros(N, 3))
    assert X.device == params[0].W.device
    with pytest.raises(ValueError, match=r"X is a tiny array on .* but params\[0\]\.W is an? .*strict array on "):
        pm.forward(SOFTMAX, params, X)


@pytest.mark.parametrize("case", ["too few features", "empty batch", "a layer too few", "models of X alone"])
@pytest.mark.parametrize("kernel", [pm.forward, pm.predict])
def test_forward_and_predict_refuse_likewise(kernel, case):
    arguments, message = SHAPES[case]
    given = {"params": pm.init_params(SOFTMAX), "X": zeros(N, 3), **arguments}
    with pytest.raises(ValueError, match=re.escape(message.split("X has shape")[0])):
        kernel(SOFTMAX, given["params"], given["X"])


def test_parameters_alone_are_checked_too():
    params = check_params(SOFTMAX, [list(layer) for layer in pm.init_params(SOFTMAX)])
    assert isinstance(params, tuple)
    assert all(isinstance(layer, pm.Layer) for layer in params)
    with pytest.raises(ValueError, match="belong to another network"):
        check_params(ONE_VALUE, params)
    with pytest.raises(TypeError, match="params must have one dtype"):
        check_params(SOFTMAX, replaced(1, W=zeros(4, 2, dtype="float32")))


def test_layers_may_be_plain_pairs_in_a_list():
    plain = [tuple(layer) for layer in pm.init_params(SOFTMAX)]
    assert_close(call(params=plain)[0], call()[0], rtol=0)


def test_labels_out_of_range_are_trusted():
    loss, _ = call(y=LABELS + 7)
    assert np.isfinite(loss)


def test_labels_of_any_integer_dtype_become_one_hot_rows(lib):
    # More classes than a small integer can count: 256 must not be taken for 0.
    net, labels = pm.Network((3, 300)), np.asarray([0, 1, 1, 0, 1])
    for dtype in lib.xp.__array_namespace_info__().dtypes(device=lib.backend.device, kind=("integral", "bool")):
        y = lib.array(labels, dtype=dtype)
        dtype_of_rows = lib.backend.dtype(lib.dtype)
        checked = check_targets(lib.xp, net, y, n_samples=5, models=(), dtype=dtype_of_rows)
        assert checked.shape == (5, 1)
        Y = one_hot(lib.xp, checked, 300, dtype_of_rows)
        assert_close(lib.numpy(Y), np.eye(300)[labels], rtol=0)

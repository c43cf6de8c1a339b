"""The two passes under the five laws: values, gradient, type, no host round trip, purity."""

import functools
from typing import Any, NamedTuple

import array_api_strict
import jax
import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.kernels.optimizers import adam, sgd
from portable_mlp.kernels.propagation import output_of
from tests import reference
from tests.kernels.tiny_library import TinyArray, from_tiny, tiny, to_tiny
from tests.reference import HIDDEN, LAYOUTS, PAIRS, WRITEABLE, Problem, assert_close, random_problem
from tests.selection import one_in

# --- the cases ---------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A network, and what it is called with; see `reference.random_problem`."""

    activation: Any = "tanh"
    output: str = "softmax"
    loss: str | None = None
    n_outputs: int = 3
    target: str = "rows"
    l2: float = 0.1
    reduction: str = "mean"
    weighted: bool = False

    def net(self) -> pm.Network:
        names = (self.activation,) if isinstance(self.activation, str) else self.activation
        return pm.Network((5, *(5 for _ in names), self.n_outputs), names, self.output, self.loss)

    def problem(self, seed: int = 3) -> Problem:
        options = {name: getattr(self, name) for name in ("target", "l2", "reduction", "weighted")}
        return random_problem(self.net(), seed=seed, **options)


CASES = {
    **{
        f"{name} and {PAIRS[i % len(PAIRS)][0]}": Case(name, *PAIRS[i % len(PAIRS)], weighted=i % 2 == 0)
        for i, name in enumerate(HIDDEN)
    },
    "no hidden layer": Case((), target="int64-vector"),
    "no hidden layer, one output": Case((), "logistic", n_outputs=1, target="vector"),
    "two hidden layers": Case(("relu", "gelu")),
    "three hidden layers": Case(("silu", "elu", "leaky_relu"), "logistic", reduction="sum"),
    "no penalty": Case(l2=0.0),
    "no penalty, sum": Case(l2=0.0, reduction="sum"),
    "sum": Case(reduction="sum"),
    "weights": Case(weighted=True),
    "weights, sum": Case(weighted=True, reduction="sum"),
    "weights, no penalty": Case(weighted=True, l2=0.0),
    "weights, regression": Case(("tanh", "relu"), "identity", weighted=True),
    "int32 labels": Case(target="int32-vector"),
    "int64 labels, weights": Case(target="int64-vector", weighted=True),
    "uint8 labels": Case(target="uint8-vector"),
    "integer one-hot": Case(target="int64-rows"),
    "integer targets, logistic": Case("relu", "logistic", target="int64-rows"),
    "integer targets, logistic, (n,)": Case("relu", "logistic", n_outputs=1, target="int32-vector"),
    "one output, (n,)": Case("relu", "identity", n_outputs=1, target="vector"),
    "one output, (n, 1)": Case("relu", "identity", n_outputs=1, target="rows", weighted=True),
    "one count": Case("softplus", "exp", n_outputs=1, target="int64-vector"),
    "one class": Case("softplus", n_outputs=1, target="int64-vector"),
}
"""What every library computes."""

PRODUCT = {f"{name}-{'-'.join(pair)}": Case(name, *pair) for name in HIDDEN for pair in PAIRS}
"""Every activation before every output with every loss, for one library."""


NINE_LAYERS = {"-".join(pair): Case(HIDDEN, *pair, weighted=True) for pair in PAIRS}
"""Every activation in one network, before every output with every loss."""


class Expected(NamedTuple):
    activations: list[np.ndarray]
    loss: float
    grads: list[tuple[np.ndarray, np.ndarray]]


@functools.cache
def oracle(name: str) -> tuple[Problem, Expected]:
    p = {**PRODUCT, **CASES, **NINE_LAYERS}[name].problem()
    loss = reference.loss(p.net, p.params, p.X, p.Y, weights=p.weights, **p.options)
    activations = reference.forward(p.net, p.params, p.X)
    return p, Expected(activations, loss, reference.torch_gradient(p))


def call(lib, p: Problem):
    """Return loss and gradients, in the arrays of the library."""
    weights = None if p.weights is None else lib.array(p.weights)
    return pm.loss_and_grad(
        p.net, lib.params(p.params), lib.array(p.X), lib.array(p.y), sample_weight=weights, **p.options
    )


def assert_layers_close(actual, expected, *, rtol, to_numpy=np.asarray):
    assert isinstance(actual, tuple)
    assert all(isinstance(layer, pm.Layer) for layer in actual)
    for layer, (dW, db) in zip(actual, expected, strict=True):
        assert_close(to_numpy(layer.W), dW, rtol=rtol)
        assert_close(to_numpy(layer.b), db, rtol=rtol)


# --- values, gradient, type: `lib.numpy` looks at library, device and dtype, `assert_close` at the shape -----------


@pytest.mark.parametrize("name", one_in(8, CASES, on="jax"))  # which compiles each
def test_values_equal_the_loop(lib, name):
    p, expected = oracle(name)
    params, X = lib.params(p.params), lib.array(p.X)
    activations = pm.forward(p.net, params, X)
    assert isinstance(activations, tuple)
    for h, expected_h in zip(activations, expected.activations, strict=True):
        assert_close(lib.numpy(h), expected_h, rtol=lib.rtol)
    assert_close(lib.numpy(pm.predict(p.net, params, X)), expected.activations[-1], rtol=lib.rtol)
    assert_close(lib.numpy(call(lib, p)[0]), expected.loss, rtol=lib.rtol)


@pytest.mark.parametrize("name", one_in(8, CASES, on="jax"))
def test_gradient_equals_torch(lib, name):
    p, expected = oracle(name)
    _, grads = call(lib, p)
    assert_layers_close(grads, expected.grads, rtol=gradient_rtol(lib), to_numpy=lib.numpy)


@pytest.mark.parametrize("name", one_in(3, NINE_LAYERS))
def test_gradient_equals_torch_and_jax_through_nine_layers(lib, name):
    p, expected = oracle(name)
    _, grads = call(lib, p)
    assert_layers_close(grads, expected.grads, rtol=gradient_rtol(lib), to_numpy=lib.numpy)
    assert_layers_close(grads, gradient_by_jax(name), rtol=gradient_rtol(lib), to_numpy=lib.numpy)


gradient_by_jax = functools.cache(lambda name: reference.jax_gradient(oracle(name)[0]))


def gradient_rtol(lib):
    return 1e-10 if lib.dtype == "float64" else 2e-4


@pytest.mark.parametrize("name", PRODUCT)
def test_every_activation_goes_with_every_output(name):
    p, expected = oracle(name)
    loss, grads = pm.loss_and_grad(p.net, tuple(map(pm.Layer._make, p.params)), p.X, p.y, **p.options)
    assert_close(loss, expected.loss, rtol=1e-12)
    assert_layers_close(grads, expected.grads, rtol=1e-10)


def test_the_dtype_is_that_of_the_parameters(lib):
    p = oracle("weights, regression")[0]
    p = p._replace(X=np.round(8 * p.X), y=np.round(8 * p.y), Y=np.round(8 * p.Y), weights=np.round(8 * p.weights))
    expected = reference.loss(p.net, p.params, p.X, p.Y, weights=p.weights, **p.options)
    known = lib.xp.__array_namespace_info__().dtypes(device=lib.backend.device)
    for dtype in {"int32", "float32", "float64"} & set(known):
        X, y, weights = (lib.array(x, dtype=dtype) for x in (p.X, p.y, p.weights))
        loss, grads = pm.loss_and_grad(p.net, lib.params(p.params), X, y, sample_weight=weights, **p.options)
        assert_close(lib.numpy(loss), expected, rtol=lib.rtol)
        assert_layers_close(grads, reference.torch_gradient(p), rtol=2e-4, to_numpy=lib.numpy)
        for h in pm.forward(p.net, lib.params(p.params), X):
            lib.assert_home(h)


@pytest.mark.parametrize("name", one_in(2, NINE_LAYERS, on="jax"))
def test_predictions_have_the_bits_of_forward(lib, monkeypatch, name):
    """However layers are freed, overwritten and computed some rows at a time."""
    ops = lib.backend.primitives_outside_steps
    monkeypatch.setattr(type(ops), "numbers_at_once", ops.numbers_at_once and 15)
    p = oracle(name)[0]
    params, X = lib.params(p.params), lib.array(p.X)
    expected = lib.numpy(pm.forward(p.net, params, X)[-1])
    with lib.backend.running():
        np.testing.assert_array_equal(lib.numpy(output_of(ops, p.net, params, X)), expected)
    np.testing.assert_array_equal(lib.numpy(pm.predict(p.net, params, X)), expected)


def test_a_numpy_scalar_as_l2_changes_no_dtype(lib):
    p, expected = oracle("sum")
    loss, grads = call(lib, p._replace(l2=np.float64(p.l2)))
    assert_close(lib.numpy(loss), expected.loss, rtol=lib.rtol)
    assert_layers_close(grads, expected.grads, rtol=2e-4, to_numpy=lib.numpy)


def test_l2_may_be_an_int(lib):
    p = oracle("weights")[0]._replace(l2=2)
    expected = reference.loss(p.net, p.params, p.X, p.Y, weights=p.weights, **p.options)
    assert_close(lib.numpy(call(lib, p)[0]), expected, rtol=lib.rtol)


@pytest.mark.parametrize("output", ["softmax", "logistic"])
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_logits_of_ten_thousand_stay_finite(lib, output, scale):
    p = Case((), output, l2=0.0).problem()
    W, b = (np.round(scale * x) for x in p.params[0])
    p = p._replace(params=[(W, b)])
    logits = p.X @ W + b
    assert np.max(np.abs(logits)) > 1e4
    # Where every logit is huge, log(e^a + e^b) is max(a, b).
    top = np.max(logits, axis=1, keepdims=True) if output == "softmax" else np.maximum(logits, 0.0)
    expected = np.mean(np.sum(p.Y * (top - logits) if output == "softmax" else top - p.Y * logits, axis=1))
    loss, grads = call(lib, p)
    assert_close(lib.numpy(loss), expected, rtol=10 * lib.rtol)
    assert_layers_close(grads, reference.torch_gradient(p), rtol=2e-4, to_numpy=lib.numpy)
    assert np.all(np.isfinite(lib.numpy(pm.predict(p.net, lib.params(p.params), lib.array(p.X)))))


# --- no host round trip ------------------------------------------------------------------------------------------


def everything(net, params, X, y, weights):
    """Call every kernel a training step calls, once."""
    flat = pm.pack(params)
    loss_and_sum = pm.loss_and_grad(net, pm.unpack(net, flat), X, y, reduction="sum", l2=0.1)
    mean = pm.loss_and_grad(net, params, X, y, sample_weight=weights, l2=0.1)
    return flat, pm.forward(net, params, X), pm.predict(net, params, X), loss_and_sum, mean


def leaves(result):
    return jax.tree.leaves(result, is_leaf=lambda x: not isinstance(x, tuple | list))


def on_backend(backend, p: Problem):
    params = tuple(pm.Layer(*map(backend.asarray, layer)) for layer in p.params)
    return (params, *map(backend.asarray, (p.X, p.y, p.weights)))


EVERYTHING = {
    **{name: case.problem for name, case in NINE_LAYERS.items()},
    "labels": Case(HIDDEN, target="int64-vector", weighted=True).problem,
    "models": lambda: Models(Case(("relu", "gelu"), target="int64-vector", weighted=True), ("X",)).draw()[0],
}


@functools.cache
def everything_on_numpy(name):
    p = EVERYTHING[name]()
    return p, leaves(everything(p.net, *on_backend(pm.get_backend("numpy"), p)))


@pytest.mark.parametrize("name", one_in(12, EVERYTHING))
def test_jit_traces_every_kernel(name):
    p, expected = everything_on_numpy(name)
    compiled = jax.jit(functools.partial(everything, p.net))(*on_backend(pm.get_backend("jax"), p))
    for x, y in zip(leaves(compiled), expected, strict=True):
        assert_close(x, y, rtol=1e-12)


@pytest.mark.parametrize("name", EVERYTHING)
def test_meta_device_runs_every_kernel(name):
    p, expected = everything_on_numpy(name)
    meta = pm.get_backend("torch", device="meta")
    for x, y in zip(leaves(everything(p.net, *on_backend(meta, p))), expected, strict=True):
        assert x.device == torch.device("meta")
        assert x.dtype == torch.float64
        assert tuple(x.shape) == y.shape


HOST_READS = ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__", "__dlpack__", "__buffer__")


@pytest.fixture
def no_host_reads(monkeypatch):
    """Make arrays of array-api-strict raise where their numbers are asked for on the host."""

    def refuse(name):
        def read(*_, **__):
            raise AssertionError(f"a number was read on the host: {name}")

        return read

    for name in HOST_READS:
        monkeypatch.setattr(type(array_api_strict.asarray(0)), name, refuse(name), raising=False)


@pytest.mark.parametrize("read", [float, int, bool, complex, np.asarray, range, np.from_dlpack])
def test_the_detector_of_host_reads_detects(no_host_reads, read):
    with pytest.raises(AssertionError, match="a number was read on the host"):
        read(array_api_strict.asarray(1))


@pytest.mark.parametrize("device", ["cpu", "device1"])
@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_is_read_on_the_host(name, device, request):
    p, _ = everything_on_numpy(name)
    arguments = on_backend(pm.get_backend("strict", device=device), p)
    request.getfixturevalue("no_host_reads")
    flat, *_, (_, grads) = everything(p.net, *arguments)
    for optimizer in (sgd(), sgd(nesterov=False), sgd(momentum=0.0), adam()):
        state = optimizer.init(array_api_strict, flat)
        optimizer.update(array_api_strict, flat, pm.pack(grads), state, optimizer.scalars(1, 0.1))


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_library_without_a_backend_file_works(name):
    p, expected = everything_on_numpy(name)
    assert TinyArray(to_tiny(0).inner).__array_namespace__() is tiny
    params = tuple(pm.Layer(*map(to_tiny, layer)) for layer in p.params)
    result = everything(p.net, params, *map(to_tiny, (p.X, p.y, p.weights)))
    for x, y in zip(leaves(result), expected, strict=True):
        assert_close(from_tiny(x), y, rtol=1e-12)


# --- purity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["softmax-cross_entropy", "identity-squared_error", "labels", "models"])
def test_memory_layout_changes_nothing(name, layout):
    p, expected = everything_on_numpy(name)
    arguments = on_backend(pm.get_backend("numpy"), p)
    moved = jax.tree.map(LAYOUTS[layout], arguments)
    before = jax.tree.map(np.copy, moved)
    for x, y in zip(leaves(everything(p.net, *moved)), expected, strict=True):
        assert_close(x, y, rtol=1e-13)
    for x, y in zip(leaves(moved), leaves(before), strict=True):
        assert_close(x, y, rtol=0)


def test_memory_layout_changes_nothing_on_torch():
    p, expected = everything_on_numpy("softmax-cross_entropy")
    params, *data = on_backend(pm.get_backend("torch"), p)
    params = tuple(pm.Layer(W.T.contiguous().T, torch.repeat_interleave(b, 2)[::2]) for W, b in params)
    assert not params[0].W.is_contiguous()
    for x, y in zip(leaves(everything(p.net, params, *data)), expected, strict=True):
        assert_close(x, y, rtol=1e-13)


@pytest.mark.parametrize("lib", WRITEABLE, indirect=True)
@pytest.mark.parametrize("name", EVERYTHING)
def test_arguments_are_left_alone(lib, name):
    p, _ = everything_on_numpy(name)
    arguments = (lib.params(p.params), *map(lib.array, (p.X.copy(), p.y.copy(), p.weights.copy())))
    everything(p.net, *arguments)
    for x, y in zip(leaves(arguments), leaves((p.params, p.X, p.y, p.weights)), strict=True):
        assert_close(lib.backend.to_numpy(x), y, rtol=0)


ALIASING = {
    "identity everywhere": Case("identity", "identity"),
    "no hidden layer": Case((), "identity", l2=0.0, reduction="sum"),
    "one sample, sum": Case(("identity", "relu"), "relu", l2=0.0, reduction="sum"),
    "softmax": Case(("relu", "gelu")),
}


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", ALIASING)
def test_two_calls_share_no_memory(name, backend):
    p = ALIASING[name].problem()
    p = p._replace(X=p.X[:1], y=p.y[:1], Y=p.Y[:1]) if "one sample" in name else p
    arguments = on_backend(pm.get_backend(backend), p._replace(weights=np.ones(1)))[:3]

    def results():
        forward, packed = pm.forward(p.net, *arguments[:2]), pm.pack(arguments[0])
        return leaves((forward, packed, pm.loss_and_grad(p.net, *arguments, **p.options)))

    groups = [list(map(np.asarray, group)) for group in (leaves(arguments), results(), results())]
    for i, group in enumerate(groups):
        for others in groups[:i]:
            assert not any(np.shares_memory(x, y) for x in group for y in others)


# --- an axis of models -------------------------------------------------------------------------------------------

N_MODELS = 4


class Models(NamedTuple):
    """What the models compute, and what they share; the parameters are always their own."""

    case: Case
    shared: tuple[str, ...] = ("X", "y", "weights")

    def draw(self) -> tuple[Problem, list[Problem]]:
        """Return one problem with an axis of models, and the single problems it is made of."""
        drawn = [self.case.problem(seed) for seed in range(N_MODELS)]
        singles = [p._replace(**{name: getattr(drawn[0], name) for name in self.shared}) for p in drawn]
        own = {"X", "y", "weights"} - set(self.shared)
        stacked = {name: np.stack([getattr(p, name) for p in singles]) for name in own}
        layers = zip(*(p.params for p in singles), strict=True)
        params = [tuple(np.stack(x) for x in zip(*layer, strict=True)) for layer in layers]
        return singles[0]._replace(params=params, **stacked), singles


MODELS = {
    "labels shared": Models(Case(target="int64-vector")),
    "rows shared": Models(Case(("relu", "gelu"), "identity")),
    "values (n,) shared": Models(Case("relu", "identity", n_outputs=1, target="vector")),
    "own X": Models(Case(target="int64-vector"), ("y", "weights")),
    "own labels": Models(Case(target="int64-vector"), ("X", "weights")),
    "own rows": Models(Case("silu", "logistic"), ("X", "weights")),
    "own values (m, n)": Models(Case("elu", "identity", n_outputs=1, target="vector"), ("X", "weights")),
    "all their own": Models(Case("softplus", "exp", weighted=True), ()),
    "weights shared": Models(Case(target="int64-vector", weighted=True), ("y", "weights")),
    "own weights": Models(Case(target="int64-vector", weighted=True), ("X", "y")),
    "own weights, sum": Models(Case("relu", "relu", weighted=True, reduction="sum"), ("X", "y")),
    "no penalty": Models(Case((), "identity", l2=0.0, weighted=True), ("X", "y")),
}


def assert_equals_single_calls(lib, models):
    together, singles = models.draw()
    loss, grads = call(lib, together)
    activations = pm.forward(together.net, lib.params(together.params), lib.array(together.X))
    assert lib.numpy(loss).shape == (N_MODELS,)
    rows = [lib.numpy(x) for x in leaves((loss, grads, activations))]
    for m, p in enumerate(singles):
        alone = (*call(lib, p), pm.forward(p.net, lib.params(p.params), lib.array(p.X)))
        for x, y in zip(rows, leaves(alone), strict=True):
            assert_close(x[m], lib.numpy(y), rtol=10 * lib.rtol)


@pytest.mark.parametrize("name", one_in(2, ["labels shared", "all their own"], on="jax"))
def test_an_axis_of_models_equals_single_calls(lib, name):
    assert_equals_single_calls(lib, MODELS[name])


@pytest.mark.parametrize("lib", ["strict-device1", "torch-cpu-float32"], indirect=True)
@pytest.mark.parametrize("name", MODELS)
def test_an_axis_of_models_goes_with_everything(lib, name):
    assert_equals_single_calls(lib, MODELS[name])


def test_samples_without_weight_leave_the_penalty_alone():
    net = pm.Network((3, 2))
    params = pm.init_params(net)
    loss, grads = pm.loss_and_grad(net, params, np.ones((4, 3)), np.zeros(4, int), l2=0.5, sample_weight=np.zeros(4))
    assert_close(loss, 0.25 * np.sum(params[0].W ** 2), rtol=1e-15)
    assert_close(grads[0].W, 0.5 * params[0].W, rtol=1e-15)


def test_the_loss_is_an_array_of_the_library(lib):
    """NumPy's own reductions would give a scalar of another type."""
    net = pm.Network((5, 3))
    params = pm.init_params(net, backend=lib.backend, dtype=lib.dtype)
    loss, grads = pm.loss_and_grad(net, params, lib.array(np.ones((6, 5))), lib.array(np.zeros(6, int)))
    assert type(loss) is type(grads[0].W)
    assert loss.shape == ()

"""The flat vector: its order, its views, and the lengths it refuses."""

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.kernels.parameters import n_parameters
from tests.reference import LAYOUTS, assert_close

NET = pm.Network((2, 3, 1), output="identity")
N_PARAMETERS = 2 * 3 + 3 + 3 * 1 + 1
BY_HAND = [([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [6.0, 7.0, 8.0]), ([[9.0], [10.0], [11.0]], [12.0])]
"""Numbered in the order of the flat vector: W row by row, then b, layer by layer."""


def numbered(n_models=None):
    """Return parameters numbered in the order of the flat vector, model after model."""
    layers = [tuple(map(np.asarray, layer)) for layer in BY_HAND]
    if n_models is None:
        return layers
    return [tuple(np.stack([x + 100 * m for m in range(n_models)]) for x in layer) for layer in layers]


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3, 1), (64, 100, 10), (3, 4, 5, 6, 7)])
def test_n_parameters_equals_the_count(sizes):
    params = pm.init_params(pm.Network(sizes))
    assert n_parameters(sizes) == sum(W.size + b.size for W, b in params)


def test_pack_puts_weights_row_by_row_then_biases(lib):
    assert_close(lib.numpy(pm.pack(lib.params(BY_HAND))), np.arange(N_PARAMETERS), rtol=0)


def test_pack_of_models_has_one_row_a_model(lib):
    flat = lib.numpy(pm.pack(lib.params(numbered(n_models=2))))
    assert_close(flat, np.arange(N_PARAMETERS) + np.asarray([[0], [100]]), rtol=0)


@pytest.mark.parametrize("n_models", [None, 1, 2])
def test_unpack_undoes_pack(lib, n_models):
    given = numbered(n_models)
    params = pm.unpack(NET, pm.pack(lib.params(given)))
    assert isinstance(params, tuple)
    for layer, expected in zip(params, given, strict=True):
        assert isinstance(layer, pm.Layer)
        for x, y in zip(layer, expected, strict=True):
            assert_close(lib.numpy(x), y, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pack_reads_any_memory_layout(layout):
    params = [tuple(map(LAYOUTS[layout], layer)) for layer in numbered()]
    assert_close(pm.pack(params), np.arange(N_PARAMETERS), rtol=0)


def test_pack_copies_and_leaves_its_arguments_alone(lib):
    params = lib.params(BY_HAND)
    flat = pm.pack(params)
    if lib.backend.name in ("numpy", "torch", "cupy"):
        flat[...] = -1.0
    for layer, expected in zip(params, BY_HAND, strict=True):
        for x, y in zip(layer, expected, strict=True):
            assert_close(lib.numpy(x), y, rtol=0)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("n_models", [None, 2])
def test_unpack_gives_views(backend, n_models):
    flat = pm.get_backend(backend).asarray(np.zeros((*([n_models] if n_models else []), N_PARAMETERS)))
    params = pm.unpack(NET, flat)
    flat[..., -1] = 5.0
    assert float(params[-1].b[..., 0].max()) == 5.0
    for layer in params:
        layer.W[...] = 1.0
        layer.b[...] = 2.0
    assert float(flat.sum()) == (n_models or 1) * (9 * 1.0 + 4 * 2.0)


def test_unpack_keeps_other_dtypes():
    assert {x.dtype for layer in pm.unpack(NET, np.arange(N_PARAMETERS)) for x in layer} == {np.dtype("int64")}


@pytest.mark.parametrize("shape", [(12,), (14,), (0,), (), (2, 12), (13, 2), (1, 1, 13)])
def test_unpack_refuses_another_length(lib, shape):
    flat = lib.array(np.zeros(shape))
    with pytest.raises(ValueError, match=r"flat must have shape \(13,\) for Network.*\(n_models, 13\)") as refusal:
        pm.unpack(NET, flat)
    assert str(refusal.value).endswith(f"got {shape}")


def test_pack_refuses_a_mixture():
    layers, others = pm.init_params(pm.Network((2, 2))), pm.init_params(pm.Network((2, 2)), backend="torch")
    with pytest.raises(ValueError, match=r"params\[1\].W is a torch array on cpu but params\[0\].W is a numpy array"):
        pm.pack((*layers, *others))
    with pytest.raises(TypeError, match="one dtype to be packed, got float32, float64"):
        pm.pack((*layers, *pm.init_params(pm.Network((2, 2)), dtype="float32")))
    with pytest.raises(ValueError, match="params has no layer"):
        pm.pack(())
    for no_layers in (np.ones((3, 4)), pm.Network((2, 2))):
        with pytest.raises(TypeError, match=r"params must be a tuple of Layer\(W, b\), got (ndarray|Network)"):
            pm.pack(no_layers)

"""The description of a network: one spelling for equal networks, and what it refuses."""

import itertools
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.kernels.losses import LOSSES
from tests.reference import PAIRS


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (pm.Network((3, 4, 2)), pm.Network([3, 4, 2])),
        (pm.Network((3, 4, 2)), pm.Network((np.int64(3), np.uint8(4), 2))),
        (pm.Network((3, 4, 2)), pm.Network(np.asarray([3, 4, 2]))),
        (pm.Network((3, 4, 5, 2), activation="tanh"), pm.Network((3, 4, 5, 2), activation=["tanh", "tanh"])),
        (pm.Network((3, 4, 5, 2), activation=["relu", "tanh"]), pm.Network((3, 4, 5, 2), activation=("relu", "tanh"))),
        (pm.Network((3, 2), activation="tanh"), pm.Network((3, 2), activation=())),
        (pm.Network((3, 2), output="relu"), pm.Network((3, 2), output="relu", loss="squared_error")),
    ],
)
def test_equal_networks_have_one_spelling(one, same):
    assert one == same
    assert hash(one) == hash(same)
    assert repr(one) == repr(same)
    assert eval(repr(one), {"Network": pm.Network}) == one
    assert all(type(size) is int for size in same.sizes)


@pytest.mark.parametrize(
    "other",
    [
        pm.Network((3, 5, 2)),
        pm.Network((3, 4, 2), activation="tanh"),
        pm.Network((3, 4, 2), output="logistic"),
        pm.Network((3, 4, 4, 2)),
    ],
)
def test_other_networks_differ(other):
    assert other != pm.Network((3, 4, 2))


def test_natural_losses():
    natural = {output: pm.Network((3, 2), output=output).loss for output in ("softmax", "identity", "relu", "exp")}
    assert natural == {
        "softmax": "cross_entropy",
        "identity": "squared_error",
        "relu": "squared_error",
        "exp": "poisson",
    }
    assert pm.Network((3, 2), output="logistic").loss == "binary_cross_entropy"


def test_one_activation_a_hidden_layer():
    assert pm.Network((3, 4, 5, 2), activation="tanh").activations == ("tanh", "tanh")
    assert pm.Network((3, 4, 5, 2), activation=["tanh", "relu"]).activations == ("tanh", "relu")
    assert pm.Network((3, 2)).activations == ()
    assert pm.Network((3, 4, 5, 2), activation=["tanh", "tanh"]).activation == "tanh"
    assert pm.Network((3, 4, 5, 2), activation=["tanh", "relu"]).activation == ("tanh", "relu")
    assert [pm.Network(sizes).n_hidden for sizes in ((3, 2), (3, 4, 2), (3, 4, 5, 2))] == [0, 1, 2]


def test_a_network_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        pm.Network((3, 2)).loss = "poisson"


REFUSED = [
    (ValueError, ((3,),), {}, r"sizes must have at least two entries, the inputs and the outputs; got \(3,\)"),
    (ValueError, ((),), {}, r"sizes must have at least two entries, .* got \(\)"),
    (ValueError, ((3, 0, 2),), {}, r"every size must be at least 1, got \(3, 0, 2\)"),
    (ValueError, ((3, -4, 2),), {}, r"every size must be at least 1, got \(3, -4, 2\)"),
    (TypeError, ((3, 4.0, 2),), {}, r"sizes must be whole numbers .*, got \(3, 4.0, 2\)"),
    (TypeError, (3,), {}, r"sizes must be whole numbers .*, got 3"),
    (TypeError, ("32",), {}, r"sizes must be whole numbers .*, got '32'"),
    (ValueError, ((3, 4, 2), "sigmoid"), {}, "activation must be one of 'identity', 'relu', .*'silu'; got 'sigmoid'"),
    (ValueError, ((3, 4, 5, 2), ("relu", "sinh")), {}, "activation must be one of .*; got 'sinh'"),
    (ValueError, ((3, 4, 5, 2), ("relu", None)), {}, "activation must be one of .*; got None"),
    (ValueError, ((3, 2), "sinh"), {}, "activation must be one of .*; got 'sinh'"),
    (ValueError, ((3, 4, 5, 2), ("relu",)), {}, r"one for each of the 2 hidden layers; got \('relu',\)"),
    (ValueError, ((3, 4, 2), ("relu", "tanh")), {}, r"one for each of the 1 hidden layers; got \('relu', 'tanh'\)"),
    (ValueError, ((3, 2),), {"output": "sigmoid"}, "output must be one of 'softmax', .*'exp'; got 'sigmoid'"),
    (ValueError, ((3, 2),), {"output": None}, "output must be one of .*; got None"),
    (ValueError, ((3, 2),), {"loss": "hinge"}, "loss must be one of 'cross_entropy', .*'poisson'; got 'hinge'"),
]


@pytest.mark.parametrize(
    ("error", "arguments", "options", "message"), REFUSED, ids=[repr(case[1:3]) for case in REFUSED]
)
def test_network_refuses(error, arguments, options, message):
    with pytest.raises(error, match=message):
        pm.Network(*arguments, **options)


@pytest.mark.parametrize("activation", [None, 3])
def test_network_says_what_an_activation_should_be(activation):
    with pytest.raises((TypeError, ValueError), match=f"activation must be one .*{activation}"):
        pm.Network((3, 4, 2), activation=activation)


OUTPUTS = ("softmax", "logistic", "identity", "relu", "exp")


@pytest.mark.parametrize(("output", "loss"), sorted({*itertools.product(OUTPUTS, LOSSES)} - {*PAIRS}))
def test_pairs_without_a_right_gradient_are_refused(output, loss):
    with pytest.raises(ValueError, match=f"loss '{loss}' does not go with output '{output}'"):
        pm.Network((3, 2), output=output, loss=loss)

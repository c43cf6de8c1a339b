"""An independent reference: one sample, one unit, one Python float at a time; it shares no code with the package.

Values come from plain loops, gradients from the autograd of PyTorch and of JAX over their own activations and losses.
Of a network only its description is read: ``sizes``, ``activations`` (one name a layer), ``output`` and ``loss``.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

# --- values: loops over floats -----------------------------------------------------------------------------------


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: z if z > 0.0 else 0.0,
    "tanh": lambda z: math.tanh(z),
    "logistic": lambda z: sigmoid(z),
    "leaky_relu": lambda z: z if z > 0.0 else 0.01 * z,
    "elu": lambda z: z if z > 0.0 else math.exp(z) - 1.0,
    "softplus": lambda z: math.log(1.0 + math.exp(z)),
    "gelu": lambda z: 0.5 * z * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z * sigmoid(z),
    "exp": lambda z: math.exp(z),
}

PAIRS = (
    ("softmax", "cross_entropy"),
    ("logistic", "binary_cross_entropy"),
    ("identity", "squared_error"),
    ("relu", "squared_error"),
    ("exp", "poisson"),
    ("logistic", "squared_error"),
    ("exp", "squared_error"),
    ("identity", "huber"),
    ("relu", "huber"),
    ("logistic", "huber"),
    ("exp", "huber"),
)
"""Every output with every loss it may have."""

HIDDEN = tuple(name for name in ACTIVATIONS if name != "exp")
"""What a hidden layer may apply."""


def softmax(z: list[float]) -> list[float]:
    e = [math.exp(z_j) for z_j in z]
    return [e_j / sum(e) for e_j in e]


def forward_of_sample(net: Any, params: Any, x: Any) -> list[list[float]]:
    """Return the activations of each layer for one sample."""
    layers = []
    h = [float(x_i) for x_i in x]
    for (W, b), name in zip(params, (*net.activations, net.output), strict=True):
        z = []
        for j in range(len(b)):
            z_j = float(b[j])
            for i in range(len(h)):
                z_j += h[i] * float(W[i][j])
            z.append(z_j)
        h = softmax(z) if name == "softmax" else [ACTIVATIONS[name](z_j) for z_j in z]
        layers.append(h)
    return layers


def loss_of_unit(loss: str, y: float, y_hat: float) -> float:
    if loss == "cross_entropy":
        return -y * math.log(y_hat)
    if loss == "binary_cross_entropy":
        return -y * math.log(y_hat) - (1.0 - y) * math.log(1.0 - y_hat)
    if loss == "squared_error":
        return 0.5 * (y_hat - y) ** 2
    if loss == "huber":
        return 0.5 * (y_hat - y) ** 2 if abs(y_hat - y) <= 1.0 else abs(y_hat - y) - 0.5
    if loss == "poisson":
        return (y * math.log(y / y_hat) if y > 0.0 else 0.0) - y + y_hat
    raise KeyError(loss)


def forward(net: Any, params: Any, X: Any) -> list[np.ndarray]:
    """Return the activations (n_samples, n_units) of each layer."""
    samples = [forward_of_sample(net, params, x) for x in X]
    return [np.asarray([sample[i] for sample in samples]) for i in range(len(params))]


def loss(net: Any, params: Any, X: Any, Y: Any, *, l2: float, reduction: str, weights: Any) -> float:
    """Return the objective; ``Y`` has one row a sample, ``weights`` may be None."""
    total = weight_of_all = 0.0
    for s in range(len(X)):
        y_hat = forward_of_sample(net, params, X[s])[-1]
        weight = 1.0 if weights is None else float(weights[s])
        for j in range(len(y_hat)):
            total += weight * loss_of_unit(net.loss, float(Y[s][j]), y_hat[j])
        weight_of_all += weight
    if reduction == "mean":
        total /= weight_of_all
    for W, _ in params:
        for row in W:
            for w in row:
                total += 0.5 * l2 * float(w) ** 2
    return total


# --- gradients: two autograd engines -----------------------------------------------------------------------------

TORCH = {
    "identity": lambda z: z,
    "relu": torch.nn.functional.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "elu": torch.nn.functional.elu,
    "softplus": functools.partial(torch.nn.functional.softplus, threshold=50.0),  # a straight line from there on
    "gelu": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "exp": torch.exp,
    "softmax": lambda z: torch.softmax(z, -1),
    "log_softmax": lambda z: torch.log_softmax(z, -1),
    "log_logistic": torch.nn.functional.logsigmoid,
    "xlogy": torch.xlogy,
    "huber": functools.partial(torch.nn.functional.huber_loss, reduction="none"),
}


def _huber(distance: Any, delta: float) -> Any:
    return jnp.where(distance <= delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))


JAX = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
    "gelu": lambda z: jax.nn.gelu(z, approximate=True),
    "silu": jax.nn.silu,
    "exp": jnp.exp,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "log_logistic": jax.nn.log_sigmoid,
    "xlogy": jax.scipy.special.xlogy,
    "huber": lambda y_hat, y, delta: _huber(jnp.abs(y_hat - y), delta),
}


def _objective(f: dict[str, Any], p: "Problem", params: Any, X: Any, Y: Any, weights: Any) -> Any:
    """Write the objective once more, in the operators that PyTorch and JAX share."""
    h = X
    for (W, b), name in zip(params[:-1], p.net.activations, strict=True):
        h = f[name](h @ W + b)
    z = h @ params[-1][0] + params[-1][1]
    if p.net.loss == "cross_entropy":
        losses = -Y * f["log_softmax"](z)
    elif p.net.loss == "binary_cross_entropy":
        losses = -Y * f["log_logistic"](z) - (1.0 - Y) * f["log_logistic"](-z)
    elif p.net.loss == "poisson":
        losses = f["xlogy"](Y, Y) - Y * z - Y + f["exp"](z)
    elif p.net.loss == "huber":
        losses = f["huber"](f[p.net.output](z), Y, **dict(p.net.loss_options))
    else:
        losses = 0.5 * (f[p.net.output](z) - Y) ** 2
    total = (weights * losses.sum(-1)).sum()
    if p.reduction == "mean":
        total = total / weights.sum()
    return total + 0.5 * p.l2 * sum((W**2).sum() for W, _ in params)


def torch_gradient(p: "Problem") -> list[tuple[np.ndarray, np.ndarray]]:
    params = [tuple(torch.tensor(x, requires_grad=True) for x in layer) for layer in p.params]
    _objective(TORCH, p, params, *map(torch.tensor, (p.X, p.Y, p.plain_weights))).backward()
    return [(W.grad.numpy(), b.grad.numpy()) for W, b in params]


def jax_gradient(p: "Problem") -> list[tuple[np.ndarray, np.ndarray]]:
    # Operator by operator: compiled, each problem would be a program of its own.
    params, X, Y, weights = jax.tree.map(jnp.asarray, (p.params, p.X, p.Y, p.plain_weights))
    grads = jax.grad(lambda params: _objective(JAX, p, params, X, Y, weights))(params)
    return [(np.asarray(dW), np.asarray(db)) for dW, db in grads]


# --- random problems ---------------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """A network with numbers for it: ``y`` as given, ``Y`` the same as rows. All floats are exact in float32."""

    net: Any
    params: list[tuple[np.ndarray, np.ndarray]]
    X: np.ndarray
    y: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    l2: float
    reduction: str

    @property
    def plain_weights(self) -> np.ndarray:
        return np.ones(len(self.X)) if self.weights is None else self.weights

    @property
    def options(self) -> dict[str, Any]:
        return {"l2": self.l2, "reduction": self.reduction}


def random_problem(
    net: Any,
    *,
    seed: int = 0,
    n_samples: int = 6,
    target: str = "rows",
    l2: float = 0.0,
    reduction: str = "mean",
    weighted: bool = False,
) -> Problem:
    """Draw parameters, inputs and targets that suit the network's loss; see `random_targets` for ``target``."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(net.sizes[:-1], net.sizes[1:], strict=True))
    params = [(float32_exact(rng.normal(0, 0.8, s)), float32_exact(rng.normal(0, 0.5, s[1]))) for s in shapes]
    X = float32_exact(rng.normal(size=(n_samples, net.sizes[0])))
    y, Y = random_targets(rng, net, n_samples, target)
    weights = float32_exact(rng.uniform(0.2, 3.0, n_samples)) if weighted else None
    return Problem(net, params, X, y, Y, weights, l2, reduction)


def random_targets(rng: np.random.Generator, net: Any, n: int, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return targets as ``target`` says, and as float rows.

    "rows" are (n, n_outputs) floats and "int64-rows" integers; "vector" and "int64-vector" are (n,): for softmax
    labels.
    """
    kind, _, shape = target.rpartition("-")
    n_outputs = net.sizes[-1]
    labels = rng.integers(0, n_outputs, n)
    Y = {
        "cross_entropy": np.eye(n_outputs)[labels],
        "binary_cross_entropy": rng.integers(0, 2, (n, n_outputs)).astype(float),
        "squared_error": float32_exact(rng.normal(0.5, 1.0, (n, n_outputs))),
        "huber": float32_exact(rng.normal(0.5, 2.0, (n, n_outputs))),
        "poisson": rng.integers(0, 4, (n, n_outputs)).astype(float),
    }[net.loss]
    y = Y if shape == "rows" else labels if net.output == "softmax" else Y[:, 0]
    return (y.astype(kind) if kind else y), Y


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "read-only": _read_only,
}
"""The same numbers, laid out otherwise in memory."""


WRITEABLE = (
    *("numpy-float64", "strict-cpu", "torch-cpu"),
    pytest.param("cupy", marks=pytest.mark.gpu("cupy")),
    pytest.param("torch-cuda", marks=pytest.mark.gpu("torch")),
)
"""The libraries, by the name of the fixture's parameter, whose arrays can be written into."""


def float32_exact(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32).astype(np.float64)


# --- comparison --------------------------------------------------------------------------------------------------


def assert_close(actual: Any, expected: Any, *, rtol: float) -> None:
    """Compare shapes, then entries: within ``rtol`` times the largest size of an expected entry."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = np.max(np.abs(expected), initial=0.0)
    error = np.max(np.abs(actual - expected), initial=0.0)
    assert error <= rtol * scale, f"off by {error:.3g}, allowed {rtol:g} x {scale:.3g}:\n{actual}\nnot\n{expected}"

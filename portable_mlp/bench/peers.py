"""The peers: training steps of other libraries, as their users write them. Each is a candidate of `candidates`."""

from __future__ import annotations

import importlib.util
import itertools
import math
import shutil
from typing import Any

import numpy as np

from ..kernels.parameters import n_parameters
from .candidates import Make
from .cases import N_BATCHES, RATE, Case, problem

SAMPLES_A_CALL = 10_000
"""The fewest samples of a call of scikit-learn, whose overhead is not that of a step."""

STEPS_A_SCAN = 100
"""The most steps of a call of JAX's scan."""

MULTIPLICATIONS_A_SCAN = 10**11
"""The most multiplications of a call of JAX's scan, about: on a large network it should not last for minutes."""


class Textbook:
    """NumPy as lectures write it: the equations line by line, a new array for each, the optimizer layer by layer."""

    def __init__(self, case: Case, dtype: str) -> None:
        self._case, self._dtype = case, dtype
        X, y = problem(case).X.astype(dtype), problem(case).y
        Y = np.eye(case.sizes[-1], dtype=dtype)[y] if case.output == "softmax" else y.astype(dtype)
        self._batches = list(zip(np.split(X, N_BATCHES), np.split(Y, N_BATCHES), strict=True))
        self._state = self._start()

    def _start(self) -> dict[str, Any]:
        flat = [x.astype(self._dtype) for layer in problem(self._case).params for x in layer]
        return {"p": flat, "m": [np.zeros_like(x) for x in flat], "v": [np.zeros_like(x) for x in flat], "t": 0}

    def _step(self, state: dict[str, Any], X: np.ndarray, Y: np.ndarray) -> float:
        weights, biases = state["p"][::2], state["p"][1::2]
        activations = [X]
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            z = activations[-1] @ W + b
            activations.append(np.maximum(z, 0) if self._case.activation == "relu" else np.tanh(z))
        z = activations[-1] @ weights[-1] + biases[-1]
        if self._case.output == "softmax":
            e = np.exp(z - z.max(axis=1, keepdims=True))
            out = e / e.sum(axis=1, keepdims=True)
            loss = -np.log((out * Y).sum(axis=1)).mean()
        else:
            out = z
            loss = 0.5 * ((out - Y) ** 2).sum(axis=1).mean()
        d, grads = (out - Y) / len(X), []
        for h, W in zip(activations[::-1], weights[::-1], strict=True):
            grads += [d.sum(axis=0), h.T @ d]
            if h is not X:
                d = (d @ W.T) * ((h > 0) if self._case.activation == "relu" else 1 - h * h)
        self._update(state, grads[::-1])
        return float(loss)

    def _update(self, state: dict[str, Any], grads: list[np.ndarray]) -> None:
        state["t"] += 1
        first, second = 1 - 0.9 ** state["t"], 1 - 0.999 ** state["t"]
        for p, g, m, v in zip(state["p"], grads, state["m"], state["v"], strict=True):
            if self._case.solver == "sgd":
                v[...] = 0.9 * v + g
                p -= RATE * (g + 0.9 * v)
            else:
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g * g
                p -= RATE * (m / first) / (np.sqrt(v / second) + 1e-8)

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""
        for X, Y in itertools.islice(itertools.cycle(self._batches), n_steps):
            self._step(self._state, X, Y)

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        state = self._start()
        return [self._step(state, X, Y) for X, Y in self._batches]


class TorchEager:
    """PyTorch: autograd, and its fused optimizers."""

    def __init__(self, case: Case, dtype: str, device: str = "cpu", rate: float = RATE) -> None:
        import torch

        self._torch, self._case, self._device, self._dtype = torch, case, device, getattr(torch, dtype)
        X, y = np.split(problem(case).X, N_BATCHES), np.split(problem(case).y, N_BATCHES)
        dtype_of_y = None if case.output == "softmax" else self._dtype
        self._batches = [
            (torch.tensor(a, dtype=self._dtype, device=device), torch.tensor(b, dtype=dtype_of_y, device=device))
            for a, b in zip(X, y, strict=True)
        ]
        self._turns = itertools.cycle(self._batches)
        self._model, self._optimizer = self._start(rate)

    def _start(self, rate: float = RATE) -> tuple[Any, Any]:
        torch, layers = self._torch, []
        for W, b in problem(self._case).params:
            linear = torch.nn.Linear(*W.shape, dtype=self._dtype, device=self._device)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(W.T))
                linear.bias.copy_(torch.tensor(b))
            layers += [linear, torch.nn.ReLU() if self._case.activation == "relu" else torch.nn.Tanh()]
        model = torch.nn.Sequential(*layers[:-1])
        return model, self._make_optimizer(model.parameters(), rate)

    def _make_optimizer(self, parameters: Any, rate: float) -> Any:
        if self._case.solver == "sgd":
            return self._torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, fused=True)
        return self._torch.optim.Adam(parameters, lr=rate, fused=True)

    def _loss(self, model: Any, X: Any, y: Any) -> Any:
        if self._case.output == "softmax":
            return self._torch.nn.functional.cross_entropy(model(X), y)
        return 0.5 * self._torch.nn.functional.mse_loss(model(X), y, reduction="sum") / len(X)

    def _step(self, model: Any, optimizer: Any, X: Any, y: Any) -> Any:
        loss = self._loss(model, X, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""
        self.enqueue(n_steps)
        self.wait()

    def enqueue(self, n_steps: int) -> None:
        """Start steps over the batches in turn, without waiting for them on a GPU."""
        for X, y in itertools.islice(self._turns, n_steps):
            self._last_loss = self._step(self._model, self._optimizer, X, y)

    def wait(self) -> None:
        """Return when the last step is done."""
        float(self._last_loss)

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        model, optimizer = self._start()
        return [float(self._step(model, optimizer, X, y)) for X, y in self._batches]


class TorchCompile(TorchEager):
    """PyTorch, forward and backward pass compiled by `torch.compile`, which needs a C++ compiler on the CPU."""

    mode: str | None = None
    """The mode of `torch.compile`."""

    def __init__(self, case: Case, dtype: str, device: str = "cpu", rate: float = RATE) -> None:
        if device == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
            raise RuntimeError("torch.compile needs a C++ compiler")
        super().__init__(case, dtype, device, rate)
        self._compiled = self._torch.compile(super()._loss, mode=self.mode)

    def _loss(self, model: Any, X: Any, y: Any) -> Any:
        return self._compiled(model, X, y)


class JaxJit:
    """JAX: `value_and_grad`, the optimizer written out, the whole step compiled, its state donated."""

    def __init__(self, case: Case, dtype: str, rate: float = RATE) -> None:
        import jax
        import jax.numpy as jnp

        self._jax, self._jnp, self._case, self._dtype = jax, jnp, case, dtype
        X, y = np.split(problem(case).X, N_BATCHES), np.split(problem(case).y, N_BATCHES)
        dtype_of_y = None if case.output == "softmax" else dtype
        self._batches = [
            (jnp.asarray(a, dtype=dtype), jnp.asarray(b, dtype=dtype_of_y)) for a, b in zip(X, y, strict=True)
        ]
        self._turns = itertools.cycle(self._batches)
        self._params = problem(case).params
        self._step = jax.jit(self._one_step, donate_argnums=0)
        self._state = self._start(rate)

    def _start(self, rate: float = RATE) -> Any:
        jnp, tree_map = self._jnp, self._jax.tree.map
        params = [tuple(jnp.array(x, dtype=self._dtype) for x in layer) for layer in self._params]
        m, v = tree_map(jnp.zeros_like, params), tree_map(jnp.zeros_like, params)
        return params, m, v, jnp.zeros((), "int32"), jnp.asarray(rate, dtype=self._dtype)

    def _loss(self, params: Any, X: Any, y: Any) -> Any:
        z = self._outputs(params, X)
        if self._case.output == "identity":
            return 0.5 * ((z - y) ** 2).sum() / len(X)
        log_p = self._jax.nn.log_softmax(z)
        return -self._jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def _outputs(self, params: Any, X: Any) -> Any:
        h, activation = X, self._jax.nn.relu if self._case.activation == "relu" else self._jnp.tanh
        for W, b in params[:-1]:
            h = activation(h @ W + b)
        W, b = params[-1]
        return h @ W + b

    def _one_step(self, state: Any, X: Any, y: Any) -> tuple[Any, Any]:
        params, m, v, t, rate = state
        tree_map, t = self._jax.tree.map, t + 1
        loss, grads = self._jax.value_and_grad(self._loss)(params, X, y)
        if self._case.solver == "sgd":
            v = tree_map(lambda v, g: 0.9 * v + g, v, grads)
            return (tree_map(lambda p, g, v: p - rate * (g + 0.9 * v), params, grads, v), m, v, t, rate), loss
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        first, second = 1.0 - 0.9**t, 1.0 - 0.999**t
        move = tree_map(lambda m, v: rate * (m / first) / (self._jnp.sqrt(v / second) + 1e-8), m, v)
        return (tree_map(lambda p, s: p - s.astype(p.dtype), params, move), m, v, t, rate), loss

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""
        self.enqueue(n_steps)
        self.wait()

    def enqueue(self, n_steps: int) -> None:
        """Start steps over the batches in turn, without waiting for them."""
        for X, y in itertools.islice(self._turns, n_steps):
            self._state, self._last_loss = self._step(self._state, X, y)

    def wait(self) -> None:
        """Return when the last step is done."""
        np.asarray(self._last_loss)

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        state, losses = self._start(), []
        for X, y in self._batches:
            state, loss = self._step(state, X, y)
            losses.append(float(loss))
        return losses


class JaxScan(JaxJit):
    """JAX: the same step, `lax.scan` over many of them in a call."""

    multiplications_a_call = MULTIPLICATIONS_A_SCAN

    def __init__(self, case: Case, dtype: str, rate: float = RATE) -> None:
        super().__init__(case, dtype, rate)
        a_step = 3 * case.batch_size * n_parameters(case.sizes)
        self.steps_a_call = max(N_BATCHES, min(STEPS_A_SCAN, self.multiplications_a_call // a_step))
        self._all = tuple(map(self._jnp.stack, zip(*self._batches, strict=True)))
        self._scan = self._jax.jit(self._many_steps, donate_argnums=0)

    def _many_steps(self, state: Any, all_batches: Any) -> tuple[Any, Any]:
        X, y = all_batches
        turns = self._jnp.arange(self.steps_a_call) % N_BATCHES
        return self._jax.lax.scan(lambda state, i: self._one_step(state, X[i], y[i]), state, turns)

    def enqueue(self, n_steps: int) -> None:
        """Start steps over the batches in turn, as many whole calls as come nearest from above."""
        for _ in range(math.ceil(n_steps / self.steps_a_call)):
            self._state, self._last_loss = self._scan(self._state, self._all)


class ScikitLearn:
    """scikit-learn's own estimator: the time of a batch in a call of ``partial_fit`` over many."""

    tolerance = 1e-5
    """Its Adam does not correct epsilon."""

    def __init__(self, case: Case, dtype: str) -> None:
        self._case, self._params = case, problem(case).params
        X, y = problem(case).X.astype(dtype), problem(case).y
        y = y[:, 0] if y.shape[1:] == (1,) else y  # a column of targets is a vector there
        self._batches = np.split(X, N_BATCHES), np.split(y, N_BATCHES)
        times = math.ceil(SAMPLES_A_CALL / len(y))
        self._X, self._y = np.concatenate([X] * times), np.concatenate([y] * times)
        self._mlp = self._start()

    def _start(self) -> Any:
        """Return an estimator with the parameters of all candidates; a throw-away step has set it up."""
        from sklearn.neural_network import _multilayer_perceptron as theirs

        case, dtype = self._case, self._X.dtype
        is_softmax = case.output == "softmax"
        options: dict[str, Any] = {"alpha": 0.0, "batch_size": case.batch_size, "learning_rate_init": RATE}
        mlp = (theirs.MLPClassifier if is_softmax else theirs.MLPRegressor)(
            hidden_layer_sizes=case.sizes[1:-1],
            activation=case.activation,
            solver=case.solver,
            shuffle=False,
            **options,
        )
        first = self._X[: case.batch_size], self._y[: case.batch_size]
        mlp.partial_fit(*first, **({"classes": np.arange(case.sizes[-1])} if is_softmax else {}))
        mlp.coefs_ = [W.astype(dtype) for W, _ in self._params]
        mlp.intercepts_ = [b.astype(dtype) for _, b in self._params]
        kind = {"adam": theirs.AdamOptimizer, "sgd": theirs.SGDOptimizer}[case.solver]
        mlp._optimizer = kind(mlp.coefs_ + mlp.intercepts_, RATE)
        return mlp

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn, as many whole calls as come nearest from above."""
        for _ in range(math.ceil(n_steps / self.steps_a_call)):
            self._mlp.partial_fit(self._X, self._y)

    @property
    def steps_a_call(self) -> int:
        """Number of steps per call."""
        return len(self._y) // self._case.batch_size

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        mlp = self._start()
        return [float(mlp.partial_fit(X, y).loss_) for X, y in zip(*self._batches, strict=True)]


PEERS: dict[str, tuple[str, Make]] = {
    "textbook NumPy": ("numpy", Textbook),
    "scikit-learn": ("sklearn", ScikitLearn),
    "PyTorch eager": ("torch", TorchEager),
    "torch.compile": ("torch", TorchCompile),
    "JAX jit": ("jax", JaxJit),
    "JAX scan": ("jax", JaxScan),
}
"""By name of the peer: the module that it needs, and the function that makes it."""


def peers() -> dict[str, Make | str]:
    """Return the function that makes each peer, or the reason why it is missing."""
    return {
        name: make if importlib.util.find_spec(module) else f"{module} is not installed"
        for name, (module, make) in PEERS.items()
    }

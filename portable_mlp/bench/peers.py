"""The peers, written as their own users write them; each is a candidate in the sense of `candidates`."""

from __future__ import annotations

import importlib.util
import itertools
import math
from typing import Any

import numpy as np

from .candidates import Make
from .cases import N_BATCHES, RATE, Case, problem

SAMPLES_A_CALL = 10_000
"""How many samples scikit-learn is given in a call, at least: what a call costs beside its steps is not a step's."""


class TorchEager:
    """PyTorch: autograd, and its fused Adam."""

    def __init__(self, case: Case, dtype: str) -> None:
        import torch

        self._torch, self._case, self._dtype = torch, case, getattr(torch, dtype)
        X, y = np.split(problem(case).X, N_BATCHES), np.split(problem(case).y, N_BATCHES)
        self._batches = [(torch.tensor(a, dtype=self._dtype), torch.tensor(b)) for a, b in zip(X, y, strict=True)]
        self._model, self._optimizer = self._start()

    def _start(self) -> tuple[Any, Any]:
        torch, layers = self._torch, []
        for W, b in problem(self._case).params:
            linear = torch.nn.Linear(*W.shape, dtype=self._dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(W.T))
                linear.bias.copy_(torch.tensor(b))
            layers += [linear, torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        return model, torch.optim.Adam(model.parameters(), lr=RATE, fused=True)

    def _step(self, model: Any, optimizer: Any, X: Any, y: Any) -> Any:
        loss = self._torch.nn.functional.cross_entropy(model(X), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""
        for X, y in itertools.islice(itertools.cycle(self._batches), n_steps):
            loss = self._step(self._model, self._optimizer, X, y)
        float(loss)

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        model, optimizer = self._start()
        return [float(self._step(model, optimizer, X, y)) for X, y in self._batches]


class JaxJit:
    """JAX: `value_and_grad`, Adam written out, the whole step compiled, its state donated."""

    def __init__(self, case: Case, dtype: str) -> None:
        import jax
        import jax.numpy as jnp

        self._jax, self._jnp, self._dtype = jax, jnp, dtype
        X, y = np.split(problem(case).X, N_BATCHES), np.split(problem(case).y, N_BATCHES)
        self._batches = [(jnp.asarray(a, dtype=dtype), jnp.asarray(b)) for a, b in zip(X, y, strict=True)]
        self._params = problem(case).params
        self._step = jax.jit(self._one_step, donate_argnums=0)
        self._state = self._start()

    def _start(self) -> Any:
        params = [tuple(self._jnp.array(x, dtype=self._dtype) for x in layer) for layer in self._params]
        zeros = self._jax.tree.map(self._jnp.zeros_like, params)
        return params, zeros, self._jax.tree.map(self._jnp.zeros_like, params), 0

    def _loss(self, params: Any, X: Any, y: Any) -> Any:
        h = X
        for W, b in params[:-1]:
            h = self._jax.nn.relu(h @ W + b)
        W, b = params[-1]
        log_p = self._jax.nn.log_softmax(h @ W + b)
        return -self._jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def _one_step(self, state: Any, X: Any, y: Any) -> tuple[Any, Any]:
        params, m, v, t = state
        tree_map, t = self._jax.tree.map, t + 1
        loss, grads = self._jax.value_and_grad(self._loss)(params, X, y)
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        first, second = 1.0 - 0.9**t, 1.0 - 0.999**t
        move = tree_map(lambda m, v: RATE * (m / first) / (self._jnp.sqrt(v / second) + 1e-8), m, v)
        return (tree_map(lambda p, s: p - s.astype(p.dtype), params, move), m, v, t), loss

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""
        for X, y in itertools.islice(itertools.cycle(self._batches), n_steps):
            self._state, loss = self._step(self._state, X, y)
        float(loss)

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        state, losses = self._start(), []
        for X, y in self._batches:
            state, loss = self._step(state, X, y)
            losses.append(float(loss))
        return losses


class ScikitLearn:
    """scikit-learn's own estimator: the time of a batch in a call of ``partial_fit`` over many."""

    tolerance = 1e-5
    """Its Adam does not correct epsilon."""

    def __init__(self, case: Case, dtype: str) -> None:
        self._case, self._params = case, problem(case).params
        self._batches = np.split(problem(case).X.astype(dtype), N_BATCHES), np.split(problem(case).y, N_BATCHES)
        times = math.ceil(SAMPLES_A_CALL / len(problem(case).y))
        self._X = np.tile(problem(case).X.astype(dtype), (times, 1))
        self._y = np.tile(problem(case).y, times)
        self._mlp = self._start()

    def _start(self) -> Any:
        """Return an estimator that stands where all candidates start, by way of a throw-away step."""
        from sklearn.neural_network import _multilayer_perceptron as theirs

        case, dtype = self._case, self._X.dtype
        classes = np.arange(case.sizes[-1])
        options: dict[str, Any] = {"alpha": 0.0, "batch_size": case.batch_size, "learning_rate_init": RATE}
        mlp = theirs.MLPClassifier(case.sizes[1:-1], shuffle=False, **options)
        mlp.partial_fit(self._X[: case.batch_size], self._y[: case.batch_size], classes=classes)
        mlp.coefs_ = [W.astype(dtype) for W, _ in self._params]
        mlp.intercepts_ = [b.astype(dtype) for _, b in self._params]
        mlp._optimizer = theirs.AdamOptimizer(mlp.coefs_ + mlp.intercepts_, RATE)
        return mlp

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn, as many whole calls as come nearest from above."""
        for _ in range(math.ceil(n_steps / self.steps_a_call)):
            self._mlp.partial_fit(self._X, self._y)

    @property
    def steps_a_call(self) -> int:
        """How many steps a call takes."""
        return len(self._y) // self._case.batch_size

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        mlp = self._start()
        return [float(mlp.partial_fit(X, y).loss_) for X, y in zip(*self._batches, strict=True)]


PEERS: dict[str, tuple[str, Make]] = {
    "scikit-learn": ("sklearn", ScikitLearn),
    "PyTorch eager": ("torch", TorchEager),
    "JAX jit": ("jax", JaxJit),
}
"""What must be installed for each peer, and what makes it."""


def peers() -> dict[str, Make | str]:
    """Return what makes each peer, or why it is not here."""
    return {
        name: make if importlib.util.find_spec(module) else f"{module} is not installed"
        for name, (module, make) in PEERS.items()
    }

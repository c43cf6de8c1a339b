"""Exclusive or
============

XOR, the smallest problem that needs a hidden layer.

You see what a network says before it has learnt anything, the same on every library because the weights are drawn
once with NumPy; the same network after training; and that one hidden layer more is one number more in its sizes.
"""

import numpy as np
from _command_line import chosen_backend

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)

X = backend.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=dtype)
Y = backend.asarray([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=dtype)  # one-hot: the first column says 0, the second 1
wanted = [0, 1, 1, 0]


def show(title, proba):
    """Print the probabilities of 0 and 1 for each input, the more probable one, and how many are right."""
    proba = backend.to_numpy(proba)
    predicted = proba.argmax(axis=1)
    print(f"{title}: {np.sum(predicted == wanted)} of 4\n  x1 x2   P(0)        P(1)        predicted")
    for (x1, x2), (p0, p1), label in zip(backend.to_numpy(X), proba, predicted, strict=True):
        print(f"  {x1:<2.0f} {x2:<2.0f}   {p0:.8f}  {p1:.8f}  {label}")


for sizes in ((2, 3, 2), (2, 4, 4, 2)):
    net = pm.Network(sizes, activation="relu", output="softmax")
    rng = np.random.RandomState(0)
    params = pm.init_params(net, scheme="glorot_uniform", random_state=rng, backend=backend, dtype=dtype)
    print(f"\n{net}")
    show("untrained", pm.predict(net, params, X))
    result = pm.train(net, params, X, Y, solver="adam", learning_rate=0.05, epochs=300)
    loss = result.history["loss"]
    print(f"loss {loss[0]:.4f} in the first epoch, {loss[-1]:.4f} in the last of {result.n_epochs}")
    show("trained", pm.predict(net, result.params, X))

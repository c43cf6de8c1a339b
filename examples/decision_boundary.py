"""A decision boundary takes shape
===============================

Two moons, and the line that a network draws between them, after more and more epochs.

You see the probability of one class all over the plane, first nearly the same everywhere, at last following the moons
(needs scikit-learn and matplotlib). A callback takes the pictures while `train` runs.
"""

import matplotlib.pyplot as plt
import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import make_moons

import portable_mlp as pm

SNAPSHOTS = (1, 10, 30, 100)

backend, dtype = chosen_backend(__doc__)
points, y = make_moons(400, noise=0.15, random_state=0)
X = backend.asarray(points, dtype=dtype)
labels = backend.asarray(y)

net = pm.Network((2, 16, 16, 2), activation="tanh")
side = np.linspace(-1.5, 2.5, 80), np.linspace(-1.0, 1.5, 60)
plane = backend.asarray(np.stack(np.meshgrid(*side), axis=-1).reshape(-1, 2), dtype=dtype)
pictures = {}


def take_picture(event):
    """Keep the probabilities of the plane, and say how many points are right."""
    if event.epoch + 1 in SNAPSHOTS:
        proba = backend.to_numpy(pm.predict(net, event.params, plane))[:, 1]
        pictures[event.epoch + 1] = proba.reshape(60, 80)
        right = backend.to_numpy(pm.predict(net, event.params, X)).argmax(axis=1) == y
        print(f"epoch {event.epoch + 1:>3}: {right.mean():.3f} of the points are right")


print()
first = pm.init_params(net, random_state=0, backend=backend, dtype=dtype)
pm.train(net, first, X, labels, learning_rate=0.01, batch_size=50, epochs=max(SNAPSHOTS), callbacks=[take_picture])

figure, axes = plt.subplots(2, 2, figsize=(7, 5.4), sharex=True, sharey=True, layout="constrained")
for axis, (epoch, proba) in zip(axes.flat, pictures.items(), strict=True):
    axis.contourf(*side, proba, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.5)
    axis.contour(*side, proba, levels=[0.5], colors="black")
    for kind, marker in enumerate("os"):
        axis.scatter(
            *points[y == kind].T,
            s=14,
            c=("#b35806", "#542788")[kind],
            edgecolors="white",
            linewidths=0.4,
            marker=marker,
        )
    axis.set_title(f"epoch {epoch}")
plt.show()

"""Are the probabilities right?
============================

Of the answers that a model gives with a probability of 80 %, 80 % should be right. One network is too sure of itself;
the mean of ten is less so.

You see how often answers are right at each level of confidence, for one network and for ten that `fit_many` trains side
by side, and the expected calibration error of each (needs scikit-learn and matplotlib).
"""

import matplotlib.pyplot as plt
import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import make_classification

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)
X, y = make_classification(2400, 20, n_informative=8, n_classes=3, flip_y=0.2, class_sep=0.8, random_state=0)
X = X.astype(dtype)
train, test = slice(0, 600), slice(600, None)

where = {"backend": backend.name, "device": backend.device_name}
members = [pm.MLPClassifier((64,), learning_rate_init=0.01, tol=1e-3, random_state=seed, **where) for seed in range(10)]
pm.fit_many(members, X[train], y[train])
proba = np.stack([member.predict_proba(X[test]) for member in members])


def by_sureness(proba):
    """Return for each tenth of sureness the mean of it, the part that is right, and the part of all answers."""
    sureness, right = proba.max(axis=1), proba.argmax(axis=1) == y[test]
    bins = np.minimum((sureness * 10).astype(int), 9)
    return np.array(
        [(sureness[bins == b].mean(), right[bins == b].mean(), np.mean(bins == b)) for b in np.unique(bins)]
    ).T


figure, axis = plt.subplots(figsize=(5, 4.5), layout="constrained")
axis.plot([0.3, 1], [0.3, 1], ":", color="gray", label="true probabilities")
print(f"\n{'':<14} accuracy   calibration error")
for name, answer, marker in (("one network", proba[0], "o-"), ("mean of ten", proba.mean(axis=0), "s-")):
    sure, right, part = by_sureness(answer)
    error = np.sum(part * np.abs(sure - right))
    print(f"{name:<14} {np.mean(answer.argmax(axis=1) == y[test]):8.3f}   {error:17.3f}")
    axis.plot(sure, right, marker, label=f"{name}: error {error:.3f}")
axis.set(xlabel="mean probability of the answer", ylabel="part of the answers that is right")
axis.legend()
plt.show()

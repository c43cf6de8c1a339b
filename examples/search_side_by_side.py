"""A search, side by side
======================

Sixteen settings, three folds each: 48 small networks, which one call trains side by side.

You see the mean accuracy for each width and penalty as a picture, and the best of them (needs scikit-learn and
matplotlib). On NumPy each fit has the numbers that it would have alone.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold

import portable_mlp as pm

WIDTHS, PENALTIES = (2, 4, 8, 16), (1e-3, 1e-1, 1.0, 10.0)

backend, dtype = chosen_backend(__doc__)
X, y = load_wine(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(dtype)
folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))

settings = list(itertools.product(WIDTHS, PENALTIES, folds))
models = [
    pm.MLPClassifier(
        (width,),
        alpha=penalty,
        learning_rate_init=0.02,
        tol=1e-3,
        random_state=0,
        backend=backend.name,
        device=backend.device_name,
    )
    for width, penalty, _ in settings
]
pm.fit_many(models, X, y, rows=[train for _, _, (train, _) in settings])
scores = [model.score(X[test], y[test]) for model, (_, _, (_, test)) in zip(models, settings, strict=True)]
means = np.reshape(scores, (len(WIDTHS), len(PENALTIES), len(folds))).mean(axis=2)

i, j = np.unravel_index(means.argmax(), means.shape)
print(f"\n{len(models)} fits; best: {WIDTHS[i]} units, penalty {PENALTIES[j]:g}, accuracy {means[i, j]:.3f}")
print(f"least: {means.min():.3f}")

figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
picture = axis.imshow(means, cmap="cividis")
for row, column in np.ndindex(means.shape):
    dark = means[row, column] < (means.min() + means.max()) / 2
    axis.text(column, row, f"{means[row, column]:.3f}", ha="center", va="center", color="white" if dark else "black")
axis.set(xlabel="penalty alpha", ylabel="hidden units")
axis.set_xticks(range(len(PENALTIES)), [f"{penalty:g}" for penalty in PENALTIES])
axis.set_yticks(range(len(WIDTHS)), WIDTHS)
figure.colorbar(picture, label="accuracy, mean of three folds")
plt.show()

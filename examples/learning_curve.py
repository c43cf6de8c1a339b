"""Would more data help?
=====================

The score of unseen rows over the number of rows that a model learns from tells whether it pays to collect more.

You see the accuracy on unseen digits for 50 to 1,200 digits, mean and spread of three draws each; all eighteen fits run
side by side in `fit_many` (needs scikit-learn and matplotlib).
"""

import matplotlib.pyplot as plt
import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import load_digits

import portable_mlp as pm

SIZES, DRAWS = (50, 100, 200, 400, 800, 1200), 3

backend, dtype = chosen_backend(__doc__)
X, y = load_digits(return_X_y=True)
X = (X / 16).astype(dtype)
order = np.random.default_rng(0).permutation(len(X))
unseen, others = order[:400], order[400:]

options = {
    "learning_rate_init": 0.01,
    "batch_size": 50,
    "tol": 1e-3,
    "backend": backend.name,
    "device": backend.device_name,
}
models = [pm.MLPClassifier((50,), random_state=draw, **options) for _ in SIZES for draw in range(DRAWS)]
rows = [np.random.default_rng(draw).permutation(others)[:size] for size in SIZES for draw in range(DRAWS)]
pm.fit_many(models, X, y, rows=rows)
scores = np.reshape([model.score(X[unseen], y[unseen]) for model in models], (len(SIZES), DRAWS))

print("\ndigits   accuracy   spread")
for size, row in zip(SIZES, scores, strict=True):
    print(f"{size:>6}   {row.mean():8.3f}   {row.std():6.3f}")

figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
axis.errorbar(SIZES, scores.mean(axis=1), scores.std(axis=1), marker="o", capsize=3)
axis.set(
    xscale="log", xlabel="digits to learn from", ylabel="accuracy on unseen digits", xticks=SIZES, xticklabels=SIZES
)
axis.minorticks_off()
plt.show()

"""scikit-learn's numbers
======================

scikit-learn's MLPs and ours, with the same seed on the same data: how far the numbers are apart.

You see, for each solver and activation, the largest difference between any two weights and between the two loss
curves after 30 epochs of handwritten digits (needs scikit-learn). On NumPy in float64 it is exactly 0 but for the
logistic activation, where SciPy's exponential and NumPy's differ in the last digit.
"""

import warnings

import numpy as np
from _command_line import chosen_backend
from sklearn import neural_network
from sklearn.datasets import load_digits

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)
warnings.simplefilter("ignore")  # 30 epochs are not enough to converge, and both say so

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(dtype)


def difference(ours, theirs):
    """Return the largest absolute difference between two lists of arrays."""
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.max(np.abs(backend.to_numpy(mine) - other))) for mine, other in pairs)


print(f"\n{'solver':<7} {'activation':<10}   weights   loss curve   accuracy of both")
for solver in ("adam", "sgd"):
    for activation in ("relu", "tanh", "identity", "logistic"):
        parameters = {"activation": activation, "solver": solver, "max_iter": 30, "random_state": 0}
        if solver == "sgd":
            parameters["learning_rate_init"] = 0.1
        theirs = neural_network.MLPClassifier((40,), **parameters).fit(X, y)
        ours = pm.MLPClassifier((40,), **parameters, backend=backend.name, device=backend.device_name).fit(X, y)
        weights = difference(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_)
        curve = float(np.max(np.abs(np.subtract(ours.loss_curve_, theirs.loss_curve_))))
        print(
            f"{solver:<7} {activation:<10}   {weights:7.1e}   {curve:10.1e}   "
            f"{ours.score(X, y):.4f} {theirs.score(X, y):.4f}"
        )

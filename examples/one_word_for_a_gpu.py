"""One word for another library
============================

The same estimator on another array library, or on a GPU: one word changes, and what comes back is NumPy.

You see the same fit on NumPy and on the library that --backend names (without it CuPy where a GPU answers), how long
each took, and how little the predictions differ (needs scikit-learn). Arrays that live on a GPU already need not even
the word: everything follows them.
"""

import time

import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split((X / 16).astype(dtype), y, random_state=0)


def fitted(**where):
    """Return an estimator that was fitted, and print where and how long."""
    start = time.perf_counter()
    clf = pm.MLPClassifier((100,), tol=1e-3, random_state=0, **where).fit(X_train, y_train)
    print(f"{where or 'as scikit-learn'}: {time.perf_counter() - start:.2f} s for {clf.n_iter_} epochs, ", end="")
    print(f"test accuracy {clf.score(X_test, y_test):.4f}")
    return clf


on_numpy = fitted()
there = fitted(backend=backend.name, device=backend.device_name)

proba = there.predict_proba(X_test)
print(f"\nfitted weights are {type(there.coefs_[0]).__module__} arrays, predictions {type(proba).__module__} arrays")
print(f"largest difference of a probability: {np.max(np.abs(proba - on_numpy.predict_proba(X_test))):.1e}")

follows = pm.MLPClassifier((100,), tol=1e-3, random_state=0)
follows.fit(backend.asarray(X_train, dtype=dtype), y_train)
answer = follows.predict(backend.asarray(X_test[:5], dtype=dtype))
print(f"given {backend.name} arrays, it answers with {type(answer).__module__} arrays: {answer}")

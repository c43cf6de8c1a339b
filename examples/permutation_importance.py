"""Which columns matter?
=====================

Shuffle one column, and see how much worse the model becomes: so much it relied on that column.

You see the loss of accuracy for each measurement of a wine, mean and spread of ten shuffles, by scikit-learn's
`permutation_importance`, which takes these estimators as its own (needs scikit-learn and matplotlib).
"""

import matplotlib.pyplot as plt
from _command_line import chosen_backend
from sklearn.datasets import load_wine
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)
wine = load_wine()
X_train, X_test, y_train, y_test = train_test_split(
    wine.data.astype(dtype), wine.target, test_size=0.4, stratify=wine.target, random_state=0
)
clf = pm.MLPClassifier(
    (16,),
    alpha=1.0,
    learning_rate_init=0.02,
    tol=1e-3,
    random_state=0,
    backend=backend.name,
    device=backend.device_name,
)
model = make_pipeline(StandardScaler(), clf).fit(X_train, y_train)
found = permutation_importance(model, X_test, y_test, n_repeats=10, random_state=0)

print(f"\naccuracy {model.score(X_test, y_test):.3f}")
order = found.importances_mean.argsort()
for i in order[::-1]:
    print(f"{wine.feature_names[i]:<30} {found.importances_mean[i]:6.3f} +- {found.importances_std[i]:.3f}")

figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
axis.barh([wine.feature_names[i] for i in order], found.importances_mean[order], xerr=found.importances_std[order])
axis.set_xlabel("accuracy that is lost if the column is shuffled")
plt.show()

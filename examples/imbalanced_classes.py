"""A rare class
============

One sample in twenty is of the class that matters: class_weight makes a network look for it.

You see how many of the rare class are found (recall), and how many of those called rare are so (precision), without
class weights, with "balanced", and with weights of your own (needs scikit-learn). Accuracy alone would hide it: to
call everything common is right 19 times in 20.
"""

from _command_line import chosen_backend
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, precision_score, recall_score
from sklearn.model_selection import train_test_split

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)

X, y = make_classification(
    6000, n_features=12, n_informative=6, weights=[0.95], flip_y=0.02, class_sep=0.7, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(X.astype(dtype), y, stratify=y, random_state=0)

print(f"\n{'class_weight':<20} recall   precision   accuracy")
for class_weight in (None, "balanced", {0: 1.0, 1: 5.0}):
    clf = pm.MLPClassifier(
        (30,),
        class_weight=class_weight,
        early_stopping=True,
        learning_rate_init=0.005,
        random_state=0,
        backend=backend.name,
        device=backend.device_name,
    )
    predicted = clf.fit(X_train, y_train).predict(X_test)
    print(
        f"{class_weight!s:<20} {recall_score(y_test, predicted):6.3f}   {precision_score(y_test, predicted):9.3f}"
        f"   {accuracy_score(y_test, predicted):8.3f}"
    )

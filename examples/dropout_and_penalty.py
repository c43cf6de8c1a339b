"""What dropout and penalties do
=============================

Two hundred samples, some of them mislabelled: a network learns them by heart. Dropout and an L2 penalty hold it back.

You see the loss of the training samples and of unseen ones over the epochs, without either, with a penalty, and with
dropout (needs scikit-learn and matplotlib). What counts is the dashed line.
"""

import matplotlib.pyplot as plt
from _command_line import chosen_backend
from sklearn.datasets import make_classification

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)
samples, classes = make_classification(1200, 20, n_informative=6, flip_y=0.2, random_state=0)
X, y = backend.asarray(samples, dtype=dtype), backend.asarray(classes)
train, unseen = slice(0, 200), slice(200, None)
net = pm.Network((20, 64, 2))
first = pm.init_params(net, random_state=0, backend=backend, dtype=dtype)

figure, axes = plt.subplots(3, 1, figsize=(6, 7), sharex=True, sharey=True, layout="constrained")
print(f"\n{'':<14} loss of unseen samples: last    least")
options = {"neither": {}, "l2=0.05": {"l2": 0.05}, "dropout=0.5": {"dropout": 0.5}}
for axis, (name, option) in zip(axes, options.items(), strict=True):
    history = pm.train(
        net,
        first,
        X[train],
        y[train],
        validation=(X[unseen], y[unseen]),
        learning_rate=0.01,
        batch_size=50,
        epochs=80,
        **option,
    ).history
    losses = history["validation_loss"]
    print(f"{name:<14} {losses[-1]:>28.3f} {min(losses):>8.3f}")
    axis.plot(history["loss"], label="training, with the penalty")
    axis.plot(losses, "--", label="unseen")
    axis.set(title=name, ylabel="cross-entropy", yscale="log")
axes[0].legend()
axes[2].set_xlabel("epoch")
plt.show()

"""A two-layer network
===================

Handwritten digits, read by two layers that are trained with plain mini-batches.

You see that weights of almost nothing make every class equally likely, so that the first loss is log(k); what the
learning rate, the losses and the accuracy do in each epoch, printed by a callback; and how well unseen digits are read
(needs scikit-learn).
"""

import math

import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import load_digits

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)

images, labels = load_digits(return_X_y=True)
order = np.random.RandomState(0).permutation(len(images))
images, labels = images[order] / 16.0, labels[order]  # pixels are 0 to 16
images -= images[:1200].mean(axis=0)  # of the training images alone: the others count as unseen
X_train, X_val, X_test = (backend.asarray(part, dtype=dtype) for part in np.split(images, [1200, 1500]))
y_train, y_val, y_test = (backend.asarray(part) for part in np.split(labels, [1200, 1500]))

net = pm.Network((64, 100, 10), activation="relu", output="softmax")
params = pm.init_params(net, scheme="normal", std=4e-3, random_state=0, backend=backend, dtype=dtype)
first_loss, _ = pm.loss_and_grad(net, params, X_train, y_train, l2=5e-6)
print(f"\nfirst loss {float(first_loss):.4f}, log(10) {math.log(10):.4f}\n")


def report(end: pm.EpochEnd) -> None:
    """Print the epoch that has just ended."""
    now = {name: values[-1] for name, values in end.history.items()}
    print(
        f"{end.epoch + 1:>5}{now['learning_rate']:>15.4f}{now['loss']:>8.4f}"
        f"{now['validation_loss']:>17.4f}{now['validation_score']:>21.3f}"
    )


print("epoch  learning rate    loss  validation loss  validation accuracy")
result = pm.train(
    net,
    params,
    X_train,
    y_train,
    solver="sgd",
    learning_rate=0.5,
    schedule="exponential",
    decay=0.95,
    batch_size=200,
    epochs=12,
    l2=5e-6,
    validation=(X_val, y_val),
    callbacks=[report],
)

predicted = backend.to_numpy(pm.predict(net, result.params, X_test)).argmax(axis=1)
print(f"\ntest accuracy {np.mean(predicted == backend.to_numpy(y_test)):.3f}")

"""The whole training, written out
===============================

The whole training of a two-layer network in sight: `pm.train`, written out with the library's own kernels.

Read it from top to bottom: the numbers, the step (forward, loss, backward, penalty, update), the loop over epochs and
batches. You see each epoch's loss beside that of `pm.train`; on NumPy they are equal to the last bit (needs
scikit-learn).
"""

import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import load_digits

import portable_mlp as pm
from portable_mlp.kernels.activations import d_relu, relu
from portable_mlp.kernels.losses import cross_entropy
from portable_mlp.kernels.optimizers import adam
from portable_mlp.kernels.targets import one_hot
from portable_mlp.training.batches import Shuffle

N_HIDDEN, N_CLASSES, BATCH_SIZE, EPOCHS, LEARNING_RATE, L2, SEED = 100, 10, 200, 10, 1e-3, 1e-3, 0

backend, dtype = chosen_backend(__doc__)
xp = backend.xp


# The step. A sample is a row; `d` before a name is the derivative of the batch's summed loss.
def loss_and_gradient(params, X, Y):
    """Return a batch's mean loss with the penalty, and its gradient; X (n, n_features), Y (n, n_classes) one-hot."""
    (W1, b1), (W2, b2) = params
    n = float(X.shape[0])

    # forward
    z1 = X @ W1 + b1  # (n, n_hidden)
    h = relu(xp, z1)
    z2 = h @ W2 + b2  # (n, n_classes)
    losses, dz2 = cross_entropy(xp, z2, Y)  # (n,) and (n, n_classes)

    # backward: the same lines, last one first
    dW2, db2 = h.T @ dz2, xp.sum(dz2, axis=0)
    dh = dz2 @ W2.T
    dz1 = d_relu(xp, dh, z1, h)
    dW1, db1 = X.T @ dz1, xp.sum(dz1, axis=0)

    # penalty l2 / 2 |W|^2, and means: a sum over samples is divided by their number
    strength = L2 * n
    squares = sum_of_squares(W1) + sum_of_squares(W2)
    loss = xp.sum(losses) / n + 0.5 * strength * squares / n
    gradient = ((dW1 + strength * W1) / n, db1 / n), ((dW2 + strength * W2) / n, db2 / n)
    return loss, gradient


def sum_of_squares(W):
    """Return the sum of all squares of a matrix."""
    w = xp.reshape(W, (-1,))
    return xp.vecdot(w, w)


# The data, on the device.
images, labels = load_digits(return_X_y=True)
X_train, y_train = backend.asarray(images / 16.0, dtype=dtype), backend.asarray(labels)  # pixels are 0 to 16
n_samples, n_features = X_train.shape

# The parameters: one flat vector, of which the layers are parts. The optimizer's moments are as long.
net = pm.Network((n_features, N_HIDDEN, N_CLASSES), activation="relu", output="softmax")
first = pm.init_params(net, random_state=SEED, backend=backend, dtype=dtype)
optimizer, flat, n_steps = adam(), pm.pack(first), 0
moments = optimizer.init(xp, flat)

# The loop. The order of an epoch is drawn on the host, from the seed and the epoch's number alone.
history = []
shuffle = Shuffle(SEED)
for epoch in range(EPOCHS):
    order = backend.asarray(shuffle.order(epoch, n_samples))
    total = 0.0
    for start in range(0, n_samples, BATCH_SIZE):
        rows = order[start : min(start + BATCH_SIZE, n_samples)]  # the last batch is short
        X, y = xp.take(X_train, rows, axis=0), xp.take(y_train, rows, axis=0)
        Y = one_hot(xp, y[:, None], N_CLASSES, X.dtype)
        loss, gradient = loss_and_gradient(pm.unpack(net, flat), X, Y)
        n_steps += 1
        scalars = optimizer.scalars(n_steps, LEARNING_RATE)  # rate and epsilon with Adam's corrections
        flat, moments = optimizer.update(xp, flat, pm.pack(gradient), moments, scalars)
        total = total + loss * float(X.shape[0])
    history.append(float(total / float(n_samples)))  # the one number that an epoch reads back from the device

# The same by the library.
result = pm.train(
    net, first, X_train, y_train, batch_size=BATCH_SIZE, epochs=EPOCHS, learning_rate=LEARNING_RATE, l2=L2
)

print("\nepoch  loss, here                  loss, pm.train")
for epoch, losses in enumerate(zip(history, result.history["loss"], strict=True), start=1):
    print(f"{epoch:>5}  {losses[0]!r:<26}  {losses[1]!r}")
difference = float(np.max(np.abs(backend.to_numpy(flat) - backend.to_numpy(pm.pack(result.params)))))
print(f"\nlargest difference of a parameter after {n_steps} steps: {difference:.0e}")
predicted = backend.to_numpy(pm.predict(net, pm.unpack(net, flat), X_train)).argmax(axis=1)
print(f"training accuracy {np.mean(predicted == labels):.3f}")

"""Tanh and softmax
================

A tanh layer, a softmax, and the few lines of back-propagation through them.

You see first weights with the variance that Glorot and Bengio ask for, the gradient of the summed cross-entropy written
out by its equations beside the library's, and a check of every entry against differences of the loss.
"""

import numpy as np
from _command_line import chosen_backend

import portable_mlp as pm


def by_the_equations(xp, params, X, Y):
    """Return loss and gradients of H = tanh(X W1 + b1), P = softmax(H W2 + b2), loss = -sum(Y log P)."""
    (W1, b1), (W2, b2) = params
    H = xp.tanh(X @ W1 + b1)
    E = xp.exp(H @ W2 + b2)
    P = E / xp.sum(E, axis=1, keepdims=True)
    dZ2 = P - Y
    dW2, db2 = H.T @ dZ2, xp.sum(dZ2, axis=0)
    dZ1 = (dZ2 @ W2.T) * (1.0 - H * H)
    dW1, db1 = X.T @ dZ1, xp.sum(dZ1, axis=0)
    return -xp.sum(Y * xp.log(P)), (pm.Layer(dW1, db1), pm.Layer(dW2, db2))


backend, dtype = chosen_backend(__doc__)
xp = backend.xp

net = pm.Network((50, 40, 10), activation="tanh", output="softmax")
params = pm.init_params(net, scheme="glorot_normal", random_state=0, backend=backend, dtype=dtype)
print("\nfirst weights            variance   2 / (n + m)")
for i, (W, _) in enumerate(params, start=1):
    print(f"{f'W{i} {tuple(W.shape)}':<23}{float(xp.var(W)):>10.4f}{2 / sum(W.shape):>14.4f}")

rng = np.random.RandomState(1)
X = backend.asarray(rng.normal(size=(8, 50)), dtype=dtype)
Y = backend.asarray(np.eye(10)[rng.randint(10, size=8)], dtype=dtype)  # one-hot: a 1 in the column of the class
loss, grads = pm.loss_and_grad(net, params, X, Y, reduction="sum")
loss_too, grads_too = by_the_equations(xp, params, X, Y)

print("\n                      by the library   by the equations")
print(f"summed cross-entropy{float(loss):>16.6f}{float(loss_too):>19.6f}")
for i, (layer, layer_too) in enumerate(zip(grads, grads_too, strict=True), start=1):
    for part, d, d_too in zip(layer._fields, layer, layer_too, strict=True):
        norm, norm_too = (float(xp.sum(each * each)) ** 0.5 for each in (d, d_too))
        difference = float(xp.max(xp.abs(d - d_too)))
        print(f"length of d{part}{i:<10}{norm:>15.6f}{norm_too:>19.6f}   entries differ by {difference:.0e} at most")

print(f"\n{pm.check_gradient(net, params, X, Y, reduction='sum')}")

# Here the equations overflow. The library takes each row's largest logit off first: the probabilities are the same.
huge = tuple(pm.Layer(1e4 * W, b) for W, b in params)
loss, _ = pm.loss_and_grad(net, huge, X, Y, reduction="sum")
print(f"cross-entropy with weights 10,000 times as large: {float(loss):.0f}")

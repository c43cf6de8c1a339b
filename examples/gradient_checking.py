"""Is a gradient right?
====================

Is a gradient right? Compare it, entry by entry, with differences of the function's values.

You see forward, central and backward differences at a scalar, a vector, a matrix and all parameters of a network with
logistic units, how much closer the central one comes, two wrong gradients that are caught, with the place, and a
picture of the error, which falls with the step until rounding takes over (needs matplotlib).
"""

import matplotlib.pyplot as plt
import numpy as np
from _command_line import chosen_backend

import portable_mlp as pm

METHODS = ("forward", "central", "backward")

backend, dtype = chosen_backend(__doc__)
xp = backend.xp
rng = np.random.RandomState(0)


def sum_of_squares(x):
    """Return the sum of all x_i^2, and its gradient 2 x."""
    return xp.sum(x * x), 2.0 * x


net = pm.Network((10, 5, 10), activation="logistic", output="softmax")
X = backend.asarray(rng.normal(size=(20, 10)), dtype=dtype)
Y = backend.asarray(np.eye(10)[rng.randint(10, size=20)], dtype=dtype)
flat = backend.asarray(rng.normal(size=10 * 5 + 5 + 5 * 10 + 10), dtype=dtype)  # W1, b1, W2, b2, one after the other


def penalty_forgotten(flat):
    """Return the loss with an L2 penalty, and a gradient that has forgotten the penalty."""
    params = pm.unpack(net, flat)
    loss, _ = pm.loss_and_grad(net, params, X, Y, l2=0.1)
    _, grads = pm.loss_and_grad(net, params, X, Y)
    return loss, pm.pack(grads)


points = {"scalar": 123.456, "vector (3,)": rng.normal(size=3), "matrix (4, 5)": rng.normal(size=(4, 5))}
rows = {}
for name, point in points.items():
    x = backend.asarray(point, dtype=dtype)
    rows[f"sum of squares, {name}"] = [pm.check_gradient_of(sum_of_squares, x, method=m) for m in METHODS]
rows["network, 115 parameters"] = [pm.check_gradient(net, pm.unpack(net, flat), X, Y, method=m) for m in METHODS]

print(f"\n{'largest relative error':<31}" + "".join(f"{method:<17}" for method in METHODS).rstrip())
for name, checks in rows.items():
    cells = (f"{check.max_relative_error:.0e} {'passed' if check.passed else 'FAILED'}" for check in checks)
    print(f"{name:<31}" + "".join(f"{cell:<17}" for cell in cells).rstrip())

x = backend.asarray([1.0, -2.0, 3.0], dtype=dtype)
one_wrong_entry = backend.asarray([2.0, -4.0, 6.5], dtype=dtype)  # 2 x but for the last entry, which should be 6
print("\nsum of squares, one wrong entry\n ", pm.check_gradient_of(lambda x: (xp.sum(x * x), one_wrong_entry), x))
print("network, penalty forgotten\n ", pm.check_gradient_of(penalty_forgotten, flat))

steps = [10.0**-k for k in range(1, 13)]
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
for method, line in (("forward", "o-"), ("central", "s--")):
    checks = [pm.check_gradient(net, pm.unpack(net, flat), X, Y, method=method, step=step) for step in steps]
    axis.plot(steps, [check.max_relative_error for check in checks], line, label=f"{method} difference")
axis.set(xscale="log", yscale="log", xlabel="step of the difference", ylabel="largest relative error of the network")
axis.legend()
plt.show()

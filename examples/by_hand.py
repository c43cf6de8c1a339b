"""Back-propagation with a pencil
==============================

Back-propagation through a network so small that a pencil is enough.

Three inputs, four hidden ReLU units, two ReLU outputs, half the summed squared error, one sample. You see each number
of the forward and the backward pass twice: worked by hand, and as the library gives it.
"""

import numpy as np
from _command_line import chosen_backend

import portable_mlp as pm

# On paper a sample is a column and z = W x + b. Here a sample is a row and z = x W + b: the weights are transposed.
x, y = [1.0, 2.0, 3.0], [0.5, 0.8]
W1, b1 = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9], [1.0, 1.1, 1.2]], [0.1, 0.2, 0.3, 0.4]
W2, b2 = [[0.2, 0.4, 0.7, 0.3], [0.3, 0.5, 0.2, 0.9]], [0.4, 0.6]

BY_HAND = {
    "h": [1.5, 3.4, 5.3, 7.2],  # W1 x + b1, all positive: the ReLU changes nothing
    "y_pred": [7.93, 10.29],  # W2 h + b2, positive too
    "loss": [72.6325],  # (7.43^2 + 9.49^2) / 2
    "dL/dz2": [7.43, 9.49],  # y_pred - y
    "dW2": [[11.145, 25.262, 39.379, 53.496], [14.235, 32.266, 50.297, 68.328]],  # dL/dz2 times h
    "db2": [7.43, 9.49],  # dL/dz2
    "dW1": [[4.333, 8.666, 12.999], [7.717, 15.434, 23.151], [7.099, 14.198, 21.297], [10.77, 21.54, 32.31]],
    "db1": [4.333, 7.717, 7.099, 10.77],  # W2 transposed times dL/dz2; times x it makes dW1
}

backend, dtype = chosen_backend(__doc__)
net = pm.Network((3, 4, 2), activation="relu", output="relu", loss="squared_error")
params = tuple(
    pm.Layer(backend.asarray(np.transpose(W), dtype=dtype), backend.asarray(b, dtype=dtype))
    for W, b in ((W1, b1), (W2, b2))
)
X, Y = backend.asarray([x], dtype=dtype), backend.asarray([y], dtype=dtype)

h, y_pred = pm.forward(net, params, X)
loss, (grad1, grad2) = pm.loss_and_grad(net, params, X, Y, reduction="sum")
library = {
    "h": h,
    "y_pred": y_pred,
    "loss": loss,
    "dL/dz2": grad2.b,  # summed over the samples, of which there is one
    "dW2": grad2.W.T,
    "db2": grad2.b,
    "dW1": grad1.W.T,
    "db1": grad1.b,
}

print(f"\n{'':<8}{'by hand':<44}{backend.name}")
largest = 0.0
for name, by_hand in BY_HAND.items():
    ours, theirs = np.atleast_2d(by_hand), np.atleast_2d(backend.to_numpy(library[name]))
    largest = max(largest, float(np.max(np.abs(ours - theirs))))
    for row, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        left, right = ("".join(f"{number:>10.4f}" for number in numbers) for numbers in (a, b))
        print(f"{name if row == 0 else '':<6}{left:<42}{right}")
print(f"\nlargest difference {largest:.0e}")

"""NumPy, PyTorch, JAX: to the last digit
======================================

The same training on each library that is installed: how far do the losses drift apart?

You see the relative difference from NumPy after each epoch (needs scikit-learn and matplotlib). Libraries add up in
different orders, so that the last digits differ; nothing else does.
"""

import matplotlib.pyplot as plt
import numpy as np
from _command_line import chosen_backend
from sklearn.datasets import load_digits

import portable_mlp as pm

chosen, dtype = chosen_backend(__doc__)
images, digits = load_digits(return_X_y=True)
net = pm.Network((64, 50, 10), activation="tanh")


def losses_on(backend):
    """Return the loss of each epoch."""
    params = pm.init_params(net, random_state=0, backend=backend, dtype=dtype)
    X, y = backend.asarray(images[:600] / 16, dtype=dtype), backend.asarray(digits[:600])
    return np.asarray(pm.train(net, params, X, y, batch_size=100, epochs=15).history["loss"])


numpy_losses = losses_on(pm.get_backend("numpy"))
figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
smallest = np.finfo(dtype).eps
print("\nlargest relative difference of a loss from NumPy's")
for name in dict.fromkeys([chosen.name, *(info.name for info in pm.backends() if info.available)]):
    try:
        losses = losses_on(pm.get_backend(name))
    except ValueError as error:  # JAX without 64-bit types
        print(f"{name:<8} {error}")
        continue
    differences = np.abs(losses / numpy_losses - 1)
    print(f"{name:<8} {differences.max():.1e}")
    axis.plot(range(1, 16), np.maximum(differences, smallest / 4), "o-", label=name)
axis.axhline(smallest, color="gray", linestyle=":", label=f"the last digit of {dtype}")
axis.set(yscale="log", ylim=(smallest / 8, smallest * 100), xlabel="epoch", ylabel="relative difference of the loss")
axis.legend()
plt.show()

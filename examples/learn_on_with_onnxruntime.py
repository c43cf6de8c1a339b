"""Training goes on in onnxruntime
===============================

A model goes on learning where this library is not: onnxruntime runs its training step.

You see a network that has learnt half of the digits written into an ONNX file; the ten lines that learn the other half
with onnxruntime alone; how many unseen digits are read before and after; and how little the parameters differ from
those that the library's own steps lead to (needs scikit-learn, the extra onnx, and onnxruntime).
"""

import pathlib
import tempfile

import numpy as np
import onnxruntime
from _command_line import chosen_backend
from sklearn.datasets import load_digits

import portable_mlp as pm

backend, dtype = chosen_backend(__doc__)

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(dtype)
first, second, unseen = slice(0, 700), slice(700, 1400), slice(1400, None)


def taught(params, part):
    """Return parameters after one pass over a part of the digits, in order."""
    rows = backend.asarray(X[part], dtype=dtype), backend.asarray(y[part])
    return pm.train(net, params, *rows, learning_rate=0.01, batch_size=25, epochs=1, shuffle=False).params


net = pm.Network((64, 32, 10))
params = taught(pm.init_params(net, random_state=0, backend=backend, dtype=dtype), first)
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "step.onnx"
    pm.export_onnx_training(path, net, params)
    content = path.read_bytes()

# From here on, until the comparison, everything is onnxruntime's.
options = onnxruntime.SessionOptions()
options.log_severity_level = 3  # else it warns that the parameters are not constants, as is meant
session = onnxruntime.InferenceSession(content, options)
names = [output.name for output in session.get_outputs()]
state = {"learning_rate": np.asarray(0.01)}
for start in range(0, 700, 25):
    batch = {"X": X[second][start : start + 25], "y": y[second][start : start + 25]}
    results = dict(zip(names, session.run(None, batch | state), strict=True))
    state |= {name.removeprefix("next_"): x for name, x in results.items() if name.startswith("next_")}

print(f"\ninputs: {', '.join(x.name for x in session.get_inputs())}")
print(f"inputs with a first value: {', '.join(x.name for x in session.get_overridable_initializers())}")
print(f"outputs: {', '.join(names)}")

learnt = pm.unpack(net, backend.asarray(state["parameters"], dtype=dtype))
print(f"\nunseen digits that are read, before and after {state['step']} steps in onnxruntime:")
for some in (params, learnt):
    proba = backend.to_numpy(pm.predict(net, some, backend.asarray(X[unseen], dtype=dtype)))
    print(f"  {np.mean(proba.argmax(axis=1) == y[unseen]):.3f}")
expected = backend.to_numpy(pm.pack(taught(params, second)))
print(f"largest difference from the library's own steps: {np.max(np.abs(state['parameters'] - expected)):.1e}")

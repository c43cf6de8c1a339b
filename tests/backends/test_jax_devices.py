"""JAX with four devices: what is computed on one of them stays there."""

import re
import subprocess
import sys

import pytest

from tests.processes import environment

PROGRAM = """
import warnings
import jax
import numpy as np
import portable_mlp as pm

rng = np.random.default_rng(0)
X, y, net = rng.normal(size=(64, 6)), rng.integers(0, 3, 64), pm.Network((6, 8, 3), activation="tanh")
last = pm.get_backend("jax", "cpu:3")
assert pm.get_backend("jax").device_name == "cpu:0"


def on_the_last(*arrays):
    found = {device for x in arrays for device in x.devices()}
    assert found == {last.device}, found


def start(backend):
    params = pm.init_params(net, random_state=0, backend=backend, dtype="float32")
    return params, backend.asarray(X, dtype="float32"), backend.asarray(y)


def trained(backend, **options):
    params, *data = start(backend)
    return pm.train(net, params, *data, batch_size=10, epochs=3, random_state=0, l2=0.01, validation=data, **options)


for kernel in (pm.forward, pm.predict):
    on_the_last(*jax.tree.leaves(kernel(net, *start(last)[:2])))
on_the_last(*jax.tree.leaves(pm.loss_and_grad(net, *start(last), l2=0.1)))

for options in ({}, {"dropout": 0.2, "clip_norm": 0.5}, {"solver": "sgd", "shuffle": False}):
    result, expected = trained(last, **options), trained(pm.get_backend("numpy"), **options)
    on_the_last(*jax.tree.leaves(result.params))
    np.testing.assert_allclose(result.history["loss"], expected.history["loss"], rtol=1e-5)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they have not converged
    clf = pm.MLPClassifier((8,), max_iter=3, random_state=0)
    _, there, labels = start(last)
    clf.fit(there, labels)
    named = pm.MLPClassifier((8,), max_iter=3, random_state=0, backend="jax", device="cpu:3").fit(X, y)
for fitted in (clf, named):
    on_the_last(*fitted.coefs_, *fitted.intercepts_)
on_the_last(clf.predict(there), clf.predict_proba(there))

try:
    pm.predict(net, start(pm.get_backend("jax", "cpu:1"))[0], there)
except ValueError as error:
    print(error)
"""


@pytest.mark.thorough  # a process with four devices
def test_a_training_stays_on_its_device_among_four() -> None:
    variables = environment(JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_force_host_platform_device_count=4")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"X is a jax array on \S*3 but params\[0\]\.W is a jax array on \S*1; ", done.stdout)

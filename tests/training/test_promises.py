"""What programs rely on without reading about it: the same bits each time, threads, forks, memory that comes back."""

import concurrent.futures
import gc
import os
import pathlib
import resource
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(600, 12)), RNG.integers(0, 4, 600)
NET = pm.Network((12, 30, 4))


def flat_after(seed: int, **options: Any) -> np.ndarray:
    params = pm.init_params(NET, random_state=seed)
    return pm.pack(pm.train(NET, params, X, Y, epochs=3, batch_size=64, random_state=seed, **options).params)


SCRIPT = """
import hashlib, numpy as np, portable_mlp as pm
rng = np.random.default_rng(0)
X, y = rng.normal(size=(2_000, 300)), rng.integers(0, 4, 2_000)
net = pm.Network((300, 200, 4))
result = pm.train(net, pm.init_params(net), X, y, epochs=2, batch_size=500, l2=0.1)
pm.save_model("model.safetensors", net, result.params, {"b": 1, "a": ["x"]})
print(hashlib.sha256(open("model.safetensors", "rb").read()).hexdigest())
"""

SURROUNDINGS = {
    "as it is": {},
    "another hash seed, language and time": {"PYTHONHASHSEED": "12345", "LC_ALL": "C", "TZ": "Pacific/Auckland"},
}


def test_the_same_file_in_all_surroundings(tmp_path: pathlib.Path) -> None:
    digests = set()
    for name, variables in SURROUNDINGS.items():
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_predictions_of_many_threads_are_those_of_one() -> None:
    params = pm.init_params(NET)
    expected = pm.predict(NET, params, X)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: pm.predict(NET, params, X), range(64)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_trainings_in_many_threads_do_not_meet(solver: str) -> None:
    expected = [flat_after(seed, solver=solver) for seed in range(8)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(
            pool.map(lambda seed: flat_after(seed, solver=solver), range(8)), expected, strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


def test_a_process_can_be_forked_after_a_training() -> None:
    code = (
        "import os, numpy as np, portable_mlp as pm\n"
        "X, y = np.random.default_rng(0).normal(size=(600, 200)), np.arange(600) % 4\n"
        "net = pm.Network((200, 300, 4))\n"
        "train = lambda: pm.pack(pm.train(net, pm.init_params(net), X, y, epochs=2).params)\n"
        "expected = train()\n"
        "child = os.fork()\n"
        "if not child: os._exit(int(not np.array_equal(train(), expected)))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "0\n"


def test_a_training_needs_parameters_and_one_batch_beside_the_data() -> None:
    """Four times the parameters for Adam and the result, one batch, and the order of the samples."""
    n_samples, net = 100_000, pm.Network((40, 100, 5))
    data = RNG.normal(size=(n_samples, 40)).astype(np.float32), RNG.integers(0, 5, n_samples)
    params = pm.init_params(net, dtype="float32")
    pm.train(net, params, *(x[:500] for x in data), epochs=1)
    tracemalloc.start()
    pm.train(net, params, *data, epochs=2, batch_size=200, validation=tuple(x[:50_000] for x in data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    n_parameters = sum(layer.W.size + layer.b.size for layer in params)
    activations = 200 * (40 + 100 + 5)
    order = 2 * 8 * n_samples
    block = 4 * 4 * 2**20  # of the validation pass, and of the look at the data
    assert peak < 4 * (8 * n_parameters + 3 * activations) + order + block + 2**20


def test_a_thousand_fits_leave_no_memory_behind() -> None:
    def fit(times: int) -> None:
        for _ in range(times):
            pm.train(NET, pm.init_params(NET), X[:200], Y[:200], epochs=1, batch_size=100)
        gc.collect()

    fit(100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit(1_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5 * 1024


def test_inputs_larger_than_memory_stay_in_their_file(tmp_path: pathlib.Path) -> None:
    """A memory-mapped array: rows are read when a batch needs them, 160 MB here within 40 MB."""
    n_samples, net = 400_000, pm.Network((100, 20, 2))
    path = tmp_path / "X.npy"
    on_disk = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n_samples, 100))
    on_disk[:, ::7] = 1.0
    on_disk.flush()
    X, y = np.load(path, mmap_mode="r"), np.zeros(n_samples, dtype=np.int32)
    params = pm.init_params(net, dtype="float32")
    small = pm.train(net, params, np.asarray(X[:1_000]), y[:1_000], epochs=2)
    tracemalloc.start()
    mapped = pm.train(net, params, X[:1_000], y[:1_000], epochs=2)
    pm.train(net, params, X, y, epochs=1, batch_size=1_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
    np.testing.assert_array_equal(pm.pack(mapped.params), pm.pack(small.params))

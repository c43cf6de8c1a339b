"""Injected bugs: each of them, put into a copy of the package, must make at least one test fail."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.selection import rarely

ROOT = pathlib.Path(__file__).parents[1]


class Mutant(NamedTuple):
    """One place of the source, what stands there, what a bug would put there, and the tests that are to see it."""

    file: str
    old: str
    new: str
    tests: str
    chosen: str = "not lib"


MODELS = "tests/storage/test_models.py"
HOSTILE = "tests/storage/test_hostile_files.py"
REFUSED = f"{HOSTILE}::test_each_is_refused_with_its_reason"
ROT = "tests/storage/test_bit_rot.py"
ATOMIC = "tests/storage/test_atomic.py"
FAULTS = "tests/storage/test_disk_faults.py"

LOSSES = "tests/kernels/test_losses.py"
TOGETHER = "tests/distributed/test_training.py"
RESUMED = "tests/training/test_checkpoints.py::test_a_run_goes_on_to_the_last_bit"

MUTANTS = {
    "the logarithm of a softmax": Mutant(
        "kernels/losses.py",
        "losses = _log_total(xp, e, total) - xp.sum(Y * shifted, axis=-1)",
        "losses = -xp.sum(Y * xp.log(e / total), axis=-1)",
        f"{LOSSES}::test_huge_logits_stay_finite_and_right",
        "numpy-float64",
    ),
    "a sign in a gradient": Mutant(
        "kernels/losses.py",
        "dz = e / total - Y",
        "dz = e / total + Y",
        "tests/test_seeds.py::test_000_gradients_of_the_sum_follow_the_equations",
        "numpy-float64",
    ),
    "a slope at the kink": Mutant(
        "kernels/activations.py",
        "return xp.where(h > 0, dh, constant(xp, dh, 0.0))",
        "return xp.where(h >= 0, dh, constant(xp, dh, 0.0))",
        "tests/kernels/test_activations.py::test_slope_at_a_kink_is_the_left_one",
        "numpy-float64",
    ),
    "a transpose too few": Mutant(
        "kernels/propagation.py",
        "dh = ops.matmul(factor, ops.transposed(trace.weights[i]), ",
        "W = trace.weights[i]\n"
        "            dh = ops.matmul(factor, W if factor.shape[-1] == W.shape[-2] else ops.transposed(W), ",
        "tests/kernels/test_propagation.py::test_gradient_equals_torch_and_jax_through_nine_layers",
        "numpy-float64",
    ),
    "Adam without its square": Mutant(
        "kernels/optimizers.py",
        "v = beta_2 * v + rest_2 * (g * g)",
        "v = beta_2 * v + rest_2 * g",
        "tests/kernels/test_optimizers.py::test_fifty_steps_equal_torch",
        "numpy-float64",
    ),
    "the same order in every epoch": Mutant(
        "training/shuffle.py",
        "key = np.asarray([self.key, epoch], dtype=np.uint64)",
        "key = np.asarray([self.key, 0], dtype=np.uint64)",
        "tests/training/test_group_order.py::test_epochs_and_windows_are_drawn_for_themselves",
    ),
    "a resumed run without its moments": Mutant(
        "training/loop.py",
        "self._runner.start(moved, tuple(moments), so_far)",
        "self._runner.start(moved, self.state, so_far)",
        RESUMED,
        "numpy-float64",
    ),
    "shards in another order": Mutant(
        "distributed/ordered_sum.py",
        "flat += exchange(flat, rank ^ distance)",
        "flat += exchange(flat, rank ^ (size // 2 // distance))",
        f"{TOGETHER}::test_reproducible_on_every_library",
        "numpy-float32",
    ),
    "a mean over each rank's own samples": Mutant(
        "distributed/shard_step.py",
        "if weighted else n_samples",
        "if weighted else n_samples / 2",
        f"{TOGETHER}::test_a_group_trains_what_one_process_trains",
        "2-nesterov",
    ),
    "the file is not flushed": Mutant("storage/atomic.py", "os.fsync(file.fileno())", "pass", ATOMIC),
    "the folder is not flushed": Mutant(
        "storage/atomic.py", "    _flush_directory(os.path.dirname(target))", "    pass", ATOMIC
    ),
    "the file is flushed after its name": Mutant(
        "storage/atomic.py",
        "            os.fsync(file.fileno())\n        os.replace(temporary, target)",
        "        os.replace(temporary, target)\n        os.fsync(os.open(target, os.O_RDONLY))",
        ATOMIC,
    ),
    "written in place": Mutant(
        "storage/atomic.py", "temporary = os.path.join(", "temporary = target or os.path.join(", FAULTS
    ),
    "the temporary file is left": Mutant("storage/atomic.py", "os.unlink(temporary)", "pass", FAULTS),
    "a full disk is not named": Mutant("storage/atomic.py", "error.filename = os.fspath(path)", "pass", FAULTS),
    "no checksum": Mutant(
        "storage/tensor_files.py", "payload.data) != self.sha256:", "payload.data) != self.sha256 and False:", ROT
    ),
    "a checksum of the numbers alone": Mutant(
        "storage/tensor_files.py", "digest = hashlib.sha256(head)", "digest = hashlib.sha256(b'')", MODELS
    ),
    "the header is not compared": Mutant(
        "storage/tensor_files.py", "self.sha256) != self._head:", "self.sha256) != self._head and False:", REFUSED
    ),
    "the size is not compared": Mutant(
        "storage/tensor_files.py", "if self.n_bytes != expected:", "if self.n_bytes < expected:", REFUSED
    ),
    "memory before sizes": Mutant(
        "storage/tensor_files.py",
        "        expected = len(self._head)",
        "        np.empty(sum(x.n_bytes for x in tensors), dtype=np.uint8)\n        expected = len(self._head)",
        REFUSED,
    ),
    "a header without limit": Mutant("storage/tensor_files.py", "= 2**25", "= 2**60", REFUSED),
    "pipes are waited for": Mutant(
        "storage/tensor_files.py",
        '"O_NONBLOCK", 0)',
        '"O_NOTHING", 0)',
        f"{HOSTILE}::test_what_is_no_ordinary_file_is_refused_at_once",
    ),
    "big-endian numbers": Mutant("storage/tensor_files.py", '"float64": "<f8"', '"float64": ">f8"', MODELS),
    "keys as they come": Mutant("storage/json_values.py", "sort_keys=True", "sort_keys=False", MODELS),
    "NaN in the metadata": Mutant("storage/json_values.py", "if not math.isfinite(value):", "if False:", REFUSED),
    "tuples become lists": Mutant(
        "storage/json_values.py", "isinstance(value, list)", "isinstance(value, list | tuple)", MODELS
    ),
    "NaN as a weight": Mutant("storage/models.py", "if not finite.all():", "if False:", REFUSED),
    "another version is read": Mutant("storage/model_descriptions.py", "or version not in known", "or False", REFUSED),
    "memory order of the user": Mutant(
        "storage/models.py",
        "flat_on_host(params)",
        "np.concatenate([x.ravel(order='K') for layer in params for x in layer])",
        MODELS,
    ),
    "control characters in an error": Mutant(
        "storage/model_errors.py",
        "{printable(os.fsdecode(path))}",
        "{os.fsdecode(path)}",
        f"{HOSTILE}::test_a_path_is_shown_without_control_characters",
    ),
}


# At least one in each folder of the package, and of each kind: a value, an order, a check that is missing.
EACH_TIME = {
    "a sign in a gradient",
    "the same order in every epoch",
    "shards in another order",
    "NaN as a weight",
}


def test_some_bugs_of_each_folder_are_tried_each_time() -> None:
    assert MUTANTS.keys() >= EACH_TIME
    assert {MUTANTS[name].file.split("/")[0] for name in EACH_TIME} == {x.file.split("/")[0] for x in MUTANTS.values()}


@pytest.mark.parametrize("name", [*sorted(EACH_TIME), *rarely(*(name for name in MUTANTS if name not in EACH_TIME))])
def test_a_bug_is_found(name: str, tmp_path: pathlib.Path) -> None:
    mutant = MUTANTS[name]
    package = tmp_path / "portable_mlp"
    shutil.copytree(ROOT / package.name, package)
    source = package / mutant.file
    text = source.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"the source has changed: put the bug {name!r} where it belongs now"
    source.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    pathlib.Path(importlib.util.cache_from_source(str(source))).unlink(missing_ok=True)
    # A worker of pytest-xdist imports large libraries before its first test.
    alone = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            mutant.chosen,
            ROOT / mutant.tests,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**alone, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        timeout=300,
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout

"""The libraries every kernel is tested on, and the surroundings of the tests."""

import os
import pathlib
import re
import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a shell sets for other programs changes what libraries and terminals do, in the processes of the tests too.
if foreign := re.findall(
    r"^(?:\w+_NUM_THREADS|NUMBA_DISABLE_JIT|JAX_\w+|SKLEARN_\w+|PYTHONWARNINGS|PYTHONDONTWRITEBYTECODE|COLUMNS|LINES|(?:NO|FORCE|CLI)_?COLOR\w*)$",
    "\n".join(os.environ),
    re.MULTILINE,
):
    for name in foreign:
        del os.environ[name]
    sys.dont_write_bytecode = False  # else hundreds of processes would each compile every module that they import
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several, which would wait for each other's threads
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Ranks of MPICH that wait for each other sleep in between: with few cores, other processes go on.
os.environ |= {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
os.environ["JAX_ENABLE_X64"] = "1"  # read when JAX is imported
# Most of JAX's time is compiling: what one process of the tests has compiled the others read.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(pathlib.Path(__file__).parents[1] / ".pytest_cache/d/jax")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["SCIPY_ARRAY_API"] = "1"  # read when SciPy is; scikit-learn asks for it before it dispatches

import contextlib
import gc
import importlib
from dataclasses import dataclass
from typing import Any

import array_api_strict
import hypothesis
import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends._base import Backend
from portable_mlp.backends._numpy import NumpyBackend
from portable_mlp.kernels.arrays import device_of, namespace_of
from tests.selection import Selection

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # "gw0", "gw1", ...
    # A new environment has no bytecode: each process begins with another library, and finds that of the others.
    large = ("torch", "sklearn.neural_network", "dask.dataframe", "jax")
    for i in range(len(large)):
        with contextlib.suppress(ImportError):  # tests that need it say so
            importlib.import_module(large[(i + int(worker.removeprefix("gw"))) % len(large)])

array_api_strict.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)

# The same examples in each run; `nox -s thorough` takes many.
hypothesis.settings.register_profile("few", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("many", hypothesis.settings.get_profile("few"), max_examples=500)
hypothesis.settings.load_profile("few")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Selection(config))


def import_tests(worker: int, n_workers: int) -> None:
    """Import the modules of all tests, each worker from another one on: what one of them compiles the others find."""
    root = pathlib.Path(__file__).parents[1]
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in sorted(root.glob("tests/**/test_*.py"))]
    first = len(names) * worker // n_workers
    for name in names[first:] + names[:first]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection says so
            importlib.import_module(name)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Any:
    """Look for no garbage: what is imported and collected stays."""
    gc.disable()
    try:
        if worker and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
            import_tests(int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Any:
    """Look for examples in the docstrings of the package alone: to find none in the tests takes seconds."""
    return [collector for collector in (yield) if type(collector) is pytest.Module]


@dataclass(frozen=True)
class Library:
    """A backend and a floating dtype."""

    backend: pm.Backend
    dtype: str

    @property
    def xp(self) -> Any:
        return self.backend.xp

    @property
    def rtol(self) -> float:
        """What a result may differ from float64 by."""
        return 1e-12 if self.dtype == "float64" else 2e-5

    def array(self, host: Any, dtype: str | None = None) -> Any:
        """Bring numbers to the library: floats in its dtype, integers and booleans as they are."""
        host = np.asarray(host)
        if dtype is None and host.dtype.kind == "f":
            dtype = self.dtype
        return self.backend.asarray(host, dtype=dtype)

    def params(self, layers: Any) -> pm.Params:
        return tuple(pm.Layer(self.array(W), self.array(b)) for W, b in layers)

    def numpy(self, x: Any) -> np.ndarray:
        """Bring a result to the host, having checked that it never left the library, device and dtype."""
        self.assert_home(x)
        return self.backend.to_numpy(x)

    def assert_home(self, x: Any) -> None:
        self.assert_here(x)
        assert x.dtype == self.backend.dtype(self.dtype)

    def assert_here(self, x: Any) -> None:
        """Assert that an array is of the library, and on the device if its arrays are on one."""
        assert namespace_of(x) is self.xp
        device = device_of(x)
        assert device is None or device == self.backend.device


LIBRARIES = {
    "numpy-float64": ("numpy", None, "float64"),
    "numpy-float32": ("numpy", None, "float32"),
    "strict-cpu": ("strict", "cpu", "float64"),
    "strict-device1": ("strict", "device1", "float64"),
    "strict-no_float64": ("strict", "no_float64", "float32"),
    "torch-cpu": ("torch", "cpu", "float64"),
    "torch-cpu-float32": ("torch", "cpu", "float32"),
    "jax": ("jax", "cpu", "float64"),
    "jax-float32": ("jax", "cpu", "float32"),
    "mlx": ("mlx", "cpu", "float64"),
    "mlx-float32": ("mlx", "cpu", "float32"),
    "dpnp": ("dpnp", "cpu", "float64"),
    "dpnp-float32": ("dpnp", "cpu", "float32"),
    "cupy": ("cupy", None, "float64"),
    "cupy-float32": ("cupy", None, "float32"),
    "torch-cuda": ("torch", "cuda", "float64"),
}


# A library whose every kind is tried by others: JAX and PyTorch in the other dtype, array-api-strict on another device
# ("no_float64" is no default device either).
THOROUGH = {"strict-cpu", "strict-device1", "torch-cpu-float32", "jax-float32"}

OPTIONAL = {"dpnp", "mlx"}
"""Libraries that `nox -s libraries` installs."""


def _marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    backend, device, _ = LIBRARIES[name]
    if name in THOROUGH:
        return (pytest.mark.thorough,)
    if backend in OPTIONAL:
        return (pytest.mark.optional(backend),)
    return (pytest.mark.gpu(backend),) if backend == "cupy" or device == "cuda" else ()


@pytest.fixture(autouse=True)
def steps_one_by_one(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take NumPy's steps one by one, unless a test is marked `compiled_steps`.

    A process goes over to compiled steps after some time, if it finds them on disk: what a test sees of single steps
    would depend on the tests before it.
    """
    if request.node.get_closest_marker("compiled_steps") is None:
        monkeypatch.setattr(NumpyBackend, "runner", Backend.runner)
        monkeypatch.setattr(NumpyBackend, "load", Backend.load)


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile NumPy's steps, or read them from disk, before the first one."""
    from portable_mlp.backends._compiled_steps import compiled_steps

    for dtype in ("float32", "float64"):
        compiled_steps.compile(np.dtype(dtype))


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many epochs each call has taken; 0 for an epoch by itself."""
    from portable_mlp.training.joined_epochs import JoinedEpochs

    taken, honest = [], JoinedEpochs.take

    def counted(self: JoinedEpochs, epoch: int) -> tuple[int, str | None]:
        n_now, reason = honest(self, epoch)
        taken.append(n_now)
        return n_now, reason

    monkeypatch.setattr(JoinedEpochs, "take", counted)
    return taken


@pytest.fixture(params=[pytest.param(name, id=name, marks=_marks(name)) for name in LIBRARIES])
def lib(request: pytest.FixtureRequest) -> Library:
    """Every library, device and dtype in turn."""
    backend, device, dtype = LIBRARIES[request.param]
    return Library(pm.get_backend(backend, device=device), dtype)

"""Training uses the cores it is given, and no more; nothing global is changed."""

import os
import threading
import time
from typing import Any

import joblib
import numpy as np
import pytest
import threadpoolctl
import torch

import portable_mlp as pm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4_000, 400)).astype(np.float32)
y = RNG.integers(0, 5, 4_000)
NET = pm.Network((400, 600, 5))
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train() -> None:
    pm.train(NET, pm.init_params(NET, dtype="float32"), X, y, epochs=3, batch_size=1_000)


def share_of_other_threads() -> float:
    """Return which part of the processor time of a training other threads than this one have used."""
    train()
    others = -(time.process_time() - time.thread_time())
    own = -time.thread_time()
    train()
    own += time.thread_time()
    others += time.process_time() - time.thread_time()
    return others / (own + others)


def test_a_limit_for_blas_limits_all_of_training() -> None:
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        assert share_of_other_threads() < 0.05


def test_without_a_limit_the_other_cores_are_used() -> None:
    with threadpoolctl.threadpool_limits(limits=CORES, user_api="blas"):  # whatever the environment has asked for
        assert CORES < 2 or share_of_other_threads() > 0.15


def settings() -> Any:
    asked = {name: value for name, value in os.environ.items() if "THREAD" in name or name == "XLA_FLAGS"}
    return threadpoolctl.threadpool_info(), torch.get_num_threads(), asked, threading.active_count()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_global_setting_is_touched() -> None:
    train()
    before = settings()
    for name in ("numpy", "torch", "jax"):
        backend = pm.get_backend(name)
        params = pm.init_params(NET, dtype="float32", backend=backend)
        pm.train(NET, params, backend.asarray(X), backend.asarray(y), epochs=1, batch_size=4_000)
    pm.MLPClassifier((20,), max_iter=1).fit(X[:500], y[:500])
    assert settings() == before


def threads_while_fitting(n_samples: int) -> tuple[int, int]:
    """Fit in a worker; return the threads that its BLAS may use, and those that Python has started."""
    started = threading.active_count()
    pm.MLPClassifier((20,), max_iter=2).fit(X[:n_samples], y[:n_samples])
    blas = [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    return max(blas), threading.active_count() - started


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_workers_of_a_search_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)  # joblib would leave it as it is
    workers = max(2, CORES)
    for blas, started in joblib.Parallel(n_jobs=workers)(
        joblib.delayed(threads_while_fitting)(n) for n in (500, 600, 700)
    ):
        assert blas <= max(1, CORES // workers)
        assert started == 0

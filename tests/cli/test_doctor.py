"""``portable-mlp doctor``: what it finds here, what it says where things are missing, and when it fails."""

import json
import math
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import BACKENDS
from portable_mlp.backends._torch import TorchBackend
from portable_mlp.bench import agreement
from portable_mlp.bench.agreement import Agreement, agreements
from portable_mlp.cli import doctor as command
from portable_mlp.cli.app import run
from portable_mlp.distributed import all_reduce_latency
from portable_mlp.distributed.supervision.mpi_launcher import Launcher, find_launcher
from tests.selection import rarely


@pytest.fixture
def without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the library that compiles each program for seconds."""
    monkeypatch.setattr(agreement, "backends", lambda: [info for info in pm.backends() if info.name != "jax"])


@pytest.mark.parametrize("whole", [False, *rarely(True)])
def test_it_finds_what_is_here(
    whole: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [info for info in pm.backends() if whole or info.name != "jax"]  # which compiles each program for seconds
    monkeypatch.setattr(agreement, "backends", lambda: known)
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    usable = {info.name for info in pm.backends() if info.available}
    assert {one["backend"] for one in found["backends"]} == usable & {info.name for info in known}
    assert {(one["dtype"], one["agrees"]) for one in found["backends"]} == {("float64", True), ("float32", True)}
    assert set(found["unavailable"]) == {*BACKENDS} - usable
    assert found["mpi"]["mpiexec"] == find_launcher().path
    measured = found["mpi"]["all_reduce"]
    assert (measured["ranks"], measured["floats"]) == (2, 100_000)
    assert measured["microseconds"] > 1
    assert found["machine"]["versions"]["numpy"] == np.__version__


def test_people_get_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(command, "agreements", lambda: iter([Agreement("torch", "cpu", "float32", 1.26e-8, 2.34e-7)]))
    monkeypatch.setattr(command, "measure_all_reduce", lambda launcher: all_reduce_latency.Latency(2, 100_000, 12.5))
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    for text in (
        "MPICH",
        "mpiexec",
        "12.5 µs for 100,000 floats on 2 processes",
        "relative difference from NumPy in float64",
    ):
        assert text in out
    assert "│ torch   │ cpu    │ float32 │ 1.3e-08  │ 2.3e-07  │ yes    │" in out
    assert out.count('pip install ".[cupy]"') <= 1


def test_what_is_missing_is_told_and_is_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*arguments: Any) -> Any:
        raise pm.BackendUnavailable("several processes need mpi4py, which is missing: pip install it")

    monkeypatch.setattr(command, "find_launcher", missing)
    monkeypatch.setattr(command, "agreements", lambda: iter([]))
    assert run(["doctor"]) == 0
    assert "several processes need mpi4py, which is missing: pip install it\n" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/mpiexec", "/bin/echo"])
def test_processes_that_do_not_meet_are_told(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match=program):
        all_reduce_latency.measure_all_reduce(Launcher(program, "", ""))


@pytest.mark.usefixtures("without_jax")
@pytest.mark.parametrize("off", [1e-3, math.nan])
def test_a_library_that_disagrees_fails_the_check(
    off: float, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = TorchBackend.to_numpy
    monkeypatch.setattr(TorchBackend, "to_numpy", lambda self, x: honest(self, x) + off)
    monkeypatch.setattr(command, "find_launcher", lambda: (_ for _ in ()).throw(pm.BackendUnavailable("no")))
    assert run(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["backends"]
    assert {one["backend"] for one in found if not one["agrees"]} == {"torch"}


@pytest.mark.usefixtures("without_jax")
def test_a_library_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, x: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(TorchBackend, "to_numpy", broken)
    found = {(one.backend, one.dtype): one for one in agreements()}
    assert found["torch", "float64"] == Agreement("torch", "cpu", "float64", problem="RuntimeError: out of luck")
    assert not found["torch", "float64"].agrees
    assert found["strict", "float64"].agrees


@pytest.mark.usefixtures("without_jax")
def test_a_device_that_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str, device: str | None = None) -> Any:
        if name == "torch":
            raise pm.BackendUnavailable("out of order")
        return pm.get_backend(name, device)

    monkeypatch.setattr(agreement, "get_backend", opened)
    found = {(one.backend, one.dtype): one for one in agreements()}
    assert found["torch", "float32"].problem == "BackendUnavailable: out of order"
    assert not found["torch", "float32"].agrees
    assert found["strict", "float64"].agrees


def test_a_difference_is_relative_to_the_largest_number() -> None:
    gradient, weights = agreement._computed(pm.get_backend("numpy"), "float64")
    assert len(weights) == 2 * (len(gradient) - 1)  # both solvers'; the loss stands with the gradient
    assert agreement._relative_difference(gradient + 1e-3 * np.max(np.abs(gradient)), gradient) == pytest.approx(1e-3)
    single, trained = agreement._computed(pm.get_backend("numpy"), "float32")
    assert 0 < agreement._relative_difference(single, gradient) < 1e-6
    assert 0 < agreement._relative_difference(trained, weights) < 1e-5

"""The benchmark: candidates that compute the same, a floor that multiplies what a step multiplies, honest rows."""

import itertools
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.bench import candidates, machine, measurement, peers, trust
from portable_mlp.bench.cases import CASES, N_BATCHES, Case, problem
from portable_mlp.bench.measurement import measure
from portable_mlp.cli import bench as command
from portable_mlp.cli import bench_report
from portable_mlp.cli.app import run
from tests import reference
from tests.selection import one_in, rarely

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch.compile's own

TINY = Case("tiny", (6, 9, 5, 4), 8)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "SECONDS_A_TURN", 1e-4)
    monkeypatch.setattr(measurement, "SECONDS_OF_REST", 0.0)
    monkeypatch.setattr(peers, "SAMPLES_A_CALL", 64)
    monkeypatch.setattr(peers, "STEPS_A_SCAN", 4)


@pytest.fixture
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the command those candidates that compile nothing."""
    monkeypatch.setattr(command, "QUICK", (TINY,))
    monkeypatch.setattr(command, "backends", lambda: [one for one in pm.backends() if one.name in ("numpy", "cupy")])
    monkeypatch.setattr(command, "peers", lambda: {"textbook": peers.Textbook})


SGD = TINY._replace(solver="sgd")
REAL = Case("real numbers", (4, 7, 5, 1), 8, activation="tanh", output="identity")


def expected_losses(case: Case) -> list[float]:
    """Return the losses of one step for each batch, by torch's autograd and a loop over floats."""
    import torch

    task, losses = problem(case), []
    flat = [torch.tensor(x, requires_grad=True) for layer in task.params for x in layer]
    optimizer: Any = torch.optim.Adam(flat, lr=1e-3)
    if case.solver == "sgd":
        optimizer = torch.optim.SGD(flat, lr=1e-3, momentum=0.9, nesterov=True)
    for X, y in zip(np.split(task.X, N_BATCHES), np.split(task.y, N_BATCHES), strict=True):
        h = torch.tensor(X)
        for W, b in zip(flat[:-2:2], flat[1:-2:2], strict=True):
            h = (torch.relu if case.activation == "relu" else torch.tanh)(h @ W + b)
        z = h @ flat[-2] + flat[-1]
        if case.output == "softmax":
            loss = torch.nn.functional.cross_entropy(z, torch.tensor(y))
        else:
            loss = 0.5 * ((z - torch.tensor(y)) ** 2).sum() / len(z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


DTYPES, CASES_OF_TESTS = ["float64", "float32"], [TINY, SGD, REAL]
MAKES = {**{name: candidates.ours_on(name) for name in ("numpy", "torch", "jax", "strict")}, **peers.peers()}


@pytest.mark.parametrize(
    ("name", "dtype", "case"),
    [
        *one_in(4, [name for name in MAKES if name != "torch.compile"], DTYPES, CASES_OF_TESTS),
        # This one calls a C++ compiler.
        *rarely(*zip(itertools.repeat("torch.compile"), itertools.cycle(DTYPES), CASES_OF_TESTS)),
    ],
    ids=lambda x: f"{x.solver}-{x.output}" if isinstance(x, Case) else None,
)
def test_every_candidate_takes_the_same_steps(name: str, dtype: str, case: Case) -> None:
    candidate = MAKES[name](case, dtype)
    rtol = 1e-4 if dtype == "float32" else getattr(candidate, "tolerance", 1e-9)
    np.testing.assert_allclose(candidate.first_losses(), expected_losses(case), rtol=rtol)
    candidate.run(7)
    np.testing.assert_allclose(candidate.first_losses(), expected_losses(case), rtol=rtol)


def test_the_first_loss_is_that_of_a_loop_over_floats() -> None:
    task = problem(TINY)
    rows = np.eye(4)[task.y[:8]]
    expected = reference.loss(TINY.net, task.params, task.X[:8], rows, l2=0.0, reduction="mean", weights=None)
    assert expected_losses(TINY)[0] == pytest.approx(float(expected), rel=1e-12)


def test_the_floor_multiplies_what_a_step_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products for each layer, and one more for each but the first, with the shapes of a step."""

    def shapes(call: Any) -> list[tuple[int, int, int]]:
        seen: list[tuple[int, int, int]] = []
        original = np.matmul

        def noted(a: Any, b: Any, **options: Any) -> Any:
            seen.append((a.shape[0], a.shape[1], b.shape[1]))
            return original(a, b, **options)

        monkeypatch.setattr(np, "matmul", noted)
        call()
        monkeypatch.setattr(np, "matmul", original)
        return sorted(seen)

    floor, ours = candidates.Floor(TINY, "float64"), candidates.ours_on("numpy")(TINY, "float64")
    assert shapes(lambda: floor.run(1)) == shapes(lambda: ours.run(1))


def test_rows_are_medians_and_ratios_of_one_run() -> None:
    some = {"numpy": MAKES["numpy"], "textbook": peers.Textbook}
    rows = {row.candidate: row for row in measure(TINY, "float32", some, rounds=2)}
    assert set(rows) == {"floor", *some}
    for row in rows.values():
        assert row.problem is None
        assert row.of_floor == pytest.approx(row.microseconds / rows["floor"].microseconds)
        assert row.samples_per_second == pytest.approx(8e6 / row.microseconds)


def test_a_candidate_that_computes_something_else_is_not_timed() -> None:
    class Wrong(candidates.Ours):
        def first_losses(self) -> list[float]:
            return [1.01 * loss for loss in super().first_losses()]

    class Broken(candidates.Ours):
        def run(self, n_steps: int) -> None:
            raise AssertionError("it was timed")

        def first_losses(self) -> list[float]:
            raise MemoryError("too small a machine")

    numpy = pm.get_backend("numpy")
    makes = {
        "wrong": lambda case, dtype: Wrong(case, dtype, numpy),
        "broken": lambda case, dtype: Broken(case, dtype, numpy),
        "missing": "it is not installed",
    }
    rows = {row.candidate: row for row in measure(TINY, "float32", makes, rounds=1)}
    assert rows["wrong"].problem == "its losses are 1.0e-02 away from float64: not timed"
    assert rows["broken"].problem == "MemoryError: too small a machine"
    assert rows["missing"].problem == "it is not installed"
    assert all(rows[name].microseconds is None for name in makes)


def test_the_data_neither_saturate_nor_diverge() -> None:
    for case in CASES[:3]:
        losses = candidates.ours_on("numpy")(case, "float64").first_losses()
        assert all(0.3 < loss < 10 for loss in losses)


def test_the_command_prints_a_table_and_writes_the_figures(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "QUICK", (TINY,))
    known = {name: make for name, make in peers.peers().items() if name != "torch.compile"}  # calls a C++ compiler
    monkeypatch.setattr(command, "peers", lambda: known)
    path = tmp_path / "figures.json"
    assert run(["bench", "--quick", "--json", str(path)]) == 0
    out, err = capfd.readouterr()
    for name in ("tiny", "floor", "numpy", "torch", "jax", "strict"):
        assert name in out
    assert f"written to {path}" in err
    figures = json.loads(path.read_text())
    assert {row["candidate"] for row in figures["rows"]} == {
        "floor",
        *(found.name for found in pm.backends()),
        *MAKES,
    } - {"torch.compile"}
    assert figures["machine"]["cores"] >= 1
    assert figures["machine"]["versions"]["numpy"] == np.__version__


@pytest.mark.usefixtures("few_candidates")
def test_the_picture_and_the_page(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        command, "SWEEP", (TINY._replace(name="batch 8"), TINY._replace(name="batch 16", batch_size=16))
    )
    plot, page = tmp_path / "bench.png", tmp_path / "report.html"
    assert run(["bench", "--quick", "--plot", str(plot), "--html", str(page)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    text = page.read_text(encoding="utf-8")
    assert text.count("<table>") == text.count("</table>") == 2
    assert "batch 16" in text
    assert "data:image/png;base64," in text
    # Nothing is fetched: no address of another file or machine.
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    # The picture's own letters spell every word of four now and then.
    assert "http" not in re.sub("base64,[A-Za-z0-9+/=]+", "", text)


def test_mistakes(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--dtype", "float16"]) == 2
    assert "--dtype must be float32 or float64, got float16" in capfd.readouterr().err
    assert run(["bench", "--solver", "lbfgs"]) == 2
    assert "--solver" in capfd.readouterr().err
    assert run(["bench", "--json", str(tmp_path / "no" / "figures.json")]) == 2
    assert "--json" in capfd.readouterr().err


@pytest.mark.usefixtures("few_candidates")
def test_a_busy_machine_is_told_before_and_after_and_in_every_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SWEEP", (TINY,))
    monkeypatch.setattr(machine, "busy_cores", lambda: 1.6)
    figures, page = tmp_path / "figures.json", tmp_path / "report.html"
    assert run(["bench", "--quick", "--json", str(figures), "--html", str(page)]) == 0
    sentence = f"other programs have kept 1.6 of {machine.machine()['cores']} cores busy over the last minute"
    assert capfd.readouterr().err.count(sentence) == 2
    found = json.loads(figures.read_text())
    assert found["machine"]["load"] == 1.6
    assert sentence in found["reservations"][0]
    assert sentence in page.read_text(encoding="utf-8")


def test_an_idle_machine_with_steady_rounds_is_not_doubted() -> None:
    for load, spreads in ((0.0, [1.0, 1.5, None]), (0.49, [])):
        assert trust.reservations({"load": load, "cores": 2}, spreads) == []
    assert trust.reservations({"cores": 2}, []) == []  # a system that does not say


def test_figures_whose_rounds_disagree_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.2, 1.0])  # two of warming up, then three rounds of the floor and ours
    monkeypatch.setattr(measurement, "timed", lambda run, n_steps: next(times))
    monkeypatch.setattr(measurement, "_steps_a_turn", lambda run, at_a_time: next(times) and 1)
    floor, ours = measure(TINY, "float64", {"numpy": candidates.ours_on("numpy")}, rounds=3)
    assert (floor.spread, ours.spread) == (1.2, 2.0)
    assert bench_report.cells([floor, ours], ours)[2] == "1,000,000.0~"
    assert bench_report.cells([floor, ours], floor)[2] == "1,000,000.0"
    (sentence,) = trust.reservations({"load": 0.0, "cores": 2}, [floor.spread, ours.spread, None])
    assert sentence.startswith("~ marks 1 of 2 figures")


@pytest.mark.usefixtures("few_candidates")
def test_sgd_is_a_solver_too(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "figures.json"
    assert run(["bench", "--quick", "--solver", "sgd", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["machine"]["solver"] == "sgd"
    assert all(row["problem"] is None for row in figures["rows"] if row["candidate"] != "cupy")


def test_the_machine_is_described() -> None:
    facts = json.loads(json.dumps(machine.machine()))
    assert facts["versions"]["numba"]
    assert facts["versions"]["scikit-learn"]
    assert facts["blas"]["num_threads"] >= 1
    assert ("commit" in facts) == (pathlib.Path(__file__).parents[2] / ".git").exists()


@pytest.mark.parametrize(
    ("architecture", "simd", "asked", "advised"),
    [
        ("Haswell", {"baseline": ["X86_V2"], "found": ["X86_V3", "X86_V4"]}, None, "with OPENBLAS_CORETYPE=SkylakeX"),
        ("Zen", {"baseline": ["SSE"], "found": ["AVX2", "AVX512F"]}, None, "with OPENBLAS_CORETYPE=SkylakeX"),
        ("Haswell", {"baseline": ["X86_V4"], "found": []}, "Haswell", "OPENBLAS_CORETYPE=Haswell in the environment"),
        ("Haswell", {"baseline": ["X86_V2"], "found": ["X86_V3"]}, None, None),
        ("SkylakeX", {"baseline": ["X86_V2"], "found": ["X86_V3", "X86_V4"]}, None, None),
        (None, {}, None, None),
    ],
)
def test_a_blas_that_leaves_half_the_processor_idle_is_told_of(
    architecture: str | None, simd: Any, asked: str | None, advised: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "show_config", lambda mode: {"SIMD Extensions": simd})
    facts: dict[str, Any] = {"environment": {} if asked is None else {"OPENBLAS_CORETYPE": asked}}
    if architecture is not None:
        facts["blas"] = {"architecture": architecture}
    sentences = machine.advice(facts)
    assert len(sentences) == (advised is not None)
    assert all(str(advised) in sentence for sentence in sentences)

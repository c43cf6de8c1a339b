"""The GPU benchmark, on the CPU: what is verified, how time is counted, failures that stay alone, the report."""

import contextlib
import functools
import json
import operator
import os
import pathlib
import re
import time
import types
from collections.abc import Iterator
from typing import Any

import gpu
import ml_dtypes
import numpy as np
import pytest
import torch
from gpu_suite import on_device, suite, worker
from gpu_suite.on_device import CANDIDATES, FLOOR, Entry, reference_losses, set_precision
from gpu_suite.precisions import ERRORS, check_losses, check_product_error, product_error
from gpu_suite.process import Failed, Process
from gpu_suite.report import HEADINGS, as_json, as_markdown
from gpu_suite.roofline import H200, products, seconds_of_step
from gpu_suite.suite import GPU_CASES, Result

from portable_mlp.bench.cases import Case, problem
from tests.bench import faulty
from tests.bench.test_bench import expected_losses
from tests.selection import rarely

ROOT = pathlib.Path(__file__).parents[2]
TINY = Case("tiny", (6, 9, 5, 4), 8)
ON_CPU = [name for name in CANDIDATES if name not in (FLOOR, "ours, CuPy", "PyTorch CUDA graph", "torch.compile")]


def rounded(x: np.ndarray, n_bits: int) -> np.ndarray:
    """Round to so many significant bits."""
    fraction, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(fraction, n_bits)), exponent - n_bits)


MULTIPLICATIONS = {
    "float32": np.matmul,
    "tf32": lambda a, b: rounded(a, 11) @ rounded(b, 11),
    "bfloat16": lambda a, b: (
        a.astype(ml_dtypes.bfloat16).astype("float32") @ b.astype(ml_dtypes.bfloat16).astype("float32")
    ),
    "bfloat16, rounded again": lambda a, b: (
        (rounded(a, 8) @ rounded(b, 8)).astype(ml_dtypes.bfloat16).astype("float32")
    ),
}


@pytest.mark.parametrize("asked", ERRORS)
@pytest.mark.parametrize("name", MULTIPLICATIONS)
def test_errors_tell_the_precisions_apart(name: str, asked: str) -> None:
    error = product_error(MULTIPLICATIONS[name])
    if name.partition(",")[0] == asked:
        check_product_error(asked, error)
    else:
        with pytest.raises(
            ArithmeticError, match=rf"its products err by .*, those of {asked} by .*: another precision"
        ):
            check_product_error(asked, error)


@pytest.mark.parametrize("error", [float("nan"), 1.0])
def test_wrong_products_have_no_precision(error: float) -> None:
    for precision in ERRORS:
        with pytest.raises(ArithmeticError):
            check_product_error(precision, error)


def test_losses_are_compared_relatively() -> None:
    assert check_losses("float32", [2.0, 1.00005], [2.0, 1.0]) == pytest.approx(5e-5)
    for losses in ([2.0, 1.001], [1.999, 1.0], [2.0, float("nan")]):
        with pytest.raises(ArithmeticError, match=r"its losses are .* away from float64"):
            check_losses("float32", losses, [2.0, 1.0])


@pytest.fixture
def jax_as_it_was() -> Iterator[None]:
    import jax

    before = jax.config.jax_default_device, jax.config.jax_default_matmul_precision
    yield
    jax.config.update("jax_default_device", before[0])
    jax.config.update("jax_default_matmul_precision", before[1])


@pytest.mark.usefixtures("jax_as_it_was")
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "float32") for name in ON_CPU),
        *rarely(*((name, "bfloat16") for name in ON_CPU if not name.startswith("ours"))),
    ],
)
def test_every_candidate_takes_the_same_steps(name: str, precision: str) -> None:
    library, make = CANDIDATES[name]
    set_precision(library, precision, "cpu")
    candidate = make(TINY, precision, "cpu")
    expected = expected_losses(TINY)
    np.testing.assert_allclose(candidate.first_losses(), expected, rtol=1e-6 if precision == "float32" else 1e-2)
    candidate.enqueue(7 * candidate.steps_a_call)
    candidate.wait()
    check_product_error(precision, product_error(candidate.multiply))
    np.testing.assert_allclose(candidate.first_losses(), expected, rtol=1e-6 if precision == "float32" else 1e-2)


@pytest.mark.usefixtures("jax_as_it_was")
def test_networks_stand_still_while_time_is_taken_and_batches_take_turns() -> None:
    eager = on_device.TorchEager(TINY, "float32", "cpu")
    seen: list[Any] = []
    original = eager._step
    eager._step = lambda model, optimizer, X, y: seen.append(X) or original(model, optimizer, X, y)  # type: ignore[method-assign]
    for n_steps in (1, 2, 2):
        eager.enqueue(n_steps)
    np.testing.assert_array_equal(torch.cat(seen[:4]).numpy(), problem(TINY).X.astype("float32"))
    assert seen[4] is seen[0]
    W, _ = problem(TINY).params[0]
    np.testing.assert_allclose(eager._model[0].weight.detach().numpy().T, W, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_floor_multiplies_the_products_of_a_step(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    floor = on_device.TorchProducts(TINY, precision, "cpu")
    seen: list[tuple[int, int, int]] = []
    original = torch.matmul
    monkeypatch.setattr(
        torch, "matmul", lambda a, b, out: seen.append((*a.shape, b.shape[1])) or original(a, b, out=out)
    )
    floor.enqueue(5)
    floor.wait()
    assert sorted(seen) == sorted([(m, k, n) for m, k, n, _ in products(TINY)] * 8)  # two calls of four steps
    assert all(x.abs().min() > 0 for x, _, _ in floor._products[:1])
    check_product_error(precision, product_error(floor.multiply))


class FakeGraph:
    """A CUDA graph: what is captured is taken when it is replayed."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def pool(self) -> str:
        return "pool"

    def replay(self) -> None:
        for step in self.steps:
            step()


class FakeCuda:
    """What `TorchGraph` needs of `torch.cuda`."""

    CUDAGraph = FakeGraph

    def __init__(self) -> None:
        self.capturing: FakeGraph | None = None
        self.pools: list[str | None] = []

    def is_available(self) -> bool:
        return True

    @contextlib.contextmanager
    def graph(self, graph: FakeGraph, pool: str | None) -> Iterator[None]:
        self.capturing = graph
        self.pools.append(pool)
        yield
        self.capturing = None

    def Stream(self) -> Any:  # noqa: N802
        return types.SimpleNamespace(wait_stream=lambda other: None)

    current_stream = Stream

    def stream(self, stream: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class GraphsOnCpu(on_device.TorchGraph):
    """The whole step in a made-up graph."""

    def _make_optimizer(self, parameters: Any, rate: float) -> Any:
        return torch.optim.Adam(parameters, lr=rate)  # one that may be captured wants its parameters on a GPU

    def _step(self, model: Any, optimizer: Any, X: Any, y: Any) -> Any:
        step = functools.partial(super()._step, model, optimizer, X, y)
        if torch.cuda.capturing is None:  # type: ignore[attr-defined]
            return step()
        loss = torch.zeros(())
        torch.cuda.capturing.steps.append(lambda: loss.copy_(step()))  # type: ignore[attr-defined]
        return loss


def test_captured_steps_start_where_all_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo  # noqa: F401 - optimizers load it when they are first used, and it looks at torch.cuda

    cuda = FakeCuda()
    monkeypatch.setattr("torch.cuda", cuda)
    candidate = GraphsOnCpu(TINY, "float32", "cpu")
    assert cuda.pools == [None, "pool", "pool", "pool"]
    np.testing.assert_allclose(candidate.first_losses(), expected_losses(TINY), rtol=1e-6)
    candidate.enqueue(5)
    candidate.wait()
    assert [float(state["step"]) for state in candidate._optimizer.state.values()] == [5.0] * 6


class Clock:
    """A candidate whose every call takes 1 ms on the host and 20 ms on the device, and the clock that shows it."""

    steps_a_call = 4

    def __init__(self) -> None:
        self.now = self.done_at = 0.0
        self.calls: list[int] = []

    def perf_counter(self) -> float:
        return self.now

    def enqueue(self, n_steps: int) -> None:
        n_calls = n_steps // self.steps_a_call
        self.calls.append(n_calls)
        self.now += 0.001 * n_calls
        self.done_at = max(self.done_at, self.now - 0.001 * n_calls) + 0.020 * n_calls

    def wait(self) -> None:
        self.now = max(self.now, self.done_at)


def test_a_turn_is_counted_by_steps_latency_by_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    monkeypatch.setattr(worker, "_ready", [worker._Ready(clock, worker._warm_up(clock, 2.0))])
    assert clock.calls == [1, 2, 4, 8, 16, 16, 16, 16, 16, 16]  # 16 fill an eighth of the two seconds
    clock.calls.clear()
    turn = worker.take_turn(0.5)
    assert turn == pytest.approx((0.005, 0.020, 0.00025))
    assert clock.calls == [1, 50, 10, *[1] * 25]  # a start, 200 steps, the host, as many waits as fill the turn


def test_kernels_are_counted_and_copies_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    @contextlib.contextmanager
    def traced(activities: Any) -> Iterator[Any]:
        assert activities == [torch.profiler.ProfilerActivity.CUDA]
        before = len(clock.calls)
        names = ["sgemm", "relu", "Memcpy DtoH (Device -> Pageable)", "Memset (Device)"]
        events = [types.SimpleNamespace(name=name, device_type=torch.autograd.DeviceType.CUDA) for name in names]
        events.append(types.SimpleNamespace(name="cudaGraphLaunch", device_type=torch.autograd.DeviceType.CPU))
        yield types.SimpleNamespace(events=lambda: events * sum(clock.calls[before:]))

    monkeypatch.setattr(torch.profiler, "profile", traced)
    monkeypatch.setattr(worker, "_ready", [worker._Ready(clock, 0.02)])
    assert worker.count_kernels() == 0.5  # two in a call, which is four steps


def test_what_cannot_be_traced_is_timed_all_the_same() -> None:
    def call(function: Any) -> Any:
        raise Failed("CUPTI_ERROR_NOT_INITIALIZED")

    trial = suite._Trial(types.SimpleNamespace(call=call))  # type: ignore[arg-type]
    trial.count_kernels()
    assert (trial.kernels, trial.problem) == (None, None)


@pytest.mark.parametrize(
    ("steps_a_call", "seconds_a_call", "n_calls"),
    [(1, 10e-6, 50_000), (1, 0.005, 200), (1, 0.1, 30), (4, 0.4, 8), (100, 0.001, 500), (1, 9.0, 1)],
)
def test_steps_of_a_turn(steps_a_call: int, seconds_a_call: float, n_calls: int) -> None:
    """At least 200, unless they take more than six times the half second."""
    assert worker._calls_a_turn(steps_a_call, 0.5 / seconds_a_call) == n_calls


def test_a_process_returns_raises_hangs_and_dies() -> None:
    with Process() as process:
        assert process.call(os.getpid) != os.getpid()
        assert process.call(os.getenv, "XLA_PYTHON_CLIENT_PREALLOCATE") == "false"
        with pytest.raises(Failed, match=r"^ZeroDivisionError: division by zero$"):
            process.call(operator.truediv, 1, 0)
        process.start(operator.add, 1, 2)
        assert process.result() == 3
        with pytest.raises(Failed, match=r"^its process ended with exit code 3$"):
            process.call(os._exit, 3)
        with pytest.raises(Failed, match=r"^its process ended with exit code 3$"):
            process.call(os.getpid)
    with Process() as process:
        process.call(os.getpid)
        with pytest.raises(Failed, match=r"^it did not answer within 0.01 s$"):
            process.call(time.sleep, 60, timeout=0.01)
        with pytest.raises(Failed, match=r"^its process ended with exit code -9$"):
            process.call(os.getpid)
    with Process() as process:
        process.call(os.getpid)
        process.start(time.sleep, 60)
        process.start(os.getpid)  # is never read
        with pytest.raises(Failed, match=r"^it did not answer within 0.01 s$"):
            process.result(0.01)
        with pytest.raises(Failed, match=r"^its process ended with exit code -9$"):
            process.result()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark's command, for tiny networks, in no time."""
    monkeypatch.syspath_prepend(ROOT)  # for the processes, which must find the faulty candidates
    monkeypatch.setattr(gpu, "GPU_CASES", (TINY, TINY._replace(name="small"), TINY._replace(name="large")))
    monkeypatch.setattr(gpu, "machine", functools.partial(dict, gpu="a made-up one"))
    monkeypatch.setattr(gpu, "SECONDS_OF_WARM_UP", 0.0)
    monkeypatch.setattr(gpu, "SECONDS_A_TURN", 0.01)
    return gpu


@pytest.mark.thorough
def test_the_whole_benchmark(
    command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyTorch and JAX are timed; what fails, fails alone."""
    sound = {name: CANDIDATES[name] for name in (FLOOR, "PyTorch eager", "JAX scan")}
    sound["ours"] = Entry("numpy", faulty.OnNumpy)
    problems = {
        "ours, CuPy": (CANDIDATES["ours, CuPy"], "no NVIDIA GPU|cupy has no device 'cpu'|No module named 'cupy'"),
        "not there": (
            Entry("no_such_library", faulty.dies),
            "^ModuleNotFoundError: No module named 'no_such_library'$",
        ),
        "dies": (Entry("numpy", faulty.dies), "^its process ended with exit code 7$"),
        "dies later": (Entry("numpy", faulty.DiesInItsTurn), "^its process ended with exit code 8$"),
        "wrong": (
            Entry("numpy", faulty.LearnsSomethingElse),
            "^ArithmeticError: its losses are 1.0e-02 away from float64$",
        ),
    }
    monkeypatch.setattr(command, "CANDIDATES", sound | {name: entry for name, (entry, _) in problems.items()})
    assert (
        command.main(["--out", str(tmp_path / "new"), "--device", "cpu", "--case", "tiny", "--precision", "float32"])
        == 0
    )
    figures = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert figures["rates"] == H200._asdict()
    assert figures["machine"] == {"gpu": "a made-up one"}
    results = {line["candidate"]: Result(**line) for line in figures["results"]}
    assert list(results) == [*sound, *problems]
    for name, (_, message) in problems.items():
        assert re.search(message, str(results[name].problem))
        assert results[name].step is None
    floor = results[FLOOR].step
    assert floor is not None
    for name in sound:
        line = results[name]
        assert line.problem is None
        assert line.step == pytest.approx(line.of_products * floor)
        assert line.step == pytest.approx(1e6 * line.of_roofline * seconds_of_step(TINY, "float32", H200))
        assert line.step_lowest <= line.step <= line.step_highest
        assert min(line.latency, line.on_host, line.first_step, line.product_error) > 0
        assert (line.loss_error or 0.0) < 1e-6
        assert line.kernels is None
    assert results["JAX scan"].steps_a_call == 100
    out, err = capsys.readouterr()
    assert out == (tmp_path / "new" / "gpu.md").read_text()
    assert "tiny, float32: round 3 of 3" in err


def test_another_precision_than_asked_for_is_found() -> None:
    with pytest.raises(ValueError, match="'tf32' is for the tensor cores of a GPU"):
        faulty.OnNumpy(TINY, "tf32", "cpu")
    entry = Entry("numpy", faulty.TakesAnotherPrecision)
    with pytest.raises(ArithmeticError, match=r"its products err by .*, those of tf32 by 1e-05 to 1e-03"):
        worker.make(entry, TINY, "tf32", "cpu", expected_losses(TINY), 0.0)


def test_a_graph_needs_a_gpu() -> None:
    with pytest.raises(RuntimeError, match="a CUDA graph needs a CUDA device"):
        on_device.TorchGraph(TINY, "float32", "cpu")


def test_a_case_without_a_reference_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(suite, "reference_losses", functools.partial(faulty.dies, None))
    candidates = {name: CANDIDATES[name] for name in (FLOOR, "JAX jit")}
    wanted = [(TINY, "float32"), (TINY, "tf32")]
    *_, lines = suite.run(wanted, candidates, suite.Setting("cpu"))
    assert [(line.precision, line.candidate) for line in lines] == [(p, name) for _, p in wanted for name in candidates]
    message = "there are no losses in float64 to compare with: its process ended with exit code 7"
    assert {line.problem for line in lines} == {message}


def test_the_reference_is_in_float64_with_and_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(reference_losses(TINY, "cpu"), expected_losses(TINY), rtol=1e-12)
    np.testing.assert_allclose(reference_losses(TINY, "no such device"), expected_losses(TINY), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "cases", "precisions", "chosen"),
    [
        ([], ["tiny", "small", "large"], ["float32", "tf32", "bfloat16"], []),
        (["--quick"], ["tiny", "small"], ["float32", "tf32", "bfloat16"], []),
        (["--quick", "--case", "large", "tiny", "--precision", "tf32"], ["tiny", "large"], ["tf32"], []),
        (
            ["--candidate", "JAX scan", "ours, CuPy", "--case", "tiny"],
            ["tiny"],
            list(ERRORS),
            ["ours, CuPy", "JAX scan"],
        ),
    ],
)
def test_what_is_chosen(
    command: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    arguments: Any,
    cases: Any,
    precisions: Any,
    chosen: Any,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(command, "run", lambda *given: asked.append(given) or [])
    with pytest.raises(FileNotFoundError):  # nothing was measured, and nothing written
        command.main(["--out", str(tmp_path), *arguments, "--rates", "1", "2", "3", "4"])
    [(wanted, candidates, setting)] = asked
    assert wanted == suite.tables([case for case in gpu.GPU_CASES if case.name in cases], precisions)
    assert candidates == {name: CANDIDATES[name] for name in chosen or CANDIDATES}
    assert setting.rates == (1e12, 2e12, 3e12, 4e12)
    assert setting.seconds_a_turn == (0.2 if "--quick" in arguments else 0.01)


def test_the_most_telling_tables_come_first() -> None:
    wanted = [(case.name, precision) for case, precision in suite.tables(GPU_CASES, list(ERRORS))]
    assert wanted[:2] == [("digits", "float32"), ("mnist", "tf32")]
    assert len(set(wanted)) == len(wanted) == 12
    assert suite.FIRST_PRECISIONS.keys() == {case.name for case in GPU_CASES}
    assert list(CANDIDATES)[:2] == [FLOOR, "ours, CuPy"]


class ProcessOnPaper:
    """A process in which every call returns at once; the clock shows how long it would have taken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def start(self, function: Any, *arguments: Any) -> None:
        pass

    def result(self, timeout: float) -> None:
        pass

    def call(self, function: Any, *arguments: Any, timeout: float = 300.0) -> Any:
        self._clock.now += min(10.0, timeout)
        if timeout < 10.0:
            raise Failed(f"it did not answer within {timeout:g} s")
        results = {worker.make: worker.Made(1, 1.0, 1e-7, 1e-7), worker.take_turn: worker.Turn(1e-4, 1e-3, 1e-5)}
        return results.get(function, [2.3])

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("limit", "n_timed", "n_tables"), [(1e6, 2, 2), (75.0, 2, 1), (45.0, 2, 1), (35.0, 1, 1), (5.0, 0, 1)]
)
def test_lines_come_one_by_one_and_a_limit_ends_them(
    limit: float, n_timed: int, n_tables: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, a process and a turn take ten seconds each."""
    clock, told = Clock(), []
    monkeypatch.setattr(suite, "Process", functools.partial(ProcessOnPaper, clock))
    monkeypatch.setattr(suite, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    candidates = {name: CANDIDATES[name] for name in (FLOOR, "ours, CuPy")}
    setting = suite.Setting("cpu", ends_at=limit, tell=told.append)
    seen = list(suite.run([(TINY, "float32"), (TINY, "tf32")], candidates, setting))
    first = [line for line in seen[-1] if line.precision == "float32"]
    assert sum(line.step is not None for line in first) == n_timed
    if n_timed:
        assert [len(lines) for lines in seen[:2]] == [1, 2]
        assert seen[0][0].candidate == FLOOR
        assert first[0].of_products == pytest.approx(1.0)
    assert len({line.precision for line in seen[-1]}) == n_tables
    assert any("left out, the time is over" in text for text in told) == (n_tables == 1)


TIMED = Result(
    *("mnist", "ours, CuPy", "tf32", 1024),
    steps_a_call=64,
    first_step=2.04,
    step=12.34,
    step_lowest=12.0,
    step_highest=1234.5,
    latency=900.0,
    on_host=0.42,
    kernels=11.02,
    product_error=2.9e-4,
    loss_error=1.2e-5,
    of_products=1.5,
    of_roofline=1.66,
)


def test_the_report_has_a_line_for_each_result() -> None:
    failed = Result("mnist", "JAX jit", "tf32", 1024, problem="XlaRuntimeError: a | b")
    text = as_markdown([TIMED, failed], GPU_CASES, {"gpu": "NVIDIA H200", "versions": {"cupy": "14.2.0"}}, H200)
    assert "## mnist: 784-512-10, batches of 1,024\n\nRoofline, µs a step: 7.4 in tf32.\n" in text
    assert "- versions: cupy 14.2.0" in text
    assert "- rates: 60 TFLOP/s in float32, 400 TFLOP/s in tf32, 790 TFLOP/s in bfloat16 and 4.3 TB/s" in text
    assert "digits" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[2:] == [
        "| tf32 | ours, CuPy | 12.3 | 12.0 to 1,234.5 | 82,982,172 | 1.50 | 1.66 | 900.0 (64 steps) | 0.4 | 11.0 "
        "| 2.0 | 3e-04 | 1e-05 |",
        "| tf32 | JAX jit | not timed: XlaRuntimeError: a / b |  |  |  |  |  |  |  |  |  |  |",
    ]
    assert {line.count("|") for line in lines} == {len(HEADINGS) + 1}


def test_the_figures_come_back_from_json() -> None:
    figures = json.loads(as_json([TIMED], GPU_CASES, {}, H200))
    assert [Result(**line) for line in figures["results"]] == [TIMED]
    assert [Case(**case | {"sizes": tuple(case["sizes"])}) for case in figures["cases"]] == list(GPU_CASES)


@pytest.mark.gpu("torch")
@pytest.mark.parametrize(
    ("name", "precision"),
    # Training takes float32 alone so far.
    [(name, precision) for name in CANDIDATES for precision in ERRORS if precision == "float32" or "ours" not in name],
)
def test_on_a_gpu(name: str, precision: str) -> None:
    """Every candidate learns what it should, in the precision it was asked for, and its kernels are counted."""
    with Process() as process:
        process.call(worker.prepare, CANDIDATES[name], TINY, precision, "cuda")
        process.call(worker.make, CANDIDATES[name], TINY, precision, "cuda", expected_losses(TINY), 0.0)
        assert min(process.call(worker.take_turn, 0.01)) > 0
        assert process.call(worker.count_kernels) >= 1

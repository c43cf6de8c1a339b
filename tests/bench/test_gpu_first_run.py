"""The first minutes on a GPU, which nobody has spent yet: stages that a CPU can take, and what becomes of others."""

import importlib.util
import json
import pathlib
import re
from typing import Any

import gpu
import numpy as np
import pytest
from gpu_suite import cluster_step, facts, first_run, nvrtc, small_steps, smoke
from gpu_suite.first_run import Stage

from portable_mlp.bench.cases import Case
from portable_mlp.kernels.losses import LOSSES
from portable_mlp.kernels.optimizers import adam

ROOT = pathlib.Path(__file__).parents[2]
TINY = Case("tiny", (6, 9, 4), 8)


def test_every_stage_names_modules_and_files_that_are_there(tmp_path: pathlib.Path) -> None:
    stages = first_run.stages(tmp_path, "cuda")
    for stage in stages:
        assert importlib.util.find_spec(stage.command[0]) is not None
        for argument in stage.command[1:]:
            assert not argument.startswith("tests/") or (ROOT / argument).exists()
    on_cpu = first_run.stages(tmp_path, "cpu")
    left_out = {stage.command[0] for stage in stages if stage.name not in {each.name for each in on_cpu}}
    assert left_out == {"pytest", "gpu_suite.cluster_step"}
    for stage in stages:
        if stage.command[0] == "gpu":  # its options are the benchmark's
            chosen = gpu.parsed(stage.command[1:])
            assert chosen.seconds < stage.seconds


def test_stages_fail_hang_and_end_alone(tmp_path: pathlib.Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(first_run, "SECONDS_WORTH_BEGINNING", 0.0)
    programs = {
        "fine": "print('something'); print('all right')",
        "fails": "raise ArithmeticError('too far away')",
        "hangs": "import time; print('begun', flush=True); time.sleep(600)",
        "is told": "import os; print(os.environ.get('CUPY_TF32'), os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'])",
    }
    monkeypatch.setenv("CUPY_TF32", "1")
    for name, text in programs.items():
        (tmp_path / f"stage_{name.replace(' ', '_')}.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    stages = [Stage(name, 1 if name == "hangs" else 60, (f"stage_{name.replace(' ', '_')}",)) for name in programs]
    assert first_run.take([*stages, Stage("never", -1, ("no_such_module",))], tmp_path, 600) == 1
    summary = (tmp_path / "summary.txt").read_text(encoding="utf-8")
    assert [re.sub(r"\d+ s", "N s", line) for line in summary.splitlines()] == [
        "fine: exit code 0, N s | all right",
        "fails: exit code 1, N s | ArithmeticError: too far away",
        "hangs: ended when its time was over, N s | begun",
        "is told: exit code 0, N s | None false",
        "never: left out, the time is over",
    ]
    assert capsys.readouterr().out == summary
    assert "===== fails, at most 60 s" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_the_command_begins_the_first_run(monkeypatch: Any, tmp_path: pathlib.Path) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(first_run, "take", lambda *given: taken.append(given) or 0)
    assert gpu.main(["--first", str(tmp_path / "new"), "--device", "cpu"]) == 0
    [(stages, out, seconds)] = taken
    assert out == tmp_path / "new"
    assert out.is_dir()
    assert seconds == first_run.SECONDS
    assert [stage.name for stage in stages][:2] == ["facts", "smoke"]


def test_facts_name_what_is_here_and_what_is_not() -> None:
    text = "\n".join(facts.facts())
    assert f"numpy {np.__version__}" in text
    assert "nvidia-cublas missing" in text
    assert "BackendInfo(name='torch', available=True" in text


def test_smoke_trains_and_says_what_is_wrong(capsys: Any) -> None:
    fine, *others = smoke.attempts("cpu")
    assert {attempt.backend for attempt in (fine, *others)} == {"torch", "jax"}
    assert {attempt.backend for attempt in smoke.attempts("cuda")} == {"cupy", "torch", "jax"}
    (short,) = smoke.attempts("cpu", short=True)
    wrong = short._replace(options={"l2": 0.01, "learning_rate": -1.0})
    far = short._replace(dtype="float64", options={"precision": "float32"})
    assert smoke.report([short, wrong]) == 1
    out = capsys.readouterr().out
    assert re.search(r"torch, Network\(.*\), float32 l2=0\.01: \d\.\de-\d\d away from NumPy", out)
    assert "learning_rate must be" in out
    assert out.endswith("1 FAILED: " + str(wrong) + "\n")
    assert smoke.difference(far) < 1e-8


@pytest.mark.parametrize("output", ["softmax", "logistic", "identity", "relu", "exp"])
def test_smoke_compares_every_output(output: str) -> None:
    of_output = [attempt for attempt in smoke.attempts("cpu") if attempt.net.output == output]
    attempt = min(of_output, key=lambda one: one.backend == "jax")
    assert smoke.difference(attempt) < smoke.LIMITS[attempt.dtype]


def test_smoke_finds_a_difference(monkeypatch: Any) -> None:
    (attempt,) = smoke.attempts("cpu", short=True)
    monkeypatch.setitem(smoke.LIMITS, "float32", 1e-12)
    with pytest.raises(ArithmeticError, match="away from NumPy, more than 1e-12"):
        smoke.difference(attempt)


def test_small_steps_are_timed_and_failures_stop_nothing(tmp_path: pathlib.Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(small_steps, "CALLS_A_ROUND", 1)
    monkeypatch.setattr(small_steps, "ROUNDS", 1)
    path = tmp_path / "small_steps.jsonl"
    small_steps.measure("cpu", (TINY, TINY._replace(name="none", sizes=())), small_steps.writing_to(path))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["case"], line["how"]) for line in lines] == [
        (case, how) for case in ("tiny", "none") for how in ("replayed", "launched")
    ]
    for line in lines[:2]:
        assert 0 < line["step_on_host"] <= line["step"]
        assert line["labels_of_graphs"] == {}
    assert all("Error" in line["failed"] for line in lines[2:])
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_cluster_is_given_what_its_source_expects() -> None:
    source = cluster_step.SOURCE.read_text(encoding="utf-8")
    constants = dict(re.findall(r"\b([A-Z]+) = (\d+)", source))
    assert tuple(int(constants[name]) for name in "DHC") == cluster_step.NET.sizes
    assert int(constants["NB"]) * int(constants["S"]) == cluster_step.BATCH_SIZE
    assert int(constants["NB"]) == cluster_step.N_BLOCKS
    assert 90_000 < cluster_step.shared_bytes() < 227 * 1024
    flat, losses = cluster_step.expected(2)
    assert np.isfinite(flat).all()
    assert losses[0] == pytest.approx(2.9, abs=0.5)


def test_nvidias_compiler_is_given_every_variant_of_a_kernel() -> None:
    """None is left out, or compiled twice; the compiler itself runs in a session of its own."""
    named = list(nvrtc.block_sources())
    sources = dict(named)
    assert len(sources) == len(named)
    assert len(set(sources.values())) == len(named) - 4  # the squared error of one output is reported as it is
    for loss in LOSSES:
        assert sum(name.startswith(loss) for name in sources) == 4 * len(LOSSES[loss].outputs)
    assert sum(f"adam, {kind}" in name for name in sources for kind in ("none", "number", "shared", "array")) == 24
    assert adam() in nvrtc.OPTIMIZERS.values()
    assert all(source.count('extern "C" __global__ void portable_mlp_') == 1 for source in sources.values())

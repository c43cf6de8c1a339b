"""The examples, run as a reader runs them: on NumPy and on one other library each, with warnings as errors."""

import math
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matplotlib import pyplot

import portable_mlp as pm

pytestmark = pytest.mark.compiled_steps  # as in the process of a reader

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
Outputs = Callable[[str, str], str]

# The second library of each; together they are all that run on every machine.
OTHER_BACKEND = {
    "from_scratch": "strict",
    "tanh_softmax": "jax",
    "two_layer_net": "torch",
    "by_hand": "strict",
    "gradient_checking": "torch",
    "xor": "jax",
    "swap_scikit_learn": "torch",
    "one_word_for_a_gpu": "torch",
    "imbalanced_classes": "jax",
    "learn_on_with_onnxruntime": "strict",
    "decision_boundary": "torch",
    "dropout_and_penalty": "jax",
    "calibration": "torch",
    "learning_curve": "torch",
    "search_side_by_side": "torch",
    "permutation_importance": "strict",
    "to_the_last_digit": "jax",
}


def without_64_bit_types(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    # Without JAX_PLATFORMS a JAX that was built for the CPU complains on stderr where it sees a GPU.
    environment = os.environ | {"JAX_ENABLE_X64": "0", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def output_of(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Outputs]:
    """Run an example in the process of the tests, which has imported its libraries already; return what it prints."""
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "show", lambda: None)

    def of(name: str, backend: str) -> str:
        path = EXAMPLES / f"{name}.py"
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setattr(sys, "argv", [str(path), "--backend", backend])
        pm.get_backend(backend)
        capfd.readouterr()  # what a library complains of when it is imported
        runpy.run_path(str(path), run_name="__main__")
        out, err = capfd.readouterr()
        assert err == ""
        assert out.startswith(f"{backend} on ")
        assert out.splitlines()[0].endswith(", float64")
        return out

    yield of
    pyplot.close("all")


# Those whose second library is tried each time: together all libraries.
EACH_TIME = {"gradient_checking", "by_hand", "tanh_softmax"}


def on_numpy_and_another(name: str) -> pytest.MarkDecorator:
    marks = () if name in EACH_TIME else pytest.mark.thorough
    return pytest.mark.parametrize("backend", ["numpy", pytest.param(OTHER_BACKEND[name], marks=marks)])


def test_every_example_is_run_here_on_every_backend() -> None:
    assert set(OTHER_BACKEND) == {path.stem for path in EXAMPLES.glob("[!_]*.py")}
    assert {"numpy", *(OTHER_BACKEND[name] for name in EACH_TIME)} == {"numpy", "torch", "jax", "strict"}


@on_numpy_and_another("tanh_softmax")
def test_tanh_softmax(backend: str, output_of: Outputs) -> None:
    out = output_of("tanh_softmax", backend)
    variances = re.findall(r"^W\d \(\d+, \d+\) +(\S+) +(\S+)$", out, re.MULTILINE)
    assert [asked for _, asked in variances] == ["0.0222", "0.0400"]
    for drawn, asked in variances:
        assert float(drawn) == pytest.approx(float(asked), rel=0.1)
    by_library, by_equations = re.search(r"summed cross-entropy +(\S+) +(\S+)", out).groups()
    assert by_library == by_equations
    differences = re.findall(r"length of (\S+) +.*differ by (\S+)", out)
    assert [name for name, _ in differences] == ["dW1", "db1", "dW2", "db2"]
    assert all(float(difference) < 1e-13 for _, difference in differences)
    assert "gradient check passed" in out
    assert math.isfinite(float(re.search(r"10,000 times as large: (\S+)", out)[1]))


@on_numpy_and_another("two_layer_net")
def test_two_layer_net(backend: str, output_of: Outputs) -> None:
    out = output_of("two_layer_net", backend)
    first_loss = float(re.search(r"first loss (\S+),", out)[1])
    assert first_loss == pytest.approx(math.log(10), abs=1e-3)
    rows = [line.split() for line in out.splitlines() if re.match(r" +\d+ ", line)]
    epochs, rates, losses, validation_losses, accuracies = zip(*rows, strict=True)
    assert epochs == tuple(map(str, range(1, 13)))
    assert rates == tuple(f"{0.5 * 0.95**epoch:.4f}" for epoch in range(12))
    assert float(losses[-1]) < 0.1
    assert float(validation_losses[-1]) < 0.2
    assert float(accuracies[-1]) > 0.94
    assert float(re.search(r"test accuracy (\S+)", out)[1]) > 0.95


@on_numpy_and_another("from_scratch")
def test_from_scratch(backend: str, output_of: Outputs) -> None:
    """The loop that is written out and the library's: on NumPy the same bits."""
    out = output_of("from_scratch", backend)
    losses = re.findall(r"^ +\d+  (\S+) +(\S+)$", out, re.MULTILINE)
    assert len(losses) == 10
    difference = float(re.search(r"of a parameter after 90 steps: (\S+)", out)[1])
    if backend == "numpy":
        assert all(here == by_train for here, by_train in losses)
        assert difference == 0.0
    assert [float(here) for here, _ in losses] == pytest.approx([float(by_train) for _, by_train in losses], rel=1e-12)
    assert difference < 1e-12
    assert float(re.search(r"training accuracy (\S+)", out)[1]) > 0.9


@on_numpy_and_another("by_hand")
def test_by_hand(backend: str, output_of: Outputs) -> None:
    out = output_of("by_hand", backend)
    figures: dict[str, list[list[float]]] = {}
    rows: list[list[float]] = []
    for line in out.splitlines()[3:-2]:
        name, numbers = line[:6].strip(), line[6:].split()
        by_hand, by_library = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
        assert by_hand == by_library
        rows = figures.setdefault(name, []) if name else rows  # a row without a name belongs to the matrix above it
        rows.append([float(number) for number in by_library])
    assert figures == {
        "h": [[1.5, 3.4, 5.3, 7.2]],
        "y_pred": [[7.93, 10.29]],
        "loss": [[72.6325]],
        "dL/dz2": [[7.43, 9.49]],
        "dW2": [[11.145, 25.262, 39.379, 53.496], [14.235, 32.266, 50.297, 68.328]],
        "db2": [[7.43, 9.49]],
        "dW1": [[4.333, 8.666, 12.999], [7.717, 15.434, 23.151], [7.099, 14.198, 21.297], [10.77, 21.54, 32.31]],
        "db1": [[4.333, 7.717, 7.099, 10.77]],
    }
    assert float(re.search(r"largest difference (\S+)", out)[1]) < 1e-12


@on_numpy_and_another("gradient_checking")
def test_gradient_checking(backend: str, output_of: Outputs) -> None:
    out = output_of("gradient_checking", backend)
    right, wrong = out.split("\nsum of squares, one wrong entry\n")
    assert len(re.findall("passed", right)) == 4 * 3
    for forward, central, backward in re.findall(r"  (\S+) passed +(\S+) passed +(\S+) passed", right):
        assert float(central) < 0.1 * min(float(forward), float(backward))
    assert len(re.findall("gradient check FAILED", wrong)) == 2
    assert "passed" not in wrong
    assert "at (2,), analytic 6.5, numerical 6" in wrong


@on_numpy_and_another("xor")
def test_xor(backend: str, output_of: Outputs) -> None:
    out = output_of("xor", backend)
    untrained = """\
  0  0    0.50000000  0.50000000  0
  0  1    0.52153874  0.47846126  0
  1  0    0.65079658  0.34920342  0
  1  1    0.62154818  0.37845182  0
"""
    assert untrained in out
    assert out.count("\nuntrained: ") == 2
    assert out.count("\ntrained: 4 of 4\n") == 2
    assert "Network((2, 4, 4, 2)" in out


def test_without_64_bit_types_jax_is_refused_with_the_reason_and_float32_runs() -> None:
    refused = without_64_bit_types("by_hand", "--backend", "jax")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "dtype 'float64' is not available with jax" in refused.stderr
    assert "jax_enable_x64" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = without_64_bit_types("by_hand", "--backend", "jax", "--dtype", "float32")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith(", float32")
    assert "72.63" in done.stdout


@on_numpy_and_another("swap_scikit_learn")
def test_swap_scikit_learn(backend: str, output_of: Outputs) -> None:
    rows = re.findall(
        r"^(\w+) +(\w+) +(\S+) +(\S+) +(\S+) (\S+)$", output_of("swap_scikit_learn", backend), re.MULTILINE
    )
    assert len(rows) == 8
    for _, activation, weights, curve, ours, theirs in rows:
        assert ours == theirs
        exact = backend == "numpy" and activation != "logistic"
        assert max(float(weights), float(curve)) <= (0.0 if exact else 1e-12)


@on_numpy_and_another("one_word_for_a_gpu")
def test_one_word_for_a_gpu(backend: str, output_of: Outputs) -> None:
    out = output_of("one_word_for_a_gpu", backend)
    accuracies = re.findall(r"test accuracy (\S+)", out)
    assert len(set(accuracies)) == 1
    assert float(accuracies[0]) > 0.95
    assert f"fitted weights are {backend} arrays, predictions numpy arrays" in out
    assert float(re.search(r"of a probability: (\S+)", out).group(1)) < 1e-12
    assert f"given {backend} arrays, it answers with {backend} arrays" in out


@on_numpy_and_another("imbalanced_classes")
def test_imbalanced_classes(backend: str, output_of: Outputs) -> None:
    rows = re.findall(r"(\d\.\d+) +(\d\.\d+) +(\d\.\d+)$", output_of("imbalanced_classes", backend), re.MULTILINE)
    none, balanced, own = (float(recall) for recall, _, _ in rows)
    assert none < own < balanced


@on_numpy_and_another("learn_on_with_onnxruntime")
def test_learn_on_with_onnxruntime(backend: str, output_of: Outputs) -> None:
    out = output_of("learn_on_with_onnxruntime", backend)
    before, after = map(float, re.findall(r"^  (0\.\d+)$", out, re.MULTILINE))
    assert before + 0.05 < after
    assert "before and after 28 steps" in out
    assert float(re.search(r"library's own steps: (\S+)", out)[1]) < 1e-12


@on_numpy_and_another("decision_boundary")
def test_decision_boundary(backend: str, output_of: Outputs) -> None:
    accuracies = [
        float(x) for x in re.findall(r"^epoch +\d+: (\S+) of", output_of("decision_boundary", backend), re.MULTILINE)
    ]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.9 < 0.97 < accuracies[3]
    assert len(pyplot.gcf().axes) == 4


@on_numpy_and_another("dropout_and_penalty")
def test_dropout_and_penalty(backend: str, output_of: Outputs) -> None:
    rows = re.findall(r"^\S+ +(\S+) +(\S+)$", output_of("dropout_and_penalty", backend), re.MULTILINE)
    (neither, least), (penalty, _), (dropout, _) = [(float(last), float(least)) for last, least in rows]
    assert neither > 2 * least
    assert penalty < dropout < neither


@on_numpy_and_another("calibration")
def test_calibration(backend: str, output_of: Outputs) -> None:
    out = output_of("calibration", backend)
    (one, one_error), (ten, ten_error) = re.findall(r"(\d\.\d+) +(\d\.\d+)$", out, re.MULTILINE)
    assert float(ten_error) < 0.8 * float(one_error)
    assert float(ten) > float(one)


@on_numpy_and_another("learning_curve")
def test_learning_curve(backend: str, output_of: Outputs) -> None:
    rows = re.findall(r"^ +(\d+) +(\d\.\d+) +\d\.\d+$", output_of("learning_curve", backend), re.MULTILINE)
    accuracies = [float(accuracy) for _, accuracy in rows]
    assert len(rows) == 6
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.9 < 0.96 < accuracies[5]


@on_numpy_and_another("search_side_by_side")
def test_search_side_by_side(backend: str, output_of: Outputs) -> None:
    out = output_of("search_side_by_side", backend)
    best, least = re.search(r"^48 fits; best: .* accuracy (\S+)\nleast: (\S+)$", out, re.MULTILINE).groups()
    assert 0.9 < float(least) < float(best)


@on_numpy_and_another("permutation_importance")
def test_permutation_importance(backend: str, output_of: Outputs) -> None:
    out = output_of("permutation_importance", backend)
    lost = re.findall(r"^(\S+) +(-?\d\.\d+) \+- ", out, re.MULTILINE)
    assert len(lost) == 13
    assert "proline" in (lost[0][0], lost[1][0])
    assert float(re.search(r"^accuracy (\S+)$", out, re.MULTILINE)[1]) > 0.95


@on_numpy_and_another("to_the_last_digit")
def test_to_the_last_digit(backend: str, output_of: Outputs) -> None:
    rows = re.findall(r"^(\w+) +(\d\.\de[+-]\d+)$", output_of("to_the_last_digit", backend), re.MULTILINE)
    assert {"numpy", "torch", "jax", "strict"} <= {name for name, _ in rows}
    assert all(float(difference) < 1e-13 for _, difference in rows)

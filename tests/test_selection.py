"""What is left out of a run, that the run says so, and that no test can skip: in one process and in several."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.selection import rarely

ROOT = pathlib.Path(__file__).parents[1]

CONFTEST = """
import portable_mlp as pm
from tests.selection import Selection

def no_gpu(name, device):
    raise pm.BackendUnavailable("")

pm.get_backend = no_gpu

def pytest_configure(config):
    config.pluginmanager.register(Selection(config))
"""

TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.gpu("cupy")
def test_cupy(): pass

@pytest.mark.parametrize("i", range(1000))
@pytest.mark.gpu("torch")
def test_torch(i): pass

@pytest.mark.optional("mlx")
def test_mlx(): pass

@pytest.mark.thorough
def test_long(): pass

@pytest.mark.xfail(strict=True)
def test_fails_as_expected(): assert False

"""
SKIP = "def test_skips(): pytest.skip('no time today')\n"
NO_GPU = "1,001 tests were left out: no NVIDIA GPU answers cupy or torch here."
NO_MLX = "1 tests were left out: mlx cannot be used here (nox -s libraries)."
THOROUGH = "1 tests were left out: they are thorough (nox -s thorough)."


def run(folder: pathlib.Path, tests: str, *options: str, conftest: str = CONFTEST) -> tuple[int, list[str]]:
    """Run pytest on tests in a folder of their own; return its exit code and what it printed."""
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_some.py").write_text(tests, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_some.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("options", [["-p", "xdist", "-n", "2"], *rarely([])])
def test_a_run_says_what_it_leaves_out_and_fails_on_a_skip(options: list[str], tmp_path: pathlib.Path) -> None:
    code, lines = run(tmp_path, TESTS + SKIP, *options)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert lines.count(NO_GPU) == lines.count(NO_MLX) == lines.count(THOROUGH) == 1
    assert any("No test may skip" in line and "no time today" in line for line in lines)
    assert "1 failed, 1 passed" in lines[-1]
    assert "1 xfailed" in lines[-1]
    assert "skipped" not in lines[-1]


def test_a_file_may_not_skip_either(tmp_path: pathlib.Path) -> None:
    code, lines = run(tmp_path, "import pytest\npytest.importorskip('a_library_that_is_missing')\n" + TESTS)
    assert code == pytest.ExitCode.INTERRUPTED
    assert any("No test may skip" in line and "a_library_that_is_missing" in line for line in lines)


MISSES_A_PACKAGE = "import a_library_that_is_missing\n\ndef test_of_it(): pass\n"
WITH_A_GPU = CONFTEST.replace('raise pm.BackendUnavailable("")', "pass")


def test_a_package_that_is_missing_leaves_the_other_tests_of_a_gpu(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_another.py").write_text(MISSES_A_PACKAGE, encoding="utf-8")
    code, lines = run(tmp_path, TESTS, "-m", "gpu", "-k", "cupy or of_it", ".", conftest=WITH_A_GPU)
    assert code == pytest.ExitCode.TESTS_FAILED  # what is missing is said all the same
    assert any("a_library_that_is_missing" in line for line in lines)
    assert "1 passed" in lines[-1]
    assert "1 error" in lines[-1]


@pytest.mark.parametrize(
    ("expression", "passed", "said"),
    [("thorough", "1 passed", []), *rarely(("gpu", "", [NO_GPU]), ("not gpu", "1 passed", [THOROUGH]))],
)
def test_others_are_asked_for(expression: str, passed: str, said: list[str], tmp_path: pathlib.Path) -> None:
    code, lines = run(tmp_path, TESTS, "-m", expression)
    assert code == (pytest.ExitCode.OK if passed else pytest.ExitCode.NO_TESTS_COLLECTED)
    assert passed in lines[-1]
    assert [line for line in (NO_GPU, THOROUGH) if line in lines] == said


TABLE = """
import pytest
from tests.selection import and_rarely_others, one_in

@pytest.fixture(params=["numpy", "jax", pytest.param("jax-float32", marks=pytest.mark.thorough)])
def lib(request): pass

@pytest.mark.parametrize(("a", "b", "c"), one_in(3, range(3), "xyz", [False, True]))
def test_of_no_library(a, b, c): pass

@pytest.mark.parametrize(("a", "b"), one_in(2, range(4), range(2), on="jax"))
def test_of_some(lib, a, b): pass

@pytest.mark.parametrize(("a", "b"), and_rarely_others([("m", 5), pytest.param("n", 6)], "mn", [5, 6]))
def test_of_the_chosen(a, b): pass
"""


def test_a_thinned_table_keeps_each_value(tmp_path: pathlib.Path) -> None:
    _, few = run(tmp_path, TABLE, "--collect-only", "-q")
    _, rest = run(tmp_path, TABLE, "--collect-only", "-q", "-m", "thorough")
    found, others = ({line.partition("[")[2] for line in lines if "::" in line} for lines in (few, rest))
    assert found.isdisjoint(others)
    alone = {"0-x-False]", "2-y-False]", "1-z-False]", "2-x-True]", "1-y-True]", "0-z-True]"}
    on_jax = {"0-0]", "1-1]", "2-0]", "3-1]"}
    on_all = {f"{a}-{b}]" for a in range(4) for b in range(2)}
    chosen = {"m-5]", "n-6]"}
    assert found == alone | chosen | {f"numpy-{x}" for x in on_all} | {f"jax-{x}" for x in on_jax}
    assert {"m-6]", "n-5]"} <= others
    # A row that is rare on JAX is not run on the rare one of its two dtypes.
    assert {x for x in others if "jax" in x} == {f"jax-{x}" for x in on_all - on_jax} | {
        f"jax-float32-{x}" for x in on_jax
    }
    assert len(others) == 2 * len(alone) + 2 * len(on_jax) + len(chosen)

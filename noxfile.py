"""Sessions: ``nox -s tests`` installs what the tests need and runs them; ``nox -l`` lists the others."""

import os
import pathlib
import subprocess
import sys

import nox

nox.options.sessions = ["tests", "oldest", "lint", "typing"]
nox.options.default_venv_backend = "virtualenv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
# Many tests wait, for a process that they have started or for a time to pass: four processes keep two cores busy.
N_PROCESSES = min((os.cpu_count() or 1) * 2, 8)
SIDE_BY_SIDE = ("-n", str(N_PROCESSES), "--dist", "worksteal")

# Most of the time that JAX compiles, XLA optimises and fuses; `thorough` and plain pytest leave that on.
LESS_COMPILING = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

COMPILE_STEPS = "import sys, portable_mlp; portable_mlp.get_backend('numpy').load(sys.argv[1])"


def install_for_tests(session: nox.Session) -> None:
    """Install the package and what its tests need; modules are compiled when they are imported, which few are."""
    session.install("--no-compile", "-e", ".[demo,lbfgs]", *nox.project.dependency_groups(PYPROJECT, "test"))


def compile_steps(session: nox.Session) -> None:
    """Compile NumPy's steps, to where each process of the tests finds them: it takes ten seconds for each dtype."""
    python = pathlib.Path(session.bin, "python")
    processes = [subprocess.Popen([python, "-c", COMPILE_STEPS, dtype]) for dtype in ("float32", "float64")]
    codes = [process.wait() for process in processes]
    if any(codes):
        session.error("NumPy's steps were not compiled")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on every library that has a CPU build; arguments go to pytest."""
    install_for_tests(session)
    compile_steps(session)
    flags = f"{LESS_COMPILING} {os.environ.get('XLA_FLAGS', '')}"  # of two values of a flag the last one counts
    session.run("pytest", *SIDE_BY_SIDE, *session.posargs, env={"XLA_FLAGS": flags})


@nox.session
def thorough(session: nox.Session) -> None:
    """Run the long tests, and those of random examples with many of them; arguments go to pytest."""
    install_for_tests(session)
    chosen = ("-m", "thorough or hypothesis", "--hypothesis-profile", "many")
    session.run("pytest", *SIDE_BY_SIDE, *chosen, *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the estimators with the oldest scikit-learn that is supported."""
    if sys.version_info >= (3, 14):
        session.skip("scikit-learn 1.6 has no wheels for this Python")
    session.install("-e", ".[sklearn,strict]", "scikit-learn==1.6.*", "pytest", "hypothesis")
    session.run("pytest", "tests/estimators/test_any_version.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of the code."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the package, strictly."""
    session.install("-e", ".[demo,lbfgs]", *nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("mypy")


@nox.session
def demo(session: nox.Session) -> None:
    """Learn the handwritten digits."""
    session.install(".[demo]")
    session.run("portable-mlp", "demo", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the tests that need an NVIDIA GPU, with CuPy for CUDA 13."""
    session.install("-e", ".[demo,lbfgs,cupy]", *nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("pytest", "-m", "gpu", *session.posargs)


@nox.session
def nvrtc(session: nox.Session) -> None:
    """Compile every CUDA kernel with NVIDIA's compiler, which needs no GPU; its wheels are 130 MB."""
    session.install("-e", ".[sklearn]", "cupy-cuda13x>=14.2", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime")
    session.run("python", "-m", "gpu_suite.nvrtc", env={"PYTHONPATH": "benchmarks"})


@nox.session
def bench(session: nox.Session) -> None:
    """Time a training step on every library; arguments go to pytest."""
    session.install("-e", ".[demo,fast]", *nox.project.dependency_groups(PYPROJECT, "test", "bench"))
    session.run("pytest", "benchmarks", "--benchmark-only", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, docs/_build/html/index.html, without a network; a warning is an error."""
    extras = ".[demo,jax,lbfgs,onnx,strict,tables]"
    session.install("--no-compile", "-e", extras, *nox.project.dependency_groups(PYPROJECT, "docs"))
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "docs", "docs/_build/html", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel, and look them over."""
    session.install("build", "twine")
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, pathlib.Path("dist").glob("*")))

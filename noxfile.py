"""Sessions: ``nox -s tests`` installs what the tests need and runs them; ``nox -l`` lists the others."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import nox

nox.options.sessions = ["tests", "oldest", "lint", "typing"]
nox.options.default_venv_backend = "virtualenv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
# Many tests wait, for a process that they have started or for a time to pass: three processes keep two cores busy. A
# fourth costs more, by its imports, than it gains.
N_PROCESSES = min((os.cpu_count() or 1) * 3 // 2, 8)
SIDE_BY_SIDE = ("-n", str(N_PROCESSES), "--dist", "worksteal")

NO_EXTRA = "none"
EXTRAS = [NO_EXTRA, *PYPROJECT["project"]["optional-dependencies"]]
TESTS_OF_WHEEL = {
    NO_EXTRA: [
        *("tests/test_seeds.py", "tests/training/test_data.py", "tests/training/test_promises.py"),
        *("tests/storage/test_atomic.py", "tests/tables/test_recipe.py", "-k", "not jax and not torch"),
    ],
    "cli": ["tests/training/test_progress.py"],
    "sklearn": ["tests/estimators/test_any_version.py"],
}
"""What runs against the wheel with an extra, beside its case of tests/test_first_steps.py."""

SCHEMAS = {
    "citation-file-format": "CITATION.cff",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-workflows": ".github/workflows/*.yml",
}
"""The files of each schema of check-jsonschema, which has them with it."""

# Most of the time that JAX compiles, XLA optimises and fuses; `thorough` and plain pytest leave that on.
LESS_COMPILING = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

COMPILE_STEPS = "import sys, portable_mlp; portable_mlp.get_backend('numpy').load(sys.argv[1])"


def tools(*names: str) -> list[str]:
    """Return what the group of the tests asks for of some packages."""
    group = nox.project.dependency_groups(PYPROJECT, "test")
    return [asked for asked in group if re.match(r"[\w-]+", asked)[0] in names]


def built_wheel() -> pathlib.Path:
    """Return the wheel that `build` left in ``dist``."""
    (found,) = pathlib.Path("dist").resolve().glob("*.whl")
    return found


def install_for_tests(session: nox.Session, *extras: str) -> None:
    """Install the package, with more extras, and what its tests need; modules are compiled as they are imported."""
    package = f".[{','.join(('demo', 'lbfgs', *extras))}]"
    session.install("--no-compile", "-e", package, *nox.project.dependency_groups(PYPROJECT, "test"))


def install_for_docs(session: nox.Session) -> None:
    """Install the package and what the site is built and tested with."""
    extras = ".[demo,jax,lbfgs,onnx,strict,tables]"
    session.install("--no-compile", "-e", extras, *nox.project.dependency_groups(PYPROJECT, "docs"))


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
@nox.parametrize("library", ["mlx", "dpnp"])
def libraries(session: nox.Session, library: str) -> None:
    """Run the tests of an array library that other sessions do not install; arguments go to pytest. dpnp is 3 GB."""
    install_for_tests(session, library)
    driver = {}
    if library == "dpnp":  # on the CPU
        session.install(*nox.project.dependency_groups(PYPROJECT, "dpnp"))
        driver = {
            "OCL_ICD_FILENAMES": f"{session.virtualenv.location}/lib/libintelocl.so",
            # dpnp drops references to arrays in tasks that wait for the GIL. A few threads for tasks may all wait for
            # it while a call that has it waits for a task of its own: then nothing moves any more.
            "SYCL_QUEUE_THREAD_POOL_SIZE": "256",
        }
    session.run("pytest", *SIDE_BY_SIDE, "-m", "optional", *session.posargs, env=driver)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the estimators with the oldest scikit-learn that is supported."""
    if sys.version_info >= (3, 14):
        session.skip("scikit-learn 1.6 has no wheels for this Python")
    session.install("-e", ".[sklearn,strict]", "scikit-learn==1.6.*", "pytest", "hypothesis")
    session.run("pytest", "tests/estimators/test_any_version.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of the code, and the files that GitHub and citation managers read against their schemas."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    for schema, pattern in SCHEMAS.items():
        files = sorted(map(str, pathlib.Path().glob(pattern)))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


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
    """Build the site, docs/_build/html/index.html, without a network, and test it; a warning is an error."""
    install_for_docs(session)
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "docs", "docs/_build/html", *session.posargs)
    session.run("pytest", "-q", "docs/tests/test_built_site.py")


@nox.session
def links(session: nox.Session) -> None:
    """Ask whether the site's links to elsewhere answer, which needs a network."""
    install_for_docs(session)
    session.run("sphinx-build", "-b", "linkcheck", "-D", "plot_gallery=0", "docs", "docs/_build/links")


@nox.session
def elsewhere(session: nox.Session) -> None:
    """Run the programs of the page about ONNX, in JavaScript and C; the argument is a release of onnxruntime."""
    if not session.posargs:
        session.error("name the folder of an unpacked release of onnxruntime: nox -s elsewhere -- FOLDER")
    session.install("-e", ".[cli,tables,onnx]", "onnxruntime", "pytest")
    session.run("pytest", "docs/tests/test_onnx_elsewhere.py", env={"ONNXRUNTIME": session.posargs[0]})


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and from it the wheel, look them over, and run `wheel` with each extra."""
    shutil.rmtree("dist", ignore_errors=True)
    session.install("build", "twine", *tools("hatchling", "hypothesis", "array-api-strict", "pytest"))
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, pathlib.Path("dist").iterdir()))
    session.install("--no-compile", str(built_wheel()))
    session.run("pytest", "tests/test_distributions.py", env={"PORTABLE_MLP_DIST": "dist"})
    for extra in EXTRAS:
        session.notify(f"wheel(extra={extra!r})")


@nox.session
@nox.parametrize("extra", EXTRAS)
def wheel(session: nox.Session, extra: str) -> None:
    """Run tests against the built wheel with one extra alone, in an environment and a folder without the checkout."""
    with_extra = f"{built_wheel()}[{extra}]" if extra != NO_EXTRA else str(built_wheel())
    session.install("--no-compile", with_extra, *tools("hypothesis", "array-api-strict", "pytest"))
    folder = pathlib.Path(session.create_tmp()) / "without the checkout"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", folder)
    session.chdir(folder)
    first_steps = f"tests/test_first_steps.py::test_first_steps[{extra}]"
    everything = "thorough or not thorough"
    session.run("python", "-m", "pytest", "-m", everything, first_steps, *TESTS_OF_WHEEL.get(extra, ()))
    # Together these environments take gigabytes.
    shutil.rmtree(session.virtualenv.location)

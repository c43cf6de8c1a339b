"""What each extra is for, in a few lines: `nox -s build` runs them against the wheel with that extra alone."""

import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import tomllib
from collections.abc import Callable

import numpy as np
import pytest

import portable_mlp as pm

PROJECT = tomllib.loads((pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 3))).argmax(axis=1)
NET = pm.Network((4, 8, 3))
TABLE = "rooms,district,rent\n" + "".join(f"{i % 5},{'ns'[i % 2]},{100 * (i % 5) + i % 2}\n" for i in range(60))


def losses(backend: str, **options: object) -> list[float]:
    """Return the losses of a short training on a library, from the parameters of one seed."""
    chosen = pm.get_backend(backend)
    params = pm.init_params(NET, random_state=0, backend=chosen, dtype="float32")
    arguments = {"epochs": 4, "batch_size": 30, "learning_rate": 0.05, **options}
    result = pm.train(NET, params, chosen.asarray(X), chosen.asarray(Y), **arguments)
    assert result.history["loss"][-1] < result.history["loss"][0]
    return result.history["loss"]


def python(*arguments: str) -> str:
    """Run Python on arguments; return what it prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bare() -> None:
    losses("numpy")
    params = pm.init_params(NET, random_state=0)
    assert pm.check_gradient(NET, params, X.astype("float64"), Y).passed
    pm.save_model("model.safetensors", NET, params)
    net, loaded, _ = pm.load_model("model.safetensors")
    assert net == NET
    np.testing.assert_array_equal(pm.predict(net, loaded, X), pm.predict(NET, params, X))
    assert pm.read_table("table.csv", target="rent").X.shape == (60, 2)
    assert (importlib.metadata.version("portable-mlp"), pm.backends()[0].available) == (pm.__version__, True)


def command_line() -> None:
    run = ("-m", "portable_mlp")
    options = ("--target", "rent", "--task", "regression", "--epochs", "2", "--save", "m")
    assert "district" in python(*run, "train", "table.csv", *options)
    assert python(*run, "predict", "m", "table.csv").startswith("prediction\n")
    assert "district" in python(*run, "inspect", "m")
    assert "numpy" in python(*run, "doctor")


def estimators() -> None:
    clf = pm.MLPClassifier((8,), learning_rate_init=0.05, random_state=0, early_stopping=True).fit(X, Y)
    assert clf.score(X, Y) > 0.5
    search = pm.GridSearchCV(clf, {"alpha": [0.01, 1.0]}, cv=2).fit(X, Y)
    assert search.best_params_["alpha"] in (0.01, 1.0)
    table = pm.read_table("table.csv", target="rent")
    model = pm.TableRegressor(max_iter=3, random_state=0).fit(table.X, table.y)
    model.save("model.safetensors")
    np.testing.assert_array_equal(pm.TableRegressor.load("model.safetensors").predict(table.X), model.predict(table.X))


def pictures() -> None:
    from portable_mlp.cli.report_pictures import learning_curve

    assert learning_curve([{"loss": [1.0, 0.5]}]).startswith(b"\x89PNG")


def demo() -> None:
    assert "test accuracy 0.9" in python("-m", "portable_mlp", "demo", "--backend", "numpy", "--output", "out")
    assert {path.suffix for path in pathlib.Path("out").iterdir()} == {".png", ".safetensors"}


def lbfgs() -> None:
    losses("numpy", solver="lbfgs", epochs=20)


def mpi() -> None:
    from portable_mlp.distributed.supervision.mpi_launcher import find_launcher

    code = (
        "import numpy as np, portable_mlp as pm; X, y = np.eye(4), np.arange(4) % 2\n"
        "with pm.parallel('mpi') as group:\n"
        "    net = pm.Network((4, 2)); result = pm.train(net, pm.init_params(net), X, y, epochs=2, batch_size=4)\n"
        "print(f\" {result.history['loss'][-1]} \")"  # mpiexec may print the ends of both lines after both numbers
    )
    done = subprocess.run(
        [*find_launcher().command(2), sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    one, other = map(float, done.stdout.split())
    assert one == other == pytest.approx(float(python("-c", code.replace("'mpi'", "'serial'"))))


def parquet() -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0, None, 3.0], "b": ["x", "y", None]}), "table.parquet")
    table = pm.read_table("table.parquet", target="b")
    assert (table.X.shape, table.y.tolist()) == ((2, 1), ["x", "y"])


def tables() -> None:
    import pyarrow

    frame = pyarrow.table({"rooms": [1.0, 2.0, None, 4.0] * 10, "district": ["n", "s", None, "w"] * 10})
    model = pm.TableClassifier(max_iter=20, random_state=0).fit(frame, ["a", "b", "b", "a"] * 10)
    assert model.predict(frame.slice(0, 4)).shape == (4,)


def compiled() -> None:
    from portable_mlp.backends._compiled_steps import compiled_steps

    plain = losses("numpy")
    compiled_steps.compile(np.dtype("float32"))
    assert compiled_steps.is_there(np.dtype("float32"))
    assert losses("numpy") == plain


def like_numpy(backend: str) -> Callable[[], None]:
    def agrees() -> None:
        assert losses(backend) == pytest.approx(losses("numpy"), rel=1e-5)

    return agrees


def dask() -> None:
    import dask.array

    with pytest.raises(TypeError, match="MLPClassifier"):
        pm.predict(NET, pm.init_params(NET), dask.array.from_array(X))


def onnx() -> None:
    from onnx.reference import ReferenceEvaluator

    params = pm.init_params(NET, random_state=0, dtype="float32")
    pm.export_onnx("net.onnx", NET, params)
    session = ReferenceEvaluator("net.onnx")
    (proba,) = session.run(None, {session.input_names[0]: X})
    np.testing.assert_allclose(proba, pm.predict(NET, params, X), rtol=1e-5)


def like_numpy_on_a_device(backend: str) -> Callable[[], None]:
    def agrees_or_says_why() -> None:
        """Without a device that it can use, say so; where the library is not installed, say how."""
        (info,) = (info for info in pm.backends() if info.name == backend)
        assert (info.version is not None) == (importlib.util.find_spec(backend) is not None)
        if info.available:
            like_numpy(backend)()
        else:
            assert info.reason

    return agrees_or_says_why


STEPS: dict[str, Callable[[], None]] = {
    "none": bare,
    "cli": command_line,
    "sklearn": estimators,
    "plot": pictures,
    "demo": demo,
    "lbfgs": lbfgs,
    "mpi": mpi,
    "parquet": parquet,
    "tables": tables,
    "fast": compiled,
    **{name: like_numpy(name) for name in ("strict", "torch", "jax", "mlx")},
    "dask": dask,
    "onnx": onnx,
    **{extra: like_numpy_on_a_device(extra.partition("-")[0]) for extra in ("cupy", "cupy-cuda12x", "dpnp")},
}
"""The first steps with each extra, and with none."""

MARKS = {
    "cli": [pytest.mark.thorough],  # each time: the same commands in tests/cli
    "demo": [pytest.mark.thorough],
    "fast": [pytest.mark.thorough, pytest.mark.compiled_steps],
    "mlx": [pytest.mark.optional("mlx")],
}


@pytest.mark.parametrize("extra", [pytest.param(extra, marks=MARKS.get(extra, ())) for extra in STEPS])
def test_first_steps(extra: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("table.csv").write_text(TABLE)
    STEPS[extra]()


def test_every_extra_has_its_first_steps() -> None:
    assert STEPS.keys() == {"none", *PROJECT["optional-dependencies"]}

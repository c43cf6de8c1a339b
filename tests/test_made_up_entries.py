"""An entry in a table is the whole change: made-up ones work behind every door, on every library, beside PyTorch.

An activation, a loss with a constant, an optimizer and a schedule by steps that the library does not have are put into
the tables for one test, each time by a name that nothing has used before: a name means one formula for as long as a
process runs, since steps are compiled, and kept, by the names in them.
"""

import functools
import itertools
import json
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.kernels.activations import ACTIVATIONS, Activation
from portable_mlp.kernels.losses import LOSSES, Constant, Loss, TargetRange
from portable_mlp.kernels.optimizers import OPTIMIZERS, Optimizer, OptimizerEntry
from portable_mlp.kernels.options import positive_number
from portable_mlp.training.schedules import SCHEDULES, Progress, ScheduleEntry
from tests.reference import assert_close, float32_exact
from tests.selection import one_in
from tests.training.test_checkpoints import killed_after

RNG = np.random.default_rng(0)
X, Y = float32_exact(RNG.normal(size=(30, 4))), float32_exact(3.0 * RNG.normal(size=(30, 2)))
LABELS = RNG.integers(0, 3, 30)
RATE, EPSILON, WIDTH, N_EPOCHS, BATCH_SIZE = 0.1, 1e-3, 0.5, 3, 10
N_STEPS = N_EPOCHS * len(X) // BATCH_SIZE
RUN: dict[str, Any] = {
    "learning_rate": RATE, "epsilon": EPSILON, "epochs": N_EPOCHS, "batch_size": BATCH_SIZE, "shuffle": False,
}  # fmt: skip
FITTED: dict[str, Any] = {
    "hidden_layer_sizes": (5,), "learning_rate_init": RATE, "epsilon": EPSILON, "alpha": 0.0, "max_iter": N_EPOCHS,
    "batch_size": BATCH_SIZE, "shuffle": False, "random_state": 0, "tol": 0.0,
}  # fmt: skip


def softsign(xp: Any, z: Any) -> Any:
    return z / (1.0 + xp.abs(z))


def d_softsign(xp: Any, dh: Any, z: Any, h: Any) -> Any:
    slope_root = 1.0 - xp.abs(h)
    return dh * (slope_root * slope_root)


def pseudo_huber(xp: Any, z: Any, Y: Any, output: str, width: float) -> tuple[Any, Any]:
    error = z - Y
    root = xp.sqrt(1.0 + (error / width) * (error / width))
    return xp.sum(width * width * (root - 1.0), axis=-1), error / root


def adagrad_formula(p: Any, g: Any, total: Any, sqrt: Any, rate: float, epsilon: float) -> tuple[Any, Any]:
    total = total + g * g
    return p - rate * g / (sqrt(total) + epsilon), total


@functools.cache
def adagrad(epsilon: float) -> Optimizer:
    def scalars(t: int, rate: float, sqrt: Any = math.sqrt) -> tuple[float, ...]:
        return (rate,)

    return Optimizer(adagrad_formula, scalars, (epsilon,), moments=("total",), with_root=True)


def one_cycle(rate: float, at: Progress) -> float:
    last = at.epochs * at.n_steps - 1
    peak, now = 0.3 * (last + 1) - 1, at.step - 1
    if now <= peak:
        start, stop, share = rate / 25, rate, now / peak
    else:
        start, stop, share = rate, rate / 25e4, (now - peak) / (last - peak)
    return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))


class MadeUp(NamedTuple):
    activation: str
    loss: str
    solver: str
    schedule: str

    @property
    def run(self) -> dict[str, Any]:
        return RUN | {"solver": self.solver, "schedule": self.schedule}

    @property
    def parameters(self) -> dict[str, Any]:
        return {"activation": self.activation, "solver": self.solver, "learning_rate": self.schedule}

    @property
    def net(self) -> pm.Network:
        return pm.Network((4, 5, 2), self.activation, "identity", self.loss, {"width": WIDTH})

    @property
    def classifier_net(self) -> pm.Network:
        return pm.Network((4, 5, 3), self.activation)


numbers = itertools.count()


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    names = MadeUp(*(f"{name}{next(numbers)}" for name in ("softsign", "pseudo_huber", "adagrad", "one_cycle")))
    width = {"width": Constant(2.0, positive_number)}
    monkeypatch.setitem(ACTIVATIONS, names.activation, Activation(softsign, d_softsign, scheme="he_normal"))
    monkeypatch.setitem(LOSSES, names.loss, Loss(pseudo_huber, ("identity",), TargetRange.REAL, constants=width))
    monkeypatch.setitem(OPTIMIZERS, names.solver, OptimizerEntry(adagrad, ("epsilon",)))
    monkeypatch.setitem(SCHEDULES, names.schedule, ScheduleEntry(one_cycle, by_step=True, needs_epochs=True))
    return names


def by_torch(net: pm.Network, start: Any, y: np.ndarray) -> list[np.ndarray]:
    """Return W1, b1, W2, b2 after the steps of `RUN`."""
    params = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for layer in start for x in layer]
    optimizer = torch.optim.Adagrad(params, lr=RATE, eps=EPSILON)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, N_STEPS, cycle_momentum=False)
    for _, first in itertools.product(range(N_EPOCHS), range(0, len(X), BATCH_SIZE)):
        W1, b1, W2, b2 = params
        rows = slice(first, first + BATCH_SIZE)
        z = torch.nn.functional.softsign(torch.tensor(X[rows]) @ W1 + b1) @ W2 + b2
        if net.output == "softmax":
            loss = torch.nn.functional.cross_entropy(z, torch.tensor(y[rows]))
        else:
            loss = (WIDTH**2 * (torch.sqrt(1 + ((z - torch.tensor(y[rows])) / WIDTH) ** 2) - 1)).sum() / BATCH_SIZE
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return [x.detach().numpy() for x in params]


def rate_of(step: int) -> float:
    return one_cycle(RATE, Progress(0, epochs=N_EPOCHS, step=step, n_steps=N_STEPS // N_EPOCHS))


def assert_same(lib: Any, params: Any, expected: list[np.ndarray]) -> None:
    for found, wanted in zip([x for layer in params for x in layer], expected, strict=True):
        assert_close(lib.numpy(found), wanted, rtol=300 * lib.rtol)


def start_of(net: pm.Network) -> list[Any]:
    return [tuple(map(float32_exact, layer)) for layer in pm.init_params(net)]


@pytest.mark.parametrize("classes", one_in(2, [False, True], on="jax"))
def test_train(lib: Any, made_up: MadeUp, classes: bool) -> None:
    net, y = (made_up.classifier_net, LABELS) if classes else (made_up.net, Y)
    start = start_of(net)
    result = pm.train(net, lib.params(start), lib.array(X), lib.array(y), **made_up.run)
    assert_same(lib, result.params, by_torch(net, start, y))
    first_of_epochs = [rate_of(step) for step in range(1, N_STEPS, N_STEPS // N_EPOCHS)]
    assert result.history["learning_rate"] == first_of_epochs


def test_a_group_with_shards(lib: Any, made_up: MadeUp) -> None:
    start = start_of(made_up.net)
    with pm.parallel("serial", reproducible=True):
        result = pm.train(made_up.net, lib.params(start), lib.array(X), lib.array(Y), **made_up.run)
    assert_same(lib, result.params, by_torch(made_up.net, start, Y))


def test_gradient_checks(lib: Any, made_up: MadeUp) -> None:
    params = lib.params(start_of(made_up.net))
    assert pm.check_gradient(made_up.net, params, lib.array(X), lib.array(Y), l2=0.1).passed


@pytest.mark.parametrize("compat", ["sklearn", None])
@pytest.mark.parametrize("kind", [pm.MLPClassifier, pm.MLPRegressor])
def test_estimators(lib: Any, made_up: MadeUp, kind: Any, compat: str | None, tmp_path: pathlib.Path) -> None:
    options = FITTED | made_up.parameters | {"compat": compat}
    if kind is pm.MLPRegressor:
        options |= {"loss": made_up.loss, "loss_options": {"width": WIDTH}}
    y = LABELS if kind is pm.MLPClassifier else Y
    net = made_up.classifier_net if kind is pm.MLPClassifier else made_up.net
    with pytest.warns(ConvergenceWarning):
        start = kind(**options | {"max_iter": 1, "learning_rate_init": 1e-300}).fit(X, y)
    with pytest.warns(ConvergenceWarning):
        fitted = kind(**options).fit(lib.array(X), y)
    expected = by_torch(net, list(zip(start.coefs_, start.intercepts_, strict=True)), y)
    assert_same(lib, list(zip(fitted.coefs_, fitted.intercepts_, strict=True)), expected)
    fitted.save(tmp_path / "estimator.safetensors")
    loaded = kind.load(tmp_path / "estimator.safetensors")
    assert loaded.get_params() == fitted.get_params() | {"backend": None, "device": None}
    fitted.to_onnx(tmp_path / "estimator.onnx")
    with pytest.raises(ValueError, match="scikit-learn has no such estimator"):
        fitted.to_sklearn()


def test_checkpoints(lib: Any, made_up: MadeUp, tmp_path: pathlib.Path) -> None:
    arguments = made_up.net, lib.params(start_of(made_up.net)), lib.array(X), lib.array(Y)
    options, states = made_up.run, {"checkpoint": tmp_path, "checkpoint_every": 1}
    with killed_after(2):
        pm.train(*arguments, **options, **states)
    resumed = pm.train(*arguments, **options, **states, resume=True)
    in_one_go = pm.train(*arguments, **options)
    assert resumed.history["learning_rate"] == in_one_go.history["learning_rate"]
    assert_close(lib.numpy(pm.pack(resumed.params)), lib.numpy(pm.pack(in_one_go.params)), rtol=0)
    other = pm.Network((4, 5, 2), made_up.activation, "identity", made_up.loss)
    with pytest.raises(ValueError, match=r"network was .*'width', 0\.5.*now .*'width', 2\.0"):
        pm.train(other, *arguments[1:], **options, **states, resume=True)


def test_an_estimator_goes_on_within_an_epoch_or_by_partial_fit(made_up: MadeUp, tmp_path: pathlib.Path) -> None:
    options, states = FITTED | made_up.parameters, {"checkpoint": tmp_path, "checkpoint_every": 1}
    with pytest.warns(ConvergenceWarning):
        expected = pm.MLPRegressor(**options).fit(X, Y)
    with killed_after(2):
        pm.MLPRegressor(**options).fit(X, Y, **states)
    with pytest.warns(ConvergenceWarning):
        resumed = pm.MLPRegressor(**options).fit(X, Y, **states, resume=True)
    by_epochs = pm.MLPRegressor(**options)
    for _ in range(N_EPOCHS):
        by_epochs.partial_fit(X, Y)
    for fitted in (resumed, by_epochs):
        for found, wanted in zip(
            fitted.coefs_ + fitted.intercepts_, expected.coefs_ + expected.intercepts_, strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


def test_a_schedule_by_epochs_decides_on_the_first_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEDULES, "halved", ScheduleEntry(lambda rate, at: rate / 2))
    options = FITTED | {"solver": "sgd", "max_iter": 2}
    with pytest.warns(ConvergenceWarning):
        halved = pm.MLPRegressor(**options, learning_rate="halved").fit(X, Y)
    with pytest.warns(ConvergenceWarning):
        expected = pm.MLPRegressor(**options | {"learning_rate_init": RATE / 2}).fit(X, Y)
    np.testing.assert_array_equal(halved.coefs_[0], expected.coefs_[0])


def test_model_files(made_up: MadeUp, tmp_path: pathlib.Path) -> None:
    net = made_up.net
    pm.save_model(tmp_path / "model.safetensors", net, pm.init_params(net))
    assert pm.load_model(tmp_path / "model.safetensors")[0] == net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx(made_up: MadeUp, dtype: str, tmp_path: pathlib.Path) -> None:
    path, net = tmp_path / "model.onnx", made_up.net
    params = tuple(pm.Layer(W.astype(dtype), b.astype(dtype)) for W, b in start_of(net))
    pm.export_onnx(path, net, params)
    rtol = 1e-12 if dtype == "float64" else 1e-6
    (y_hat,) = onnxruntime.InferenceSession(path).run(None, {"X": X.astype(dtype)})
    assert_close(y_hat, pm.predict(net, params, X.astype(dtype)), rtol=rtol)
    pm.export_onnx_training(path, net, params, solver=made_up.solver, epsilon=EPSILON)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session, state = onnxruntime.InferenceSession(path, options), {}
    batches = itertools.product(range(N_EPOCHS), range(0, len(X), BATCH_SIZE))
    for step, (_, first) in enumerate(batches, start=1):
        state["learning_rate"] = np.asarray(rate_of(step))
        rows = slice(first, first + BATCH_SIZE)
        batch = {"X": X[rows].astype(dtype), "y": Y[rows].astype(dtype)}
        state |= zip(["parameters", "total", "step"], session.run(None, batch | state)[2:], strict=True)
    layers = pm.unpack(net, state["parameters"])
    for found, expected in zip([x for layer in layers for x in layer], by_torch(net, start_of(net), Y), strict=True):
        assert_close(found, expected, rtol=300 * rtol)


def test_an_activation_that_cannot_be_traced_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """It trains all the same; what is missing is named."""
    cubic = Activation(lambda xp, z: z**3, lambda xp, dh, z, h: 3.0 * dh * z**2, needs_z=True)
    monkeypatch.setitem(ACTIVATIONS, "cubic", cubic)
    net = pm.Network((4, 5, 2), "cubic", "identity")
    params = pm.train(net, pm.init_params(net), X, Y, epochs=1).params
    with pytest.raises(ValueError, match=r"'cubic' has no ONNX form yet: add it to portable_mlp/onnx/activations\.py"):
        pm.export_onnx(tmp_path / "model.onnx", net, params)
    assert not list(tmp_path.iterdir())


def told(capfd: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert run([str(argument) for argument in arguments]) == 0
    return str(capfd.readouterr().out)


def test_the_command_line(made_up: MadeUp, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    table, model = tmp_path / "table.csv", tmp_path / "model.safetensors"
    lines = [",".join(map(repr, (*x, y[0]))) for x, y in zip(X.tolist(), Y.tolist(), strict=True)]
    table.write_text("\n".join(["a,b,c,d,y", *lines]))
    options = [
        "--activation",
        made_up.activation,
        "--solver",
        made_up.solver,
        "--hidden",
        5,
        "--schedule",
        made_up.schedule,
        "--validation",
        0,
    ]
    options += ["--loss", made_up.loss, "--loss-options", f"width={WIDTH}"]
    train = ["train", table, *options, "--save", model, "--dtype", "float64", "--epochs", 1, "--seed", 3]
    told(capfd, *train, "--learning-rate", 1e-300)
    net, params, _ = pm.load_model(model)
    assert (net.activation, net.loss, net.loss_options) == (made_up.activation, made_up.loss, (("width", WIDTH),))
    drawn = pm.init_params(net, scheme="he_normal", random_state=3)
    np.testing.assert_array_equal(params[0].W, drawn[0].W)
    assert json.loads(told(capfd, *train, "--json"))["epochs"] == 1
    shown = told(capfd, "inspect", model)
    assert made_up.activation in shown
    assert f"{made_up.loss}, width {WIDTH}" in shown
    assert told(capfd, "predict", model, table)
    told(capfd, "export", model, tmp_path / "model.onnx")
    told(capfd, "export", model, tmp_path / "step.onnx", "--training", "--solver", made_up.solver)
    # Each activation in a network of its own, each loss with each of its outputs.
    n_networks = len(ACTIVATIONS) + sum(len(set(loss.outputs) - {"softmax"}) for loss in LOSSES.values())
    assert f" {n_networks} " in told(capfd, "gradcheck", "--backend", "numpy")


def test_mistakes_name_the_choices(made_up: MadeUp) -> None:
    with pytest.raises(ValueError, match=f"activation must be one of .*'{made_up.activation}'.* got 'nope'"):
        pm.Network((4, 2), "nope")
    with pytest.raises(ValueError, match=f"loss must be one of .*'{made_up.loss}'.* got 'nope'"):
        pm.Network((4, 2), loss="nope")
    with pytest.raises(ValueError, match=f"solver must be one of .*'{made_up.solver}'.* got 'nope'"):
        pm.train(made_up.net, pm.init_params(made_up.net), X, Y, solver="nope")
    with pytest.raises(ValueError, match=f"schedule must be one of .*'{made_up.schedule}'.* got 'nope'"):
        pm.train(made_up.net, pm.init_params(made_up.net), X, Y, schedule="nope")
    for name, known in (made_up.parameters | {"loss": made_up.loss}).items():
        with pytest.raises(ValueError, match=f"'{name}' parameter .*'{known}'.* Got 'nope'"):
            pm.MLPRegressor(**{name: "nope"}).fit(X, Y)

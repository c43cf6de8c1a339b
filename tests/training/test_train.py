"""The training loop: the same run on every library, every option, every way to end."""

import itertools
import math
import pickle
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import portable_mlp as pm
from portable_mlp.kernels.optimizers import SOLVERS
from portable_mlp.training.stopping import RULES
from tests.selection import one_in, rarely

pytestmark = pytest.mark.compiled_steps

NET = pm.Network((5, 7, 3), activation="tanh")
RELU_NET = pm.Network((5, 7, 3), activation="relu")


def problem(n_samples: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels that can be learnt."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5))
    return X, np.argmax(X @ rng.normal(size=(5, 3)), axis=1)


def run(lib: Any = None, net: pm.Network = NET, seed: int = 0, **options: Any) -> pm.TrainResult:
    """Train on the problem, on a library or on NumPy in float64."""
    backend, dtype = (lib.backend, lib.dtype) if lib else (pm.get_backend("numpy"), "float64")
    X, y = problem()
    params = pm.init_params(net, random_state=seed, backend=backend, dtype=dtype)
    options = {"epochs": 3, "batch_size": 20, "learning_rate": 0.01} | options
    return pm.train(net, params, backend.asarray(X, dtype=dtype), backend.asarray(y), **options)


def flat(params: pm.Params) -> np.ndarray:
    return np.asarray(pm.pack(params))


OPTIONS = {
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "nesterov": False},
    "nesterov": {"solver": "sgd"},
    "adam": {},
    "adam-l2": {"l2": 0.1},
    "exponential": {"schedule": "exponential"},
    "invscaling": {"schedule": "invscaling", "solver": "sgd"},
    "adaptive": {"schedule": "adaptive"},
    "cosine": {"schedule": "cosine"},
    "in-order": {"shuffle": False},
    "full-batch": {"batch_size": 1000},
    "lbfgs": {"solver": "lbfgs", "l2": 0.01},
}


@pytest.mark.parametrize("options", one_in(8, OPTIONS.values(), on="jax"), ids=OPTIONS)
def test_every_library_trains_alike(lib, options: dict[str, Any]) -> None:
    X, y = problem(20, seed=1)
    validation = (lib.array(X), lib.array(y))
    result = run(lib, validation=validation, **options)
    expected = run(validation=(X, y), **options)
    rtol = 1e-10 if lib.dtype == "float64" else 2e-4
    assert result.n_epochs == expected.n_epochs
    for name in ("loss", "validation_loss", "validation_score"):
        np.testing.assert_allclose(result.history[name], expected.history[name], rtol=rtol, atol=1e-6 * (rtol > 1e-6))
    np.testing.assert_array_equal(result.history["learning_rate"], expected.history["learning_rate"])
    for layer in result.params:
        for x in layer:
            lib.assert_home(x)


@pytest.mark.parametrize(("backend", "device"), [("strict", "device1"), ("torch", "cpu"), *rarely(("jax", "cpu"))])
def test_twenty_epochs_of_digits_agree(backend: str, device: str) -> None:
    X, y = (part[:800] for part in load_digits(return_X_y=True))
    net = pm.Network((64, 30, 10))
    histories = []
    for chosen in (pm.get_backend("numpy"), pm.get_backend(backend, device=device)):
        params = pm.init_params(net, backend=chosen)
        histories.append(
            pm.train(net, params, chosen.asarray(X / 16), chosen.asarray(y), epochs=20, learning_rate=3e-3).history[
                "loss"
            ]
        )
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-10)
    assert histories[0][-1] < 0.5 * histories[0][0]


def torch_twin(
    solver: str, rate_of: Any, epochs: int, batch_size: int, **options: Any
) -> tuple[np.ndarray, list[float]]:
    """Train the same network with torch.optim and autograd, in order, and return parameters and losses."""
    X, y = (torch.from_numpy(x) for x in problem())
    params = [torch.tensor(x, requires_grad=True) for layer in pm.init_params(NET) for x in layer]
    optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = optimizers[solver](params, lr=rate_of(0), **options)
    losses = []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate_of(epoch)
        total = 0.0
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            W1, b1, W2, b2 = params
            logits = torch.tanh(X[rows] @ W1 + b1) @ W2 + b2
            loss = torch.nn.functional.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(X[rows])
        losses.append(total / len(X))
    return np.concatenate([x.detach().numpy().ravel() for x in params]), losses


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"solver": "sgd", "momentum": 0.0}, {}),
        ({"solver": "sgd", "nesterov": False}, {"momentum": 0.9}),
        ({"solver": "sgd"}, {"momentum": 0.9, "nesterov": True}),
        ({"solver": "adam"}, {}),
        ({"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1}, {"betas": (0.5, 0.9), "eps": 0.1}),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adam-options"],
)
@pytest.mark.parametrize("schedule", ["constant", "exponential"])
def test_solvers_are_those_of_torch(ours: dict[str, Any], theirs: dict[str, Any], schedule: str) -> None:
    """A short last batch (50 = 2 x 20 + 10) and a changing learning rate included."""
    result = run(shuffle=False, epochs=10, schedule=schedule, decay=0.8, **ours)

    def rate_of(epoch: int) -> float:
        return 0.01 * (0.8**epoch if schedule == "exponential" else 1.0)

    params, losses = torch_twin(ours["solver"], rate_of, epochs=10, batch_size=20, **theirs)
    np.testing.assert_allclose(flat(result.params), params, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-12)


SCHEDULES = {
    "constant": lambda epoch: 0.01,
    "exponential": lambda epoch: 0.01 * 0.95**epoch,
    "invscaling": lambda epoch: 0.01 / math.sqrt(50 * epoch + 1),
    "cosine": lambda epoch: 0.005 * (1 + math.cos(math.pi * epoch / 4)),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_follow_their_formulas(schedule: str) -> None:
    rates = run(schedule=schedule, epochs=4).history["learning_rate"]
    np.testing.assert_allclose(rates, [SCHEDULES[schedule](epoch) for epoch in range(4)], rtol=1e-14)


def test_a_function_is_a_schedule() -> None:
    assert run(schedule=lambda epoch: [0.1, 0.0, 0.2][epoch]).history["learning_rate"] == [0.1, 0.0, 0.2]


def test_adaptive_divides_by_five_where_the_loss_stalls_and_stops_at_the_end() -> None:
    result = run(schedule="adaptive", solver="sgd", learning_rate=1e-5, epochs=100, l2=0.0)
    rates = result.history["learning_rate"]
    assert result.stopped_because == "learning_rate"
    assert len(rates) < 100
    ratios = {round(a / b, 10) for a, b in itertools.pairwise(rates)}
    assert ratios == {1.0, 5.0}


def test_history_has_one_number_for_each_epoch() -> None:
    result = run(validation=problem(20, seed=1), epochs=4)
    names = {"loss", "learning_rate", "samples_per_second", "validation_loss", "validation_score"}
    assert set(result.history) == names
    for numbers in result.history.values():
        assert [type(number) for number in numbers] == [float] * 4
    assert result.n_epochs == 4
    assert result.stopped_because == "max_epochs"


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_loss_of_a_full_batch_is_that_of_loss_and_grad(l2: float) -> None:
    X, y = problem()
    loss, _ = pm.loss_and_grad(NET, pm.init_params(NET), X, y, l2=l2)
    np.testing.assert_allclose(run(batch_size=50, l2=l2).history["loss"][0], float(loss), rtol=1e-13)


def test_validation_is_the_loss_without_penalty_and_the_accuracy() -> None:
    X, y = problem(30, seed=5)
    result = run(validation=(X, y), l2=0.3)
    loss, _ = pm.loss_and_grad(NET, result.params, X, y)
    accuracy = np.mean(np.argmax(pm.predict(NET, result.params, X), axis=1) == y)
    np.testing.assert_allclose(result.history["validation_loss"][-1], float(loss), rtol=1e-13)
    assert result.history["validation_score"][-1] == accuracy


@pytest.mark.parametrize("output", ["identity", "relu", "exp"])
def test_regression_is_scored_with_r2(output: str) -> None:
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)), rng.random((40, 2))
    y[:, 1] = 0.25  # a constant target
    net = pm.Network((5, 4, 2), output=output)
    result = pm.train(net, pm.init_params(net), X, y, epochs=2, validation=(X, y))
    expected = r2_score(y, pm.predict(net, result.params, X))
    np.testing.assert_allclose(result.history["validation_score"][-1], expected, rtol=1e-12)


def test_many_labels_are_scored_by_exact_match() -> None:
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    y = (X[:, :2] > 0).astype(np.int64)
    net = pm.Network((5, 4, 2), output="logistic")
    result = pm.train(net, pm.init_params(net), X, y, epochs=30, learning_rate=0.05, validation=(X, y))
    expected = accuracy_score(y, pm.predict(net, result.params, X) > 0.5)
    assert result.history["validation_score"][-1] == pytest.approx(expected, rel=1e-12)
    assert expected > 0.5


def test_patience_stops_and_returns_the_best_parameters() -> None:
    """Validated on labels that contradict the training's, the loss rises sooner or later."""
    X, y = problem()
    validation = (X, (y + 1) % 3)
    result = run(validation=validation, patience=3, epochs=100, learning_rate=0.05)
    losses = result.history["validation_loss"]
    best = int(np.argmin(losses))
    assert result.stopped_because == "patience"
    assert result.n_epochs == best + 1 + 3 == len(losses)
    loss, _ = pm.loss_and_grad(NET, result.params, *validation)
    np.testing.assert_allclose(float(loss), min(losses), rtol=1e-13)


def test_patience_returns_the_best_also_where_it_did_not_run_out() -> None:
    X, y = problem()
    result = run(validation=(X, (y + 1) % 3), patience=100, epochs=10, learning_rate=0.05)
    loss, _ = pm.loss_and_grad(NET, result.params, X, (y + 1) % 3)
    assert result.stopped_because == "max_epochs"
    np.testing.assert_allclose(float(loss), min(result.history["validation_loss"]), rtol=1e-13)


def some_wrong() -> tuple[np.ndarray, np.ndarray]:
    """Return the samples with every sixth label wrong: the loss is least long before the score is highest."""
    X, y = problem()
    return X, np.where(np.arange(len(y)) % 6 == 0, (y + 1) % 3, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("monitor", "best_of"), [("loss", np.argmin), ("score", np.argmax)])
def test_patience_follows_what_is_monitored(monitor: str, best_of: Any, solver: str) -> None:
    options = {"solver": solver, "validation": some_wrong(), "learning_rate": 0.05, "l2": 0.001}
    result = run(**options, monitor=monitor, patience=4, epochs=80)
    numbers = result.history[f"validation_{monitor}"]
    assert result.best_epoch == best_of(numbers) + 1 == result.n_epochs - 4
    up_to_there = run(**options, epochs=result.best_epoch)
    np.testing.assert_array_equal(flat(result.params), flat(up_to_there.params))


def test_loss_and_score_disagree_about_the_best_epoch() -> None:
    """What is compared above would be equal, too, if nobody looked at what is monitored."""
    options = {"validation": some_wrong(), "learning_rate": 0.05, "epochs": 60}
    by_loss, by_score = (run(**options, monitor=monitor) for monitor in ("loss", "score"))
    assert by_loss.best_epoch != by_score.best_epoch
    np.testing.assert_array_equal(flat(by_loss.params), flat(by_score.params))  # without patience the last


def test_without_validation_no_epoch_is_the_best() -> None:
    assert run().best_epoch is None


def test_a_resumed_run_monitors_the_same(tmp_path: Any) -> None:
    options = {"validation": some_wrong(), "learning_rate": 0.05, "monitor": "score", "patience": 4}
    whole = run(**options, epochs=80)
    run(**options, epochs=2, checkpoint=tmp_path)
    resumed = run(**options, epochs=80, checkpoint=tmp_path, resume=True)
    assert (resumed.best_epoch, resumed.n_epochs) == (whole.best_epoch, whole.n_epochs)
    np.testing.assert_array_equal(flat(resumed.params), flat(whole.params))
    with pytest.raises(ValueError, match="monitor was 'score', now None"):
        run(**(options | {"monitor": "loss"}), epochs=80, checkpoint=tmp_path, resume=True)


class AfterThreeEpochs:
    """A made-up rule for stopping."""

    is_best = False

    def __init__(self) -> None:
        self.n_epochs = 0

    def epoch_ends(self, figures: dict[str, Any]) -> bool:
        self.n_epochs += 1
        assert figures.keys() == {"loss", "learning_rate", "samples_per_second"}
        return self.n_epochs == 3

    def memory(self) -> list[float]:
        return [float(self.n_epochs)]

    def restore(self, memory: list[float]) -> None:
        (self.n_epochs,) = map(int, memory)


def test_a_rule_for_stopping_is_an_entry_of_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setitem(RULES, "l2", lambda options: AfterThreeEpochs())
    run(epochs=2, checkpoint=tmp_path)
    resumed = run(epochs=10, checkpoint=tmp_path, resume=True)
    assert (resumed.n_epochs, resumed.stopped_because) == (3, "l2")
    assert run(epochs=10, solver="lbfgs").stopped_because == "l2"


def test_callbacks_see_every_epoch_and_can_stop() -> None:
    seen = []

    def watch(event: pm.EpochEnd) -> bool:
        seen.append((event.epoch, event.epochs, len(event.history["loss"]), float(event.params[0].W[0, 0])))
        return event.epoch == 2

    result = run(epochs=10, callbacks=[watch, lambda event: None])
    assert [entry[:3] for entry in seen] == [(0, 10, 1), (1, 10, 2), (2, 10, 3)]
    assert len({entry[3] for entry in seen}) == 3
    assert seen[-1][3] == float(result.params[0].W[0, 0])
    assert (result.n_epochs, result.stopped_because) == (3, "callback")


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_callbacks_parameters_stay_what_they_were(solver: str) -> None:
    kept = []
    run(solver=solver, epochs=5, callbacks=[lambda event: kept.append((event.params, pm.pack(event.params)))])
    assert len(kept) > 1
    for params, packed in kept:
        np.testing.assert_array_equal(pm.pack(params), packed)


def test_what_a_callback_writes_into_its_parameters_is_lost() -> None:
    def vandal(event: pm.EpochEnd) -> None:
        event.params[0].W[...] = 0.0

    np.testing.assert_array_equal(flat(run(callbacks=[vandal]).params), flat(run().params))


@pytest.mark.parametrize(("answer", "n_epochs"), [(np.True_, 1), (True, 1), (np.False_, 3), (1.5, 3), (None, 3)])
def test_only_true_ends_training(answer: Any, n_epochs: int) -> None:
    assert run(callbacks=[lambda event: answer]).n_epochs == n_epochs


def test_a_callbacks_stop_iteration_is_not_taken_for_the_end() -> None:
    def exhausted(event: pm.EpochEnd) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="a callback raised StopIteration"):
        run(solver="lbfgs", callbacks=[exhausted])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_returns_what_was_reached(solver: str) -> None:
    def interrupt(event: pm.EpochEnd) -> None:
        if event.epoch == 1:
            raise KeyboardInterrupt

    result = run(callbacks=[interrupt], epochs=10, solver=solver)
    assert (result.n_epochs, result.stopped_because) == (2, "interrupted")
    np.testing.assert_array_equal(flat(result.params), flat(run(epochs=2, solver=solver).params))


def test_a_real_ctrl_c_in_the_middle_of_an_epoch() -> None:
    code = """
import signal
import numpy as np, portable_mlp as pm
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
net = pm.Network((50, 400, 10))
X, y = np.random.default_rng(0).normal(size=(100_000, 50)), np.arange(100_000) % 10
pm.train(net, pm.init_params(net), X[:10], y[:10], epochs=1)  # whatever is loaded or compiled once
print("ready", flush=True)
result = pm.train(net, pm.init_params(net), X, y, batch_size=10, epochs=1000)
print(result.stopped_because, all(np.isfinite(layer.W).all() for layer in result.params))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert rest == "interrupted True\n"
    assert process.returncode == 0


def test_divergence_names_epoch_and_batch_and_keeps_the_last_good_parameters(lib) -> None:
    """The rate of the second epoch makes the parameters infinite in its first batch."""
    rates = [0.01, 1e300 if lib.dtype == "float64" else 1e38, 0.01]
    with pytest.raises(pm.NonFiniteError, match=r"diverged in epoch 2, at batch [12] of 3") as caught:
        run(lib, net=RELU_NET, solver="sgd", schedule=lambda epoch: rates[epoch])
    good = run(lib, net=RELU_NET, epochs=1, solver="sgd")
    assert caught.value.epoch == 2
    assert caught.value.batch in (1, 2)
    assert len(caught.value.history["loss"]) == 1
    np.testing.assert_array_equal(lib.numpy(pm.pack(caught.value.params)), lib.numpy(pm.pack(good.params)))


def test_the_error_of_a_divergence_survives_pickling() -> None:
    with pytest.raises(pm.NonFiniteError) as caught:
        run(net=RELU_NET, solver="sgd", schedule=lambda epoch: 1e300)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.epoch, again.batch) == (caught.value.epoch, caught.value.batch)
    np.testing.assert_array_equal(flat(again.params), flat(caught.value.params))


def test_parameters_that_only_the_last_step_ruins_are_found() -> None:
    """The loss before the step is finite, and there is none after it."""
    net = pm.Network((5, 1), output="identity")
    X, _ = problem()
    with pytest.raises(pm.NonFiniteError, match="epoch 1, at batch 1 of 1"):
        pm.train(net, pm.init_params(net), X, 1e3 * X[:, 0], solver="sgd", epochs=1, learning_rate=1.7e308)


def test_lbfgs_finds_the_minimum_that_scipy_finds() -> None:
    from scipy import optimize

    net = pm.Network((5, 3))
    X, y = problem()

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, grads = pm.loss_and_grad(net, pm.unpack(net, x), X, y, l2=0.1)
        return float(loss), pm.pack(grads)

    best = optimize.minimize(objective, np.zeros(18), jac=True, method="BFGS", options={"gtol": 1e-9})
    result = pm.train(net, pm.init_params(net), X, y, solver="lbfgs", epochs=200, l2=0.1)
    assert result.stopped_because == "converged"
    assert result.history["loss"][-1] == pytest.approx(best.fun, rel=1e-8)
    assert len(result.history["loss"]) == result.n_epochs
    assert sorted(result.history["loss"], reverse=True) == result.history["loss"]


def test_lbfgs_with_patience_returns_the_best_parameters() -> None:
    X, y = problem()
    validation = (X, (y + 1) % 3)
    result = run(solver="lbfgs", epochs=50, validation=validation, patience=3)
    loss, _ = pm.loss_and_grad(NET, result.params, *validation)
    np.testing.assert_allclose(float(loss), min(result.history["validation_loss"]), rtol=1e-12)


def test_lbfgs_stops_after_its_epochs_and_with_patience() -> None:
    assert run(solver="lbfgs", epochs=3).n_epochs == 3
    X, y = problem()
    result = run(solver="lbfgs", epochs=50, validation=(X, (y + 1) % 3), patience=2)
    assert result.stopped_because == "patience"


def test_lbfgs_that_cannot_begin_says_so() -> None:
    huge = tuple(pm.Layer(layer.W * 1e300, layer.b) for layer in pm.init_params(pm.Network((5, 3), output="identity")))
    X, _ = problem()
    with pytest.raises(pm.NonFiniteError, match="diverged in epoch 1, at batch 1 of 1"):
        pm.train(pm.Network((5, 3), output="identity"), huge, X * 1e10, X[:, :3], solver="lbfgs")


def stacked(models: list[pm.Params]) -> pm.Params:
    return tuple(
        pm.Layer(*(np.stack(parts) for parts in zip(*layers, strict=True))) for layers in zip(*models, strict=True)
    )


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_many_models_at_once_equal_single_runs(solver: str) -> None:
    X, y = problem()
    validation = problem(20, seed=1)
    seeds = (0, 1, 2)
    together = pm.train(
        NET, stacked([pm.init_params(NET, random_state=seed) for seed in seeds]), X, y,
        solver=solver, epochs=3, batch_size=20, learning_rate=0.01, l2=0.01, validation=validation,
    )  # fmt: skip
    for i, seed in enumerate(seeds):
        alone = run(seed=seed, solver=solver, l2=0.01, validation=validation)
        np.testing.assert_allclose(together.params[0].W[i], alone.params[0].W, rtol=1e-11)
        for name in ("loss", "validation_loss", "validation_score"):
            np.testing.assert_allclose([m[i] for m in together.history[name]], alone.history[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"schedule": "adaptive"}, 'schedule "adaptive"'),
        ({"solver": "lbfgs"}, 'solver "lbfgs"'),
        ({"validation": problem(), "patience": 2}, "patience"),
    ],
    ids=["adaptive", "lbfgs", "patience"],
)
def test_what_follows_one_loss_takes_one_model(options: dict[str, Any], what: str) -> None:
    X, y = problem()
    with pytest.raises(ValueError, match=f"{what} follows the loss of one model"):
        pm.train(NET, stacked([pm.init_params(NET)] * 2), X, y, **options)


def test_inputs_are_left_as_they_are() -> None:
    X, y = problem()
    params = pm.init_params(NET)
    arrays = [X, y, *(x for layer in params for x in layer)]
    before = [x.copy() for x in arrays]
    for x in arrays:
        x.flags.writeable = False
    result = pm.train(NET, params, X, y, epochs=2)
    for x, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, copy)
    assert not any(np.shares_memory(x, y) for x in arrays for layer in result.params for y in layer)


def test_the_shuffle_follows_its_seed_and_differs_between_epochs() -> None:
    by_seed = [flat(run(random_state=seed, epochs=1).params) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(by_seed[0], by_seed[1])
    assert not np.array_equal(by_seed[0], by_seed[2])
    from portable_mlp.training.shuffle import Shuffle

    orders = [Shuffle(0).order(epoch, 100) for epoch in (0, 1)]
    assert not np.array_equal(*orders)
    assert all(np.array_equal(np.sort(order), np.arange(100)) for order in orders)


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng], ids=["RandomState", "Generator"])
def test_random_state_instances_advance_and_the_global_one_does_not(kind: Any) -> None:
    before = np.random.get_state()[1].copy()
    rng = kind(0)
    first, second = (flat(run(random_state=rng).params) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, flat(run(random_state=kind(0)).params))
    run(random_state=None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_labels_one_hot_rows_and_small_integers_train_alike() -> None:
    X, y = problem()
    expected = pm.train(NET, pm.init_params(NET), X, y, epochs=2).history["loss"]
    for same in (np.eye(3)[y], np.eye(3, dtype=np.int64)[y], y.astype(np.int8), y.astype(np.uint64)):
        assert pm.train(NET, pm.init_params(NET), X, same, epochs=2).history["loss"] == expected


def _bad(**change: Any) -> Any:
    return change


BAD_OPTIONS = [
    (_bad(solver="sdg"), f"solver must be one of {', '.join(map(repr, SOLVERS))}; got 'sdg'"),
    (_bad(schedule="warm"), "schedule must be one of 'constant', 'exponential', .*; got 'warm'"),
    (_bad(schedule=lambda epoch: -1.0), "schedule gave the learning rate -1.0 for epoch 0"),
    (_bad(schedule=lambda epoch: None), "the schedule gave no learning rate for epoch 0"),
    (_bad(schedule=lambda epoch: math.nan), "schedule gave the learning rate nan for epoch 0"),
    (_bad(learning_rate=0.0), "learning_rate must be positive and finite, got 0.0"),
    (_bad(learning_rate=math.nan), "learning_rate must be positive and finite, got nan"),
    (_bad(epsilon=-1.0), "epsilon must be positive and finite, got -1.0"),
    (_bad(decay=0), "decay must be positive and finite, got 0"),
    (_bad(momentum=1.0), r"momentum must lie in \[0, 1\), got 1.0"),
    (_bad(beta_1=-0.1), r"beta_1 must lie in \[0, 1\), got -0.1"),
    (_bad(beta_2=1), r"beta_2 must lie in \[0, 1\), got 1"),
    (_bad(l2=-1.0), "l2 must be a finite number, not negative; got -1.0"),
    (_bad(batch_size=0), "batch_size must be at least 1, got 0"),
    (_bad(epochs=0), "epochs must be at least 1, got 0"),
    (_bad(patience=2), r"patience looks at the validation: give validation=\(X_val, y_val\)"),
    (_bad(monitor="score"), r'monitor="score" looks at the validation: give validation=\(X_val, y_val\)'),
    (_bad(patience=0, validation=problem()), "patience must be at least 1, got 0"),
    (_bad(monitor="accuracy"), "monitor must be one of 'loss', 'score'; got 'accuracy'"),
    (_bad(validation=problem()[0]), r"validation must be a pair \(X_val, y_val\)"),
    (_bad(validation=(problem()[0][:, :4], problem()[1])), "X has 4 features"),
    (_bad(random_state=-1), r"random_state must lie in 0 to 2\*\*32 - 1, got -1"),
    (_bad(validation=np.asarray(0.5)), r"validation must be a pair \(X_val, y_val\)"),
    (_bad(class_weight=np.ones(2)), r"class_weight must be a dict .*; got array\(\[1., 1.\]\)"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[message for _, message in BAD_OPTIONS])
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"batch_size": "20"}, "batch_size must be a whole number, got '20'"),
        ({"callbacks": [1]}, "callbacks must be functions of an EpochEnd, got 1"),
        ({"callbacks": print}, "callbacks must be a sequence of functions of an EpochEnd, got"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"l2": None}, "l2 must be a number, got None"),
        ({"momentum": [0.9]}, r"momentum must be a number, got \[0.9\]"),
        ({"random_state": "zero"}, "random_state must be None, an int, .*; got 'zero'"),
        ({"shuffle": np.ones(2)}, r"shuffle must be True or False, got array\(\[1., 1.\]\)"),
        ({"nesterov": "no"}, "nesterov must be True or False, got 'no'"),
        ({"progress": None}, "progress must be True or False, got None"),
        ({"resume": np.ones(2)}, "resume must be True or False, got array"),
        ({"checkpoint": 5}, "checkpoint must be the path of a folder, got 5"),
        ({"callbacks": np.asarray(0.5)}, r"callbacks must be a sequence of functions of an EpochEnd, got array\(0.5\)"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        run(**options)


@pytest.mark.parametrize("value", [True, np.True_, 1])
def test_truth_values_of_any_kind(value: Any) -> None:
    np.testing.assert_array_equal(run(shuffle=value).params[0].W, run(shuffle=True).params[0].W)


def test_progress_without_rich_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match=r'needs? .*|rich, which is missing: pip install "\.\[cli\]"'):
        run(progress=True)


def test_lbfgs_without_scipy_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r'"lbfgs" needs SciPy: pip install "\.\[lbfgs\]"'):
        run(solver="lbfgs")


def test_progress_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    run(progress=True, epochs=5)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "epoch 5/5" in shown.err
    assert "samples/s" in shown.err

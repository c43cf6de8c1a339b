"""A group trains the model that one process trains; here its ranks are threads, in `test_mpi` processes."""

import pathlib
import re
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.kernels.optimizers import adam
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.storage.checkpoints import CheckpointFolder
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.loop import make_loop
from tests.distributed.fakes import on_ranks
from tests.selection import one_in

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(130, 6)), RNG.integers(0, 3, 130)
NET = pm.Network((6, 9, 3))


class NumPy64:
    backend, dtype = pm.get_backend("numpy"), "float64"


def train(lib: Any = NumPy64, rows: slice = slice(None), **options: Any) -> pm.TrainResult:
    backend, dtype = lib.backend, lib.dtype
    params = pm.init_params(NET, backend=backend, dtype=dtype)
    chosen: dict[str, Any] = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, **options}
    if chosen.get("validation") is True:
        chosen["validation"] = (backend.asarray(X[:40], dtype=dtype), backend.asarray(Y[:40]))
    return pm.train(NET, params, backend.asarray(X[rows], dtype=dtype), backend.asarray(Y[rows]), **chosen)


def numbers(result: pm.TrainResult) -> np.ndarray:
    backend = pm.get_backend("numpy")
    return np.concatenate([backend.asarray(x).reshape(-1) for layer in result.params for x in layer])


def sound(outcomes: list[Any]) -> list[Any]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare in the L2 norm: another order of additions is all that may differ."""
    tolerance = 1e-6 if expected.dtype == np.float32 else 1e-13
    assert found.dtype == expected.dtype
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def assert_same_bits(results: list[pm.TrainResult], expected: pm.TrainResult | None = None) -> None:
    wanted = results[0] if expected is None else expected
    for result in results:
        np.testing.assert_array_equal(numbers(result), numbers(wanted))
        assert (result.n_epochs, result.stopped_because) == (wanted.n_epochs, wanted.stopped_because)
        for name in wanted.history.keys() - {"samples_per_second"}:
            assert result.history[name] == wanted.history[name]


VARIETIES: dict[str, dict[str, Any]] = {
    "100 steps of adam": {"epochs": 12},
    "nesterov with a penalty": {"solver": "sgd", "l2": 0.1},
    "in order": {"shuffle": False, "solver": "sgd", "momentum": 0.0},
    "batches smaller than the group": {"batch_size": 2, "epochs": 1},
    "one batch": {"batch_size": 1000, "epochs": 20},
    "patience": {"validation": True, "patience": 2, "learning_rate": 0.2, "epochs": 30},
    "the adaptive schedule": {"solver": "sgd", "schedule": "adaptive", "learning_rate": 0.5, "epochs": 20},
}


@pytest.mark.parametrize(("size", "variety"), one_in(2, [1, 2, 3, 4], VARIETIES))
def test_a_group_trains_what_one_process_trains(size: int, variety: str) -> None:
    options = VARIETIES[variety]
    alone = train(**options)
    together = sound(on_ranks(size, lambda rank: train(**options)))
    assert_same_bits(together)
    assert_close(numbers(together[0]), numbers(alone))
    assert (together[0].n_epochs, together[0].stopped_because) == (alone.n_epochs, alone.stopped_because)
    for name in alone.history.keys() - {"samples_per_second"}:
        np.testing.assert_allclose(together[0].history[name], alone.history[name], rtol=1e-12)


def n_ranks(lib: Any, n: int) -> int:
    """Return how many ranks to take, which are threads here: dpnp stands still where several threads compute."""
    return 1 if lib.backend.name == "dpnp" else n


@pytest.mark.thorough_on("jax")
def test_on_every_library(lib: Any) -> None:
    options = {"l2": 0.01, "validation": True, "epochs": 4}
    alone, together = train(lib, **options), sound(on_ranks(n_ranks(lib, 3), lambda rank: train(lib, **options)))
    assert_same_bits(together)
    assert_close(numbers(together[0]), numbers(alone))
    lib.assert_home(together[0].params[0].W)


def test_reproducible_on_every_library(lib: Any) -> None:
    options = {"l2": 0.01, "validation": True, "epochs": 2, "batch_size": 64}
    with pm.parallel("serial", reproducible=True):
        alone = train(lib, **options)
    for size in (1, 2, 4, 8):
        together = on_ranks(n_ranks(lib, size), lambda rank: train(lib, **options), reproducible=True)
        assert_same_bits(sound(together), alone)
    assert_close(numbers(alone), numbers(train(lib, **options)))


@pytest.mark.parametrize("variety", VARIETIES)
def test_reproducible_in_every_variety(variety: str) -> None:
    options = VARIETIES[variety]
    with pm.parallel("serial", reproducible=True):
        alone = train(**options)
    assert_same_bits(sound(on_ranks(4, lambda rank: train(**options), reproducible=True)), alone)


@pytest.mark.parametrize(
    ("lib", "cuts", "options"),
    one_in(
        3,
        ["numpy", "torch", "jax"],
        [(0, 65, 130), (0, 1, 3, 130)],
        [{"batch_size": 2, "epochs": 1}, {"shuffle": False, "batch_size": 7}, {}],
        on="jax",  # compiles a step for each number of samples that a rank has in a batch
    ),
)
def test_ranks_with_samples_of_their_own(lib: str, cuts: tuple[int, ...], options: dict[str, Any]) -> None:
    library = type("Lib", (), {"backend": pm.get_backend(lib), "dtype": "float64"})
    alone = train(library, **options)
    together = on_ranks(
        len(cuts) - 1, lambda rank: train(library, slice(cuts[rank], cuts[rank + 1]), **options), samples="own"
    )
    assert_same_bits(sound(together))
    assert_close(numbers(together[0]), numbers(alone))


def test_several_models_at_once() -> None:
    net, models = pm.Network((6, 5, 3)), [pm.init_params(pm.Network((6, 5, 3)), random_state=i) for i in range(2)]
    stacked = tuple(
        pm.Layer(*(np.stack(parts) for parts in zip(*layers, strict=True))) for layers in zip(*models, strict=True)
    )

    def together(rank: int) -> pm.TrainResult:
        return pm.train(net, stacked, X, Y, epochs=2, batch_size=16, l2=0.1)

    alone = together(0)
    assert_close(numbers(sound(on_ranks(3, together))[2]), numbers(alone))
    assert_same_bits(sound(on_ranks(4, together, reproducible=True)) + sound(on_ranks(2, together, reproducible=True)))


def test_what_rank_0_draws_is_what_counts() -> None:
    """Other generators on the others, and no seed at all."""
    for draw in (np.random.default_rng, lambda rank: None):
        together = sound(on_ranks(2, lambda rank, draw=draw: train(random_state=draw(rank))))
        assert_same_bits(together)
    assert_close(
        numbers(sound(on_ranks(2, lambda rank: train(random_state=np.random.default_rng(rank))))[1]),
        numbers(train(random_state=np.random.default_rng(0))),
    )


def test_callbacks_are_called_on_rank_0_and_stop_all() -> None:
    called: list[tuple[int, int]] = []

    def ask(rank: int) -> pm.TrainResult:
        def stop(event: pm.EpochEnd) -> bool:
            called.append((rank, event.epoch))
            return event.epoch == 1

        return train(callbacks=[stop], epochs=5)

    together = sound(on_ranks(2, ask))
    assert [(result.n_epochs, result.stopped_because) for result in together] == [(2, "callback")] * 2
    assert called == [(0, 0), (0, 1)]


@pytest.mark.parametrize("kind", [ValueError, OSError, KeyboardInterrupt])
def test_what_a_callback_raises_ends_all(kind: type[BaseException]) -> None:
    def fail(event: pm.EpochEnd) -> None:
        raise kind("enough")

    outcomes = on_ranks(3, lambda rank: train(callbacks=[fail]))
    if kind is KeyboardInterrupt:
        assert [outcome.stopped_because for outcome in outcomes] == ["interrupted"] * 3
    else:
        assert [(type(outcome), str(outcome)) for outcome in outcomes] == [(kind, "enough")] * 3


@pytest.mark.parametrize("where", ["callback", "schedule"])
def test_a_users_function_may_train_a_model_of_its_own(where: str) -> None:
    """Rank 0 alone calls it: a training in it that looked for the other ranks would wait for ever."""
    losses: list[float] = []

    def fit(event: object) -> float:
        losses.append(train(epochs=1).history["loss"][-1])
        return 1e-3

    options: dict[str, Any] = {"callbacks": [fit]} if where == "callback" else {"schedule": fit}
    sound(on_ranks(2, lambda rank: train(epochs=2, **options)))
    assert losses == [train(epochs=1).history["loss"][-1]] * 2


def test_divergence_is_every_ranks() -> None:
    outcomes = on_ranks(2, lambda rank: train(solver="sgd", learning_rate=1e200))
    assert all(isinstance(outcome, pm.NonFiniteError) for outcome in outcomes)
    assert len({str(outcome) for outcome in outcomes}) == 1


@pytest.mark.parametrize(
    ("rows", "counts"), [((slice(100), slice(101)), "[100, 101]"), ((slice(65), slice(65, None)), "[65, 65]")]
)
def test_ranks_with_different_samples(rows: tuple[slice, slice], counts: str) -> None:
    """Also as many, which is what a program has that gives each rank its part and does not say so."""
    for outcome in on_ranks(2, lambda rank: train(rows=rows[rank])):
        with pytest.raises(ValueError, match=rf"have differs \({re.escape(counts)} samples\).*samples=\"own\""):
            raise outcome


def test_one_process_solvers_are_refused() -> None:
    with pm.parallel("serial", reproducible=True), pytest.raises(ValueError, match='"lbfgs" is for one process'):
        train(solver="lbfgs")


def test_a_loop_goes_back_to_where_it_was() -> None:
    """What was computed in memory that belonged to other parameters counts no longer."""
    backend, data = pm.get_backend("numpy"), Data(X, Y[:, None])
    flat = pm.pack(pm.init_params(NET))
    with pm.parallel("serial", reproducible=True):
        loop = make_loop(backend, Program(Objective(NET), adam()), flat)
        start = (loop.flat.copy(), [moment.copy() for moment in loop.state], loop.total.copy(), 0)
        loop.epoch(data, spans(130, 16), lambda step: 0.01)
        first = loop.flat.copy()
        loop.restore(*start)
        loop.epoch(data, spans(130, 16), lambda step: 0.01)
    np.testing.assert_array_equal(loop.flat, first)


# Checkpoints.


def moments(folder: pathlib.Path) -> list[bytes]:
    with CheckpointFolder(folder) as entered:
        found = entered.newest()
    assert found is not None
    return [found.arrays[name].tobytes() for name in ("parameters", "moment_0", "moment_1")]


@pytest.mark.thorough_on("jax")
def test_a_reproducible_run_goes_on_with_any_number_of_ranks(lib: Any, tmp_path: pathlib.Path) -> None:
    options: dict[str, Any] = {"l2": 0.01, "validation": True, "patience": 9, "batch_size": 64}
    options |= {"checkpoint_every": 4, "resume": True}  # in the middle of an epoch of three steps
    with pm.parallel("serial", reproducible=True):
        alone = train(lib, epochs=5, checkpoint=tmp_path / "alone", **options)

    def until(epochs: int) -> Any:
        return lambda rank: train(lib, epochs=epochs, checkpoint=tmp_path / "group", **options)

    for size, epochs in ((2, 1), (4, 2), (1, 4), (8, 5)):
        results = sound(on_ranks(n_ranks(lib, size), until(epochs), reproducible=True))
    assert_same_bits(results, alone)
    assert moments(tmp_path / "group") == moments(tmp_path / "alone")


def test_another_number_of_shards_is_another_run(tmp_path: pathlib.Path) -> None:
    with pm.parallel("serial", reproducible=True):
        train(checkpoint=tmp_path)
    outcomes = [*on_ranks(2, lambda rank: train(checkpoint=tmp_path, resume=True))]
    for outcome in outcomes:
        with pytest.raises(ValueError, match="shards was 8, now None"):
            raise outcome


def test_a_fast_run_goes_on_alone(tmp_path: pathlib.Path) -> None:
    sound(on_ranks(3, lambda rank: train(checkpoint=tmp_path, epochs=2)))
    assert_close(numbers(train(checkpoint=tmp_path, epochs=4, resume=True)), numbers(train(epochs=4)))


def test_folders_that_cannot_be_used_are_every_ranks_mistake(tmp_path: pathlib.Path) -> None:
    sound(on_ranks(2, lambda rank: train(checkpoint=tmp_path)))
    for outcome in on_ranks(2, lambda rank: train(checkpoint=tmp_path)):
        with pytest.raises(ValueError, match="holds checkpoints already"):
            raise outcome
    with CheckpointFolder(tmp_path):
        for outcome in on_ranks(2, lambda rank: train(checkpoint=tmp_path, resume=True)):
            with pytest.raises(ValueError, match="another training writes"):
                raise outcome
    (tmp_path / "file").touch()
    for outcome in on_ranks(2, lambda rank: train(checkpoint=tmp_path / "file")):
        with pytest.raises(OSError, match="file"):
            raise outcome

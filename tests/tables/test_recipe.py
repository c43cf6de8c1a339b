"""Training options that follow the size of a table."""

import math

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.tables.recipe import PRESETS, TableOptions, recipe

SIZES = (1, 2, 20, 150, 299, 300, 1000, 2000, 10_000, 54_000, 1_000_000)


def _n_steps(n_rows: int) -> int:
    chosen = recipe(n_rows, 3)
    n_trained = n_rows - round(n_rows * chosen.hold_out)
    return int(chosen.training["epochs"]) * math.ceil(n_trained / chosen.training["batch_size"])


@pytest.mark.parametrize("n_rows", SIZES)
def test_the_budget_is_steps(n_rows: int) -> None:
    wanted = 1000 * math.sqrt(max(1.0, n_rows / 1000))
    assert 0.9 * wanted < _n_steps(n_rows) < 1.15 * wanted


def test_batches_grow_with_the_rows() -> None:
    sizes = [recipe(n_rows, 3).training["batch_size"] for n_rows in SIZES]
    assert sizes == sorted(sizes)
    assert set(sizes) == {32, 64, 256}


def test_the_penalty_shrinks_as_rows_grow() -> None:
    penalties = [recipe(n_rows, 3).training["l2"] for n_rows in SIZES]
    assert penalties == sorted(penalties, reverse=True)


@pytest.mark.parametrize(("preset", "fewest"), [("default", 2000), ("best", 80)])
def test_few_rows_are_all_trained_on(preset: str, fewest: int) -> None:
    fewer, enough = (recipe(n_rows, 3, TableOptions(preset)) for n_rows in (fewest - 1, fewest))
    assert (fewer.hold_out, "patience" in fewer.training) == (0.0, False)
    assert enough.hold_out > 0.0
    assert enough.training["patience"] == enough.training["epochs"]


def test_the_ensemble_holds_out_every_row_once() -> None:
    chosen = recipe(5000, 3, TableOptions("best"))
    assert chosen.n_networks > 1
    assert chosen.hold_out == 1 / chosen.n_networks


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match="preset must be one of 'default', 'best'; got 'bets', did you mean 'best'"):
        recipe(100, 3, TableOptions("bets"))


def test_one_network_of_few_rows_has_one_wide_layer() -> None:
    made = (
        recipe(1999, 3),
        recipe(2000, 3),
        recipe(1999, 3, TableOptions("best")),
        recipe(1999, 3, TableOptions(hold_out=0.2)),
    )
    assert [chosen.hidden for chosen in made] == [(256,), (128, 64), (128, 64), (256,)]


def test_pieces_of_numbers_need_as_many_rows_as_columns() -> None:
    n_pieces = [recipe(50, n_columns).encoding["n_pieces"] for n_columns in (2, 50, 51)]
    assert n_pieces == [8, 8, 0]
    assert recipe(50, 51, TableOptions(encoding={"n_pieces": 4})).encoding["n_pieces"] == 4


def test_what_is_chosen_wins_and_the_rest_follows_it() -> None:
    usual = recipe(300, 3)
    chosen = recipe(
        300, 3, TableOptions(hidden=[5], activation="tanh", training={"batch_size": 150}, encoding={"min_count": 1})
    )
    assert (chosen.hidden, chosen.activation, chosen.encoding["min_count"]) == ((5,), "tanh", 1)
    assert chosen.training["epochs"] == 500 > usual.training["epochs"]  # as many steps
    assert chosen.training["l2"] == usual.training["l2"]
    held_out = recipe(300, 3, TableOptions(hold_out=0.2, training={"epochs": 7}))
    assert (held_out.hold_out, held_out.training["patience"]) == (0.2, 7)
    assert held_out.training["l2"] == usual.training["l2"]
    patient = recipe(300, 3, TableOptions(training={"patience": 3}))
    assert (patient.hold_out, patient.training["patience"]) == (0.1, 3)
    several = recipe(300, 3, TableOptions(n_networks=3))
    assert (several.n_networks, several.hold_out) == (3, 1 / 3)
    assert recipe(5000, 3, TableOptions("best", hold_out=0.0)).hold_out == 0.0


def test_a_hold_out_leaves_a_row_to_train_on() -> None:
    assert recipe(10, 3, TableOptions(hold_out=0.96)).training["batch_size"] == 32


def test_who_says_what_is_monitored_asks_for_a_hold_out() -> None:
    assert recipe(300, 3, TableOptions(training={"monitor": "score"})).hold_out == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TableOptions(n_networks=0), "n_networks must be at least 1, got 0"),
        (TableOptions(training={"batch_size": 0}), "batch_size must be at least 1, got 0"),
        (TableOptions(hold_out=1.0), "hold_out is a fraction of the rows, from 0 to below 1; got 1.0"),
    ],
)
def test_mistakes(options: TableOptions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(100, 3, options)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n_rows", [40, 4000])
def test_train_takes_the_options(n_rows: int, preset: str) -> None:
    chosen = recipe(n_rows, 3, TableOptions(preset))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3))
    y = (X[:, 0] > 0).astype(np.int64)
    net = pm.Network((3, *chosen.hidden, 2), activation=chosen.activation)
    validation = (X[:40], y[:40]) if chosen.hold_out else None
    options = {**chosen.training, "epochs": 2}
    result = pm.train(net, pm.init_params(net), X, y, validation=validation, **options)
    assert result.n_epochs == 2

"""The random search over models of a table: its draws, scikit-learn's scores of its trials, its states on disk."""

import functools
import math
import pathlib
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

import portable_mlp as pm
from portable_mlp.storage.checkpoints import CheckpointFolder
from portable_mlp.storage.model_errors import ModelFileError
from portable_mlp.tables import search_loop
from portable_mlp.tables.columns import Column, Columns, RawTable, Reading, Table
from portable_mlp.tables.hold_out import stratified_splits
from portable_mlp.tables.raw import ReadingOptions
from portable_mlp.tables.recipe import TableOptions, recipe
from portable_mlp.tables.search import TableSearch, TrialScores
from portable_mlp.tables.search_loop import Ended
from portable_mlp.tables.search_record import SearchRecord
from portable_mlp.tables.search_space import LogUniform, OneOf, search_space
from portable_mlp.tables.search_states import SearchStates

RNG = np.random.default_rng(0)
N = 150
SIZE = np.where(np.arange(N) % 9 == 4, np.nan, RNG.normal(80.0, 20.0, N))
DISTRICT = RNG.choice(["north", "south", "west"], N).astype(object)
X = Columns({"size": Column(Reading("number"), SIZE), "district": Column(Reading("text"), DISTRICT)})
RENT = 5.0 * np.nan_to_num(SIZE, nan=80.0) + 100.0 * (DISTRICT == "west") + RNG.normal(0.0, 30.0, N)
KIND = np.where(RENT > 450.0, "dear", np.where(DISTRICT == "west", "west", "cheap"))
SHORT = TableOptions(training={"epochs": 4})


def one_by_one(search: TableSearch, numbers: Iterator[int], ended: Ended) -> None:
    for number in numbers:
        ended(search.evaluate(number))


run_trials = functools.partial(search_loop.run_trials, evaluate=one_by_one)


def search_for(y: np.ndarray, options: TableOptions = SHORT, n_folds: int = 3, seed: int = 0) -> TableSearch:
    classification = y.dtype.kind == "U"
    return TableSearch(
        RawTable(X, y, None, "target", ()),
        stratified_splits(y, 1 / n_folds, n_folds, classification=classification, seed=seed),
        search_space(N, 4, options, is_encoded=True),
        task="classification" if classification else "regression",
        reading=ReadingOptions(),
        backend="numpy",
        device="cpu",
        dtype="float64",
        seed=seed,
    )


def no_show(trials: Sequence[TrialScores]) -> None:
    """Show nothing."""


@pytest.mark.parametrize("y", [KIND, RENT], ids=["classes", "quantities"])
@pytest.mark.parametrize(("number", "hold_out"), [(1, None), (2, None), (3, 0.2)])
def test_scores_are_those_of_scikit_learns_cross_validation(number: int, hold_out: float | None, y: np.ndarray) -> None:
    """Of the estimator with the same parameters, on the same folds."""
    search = search_for(y, SHORT._replace(hold_out=hold_out))
    trial = search.evaluate(number)
    drawn = trial.parameters
    parameters: dict[str, Any] = {
        "hidden_layer_sizes": drawn.get("hidden"),
        "activation": drawn.get("activation"),
        "n_pieces": drawn.get("n_pieces"),
        "learning_rate_init": drawn.get("learning_rate"),
        "learning_rate": drawn.get("schedule"),
        "dropout": drawn.get("dropout"),
        "alpha": 32 * drawn["l2"] if drawn else None,
        "max_iter": 4,
        "validation_fraction": hold_out,
        "dtype": "float64",
        "random_state": 0,
    }
    kind = pm.TableClassifier if y is KIND else pm.TableRegressor
    expected = cross_val_score(kind(**parameters), X, y, cv=search.splits, error_score="raise")
    assert [fold[search.measure] for fold in trial.folds] == pytest.approx(expected, rel=1e-12)
    assert trial.mean(search.measure) == pytest.approx(np.mean(expected), rel=1e-12)
    assert trial.spread(search.measure) == pytest.approx(np.std(expected), rel=1e-12)


def test_the_baseline_is_the_largest_class_or_the_mean() -> None:
    search = search_for(KIND)
    largest = [np.unique(KIND[kept], return_counts=True) for kept, _ in search.splits]
    shares = [
        np.mean(KIND[scored] == names[counts.argmax()])
        for (names, counts), (_, scored) in zip(largest, search.splits, strict=True)
    ]
    assert search.baseline.mean("accuracy") == pytest.approx(np.mean(shares))
    assert -0.1 < search_for(RENT).baseline.mean("r2") <= 0.0


def test_draws_depend_on_seed_and_number_alone() -> None:
    space = search_space(N, 4, TableOptions(), is_encoded=True)
    backwards = [space.drawn(7, number) for number in range(40, 0, -1)][::-1]
    assert [space.drawn(7, number) for number in range(1, 41)] == backwards
    assert space.drawn(7, 1) == {}
    assert all(space.drawn(8, number) != backwards[number - 1] for number in range(2, 41))


def test_draws_cover_the_space() -> None:
    space = search_space(N, 4, TableOptions(), is_encoded=True)
    drawn = [space.drawn(0, number) for number in range(2, 300)]
    usual = space.resolved({})
    for name, distribution in space.distributions.items():
        values = [one[name] for one in drawn]
        if isinstance(distribution, OneOf):
            assert {repr(value) for value in values} == {repr(value) for value in distribution.values}
            assert usual[name] in distribution.values
        else:
            places = np.log(np.array(values) / distribution.low) / math.log(distribution.high / distribution.low)
            assert distribution.low < usual[name] < distribution.high
            assert -0.01 < places.min() < 0.05
            assert 0.95 < places.max() < 1.01
            assert abs(places.mean() - 0.5) < 3 / math.sqrt(12 * len(places))


def test_parameters_become_the_recipe_of_a_trial() -> None:
    space = search_space(N, 4, TableOptions(training={"class_weight": "balanced"}), is_encoded=True)
    drawn = space.drawn(0, 5)
    made = recipe(N, 4, space.with_parameters(drawn))
    assert [list(made.hidden), made.activation] == [drawn["hidden"], drawn["activation"]]
    assert made.encoding == {"n_pieces": drawn["n_pieces"]}
    assert made.training["class_weight"] == "balanced"
    others = set(drawn) - {"hidden", "activation", "n_pieces"}
    assert {name: made.training[name] for name in others} == {name: drawn[name] for name in others}
    assert space.resolved(drawn) == drawn
    usual = recipe(N, 4)
    assert space.resolved({}) == {
        "hidden": list(usual.hidden), "activation": "relu", "n_pieces": 8, "dropout": 0.0,
        **{name: usual.training[name] for name in ("learning_rate", "schedule", "epochs", "l2")},
    }  # fmt: skip


def test_what_is_chosen_is_not_varied() -> None:
    names = set(search_space(N, 4, TableOptions(), is_encoded=True).distributions)
    chosen = TableOptions(hidden=(8,), training={"l2": 0.1, "dropout": 0.2})
    assert set(search_space(N, 4, chosen, is_encoded=True).distributions) == names - {"hidden", "l2", "dropout"}
    assert set(search_space(N, 4, TableOptions(), is_encoded=False).distributions) == names - {"n_pieces"}
    of_lbfgs = search_space(N, 4, TableOptions(training={"solver": "lbfgs"}), is_encoded=False)
    assert set(of_lbfgs.distributions) == {"hidden", "activation", "l2"}
    every = TableOptions(
        hidden=(8,),
        activation="relu",
        training={"learning_rate": 1e-3, "schedule": "cosine", "epochs": 4, "l2": 0.1, "dropout": 0.0},
    )
    with pytest.raises(ValueError, match=r"^nothing is left to search for: hidden, .* are all chosen; leave some"):
        search_space(N, 4, every, is_encoded=False)


def trial(number: int, **scores: float) -> TrialScores:
    return TrialScores(number, {}, [scores])


def test_equal_scores_are_decided_by_the_loss_then_by_the_number() -> None:
    search = search_for(KIND)
    trials = [
        trial(1, accuracy=0.8, log_loss=0.5),
        trial(2, accuracy=0.9, log_loss=0.5),
        trial(3, accuracy=0.9, log_loss=0.4),
        trial(4, accuracy=math.nan, log_loss=math.nan),
        trial(5, accuracy=0.9, log_loss=0.4),
    ]
    assert [one.number for one in search.ranked(trials)] == [3, 5, 2, 1, 4]
    assert [one.number for one in trials if one.diverged] == [4]
    assert [
        one.number for one in search_for(RENT).ranked([trial(1, r2=0.5, rmse=2.0), trial(2, r2=0.5, rmse=1.0)])
    ] == [2, 1]


def test_a_trial_that_diverges_stops_no_other() -> None:
    options = TableOptions(training={"solver": "sgd", "learning_rate": 1e30, "epochs": 4})
    search = search_for(RENT, options)
    found = search.evaluate(1)
    assert found.diverged
    assert found.folds[0].keys() == search.baseline.folds[0].keys()
    assert math.isnan(found.mean("r2"))


def evaluated_without_training(search: TableSearch, number: int) -> TrialScores:
    """Return a trial whose scores follow from its number."""
    accuracy = 0.5 + (number * 7 % 10) / 20
    names = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss")
    return TrialScores(number, search.space.drawn(search.seed, number), [dict.fromkeys(names, accuracy)] * 3)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> TableSearch:
    monkeypatch.setattr(TableSearch, "evaluate", evaluated_without_training)
    return search_for(KIND)


def test_a_search_in_parts_is_the_whole_search(
    quick: TableSearch, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_trials(quick, 9, None, SearchStates(None, quick), no_show)
    assert [one.number for one in whole.trials] == list(range(1, 10))
    assert whole.stopped_because == "max_trials"
    done: list[int] = []

    def interrupted(search: TableSearch, number: int) -> TrialScores:
        if number == 5:
            raise KeyboardInterrupt
        done.append(number)
        return evaluated_without_training(search, number)

    with CheckpointFolder(tmp_path / "states") as folder:
        monkeypatch.setattr(TableSearch, "evaluate", interrupted)
        part = run_trials(quick, 9, None, SearchStates(folder, quick), no_show)
        assert (part.trials, part.stopped_because) == (whole.trials[:4], "interrupted")
        monkeypatch.setattr(TableSearch, "evaluate", evaluated_without_training)
        shown: list[int] = []
        again = run_trials(quick, 9, None, SearchStates(folder, quick), lambda trials: shown.append(len(trials)))
        assert again == whole
        assert shown == list(range(4, 10))
        monkeypatch.setattr(TableSearch, "evaluate", interrupted)
        assert run_trials(quick, 9, None, SearchStates(folder, quick), no_show) == whole
        # Fewer trials are the first of them.
        assert run_trials(quick, 3, None, SearchStates(folder, quick), no_show).trials == whole.trials[:3]
    assert done == [1, 2, 3, 4]


def test_fewer_trials_cost_none_that_are_finished(quick: TableSearch, tmp_path: pathlib.Path) -> None:
    with CheckpointFolder(tmp_path / "states") as folder:
        states = SearchStates(folder, quick)
        states.write([quick.evaluate(number) for number in (1, 3, 4, 5)])
        shown: list[int] = []
        found = run_trials(quick, 3, None, states, lambda trials: shown.append(len(trials)))
        assert [one.number for one in found.trials] == [1, 2, 3]
        assert shown == [2, 3]
        assert [one.number for one in states.finished()] == [1, 2, 3, 4, 5]


def test_no_trial_begins_after_the_time_but_the_first(quick: TableSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_trials(quick, 9, 1e-9, SearchStates(None, quick), no_show).trials == [quick.evaluate(1)]
    clock = iter(range(100))
    monkeypatch.setattr(search_loop, "time", types.SimpleNamespace(monotonic=lambda: float(next(clock))))
    found = run_trials(quick, 9, 3.5, SearchStates(None, quick), no_show)
    assert [one.number for one in found.trials] == [1, 2, 3, 4]
    assert found.stopped_because == "time"


def test_there_may_be_more_trials_than_memory_holds(quick: TableSearch) -> None:
    assert run_trials(quick, 10**18, 1e-9, SearchStates(None, quick), no_show).trials == [quick.evaluate(1)]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (search_for(KIND, seed=1), "seed was 0, now 1"),
        (search_for(KIND, TableOptions(training={"epochs": 5})), "options.training.epochs was 4, now 5"),
        (
            search_for(KIND, SHORT._replace(training={"l2": 0.5, **SHORT.training})),
            "options.training.l2 was None, now 0.5",
        ),
        (search_for(KIND, n_folds=4), "folds was 3, now 4"),
        (search_for(np.where(np.arange(N) == 3, "west", KIND)), "table was different"),
    ],
)
def test_trials_of_another_search_are_refused(
    other: TableSearch, named: str, quick: TableSearch, tmp_path: pathlib.Path
) -> None:
    with CheckpointFolder(tmp_path / "states") as folder:
        run_trials(quick, 2, None, SearchStates(folder, quick), no_show)
        with pytest.raises(ValueError, match=f"holds the checkpoints of another search: {re.escape(named)}. Give the"):
            SearchStates(folder, other).finished()


def test_another_space_of_the_same_options_is_named(quick: TableSearch, tmp_path: pathlib.Path) -> None:
    """As that of another release."""
    other = replace(quick, space=quick.space._replace(distributions={"l2": LogUniform(0.1, 1.0)}))
    with CheckpointFolder(tmp_path / "states") as folder:
        SearchStates(folder, other).write([quick.evaluate(1)])
        with pytest.raises(
            ValueError, match=r"another search: space.activation was .*; space.l2 was \[0.1, 1.0\], now"
        ):
            SearchStates(folder, quick).finished()


def test_states_of_a_training_are_none_of_a_search(quick: TableSearch, tmp_path: pathlib.Path) -> None:
    net = pm.Network((2, 2))
    pm.train(net, pm.init_params(net), np.ones((3, 2)), np.array([0, 1, 0]), epochs=1, checkpoint=tmp_path / "run")
    expected = "holds the checkpoints of a training, not of a search. Give another folder$"
    with CheckpointFolder(tmp_path / "run") as folder, pytest.raises(ValueError, match=expected):
        SearchStates(folder, quick).finished()
    with CheckpointFolder(tmp_path / "states") as folder:
        SearchStates(folder, quick).write([quick.evaluate(1)])
    with pytest.raises(ValueError, match="states holds the checkpoints of a search, not of a training"):
        pm.train(
            net, pm.init_params(net), np.ones((3, 2)), np.array([0, 1, 0]), checkpoint=tmp_path / "states", resume=True
        )


def test_states_are_checked(quick: TableSearch, tmp_path: pathlib.Path) -> None:
    with CheckpointFolder(tmp_path / "states") as folder:
        states = SearchStates(folder, quick)
        assert states.finished() == []
        states.write([quick.evaluate(1)])
        found = folder.newest()
        assert found is not None
        for facts in ({"trials": [1, 2]}, {"trials": None}, {"trials": [0]}):
            folder.write(1, found._replace(facts=found.facts | facts))
            with pytest.raises(ModelFileError, match="lacks what a state of this search has"):
                states.finished()


def test_scores_that_are_not_defined_come_back(tmp_path: pathlib.Path) -> None:
    search = search_for(RENT)
    undefined = TrialScores(1, {}, [{"r2": math.nan, "mae": 1.0, "rmse": math.nan}] * 3)
    with CheckpointFolder(tmp_path / "states") as folder:
        states = SearchStates(folder, search)
        states.write([undefined])
        (found,) = states.finished()
    assert repr(found) == repr(undefined)


def test_a_state_that_cannot_be_written_is_a_warning(quick: TableSearch, tmp_path: pathlib.Path) -> None:
    with CheckpointFolder(tmp_path / "states") as folder:
        states = SearchStates(folder, quick)
        (tmp_path / "states").rename(tmp_path / "away")
        with pytest.warns(UserWarning, match="the finished trials were not written"):
            states.write([quick.evaluate(1)])


def test_a_table_of_numbers_is_another_one_if_a_cell_differs(quick: TableSearch, tmp_path: pathlib.Path) -> None:
    numbers = RNG.normal(size=(N, 2))
    other = numbers.copy()
    other[3, 1] += 1.0
    before, after = (replace(quick, table=Table(x, KIND, ("a", "b"), "target")) for x in (numbers, other))
    with CheckpointFolder(tmp_path / "states") as folder:
        SearchStates(folder, before).write([quick.evaluate(1)])
        assert len(SearchStates(folder, before).finished()) == 1
        with pytest.raises(ValueError, match="table was"):
            SearchStates(folder, after).finished()


def test_the_record_of_a_search(quick: TableSearch) -> None:
    trials = run_trials(quick, 9, None, SearchStates(None, quick), no_show).trials
    record = SearchRecord.of(quick, trials)
    assert (record.trials, record.trial, record.folds) == (9, 7, 3)
    assert (record.score, record.default) == (pytest.approx(0.95), pytest.approx(0.85))
    assert record.parameters == quick.space.drawn(0, 7)
    described = record.to_metadata()
    assert SearchRecord.from_metadata(described) == record
    for change in ({"trials": "9"}, {"measure": "happiness"}, {"measure": []}, {"score": "0.9"}, {"parameters": None}):
        assert SearchRecord.from_metadata(described | change) is None
    assert SearchRecord.from_metadata({"trials": 9}) is None
    assert SearchRecord.from_metadata("a search of my own") is None

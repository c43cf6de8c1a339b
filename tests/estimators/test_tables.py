"""Estimators of tables as they are: scikit-learn's own checks, and what the command line trains, saves and predicts."""

import csv
import json
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.estimators.parameters import PARAMETER_OF
from portable_mlp.storage.checkpoints import CheckpointFolder

SMALL = {"hidden_layer_sizes": (16,), "random_state": 0}
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "batches and steps follow the rows, of which a weight of 0 is one"
}


# By default the epochs follow the rows: 1,000 for those few that the checks have.
BRIEF = {"max_iter": 30, "learning_rate_init": 0.02, **SMALL}


@parametrize_with_checks(
    [pm.TableClassifier(**BRIEF), pm.TableRegressor(**BRIEF)], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


RNG = np.random.default_rng(0)
N = 150
FLATS = pd.DataFrame(
    {
        "size": RNG.normal(80, 20, N).round(1),
        "district": RNG.choice(["north", "south", "west"], N),
        "lift": RNG.choice([True, False], N),
        "built": pd.to_datetime(RNG.choice(pd.date_range("1950-01-01", "2020-01-01").to_numpy(), N)),
    }
)
FLATS.loc[::9, "size"] = None
FLATS.loc[::8, "district"] = None
RENT = 5.0 * FLATS["size"].fillna(80) + 300 * FLATS["lift"]
KIND = pd.Series(np.where(RENT > 550, "dear", "cheap"))
FRAMES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "PyArrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "a mapping": lambda frame: {name: frame[name].to_numpy() for name in frame},
}
QUICK = {"max_iter": 20, **SMALL}


@pytest.mark.parametrize("frame", FRAMES)
def test_every_frame_gives_the_same(frame: str) -> None:
    expected = pm.TableClassifier(**QUICK).fit(FLATS, KIND)
    found = pm.TableClassifier(**QUICK).fit(FRAMES[frame](FLATS), KIND)
    assert_array_equal(found.predict_proba(FRAMES[frame](FLATS)), expected.predict_proba(FLATS))
    assert found.classes_.tolist() == ["cheap", "dear"]
    assert found.feature_names_in_.tolist() == FLATS.columns.tolist()
    assert found.encoder_.columns_ == expected.encoder_.columns_
    assert_allclose(found.predict_proba(FLATS).sum(axis=1), 1.0)


def test_they_learn() -> None:
    assert pm.TableClassifier(random_state=0).fit(FLATS, KIND).score(FLATS, KIND) > 0.9
    model = pm.TableRegressor(random_state=0).fit(FLATS, RENT)
    assert model.score(FLATS, RENT) > 0.9
    assert (model.predict(FLATS).min(), model.predict(FLATS).max()) >= (RENT.min(), 0)
    both = pm.TableRegressor(**QUICK).fit(FLATS, np.column_stack([RENT, -RENT]))
    assert both.predict(FLATS).shape == (N, 2)


@pytest.mark.parametrize("y", [KIND == "dear", (KIND == "dear") * 2.0 - 1.0, np.arange(N) % 3, KIND.astype(object)])
def test_classes_are_those_of_the_targets(y: Any) -> None:
    model = pm.TableClassifier(**QUICK).fit(FLATS, y)
    assert_array_equal(model.classes_, np.unique(y))
    assert model.classes_.dtype == np.unique(y).dtype
    assert set(model.predict(FLATS)) <= set(y)


def test_pipelines_and_searches() -> None:
    pipeline = make_pipeline(FunctionTransformer(), pm.TableClassifier(**QUICK))
    pipeline.set_params(tableclassifier__max_iter=None)
    assert cross_val_score(pipeline, FLATS, KIND, cv=3).mean() > 0.8
    parameters = {"n_pieces": [0, 8], "drop": [(), ("built",)]}
    search = GridSearchCV(pm.TableClassifier(**QUICK), parameters, cv=2).fit(FLATS, KIND)
    assert search.best_estimator_.predict(FLATS[:2]).shape == (2,)


def test_parameters_win_and_others_follow_the_rows() -> None:
    given = pm.TableClassifier(
        batch_size=50, alpha=2.0, n_pieces=3, learning_rate="constant", activation="tanh", **QUICK
    ).fit(FLATS, KIND)
    assert given.recipe_.training | {"learning_rate": 0.002} == {
        "batch_size": 50, "l2": 0.04, "epochs": 20, "schedule": "constant", "solver": "adam", "learning_rate": 0.002,
    }  # fmt: skip
    assert (given.recipe_.hidden, given.recipe_.activation) == ((16,), "tanh")
    assert given.encoder_.n_pieces == 3
    assert given.n_iter_ == len(given.histories_[0]["loss"]) == 20
    held_out = pm.TableClassifier(validation_fraction=0.2, n_iter_no_change=2, monitor="score", **QUICK)
    assert "validation_score" in held_out.fit(FLATS, KIND).histories_[0]
    assert len(pm.TableRegressor(preset="best", **QUICK).fit(FLATS, RENT).histories_) == 8
    assert pm.TableRegressor(loss="huber", loss_options={"delta": 0.5}, **QUICK).fit(FLATS, RENT).n_iter_ == 20


def test_every_training_option_is_a_parameter() -> None:
    of_classes = set(pm.TableClassifier().get_params())
    assert {*PARAMETER_OF.values(), "n_iter_no_change", "monitor"} <= of_classes
    of_quantities = set(pm.TableRegressor().get_params())
    assert of_classes - of_quantities == {"class_weight", "label_smoothing"}
    assert of_quantities - of_classes == {"loss", "loss_options"}


def test_weights() -> None:
    plain = pm.TableClassifier(**QUICK).fit(FLATS, KIND)
    n_dear = [(model.predict(FLATS) == "dear").sum() for model in (
        pm.TableClassifier(class_weight={"dear": 20.0}, **QUICK).fit(FLATS, KIND),
        pm.TableClassifier(**QUICK).fit(FLATS, KIND, sample_weight=np.where(KIND == "dear", 20.0, 1.0)),
        plain,
        pm.TableClassifier(class_weight={"cheap": 20.0}, **QUICK).fit(FLATS, KIND),
    )]  # fmt: skip
    assert n_dear[0] == n_dear[1] > n_dear[2] > n_dear[3]


@pytest.mark.parametrize("n_networks", [None, 2])
@pytest.mark.parametrize(("cls", "y"), [(pm.TableClassifier, KIND), (pm.TableRegressor, RENT)])
def test_files_and_pickles(cls: Any, y: Any, n_networks: int | None, tmp_path: pathlib.Path) -> None:
    model = cls(n_networks=n_networks, drop=["built"], **QUICK).fit(FLATS, y)
    path = tmp_path / "model.safetensors"
    model.save(path)
    for again in (cls.load(path), pickle.loads(pickle.dumps(model))):
        assert_array_equal(again.predict(FLATS), model.predict(FLATS))
        assert again.get_params() == model.get_params() | {"drop": again.drop}
        assert list(again.drop) == ["built"]
        assert again.encoder_.columns_ == model.encoder_.columns_
    cls.load(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    on_torch = cls.load(path, backend="torch", device="cpu")
    assert (on_torch.predict(FLATS) == model.predict(FLATS)).mean() > 0.9 or cls is pm.TableRegressor
    with pytest.raises(NotFittedError):
        clone(model).predict(FLATS)
    other = pm.TableRegressor if cls is pm.TableClassifier else pm.TableClassifier
    with pytest.raises(pm.ModelFileError, match=f"a model for .*, but {other.__name__} is for"):
        other.load(path)
    message = f"of the kind 'table.*{cls.__name__}.load reads it"
    if n_networks is not None:
        message = "a model of 2 networks, but MLPClassifier is one"
    with pytest.raises(pm.ModelFileError, match=message):
        pm.MLPClassifier.load(path)


def test_it_is_what_the_command_line_trains(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, path, mine = tmp_path / "flats.csv", tmp_path / "m.safetensors", tmp_path / "mine.safetensors"
    FLATS.assign(rent=RENT).to_csv(data, index=False)
    options = ("--hidden", "16", "--epochs", "20", "--seed", "0", "--backend", "numpy")
    assert run(["train", str(data), "--target", "rent", *options, "--save", str(path)]) == 0
    table = pm.read_table(data, target="rent")
    model = pm.TableRegressor(**QUICK).fit(table.X, table.y)
    loaded = pm.TableRegressor.load(path)
    assert_array_equal(loaded.predict(table.X), model.predict(table.X))
    model.save(mine)
    assert run(["predict", str(mine), str(data), "--output", str(tmp_path / "answers.csv")]) == 0
    rows = csv.DictReader((tmp_path / "answers.csv").read_text().splitlines())
    answers = [float(row["prediction"]) for row in rows]
    assert_allclose(answers, model.predict(table.X), rtol=1e-12)
    capfd.readouterr()
    assert run(["inspect", str(mine), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["metadata"]["estimator"]["kind"] == "table regression"


def changed(change: Callable[[dict[str, Any]], Any], path: pathlib.Path) -> None:
    """Save a model whose metadata a change was made to."""
    pm.TableClassifier(**QUICK).fit(FLATS, KIND).save(path)
    net, params, metadata = pm.load_model(path)
    change(metadata)
    pm.save_model(path, net, params, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["estimator"]["parameters"].update(preset="bset"), "its estimator is not one that was saved"),
        (lambda said: said["estimator"]["parameters"].update(os="system"), "its estimator is not one that was saved"),
        (lambda said: said["estimator"].update(kind="table regression"), "described anew it is another one"),
        (lambda said: said["estimator"].update(more=1), "described anew it is another one"),
        (lambda said: said.update(estimator=[]), "its estimator is not one that was saved"),
        (
            lambda said: said["preparation"].update(columns=None, table=None),
            "matrix of numbers, .*MLPClassifier.load",
        ),
        (lambda said: said["preparation"].update(target_low=[0.0]), "the preparation of the inputs does not fit"),
        (lambda said: said["estimator"]["parameters"].pop("decay"), None),  # as a release before it would write
    ],
)
def test_files_that_were_changed(change: Any, message: str | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.safetensors"
    changed(change, path)
    if message is None:
        assert pm.TableClassifier.load(path).get_params()["max_iter"] == 20
        return
    with pytest.raises(pm.ModelFileError, match=message):
        pm.TableClassifier.load(path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "bset"}, "The 'preset' parameter of TableClassifier must be a str among"),
        ({"alpha": -1.0}, "The 'alpha' parameter of TableClassifier must be"),
        ({"categorical": ["zone"]}, "X has no column 'zone'; its columns are 'size', 'district', 'lift', 'built'"),
        ({"class_weight": {"deer": 2.0}}, "class_weight has 'deer', which is none of the classes 'cheap', 'dear'"),
    ],
)
def test_mistakes(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pm.TableClassifier(**{**QUICK, **parameters}).fit(FLATS, KIND)
    with pytest.raises(ValueError, match="X lacks the columns 'district', which TableClassifier learnt"):
        pm.TableClassifier(**QUICK).fit(FLATS, KIND).predict(FLATS.drop(columns="district"))


@pytest.mark.parametrize("classes", [[1, 2**63 + 1], [2**63 + 1, 2**63 + 2]])
def test_classes_beyond_int64_are_refused(classes: list[int]) -> None:
    """As floats, neighbours among them would be one class."""
    y = np.array([*classes, 2**63 + 5], dtype=np.uint64)[np.arange(N) % 3]
    with pytest.raises(ValueError, match="must fit into int64, but one of them is 9223372036854775813"):
        pm.TableClassifier(**QUICK).fit(FLATS, y)


def test_a_number_too_large_for_the_network_is_refused() -> None:
    model = pm.TableClassifier(**QUICK).fit(FLATS[["size"]], KIND)
    rows = pd.DataFrame({"size": [80.0, 1e300]})
    with pytest.raises(ValueError, match=r"row 2, column 'size.*the value is .*e[+]29., too large for float32"):
        model.predict_proba(rows)
    wide = pm.TableClassifier(dtype="float64", **QUICK).fit(FLATS[["size"]], KIND)
    assert np.isfinite(wide.predict_proba(rows)).all()


def test_a_loaded_model_takes_arrays_with_the_columns_that_were_dropped(tmp_path: pathlib.Path) -> None:
    numbers = RNG.normal(size=(N, 4))
    model = pm.TableClassifier(drop=["x1"], **QUICK).fit(numbers, KIND)
    model.save(tmp_path / "m.safetensors")
    again = pm.TableClassifier.load(tmp_path / "m.safetensors")
    assert (again.n_features_in_, hasattr(again, "feature_names_in_")) == (4, False)
    assert_array_equal(again.predict_proba(numbers), model.predict_proba(numbers))
    assert [one.treatment for one in again.encoder_.columns_][1] == "left out as asked"


@pytest.mark.parametrize("frame", FRAMES)
def test_tables_without_rows_are_refused(frame: str) -> None:
    model = pm.TableRegressor(**QUICK).fit(FLATS, RENT)
    with pytest.raises(ValueError, match="X has 0 rows, but TableRegressor predicts from one at least"):
        model.predict(FRAMES[frame](FLATS.iloc[:0]))
    with pytest.raises(ValueError, match="X has 0 rows, but TableClassifier learns from one at least"):
        pm.TableClassifier().fit(FRAMES[frame](FLATS.iloc[:0]), [])


@pytest.mark.parametrize("missing", [None, pd.NA])
@pytest.mark.parametrize("dtype", ["object", "string"])
def test_missing_classes_are_refused(missing: Any, dtype: str) -> None:
    y = KIND.astype(dtype)
    y[3] = missing
    with pytest.raises(ValueError, match="y has missing values, but the class of each row is needed"):
        pm.TableClassifier(**QUICK).fit(FLATS, y)


@pytest.mark.parametrize(
    "y", [np.array([1, None] * (N // 2), object), np.array([[1.5, pd.NA], [2, 3]] * (N // 2), object)]
)
def test_missing_quantities_are_refused(y: Any) -> None:
    with pytest.raises(ValueError, match="y has missing values, but the target of each row is needed"):
        pm.TableRegressor(**QUICK).fit(FLATS, y)


class _KilledError(Exception):
    """Ends a fit in the middle."""


@pytest.mark.parametrize("n_networks", [None, 2])
def test_a_fit_that_was_killed_resumes_to_the_bits_of_a_whole_one(
    n_networks: int | None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def model() -> pm.TableClassifier:
        return pm.TableClassifier(**{**QUICK, "max_iter": 6}, n_networks=n_networks)

    expected, folder = model().fit(FLATS, KIND), tmp_path / "states"
    write, written = CheckpointFolder.write, []

    def killed(self: CheckpointFolder, *arguments: Any, **named: Any) -> None:
        write(self, *arguments, **named)
        written.append(self)
        if len(written) == (3 if n_networks is None else 9):
            raise _KilledError

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointFolder, "write", killed)
        with pytest.raises(_KilledError):
            model().fit(FLATS, KIND, checkpoint=str(folder))
    with pytest.raises(ValueError, match="resume"):
        model().fit(FLATS, KIND, checkpoint=folder)
    resumed = model().fit(FLATS, KIND, checkpoint=folder, resume=True)
    assert_array_equal(resumed.predict_proba(FLATS), expected.predict_proba(FLATS))
    assert resumed.histories_[-1]["loss"] == expected.histories_[-1]["loss"]
    with pytest.raises(
        ValueError, match="checkpoint needs an int as random_state, so that a resumed fit draws the same; got"
    ):
        model().set_params(random_state=None).fit(FLATS, KIND, checkpoint=tmp_path / "others")


def test_classes_are_for_the_classifier() -> None:
    with pytest.raises(ValueError, match="y must hold numbers; TableClassifier predicts classes: could not convert"):
        pm.TableRegressor(**QUICK).fit(FLATS, KIND)


def test_an_array_of_another_width_is_refused_by_name() -> None:
    numbers = RNG.normal(size=(N, 3))
    model = pm.TableClassifier(**QUICK).fit(numbers, KIND)
    with pytest.raises(ValueError, match="X has 2 features, but TableClassifier is expecting 3 features as input"):
        model.predict(numbers[:, :2])


def test_rows_to_validate_on_are_needed_to_stop() -> None:
    model = pm.TableRegressor(validation_fraction=0, n_iter_no_change=3, **QUICK)
    with pytest.raises(ValueError, match=f"n_iter_no_change needs .* validation_fraction=0 leaves none of {N} rows"):
        model.fit(FLATS, RENT)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_is_not_what_an_array_was(frame: str) -> None:
    rows = FRAMES[frame](FLATS[["size"]])
    message = "was fitted to an array, whose columns have no names, and X has the columns 'size': give it an array"
    model = pm.TableRegressor(**QUICK).fit(FLATS[["size"]].to_numpy(), RENT)
    with pytest.raises(ValueError, match=f"TableRegressor {message}"):
        model.predict(rows)
    with pytest.raises(ValueError, match=f"TableEncoder {message}"):
        pm.TableEncoder().fit(FLATS[["size"]].to_numpy()).transform(rows)


def test_the_decimal_mark_goes_with_the_file(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The command line reads the target by it, where no column of numbers is written with it."""
    pm.TableRegressor(decimal=",", **QUICK).fit(FLATS[["district"]], RENT).save(tmp_path / "m.safetensors")
    table = FLATS[["district"]].assign(target=RENT)
    table.to_csv(tmp_path / "t.csv", sep=";", decimal=",", index=False)
    arguments = [str(tmp_path / "m.safetensors"), str(tmp_path / "t.csv"), "--target", "target", "--json"]
    assert run(["evaluate", *arguments]) == 0, capfd.readouterr().err


def test_a_new_fit_on_an_array_forgets_the_names_of_a_frame() -> None:
    model = pm.TableRegressor(**QUICK).fit(FLATS, RENT).fit(RNG.normal(size=(N, 3)), RENT)
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize(
    ("unknown", "known"),
    [
        ("lr", "learning_rate_init"),
        ("early_stopping", "n_iter_no_change"),
        ("patience", "n_iter_no_change"),
        ("epochs", "max_iter"),
        ("l2", "alpha"),
        ("penalty", "alpha"),
        ("seed", "random_state"),
    ],
)
def test_names_of_other_interfaces_suggest_the_parameter(unknown: str, known: str) -> None:
    with pytest.raises(TypeError, match=f"'{unknown}', did you mean '{known}'"):
        pm.TableClassifier(**{unknown: 1})

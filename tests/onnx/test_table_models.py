"""Models of tables as ONNX files: onnxruntime takes the raw columns and answers as predict does."""

import json
import pathlib
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.exceptions import NotFittedError

import portable_mlp as pm
from portable_mlp.onnx import files
from portable_mlp.onnx.activations import FORMULAS
from portable_mlp.onnx.dates import date_parts
from portable_mlp.onnx.table_models import example_inputs, export_table_model, export_table_training
from portable_mlp.tables.date_encoding import DATE_PARTS
from portable_mlp.tables.model import TableModel

RTOL = {"float32": 1e-6, "float64": 1e-12}
TYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
N = 60


def flats() -> pd.DataFrame:
    """Return a table with every kind of column that an ONNX file takes; numbers are those of float32."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.integers(100, 900, N) / 8.0,
            "rooms": rng.integers(1, 7, N),
            "price": [f"{price:,}" for price in rng.integers(900, 3000, N)],
            "district": rng.choice(["north", "south", "west"], N).astype(object),
            "street": rng.choice([f"street {i}" for i in range(20)], N).astype(object),
            "zone": rng.choice([3.0, 7.0, 12.0], N),
            "lift": rng.choice(["yes", "No", "YES"], N).astype(object),
            "plot": rng.integers(1_000_000, 1_000_100, N),  # far from 0, as float32 sees it
            "garden": pd.array(rng.integers(0, 2, N).astype(bool), "boolean"),
        }
    )
    frame.loc[::9, "size"] = None
    frame.loc[::8, ["district", "street", "zone", "garden"]] = None
    frame.loc[1::7, "lift"] = None
    frame.loc[5, "district"] = "a rare one"
    return frame


FLATS = flats()
RENT = 5.0 * FLATS["size"].fillna(60) + 30.0 * (FLATS["district"] == "west") + FLATS["rooms"]
KIND = np.where(RENT.median() < RENT, "dear", np.where(FLATS["rooms"] < 3, "small", "cheap"))
OPTIONS: dict[str, Any] = {"categorical": ["zone"], "max_levels": 6, "max_iter": 4, "random_state": 0}

NEW = pd.concat([FLATS[:20]] * 2, ignore_index=True)
"""Rows with unknown texts and with gaps where no training row has one."""
NEW.loc[::5, ["district", "street"]] = "never seen"
NEW.loc[::6, "zone"] = 99.0
NEW.loc[::4, "rooms"] = np.nan
NEW.loc[::3, "price"] = "NA"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.onnx"


def session_of(path: pathlib.Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options)


def fed(session: onnxruntime.InferenceSession, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the columns of a frame as the inputs of a session."""
    columns = {}
    for one in (one for one in session.get_inputs() if one.name in frame):
        column = frame[one.name]
        assert one.shape == ["n_samples", 1]
        if one.type == "tensor(string)":
            values = column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)
        else:
            unmarked = column.astype(object).replace("NA", None).map(lambda cell: str(cell).replace(",", ""))
            numbers = pd.to_numeric(unmarked.replace({"True": "1", "False": "0"}), errors="coerce")
            values = numbers.to_numpy(TYPES[one.type])
        columns[one.name] = values[:, None]
    return columns


def answers(path: pathlib.Path, frame: pd.DataFrame) -> np.ndarray:
    session = session_of(path)
    (answer,) = session.run(None, fed(session, frame))
    return answer


def expected_of(model: Any, X: Any) -> np.ndarray:
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X).reshape(len(X), -1)


def assert_close(actual: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    """Compare relative to the largest value."""
    assert (actual.dtype, actual.shape) == (np.dtype(dtype), expected.shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RTOL[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("task", ["classes", "quantities"])
def test_raw_columns_are_answered_as_by_predict(task: str, dtype: str, n_networks: int, path: pathlib.Path) -> None:
    cls, y = (pm.TableClassifier, KIND) if task == "classes" else (pm.TableRegressor, RENT)
    model = cls(dtype=dtype, n_networks=n_networks, n_pieces=4, **OPTIONS).fit(FLATS, y)
    kinds = {column.name: column.kind for column in model.encoder_.columns_}
    assert [kinds[name] for name in ("street", "zone", "lift")] == ["many categories", "category", "truth"]
    model.to_onnx(path)
    for frame in (FLATS, NEW, FLATS[:1]):
        actual, expected = answers(path, frame), expected_of(model, frame)
        assert_close(actual, expected, dtype)
        if task == "classes":
            assert model.classes_[actual.argmax(axis=1)].tolist() == model.predict(frame).tolist()
    assert answers(path, FLATS[:0]).shape == (0, expected.shape[1])


def test_the_file_says_what_it_takes(path: pathlib.Path) -> None:
    pm.TableClassifier(**OPTIONS).fit(FLATS, KIND).to_onnx(path)
    session = session_of(path)
    texts = {"district", "street", "zone", "lift"}
    assert {one.name: one.type for one in session.get_inputs()} == {
        name: "tensor(string)" if name in texts else "tensor(float)" for name in FLATS
    }
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("proba", ["n_samples", 3])]
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["feature_names"]) == list(FLATS)
    assert json.loads(kept["classes"]) == ["cheap", "dear", "small"]
    opsets = {entry.domain: entry.version for entry in onnx.load(path).opset_import}
    assert opsets == {"": 20, "ai.onnx.ml": 3}


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize(("load", "cls"), [(load_wine, pm.TableClassifier), (load_diabetes, pm.TableRegressor)])
def test_numbers_alone_are_a_matrix(load: Any, cls: Any, dtype: str, path: pathlib.Path) -> None:
    """Gaps where no training row has one are the median, as in predict."""
    X, y = load(return_X_y=True)
    X = X.astype(np.float32)
    model = cls(dtype=dtype, n_networks=2, max_iter=3, random_state=0).fit(X, y)
    model.to_onnx(path)
    X[::3, 4] = np.nan
    (actual,) = session_of(path).run(None, {"X": X.astype(dtype)})
    assert_close(actual, expected_of(model, X), dtype)


@pytest.mark.parametrize("columns", [["size"], ["district"], ["garden", "street"]])
def test_a_table_of_one_kind_of_column(columns: list[str], path: pathlib.Path) -> None:
    model = pm.TableRegressor(n_pieces=0, **{**OPTIONS, "categorical": []}).fit(FLATS[columns], RENT)
    model.to_onnx(path)
    assert_close(answers(path, NEW[columns]), expected_of(model, NEW[columns]), "float32")


SPREADS = {
    "Julian days": 2.46e6 + np.random.default_rng(2).uniform(0, 2, N),
    "Unix times": 1.7e9 + np.random.default_rng(2).integers(0, 3600, N),
    "many powers of ten": 10.0 ** -np.random.default_rng(2).uniform(0, 80, N),
    "large": 1e45 * np.random.default_rng(2).normal(size=N),
    "large outliers": 3e38 * np.random.default_rng(2).normal(size=N) ** 5,
    "small": 1e-45 * np.random.default_rng(2).normal(size=N),
}


@pytest.mark.parametrize("n_pieces", [0, 8])
@pytest.mark.parametrize("name", SPREADS)
def test_numbers_that_float32_does_not_have_are_float64(name: str, n_pieces: int, path: pathlib.Path) -> None:
    """Of columns alone, a matrix; beside texts and gaps, an input for each."""
    numbers = SPREADS[name]
    frame = pd.DataFrame({"numbers": numbers, "size": FLATS["size"].fillna(60.0)})
    dear = numbers > np.median(numbers)
    for more in ({}, {"district": FLATS["district"], "garden": FLATS["garden"]}):
        table = frame.assign(**more)
        model = pm.TableClassifier(n_pieces=n_pieces, **{**OPTIONS, "categorical": []}).fit(table, dear)
        model.to_onnx(path)
        session = session_of(path)
        if n_pieces or name != "many powers of ten":  # where pieces alone tell the smallest from 0
            assert {one.type for one in session.get_inputs()} - {"tensor(string)"} == {"tensor(double)"}
        feed = fed(session, table) if more else {"X": table.to_numpy(TYPES[session.get_inputs()[0].type])}
        (actual,) = session.run(None, feed)
        assert_close(actual, model.predict_proba(table), "float32")


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize(("factor", "offset"), [(1e-60, 5.0), (1.0 + 1e-9, 3.0)])
def test_no_constant_is_taken_for_0_or_1(factor: float, offset: float, dtype: str, path: pathlib.Path) -> None:
    """onnxruntime leaves out a subtraction of 1e-50 from one column, in float64, and a division by 1 + 1e-9."""
    numbers = np.tile([-1.0, 1.0], N // 2)
    frame = pd.DataFrame({"numbers": factor * (numbers + offset)})
    for model in (
        pm.TableClassifier(dtype=dtype, **{**OPTIONS, "categorical": []}).fit(frame, numbers > 0),
        pm.TableRegressor(dtype="float64", **{**OPTIONS, "categorical": []}).fit(frame, frame["numbers"]),
    ):
        model.to_onnx(path)
        session = session_of(path)
        (actual,) = session.run(None, {"X": frame.to_numpy(TYPES[session.get_inputs()[0].type])})
        assert_close(actual, expected_of(model, frame), model.dtype)


def test_a_training_step_takes_numbers_that_its_dtype_does_not_have_in_float64(path: pathlib.Path) -> None:
    X = {name: SPREADS[name] for name in ("Julian days", "large")}
    matrix = np.column_stack([*X.values(), RENT])
    for dtype in RTOL:
        model = pm.TableClassifier(dtype=dtype, max_iter=1, random_state=0).fit({**X, "size": RENT}, np.arange(N) % 2)
        export_table_training(path, model._model, "adam")
        session = session_of(path)
        assert [(one.name, one.type) for one in session.get_inputs()] == [
            ("X", "tensor(double)"),
            ("y", "tensor(int64)"),
        ]
        proba = session.run(["proba"], {"X": matrix, "y": np.arange(N) % 2})[0]
        assert_close(proba, expected_of(model, {**X, "size": RENT}), dtype)


@pytest.mark.parametrize("factor", [1e45, 1e-60])
def test_a_target_that_float32_does_not_have_is_named(factor: float, path: pathlib.Path) -> None:
    frame = FLATS[["rooms"]]
    for dtype in RTOL:
        model = pm.TableRegressor(dtype=dtype, max_iter=1, random_state=0).fit(frame, factor * RENT)
        if dtype == "float32":
            for write in (export_table_model, lambda path, model: export_table_training(path, model, "adam")):
                with pytest.raises(
                    ValueError, match=r"the numbers of the target 'y' are too .* for float32: train with"
                ):
                    write(path, model._model)
            assert not path.exists()
        else:
            model.to_onnx(path)
            (actual,) = session_of(path).run(None, {"X": frame.to_numpy(float)})
            assert_close(actual, expected_of(model, frame), dtype)


def test_a_text_that_no_file_can_have_is_named(path: pathlib.Path) -> None:
    frame = {"district": np.array(["north", "s\ud800"] * 30, dtype=object)}
    model = pm.TableRegressor(max_iter=1, random_state=0).fit(frame, RENT)
    with pytest.raises(ValueError, match=r"column 'district' has the text 's.ud800', which UTF-8 cannot write"):
        model.to_onnx(path)
    assert not path.exists()


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("gaps", [False, True])
def test_every_initializer_is_an_input_of_a_node(gaps: bool, dtype: str, path: pathlib.Path) -> None:
    """As onnxruntime would warn else, of a file that is sound."""
    frame = FLATS if gaps else FLATS.dropna()
    dates = (DATES if gaps else DATES.bfill())[: len(frame)].to_numpy()
    numbers = SPREADS["Julian days"][: len(frame)]
    for table in (frame, frame.assign(since=dates), frame.assign(since=dates, day=numbers), frame[["size", "rooms"]]):
        model = pm.TableRegressor(dtype=dtype, **{**OPTIONS, "categorical": [], "max_iter": 1})
        model.fit(table, RENT[: len(frame)]).to_onnx(path)
        graph = onnx.load(path).graph
        used = {name for node in graph.node for name in node.input}
        assert {tensor.name for tensor in graph.initializer} <= used


def test_gaps_and_codes_may_be_spelt_as_in_a_file(path: pathlib.Path) -> None:
    model = pm.TableClassifier(**OPTIONS).fit(FLATS, KIND)
    model.to_onnx(path)
    session = session_of(path)
    spelt = {
        "district": ["", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "NULL", "null", "None", "?"],
        "zone": ["", "NA", "null", "3", "3.", "12.00", "12.0", "7", "7.5", "07", "abc", "nan"],
        "lift": ["", "None", "?", "-", ".", "yes", "Yes", "YES", "yeS", "no", "NO", "nan"],
    }
    frame = pd.concat([FLATS[:1]] * 12, ignore_index=True).assign(**spelt)
    (actual,) = session.run(None, {**fed(session, frame), **{k: np.array(v)[:, None] for k, v in spelt.items()}})
    assert_close(actual, expected_of(model, frame), "float32")


def test_a_word_that_is_no_truth_value_is_refused_there_too(path: pathlib.Path) -> None:
    model = pm.TableRegressor(**OPTIONS).fit(FLATS, RENT)
    model.to_onnx(path)
    wrong = FLATS[:3].assign(lift=["yes", "perhaps", "no"])
    with pytest.raises(ValueError, match="'perhaps' is not yes or no"):
        model.predict(wrong)
    with pytest.raises(InvalidArgument, match="out of data bounds"):
        answers(path, wrong)


HOSTILE = [
    "proba",
    "W1",
    "X",
    "h1",
    "rows0",
    "X_filled",
    "feature_order",
    "feature_order_",
    "a\nb",
    "$\"'\\",
    "äöü",
    "/a:0",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_column_may_have_any_name(name: str, path: pathlib.Path) -> None:
    """A name of the graph's own gives way."""
    frame = FLATS[["size", "district"]].rename(columns={"size": name})
    frame["rows1"] = FLATS["street"]
    model = pm.TableClassifier(**{**OPTIONS, "categorical": []}).fit(frame, KIND)
    model.to_onnx(path)
    session = session_of(path)
    assert session.get_outputs()[0].name == ("proba_" if name == "proba" else "proba")
    assert_close(answers(path, frame), model.predict_proba(frame), "float32")


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_a_name_that_no_input_can_have_is_refused(name: str, path: pathlib.Path) -> None:
    model = pm.TableRegressor(**{**OPTIONS, "categorical": []}).fit({name: FLATS["size"].to_numpy()}, RENT)
    with pytest.raises(ValueError, match=r"an input of an ONNX file cannot have the name '.*': rename the column"):
        model.to_onnx(path)
    assert not path.exists()


DATES = pd.Series(pd.to_datetime(np.random.default_rng(1).integers(-(10**18), 2 * 10**18, N)).floor("s"))
"""From 1938 to 2033, at any second."""
DATES[::7] = None


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize(
    "dates",
    [DATES, DATES.dt.strftime("%d.%m.%Y %H:%M:%S"), DATES.dt.floor("D"), DATES.dt.strftime("%H:%M"), DATES.bfill()],
    ids=["dates", "texts", "days", "times", "no gaps"],
)
def test_dates_are_seconds(dates: pd.Series, dtype: str, path: pathlib.Path) -> None:
    """Gaps and dates outside of the training rows among them."""
    frame = FLATS[["district", "size"]].assign(**{"let, since": dates})
    model = pm.TableRegressor(dtype=dtype, **{**OPTIONS, "categorical": []}).fit(frame[:50], RENT[:50])
    assert [column.kind for column in model.encoder_.columns_] == ["category", "number", "date"]
    model.to_onnx(path)
    session = session_of(path)
    assert {one.name: one.type for one in session.get_inputs()}["let, since"] == "tensor(double)"
    form = "%H:%M" if dates.dropna().astype(str).str.len().max() == 5 else "%d.%m.%Y %H:%M:%S"
    read = dates if dates.dtype.kind == "M" else pd.to_datetime(dates, format=form)
    start = pd.Timestamp(1900, 1, 1) if form == "%H:%M" else pd.Timestamp(0)
    seconds = ((read - start) / pd.Timedelta(seconds=1)).to_numpy(float)[:, None]
    others = {name: fed(session, frame.assign(**{"let, since": 0.0}))[name] for name in ("district", "size")}
    (actual,) = session.run(None, {**others, "let, since": seconds})
    assert_close(actual, expected_of(model, frame), dtype)


def test_constants_of_dates_and_of_a_traced_activation_are_of_two_dtypes(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FORMULAS, "elu")
    frame = pd.DataFrame({"since": DATES.bfill()})
    model = pm.TableRegressor(activation="elu", **{**OPTIONS, "categorical": []}).fit(frame, RENT)
    model.to_onnx(path)
    seconds = ((frame["since"] - pd.Timestamp(0)) / pd.Timedelta(seconds=1)).to_numpy(float)[:, None]
    (actual,) = session_of(path).run(None, {"since": seconds})
    assert_close(actual, expected_of(model, frame), "float32")


def test_parts_of_dates_are_those_of_numpys_calendar() -> None:
    days = np.arange("0001-01-01", "4001-01-01", dtype="datetime64[D]").astype("datetime64[us]")
    dates = days + np.random.default_rng(0).integers(0, 86_400 * 10**6, len(days))
    parts = date_parts(np, dates.astype(np.int64) / 1e6)
    assert parts.keys() == DATE_PARTS.keys()
    for name, numbers in parts.items():
        np.testing.assert_allclose(numbers, DATE_PARTS[name][0](dates), rtol=1e-13, atol=1e-8, err_msg=name)


def test_all_networks_of_an_ensemble_fit_into_a_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pm.TableRegressor(n_networks=3, hidden_layer_sizes=(10,), n_pieces=0, max_iter=1).fit(
        {"size": [1.0, 2.0, 4.0]}, [1, 2, 3]
    )
    n_bytes = 3 * 4 * (10 + 10 + 10 + 1)
    monkeypatch.setattr(files, "LARGEST_FILE", n_bytes - 1)
    with pytest.raises(ValueError, match=f"take {n_bytes} bytes"):
        model.to_onnx(path)


@pytest.mark.parametrize("frame", [FLATS, FLATS[["rooms"]]], ids=["every kind of column", "a matrix"])
def test_the_example_is_a_row_that_the_file_takes(frame: pd.DataFrame, path: pathlib.Path) -> None:
    model = pm.TableRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(frame, RENT)
    model.to_onnx(path)
    session = session_of(path)
    example = example_inputs(model._model.preparation)
    inputs = {one.name: np.array(example[one.name], TYPES.get(one.type, object)) for one in session.get_inputs()}
    (answer,) = session.run(None, inputs)
    assert np.isfinite(answer).all()
    assert answer.shape == (1, 1)


def test_it_is_fitted_first(path: pathlib.Path) -> None:
    with pytest.raises(NotFittedError):
        pm.TableClassifier().to_onnx(path)


def test_a_training_step_is_of_one_network(path: pathlib.Path) -> None:
    ensemble = pm.TableClassifier(n_networks=2, max_iter=1).fit(*load_iris(return_X_y=True))
    with pytest.raises(ValueError, match="the model is an ensemble of 2 networks, but a training step is of one"):
        export_table_training(path, ensemble._model, "adam")
    assert not path.exists()


def steps_of_pytorch(model: Any, rows: Any, y: np.ndarray, n_steps: int) -> np.ndarray:
    """Return the parameters after steps of Adam on some rows, with a penalty of 0.02."""
    inputs = torch.tensor(model.encoder_.transform(rows).astype(model.dtype))
    weights = [torch.tensor(x, requires_grad=True) for layer in model._model.params for x in layer]
    optimizer = torch.optim.Adam(weights, lr=0.01)
    for _ in range(n_steps):
        W1, b1, W2, b2, W3, b3 = weights
        z = torch.relu(torch.relu(inputs @ W1 + b1) @ W2 + b2) @ W3 + b3
        if hasattr(model, "classes_"):
            loss = torch.nn.functional.cross_entropy(z, torch.tensor(y))
        else:
            loss = 0.5 * ((z - torch.tensor(y.astype(model.dtype))) ** 2).sum(axis=1).mean()
        optimizer.zero_grad()
        (loss + 0.01 * sum((W**2).sum() for W in (W1, W2, W3))).backward()
        optimizer.step()
    return np.concatenate([x.detach().numpy().reshape(-1) for x in weights])


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("task", ["classes", "quantities"])
def test_a_training_step_takes_raw_columns(task: str, dtype: str, path: pathlib.Path) -> None:
    """Texts, gaps, dates, pieces: three steps are those of PyTorch on the encoded rows."""
    with_dates = {"built": pd.date_range("2001-02-03", periods=N, freq="37h").astype(str)}
    options = {**OPTIONS, "dtype": dtype, "hidden_layer_sizes": (16, 8), "n_pieces": 3}
    rows = NEW.assign(built=with_dates["built"][: len(NEW)])
    if task == "classes":
        model = pm.TableClassifier(**options).fit(FLATS.assign(**with_dates), KIND)
        raw = y = np.arange(len(NEW)) % 3
    else:
        model = pm.TableRegressor(**options).fit(FLATS.assign(**with_dates), RENT)
        raw = np.linspace(100.0, 900.0, len(NEW))[:, None]
        y = model._model.preparation.targets(raw)
    export_table_training(path, model._model, "adam")
    session = session_of(path)
    names = [one.name for one in session.get_outputs()]
    state: dict[str, Any] = {"learning_rate": np.asarray(0.01), "l2": np.asarray(0.02)}
    columns = fed(session, rows)
    seconds = rows["built"].to_numpy("datetime64[s]").astype(np.int64).astype(np.float64)[:, None]
    batch = {**columns, "built": seconds, "y": raw if task == "classes" else raw.astype(dtype)}
    for step in range(3):
        results = dict(zip(names, session.run(None, batch | state), strict=True))
        if not step:
            answers = results["proba" if task == "classes" else "prediction"]
            outputs = model._model.outputs(model._columns(rows))
            expected = outputs if task == "classes" else model._model.preparation.restored(outputs)
            assert_close(answers, expected, dtype)
        state |= {name.removeprefix("next_"): x for name, x in results.items() if name.startswith("next_")}
    assert_close(state["parameters"], steps_of_pytorch(model, rows, y, 3), dtype)


def test_names_of_a_step_that_columns_have_get_an_underscore(path: pathlib.Path) -> None:
    names = ["y", "X", "step", "m", "loss", "proba", "row0", "next_v"]
    frame = pd.DataFrame(dict.fromkeys(names, FLATS["district"]) | {"size": FLATS["size"]})
    model = pm.TableClassifier(**{**OPTIONS, "categorical": []}).fit(frame, KIND)
    export_table_training(path, model._model, "adam")
    session = session_of(path)
    assert [one.name for one in session.get_inputs()] == [*frame, "y_"]
    outputs = ["loss_", "proba_", "next_parameters", "next_m", "next_v_", "next_step"]
    assert [one.name for one in session.get_outputs()] == outputs
    state = {"step_": np.asarray(3), "learning_rate": np.asarray(0.0)}
    batch = fed(session, frame) | {"y_": np.arange(N) % 3}
    proba, parameters, step = session.run(["proba_", "next_parameters", "next_step"], batch | state)
    assert_close(proba, expected_of(model, frame), "float32")
    np.testing.assert_array_equal(parameters, pm.pack(model._model.params))
    assert step == 4


def test_a_file_gives_the_same_bytes_as_the_estimator(path: pathlib.Path) -> None:
    model = pm.TableClassifier(n_networks=2, **OPTIONS).fit(FLATS, KIND)
    model.to_onnx(path)
    before = path.read_bytes()
    model.save(path.with_suffix(".safetensors"))
    export_table_model(path, TableModel.load(path.with_suffix(".safetensors")))
    assert path.read_bytes() == before

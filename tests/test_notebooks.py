"""What notebooks show of results: well-formed, nothing fetched, a stranger's texts as text, of bounded size."""

import math
import pathlib
import re
import rlcompleter
import warnings
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

import portable_mlp as pm
from portable_mlp.backends._base import BackendInfos
from portable_mlp.svg_curves import COLORS, HEIGHT, TOP, WIDTH, Curve, svg_curves
from tests.markup import Page, parsed, rows_of

HARMFUL = '</td></svg><script>alert("1")</script>"><img src=x onerror=alert(1)> \u202e&amp;'
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), RNG.integers(0, 3, 60)
NET = pm.Network((4, 5, 3))
ESTIMATORS: dict[str, Any] = {
    "MLPClassifier": pm.MLPClassifier((3,), max_iter=2),
    "MLPRegressor": pm.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2),
    "TableClassifier": pm.TableClassifier(max_iter=2),
    "TableRegressor": pm.TableRegressor(max_iter=2),
    "TableEncoder": pm.TableEncoder(),
    "GridSearchCV": pm.GridSearchCV(pm.MLPClassifier((3,), max_iter=2), {"alpha": [0.1, 1.0]}, cv=2),
}


def result(history: dict[str, list[Any]], **changes: Any) -> pm.TrainResult:
    n_epochs = max(map(len, history.values()), default=0)
    return pm.TrainResult((), history, n_epochs, "max_epochs")._replace(**changes)


def shown(thing: Any) -> Element:
    """Return the element that a notebook shows, having checked that it is safe."""
    text = thing._repr_html_()
    page = Page(text)
    assert {*page.tags} <= {*["div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "svg", "path", "text"]}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("href", "src")}
    assert "url(" not in text
    assert "\u202e" not in text
    return parsed(text)


def curves(element: Element) -> list[list[list[float]]]:
    """Return the points (x, y) of each path of a curve, those of the legend left out."""
    drawn = [path for path in element.iter("path") if path.get("stroke") in COLORS and "h20" not in path.get("d", "")]
    return [
        [[float(number) for number in point.split()] for point in re.split("[ML]", path.get("d", ""))[1:]]
        for path in drawn
    ]


def test_a_result_is_its_losses_and_its_history() -> None:
    params = pm.init_params(NET, random_state=0)
    trained = pm.train(NET, params, X, Y, epochs=12, learning_rate=0.05, validation=(X, Y), patience=12)
    element = shown(trained)
    heading = "".join(element.find("p").itertext())
    assert heading == f"TrainResult: n_epochs 12, stopped_because max_epochs, best_epoch {trained.best_epoch}"
    names, *rows = rows_of(element)
    assert names == ["history", "first", "last", "least", "greatest"]
    assert [row[0] for row in rows] == list(trained.history)
    for name, *numbers in rows:
        values = trained.history[name]
        expected = (values[0], values[-1], min(values), max(values))
        assert [float(number.replace(",", "")) for number in numbers] == pytest.approx(expected, rel=1e-3)
    for points, name in zip(curves(element), ("loss", "validation_loss"), strict=True):
        x, y = np.transpose(points)
        assert (np.diff(x) > 0).all()
        assert np.corrcoef(y, trained.history[name])[0, 1] == pytest.approx(-1.0, abs=1e-3)  # y points down


def test_losses_over_decades_are_on_a_logarithmic_scale() -> None:
    losses = [10.0**-i for i in range(6)]
    element = shown(result({"loss": losses}))
    ((*_, last),) = (curve for curve in curves(element))
    y = np.asarray(curves(element)[0])[:, 1]
    assert np.diff(y) == pytest.approx(np.diff(y)[0], abs=0.11)
    assert "logarithmic" in "".join(element.itertext())
    assert "logarithmic" not in "".join(shown(result({"loss": [0.5, 0.4]})).itertext())
    assert last[1] == max(y)


@pytest.mark.parametrize("dark", ["#111111", "#1e1e1e", "#212121", "#ffffff"])
def test_the_picture_is_read_on_light_and_dark(dark: str) -> None:
    """The contrast of WCAG 2.1 for graphics, 3 to 1, on the backgrounds of JupyterLab, VS Code and paper."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    page = Page(result({"loss": [2.0, 1.0], "validation_loss": [2.0, 1.5]})._repr_html_())
    assert {*page.attributes["stroke"], *page.attributes["fill"]} == {*COLORS, "currentColor", "none"}
    for color in COLORS:
        high, low = sorted((luminance(color), luminance(dark)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3.0


@pytest.mark.parametrize(
    ("losses", "n_points"),
    [
        ([], 0),
        ([0.5], 2),
        ([0.5, 0.5], 2),
        ([math.nan, 1.0, math.inf, 2.0, 3.0], 4),
        ([math.nan] * 3, 0),
        ([-1e308, 1e308], 2),
        ([5e-324, 1e308], 2),
        ([0.0, 1.0], 2),
        ([-3.0, -2.0], 2),
    ],
)
def test_any_losses_are_drawn_within_the_picture(losses: list[float], n_points: int) -> None:
    element = shown(result({"loss": losses}, best_epoch=1 if losses else None))
    points = [point for curve in curves(element) for point in curve]
    assert len(points) == n_points
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_a_long_run_is_small_and_keeps_its_peaks() -> None:
    losses = [1.0] * 100_000
    losses[54_321] = 9.0
    history = {"loss": losses, "validation_loss": losses, **{f"name {i}": [0.5] for i in range(300)}}
    element = shown(result(history))
    assert len(result(history)._repr_html_()) < 40_000
    assert min(y for _, y in curves(element)[0]) == TOP
    rows = rows_of(element)
    assert len(rows) <= 50
    assert rows[-1][0] == "name 299"
    assert len(shown(pm.Network([3] * 900)).findall(".//tr")) <= 50


def test_several_models_are_lines_of_one_color() -> None:
    losses = RNG.uniform(1.0, 2.0, size=(5, 20)).tolist()
    element = shown(result({"loss": losses, "learning_rate": [0.1] * 5}))
    assert [len(curve) for curve in curves(element)] == [5] * 8
    assert "loss, 8 of 20 models" in "".join(element.itertext())
    low, high = rows_of(element)[1][1].split(" to ")
    assert (float(low), float(high)) == pytest.approx((min(losses[0]), max(losses[0])), rel=1e-3)


def test_texts_of_strangers_are_text() -> None:
    quiet = Page(result({"loss": [1.0], "x": [1.0]})._repr_html_())
    loud = shown(result({"loss": [1.0], HARMFUL: [1.0]}, stopped_because=HARMFUL))
    assert 'alert("1")' in "".join(loud.itertext())
    assert Page(result({"loss": [1.0], HARMFUL: [1.0]})._repr_html_()).tags == quiet.tags
    missing = shown(BackendInfos([pm.BackendInfo("x", False, None, (), HARMFUL * 1000)]))
    assert len(rows_of(missing)[1][-1]) < 1000


def test_a_network_is_its_layers() -> None:
    net = pm.Network((64, 100, 10), activation="tanh")
    element = shown(net)
    n_parameters = sum(layer.W.size + layer.b.size for layer in pm.init_params(net))
    assert "".join(element.find("p").itertext()) == f"Network: loss cross_entropy, parameters {n_parameters:,}"
    assert rows_of(element)[1:] == [
        ["inputs", "64", "", ""],
        ["hidden 1", "100", "tanh", "6,500"],
        ["output", "10", "softmax", "1,010"],
    ]
    shown(pm.Network((2, 1), output="identity", loss="huber"))


def test_checks_backends_and_tables(tmp_path: pathlib.Path) -> None:
    check = pm.check_gradient(NET, pm.init_params(NET, random_state=0), X, Y)
    assert "gradient check passed" in "".join(shown(check).itertext())
    names = [row[0] for row in rows_of(shown(pm.backends()))]
    assert names == ["backend", *(info.name for info in pm.backends())]
    path = tmp_path / "flats.csv"
    path.write_text("size,zone,<b>,rent\n1,north,yes,500\n,south,no,700\n3,,yes,800\n4,west,no,900\n")
    table = pm.read_table(path, target="rent")
    element = shown(table)
    assert "".join(element.find("p").itertext()) == "RawTable: rows 4, columns 3, target rent"
    assert rows_of(element) == [
        ["column", "kind", "missing", "row 0", "row 1", "row 2"],
        ["size", "number", "1", "1.0", "nan", "3.0"],
        ["zone", "text", "1", "north", "south", "None"],
        ["<b>", "truth", "0", "True", "False", "True"],
    ]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learns_display_of_an_estimator(name: str) -> None:
    """As diagrams, alone and in a pipeline; what scikit-learn says of its own classes, it does not say of ours."""
    estimator = ESTIMATORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = make_pipeline(StandardScaler(), estimator).fit(X, Y)
    for thing in (estimator, fitted[-1], fitted):
        text = estimator_html_repr(thing)
        assert thing._repr_html_() == text or re.sub("-[0-9]+", "", thing._repr_html_()) == re.sub("-[0-9]+", "", text)
        page = Page(text)
        assert name in page.text
        assert all(parameter in page.text for parameter in estimator.get_params(deep=False))
        assert not [link for link in page.attributes.get("href", []) if name in link]


def test_completion_offers_the_public_names() -> None:
    completer = rlcompleter.Completer({"pm": pm})
    offered = {match.removeprefix("pm.").rstrip("()") for match in completer.attr_matches("pm.")}
    assert offered == set(pm.__all__)


def test_the_axis_goes_on_to_the_last_epoch_where_the_last_losses_are_not_finite() -> None:
    drawn = svg_curves([Curve("loss", [[3.0, 2.0, np.inf, np.nan]])])
    assert ">1</text>" in drawn
    assert ">4</text>" in drawn

"""What is learnt of rows in one pass over a file: the numbers that all rows in memory give, and the same split."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portable_mlp.tables.hold_out import GroupSplit, split
from portable_mlp.tables.moments import Moments
from portable_mlp.tables.preparation import learn
from portable_mlp.tables.reading import RowSource, open_training_rows
from portable_mlp.tables.survey import Classes, Survey, survey
from portable_mlp.tables.targets import is_classification

RNG = np.random.default_rng(0)
NAMES = ("plain", "far", "tiny", "constant", "huge")
X = RNG.normal(size=(997, 5)) * [1.0, 1e-4, 1e-150, 0.0, 1e150] + [0.0, 1e6, 0.0, 0.1, 0.0]


class Rows(RowSource):
    """Rows of memory in the place of a file's."""

    path, feature_names, target_name = "data", NAMES, "y"

    def __init__(self, X: np.ndarray, y: np.ndarray, groups: tuple[int, ...]) -> None:
        self.X, self.y, self.groups = X, y, groups
        self.feature_names = NAMES[: X.shape[1]]

    def close(self) -> None: ...

    def _rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.X[indices], self.y[indices]


def exactly(column: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation from rational numbers, rounded at the end alone."""
    numbers = [Fraction(x) for x in column.tolist()]
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / len(numbers)
    # The root of a fraction that float64 may not hold.
    shift = 2 * (math.frexp(max(map(abs, column.tolist())))[1])
    return float(mean), math.ldexp(math.sqrt(variance / Fraction(2) ** shift), shift // 2)


@pytest.mark.parametrize("size", [1, 2, 10, 333, 997])
def test_moments_of_blocks_are_those_of_all_rows(size: int) -> None:
    moments = Moments.of(X[:size])
    for start in range(size, len(X), size):
        moments = moments.with_more(Moments.of(X[start : start + size]))
    mean, scale = moments.mean_and_scale(NAMES)
    for j, column in enumerate(X.T):
        exact_mean, exact_scale = exactly(column)
        assert mean[j] == pytest.approx(exact_mean, rel=1e-14, abs=1e-14 * exact_scale)
        assert scale[j] == (1.0 if NAMES[j] == "constant" else pytest.approx(exact_scale, rel=1e-13))


def test_a_mean_that_drifts_costs_no_digits() -> None:
    """Sums of squares would cancel: 1e8 steps away from 0 with a deviation of 1."""
    x = RNG.normal(size=(100_000, 1)) + np.repeat(np.linspace(1e8, 1e8 + 10, 100), 1000)[:, None]
    moments = Moments.of(x[:1000])
    for start in range(1000, len(x), 1000):
        moments = moments.with_more(Moments.of(x[start : start + 1000]))
    mean = math.fsum(x[:, 0]) / len(x)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in x[:, 0].tolist()) / len(x))
    assert moments.mean_and_scale(["x"])[1] == pytest.approx([deviation], rel=1e-13)


N = 300
SPREAD = RNG.normal(size=N)
EXTREMES: dict[str, np.ndarray] = {
    "near 1e-200": SPREAD * 1e-200,
    "near 1e-310": SPREAD * 1e-310,
    "near 1e200": SPREAD * 1e200 + 3e200,
    "near the largest": np.clip(SPREAD, -0.8, 0.8) * 1e308,
    "whose sum overflows": SPREAD * 1e300 + 1.7e308,
    "tiny, then far": np.concatenate((SPREAD[:100] * 1e-200, SPREAD[100:200] * 1e-200 + 1.0, np.full(100, 7.0))),
    "zeros, then tiny": np.concatenate((np.zeros(100), np.full(100, 1e-200), SPREAD[:100] * 1e-200)),
    "zeros, then huge": np.concatenate((np.zeros(200), np.full(100, 1e200))),
    "narrow at 1e9": 1e9 + SPREAD * 1e-5,
    "narrow at 1e15": 1e15 + np.round(SPREAD * 10),
    "float32": (SPREAD * 1e-30).astype(np.float32),
    "float32, far": (1e6 + SPREAD).astype(np.float32),
}


@pytest.mark.parametrize("size", [1, 7, 100, N])
@pytest.mark.parametrize("x", EXTREMES.values(), ids=EXTREMES)
def test_columns_at_the_ends_of_float64_are_scaled_as_others_are(x: np.ndarray, size: int) -> None:
    moments = Moments.of(x[:size, None])
    for start in range(size, N, size):
        moments = moments.with_more(Moments.of(x[start : start + size, None]))
    (mean,), (scale,) = moments.mean_and_scale(["x"])
    exact_mean, exact_scale = exactly(x)
    assert mean == pytest.approx(exact_mean, rel=1e-15, abs=1e-13 * exact_scale)
    assert scale == pytest.approx(exact_scale, rel=1e-13, abs=5e-324)


@pytest.mark.parametrize("value", [0.1, -1e-200, 1e300, 0.0, 123456789.1])
@pytest.mark.parametrize("size", [1, 1000, 200_000])
def test_equal_numbers_are_constant_however_many(value: float, size: int) -> None:
    """A sum of 200,000 times 0.1 is wrong in its twelfth digit; in the last one differ 0.3 and 0.1 + 0.2 too."""
    x = np.full((200_000, 2), value)
    x[::3, 1] = np.nextafter(value, np.inf) if value else 0.0
    moments = Moments.of(x[:size])
    for start in range(size, min(len(x), 5 * size), size):
        moments = moments.with_more(Moments.of(x[start : start + size]))
    mean, scale = moments.mean_and_scale(["equal", "nearly equal"])
    assert mean[0] == value
    assert scale == [1.0, 1.0]


def test_numbers_that_are_nearly_equal_are_no_constant_in_a_long_column() -> None:
    x = np.where(np.arange(200_000) % 2, 0.1, 0.1 + 1e-15)[:, None]
    assert Moments.of(x).mean_and_scale(["x"])[1] == pytest.approx([exactly(x[:2, 0])[1]], rel=1e-6)


def test_one_number_that_float64_hardly_holds_is_no_deviation() -> None:
    x = np.zeros((100, 1))
    x[7] = 5e-324
    assert Moments.of(x).mean_and_scale(["x"])[1] == [1.0]


def test_numbers_whose_differences_overflow_are_named() -> None:
    for blocks in ([[1.7e308, 1.7e308, -1.7e308]], [[1.7e308], [1.7e308], [-1.7e308]]):
        first, *others = [Moments.of(np.asarray(block)[:, None]) for block in blocks]
        for more in others:
            first = first.with_more(more)
        with pytest.raises(ValueError, match=r"^the numbers of column 'far' are too large to be scaled: their differ"):
            first.mean_and_scale(["far"])


TARGETS: dict[str, tuple[np.ndarray, str]] = {
    "quantities": (RNG.normal(size=997) * 1e3 + 1e5, "auto"),
    "many whole numbers": (np.arange(997) % 21, "auto"),
    "few whole numbers": (np.arange(997) % 20, "auto"),
    "few whole numbers as floats": (np.arange(997) % 20 - 7.0, "auto"),
    "few whole numbers as float32": (-(np.arange(997) % 2).astype(np.float32), "auto"),
    "many whole numbers as floats": (np.arange(997) % 21 * 1.0, "auto"),
    "one that is not whole": (np.arange(997) % 3 + (np.arange(997) == 500) / 2, "auto"),
    "tiny quantities": (RNG.normal(size=997) * 1e-200, "auto"),
    "huge quantities": (RNG.normal(size=997) * 1e200, "auto"),
    "whole as all numbers of their size are": (2.0**60 * (np.arange(997) % 3), "auto"),
    "unsigned neighbours": (np.uint64(2**60) + (np.arange(997) % 3).astype(np.uint64), "auto"),
    "whole numbers as quantities": (np.arange(997) % 3, "regression"),
    "quantities as classes": (np.arange(997) % 3 / 2, "classification"),
    "texts": (np.array(["b", "a", "", "a much longer one"])[np.arange(997) % 4], "auto"),
    "truth values": (np.arange(997) % 5 == 0, "auto"),
    "truth values as quantities": (np.arange(997) % 5 == 0, "regression"),
}


CLASSES: dict[str, list[Any]] = {
    "few whole numbers": list(range(20)),
    "few whole numbers as floats": list(range(-7, 13)),
    "few whole numbers as float32": [-1, 0],
    "unsigned neighbours": [2**60, 2**60 + 1, 2**60 + 2],
    "quantities as classes": [0.0, 0.5, 1.0],
    "texts": ["", "a", "a much longer one", "b"],
    "truth values": [False, True],
}


@pytest.mark.parametrize("groups", [(997,), (500, 497), (1, 0, 96) + (100,) * 9])
@pytest.mark.parametrize("kind", TARGETS)
def test_a_survey_finds_what_a_look_at_all_rows_finds(kind: str, groups: tuple[int, ...]) -> None:
    y, task = TARGETS[kind]
    found = survey(Rows(X, y, groups), task=task, fraction=0.2, seed=3)
    kept, held_out = chosen(found.split.kept), chosen(found.split.held_out)
    classification = kind in CLASSES
    expected = learn(X[kept], y[kept], classification=classification, feature_names=NAMES, target_name="y")
    if task == "auto":
        assert is_classification(y) == classification
    assert found.preparation.classes == expected.classes == CLASSES.get(kind)
    assert set(map(type, expected.classes or ())) == set(map(type, CLASSES.get(kind, ())))
    for name in ("input_mean", "input_scale", "target_mean", "target_scale"):
        ours, wanted = getattr(found.preparation, name), getattr(expected, name)
        assert (ours is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_allclose(ours, wanted, rtol=1e-11, atol=1e-16)
    if classification:
        assert found.variation is None
        classes = np.asarray(expected.classes)
        np.testing.assert_array_equal(classes[expected.targets(y[held_out])], y[held_out])
    else:
        Y = expected.targets(y[held_out])
        np.testing.assert_allclose(found.variation, np.square(Y - Y.mean()).sum(axis=0, keepdims=True)[0], rtol=1e-11)
    if len(groups) == 1:
        assert found.preparation == expected  # to the last bit


def chosen(selection: Any) -> np.ndarray:
    rows = [selection.of_group(group) for group in range(len(selection.counts))]
    assert tuple(map(len, rows)) == selection.counts
    return np.concatenate(rows)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    st.floats(0.0, 1.0, exclude_max=True),
    st.integers(0, 2**32 - 1),
)
def test_a_split_gives_every_group_its_share(groups: list[int], fraction: float, seed: int) -> None:
    n_rows = sum(groups)
    made = GroupSplit(groups, fraction, seed)
    kept, held_out = chosen(made.kept), chosen(made.held_out)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(n_rows))
    np.testing.assert_array_equal(kept, np.sort(kept))
    assert len(held_out) == min(round(n_rows * fraction), n_rows - 1)
    for n_group, n_held_out in zip(groups, made.held_out.counts, strict=True):
        assert abs(n_held_out - n_group * len(held_out) / n_rows) <= 1


def test_groups_are_drawn_for_themselves() -> None:
    made = GroupSplit([100] * 20, 0.5, 0)
    drawn = {tuple((made.held_out.of_group(group) - 100 * group).tolist()) for group in range(20)}
    assert len(drawn) == 20


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=25),
    st.floats(0.0, 1.0, exclude_max=True),
    st.integers(0, 2**32 - 1),
)
def test_one_group_is_split_as_a_table_in_memory(labels: list[int], fraction: float, seed: int) -> None:
    """Rare classes among them: every class keeps a row to train on."""
    y = np.asarray(labels)
    expected = split(y, fraction, classification=True, seed=seed)
    made = found_split(Rows(np.zeros((len(y), 2)), y, (len(y),)), fraction, seed)
    if made is not None:
        np.testing.assert_array_equal(chosen(made.kept), expected[0])
        np.testing.assert_array_equal(chosen(made.held_out), expected[1])


@given(st.lists(st.integers(0, 5), min_size=6, max_size=40), st.floats(0.0, 1.0, exclude_max=True), st.integers(1, 7))
def test_every_class_keeps_a_row_in_many_groups_too(labels: list[int], fraction: float, n_groups: int) -> None:
    y = np.asarray(labels)
    groups = tuple(len(part) for part in np.array_split(y, n_groups))
    made = found_split(Rows(np.zeros((len(y), 2)), y, groups), fraction, 0)
    if made is not None:
        assert set(y[chosen(made.kept)].tolist()) == set(labels)


def found_split(source: Rows, fraction: float, seed: int) -> GroupSplit | None:
    """Return the split; None where all targets are of one class, which is refused."""
    if len(np.unique(source.y)) == 1:
        with pytest.raises(ValueError, match="classification needs at least two classes, but every target is"):
            survey(source, task="classification", fraction=fraction, seed=seed)
        return None
    return survey(source, task="classification", fraction=fraction, seed=seed).split


def test_classes_are_followed_no_further_than_needed() -> None:
    """A column of whole numbers that all differ is a quantity, and not kept in memory as classes."""
    classes = Classes("auto")
    classes.add(np.arange(1000), np.arange(1000, 1100), np.arange(1000, 1100))
    assert classes.in_order() is None
    assert classes.without_training_rows() == set()


DIGESTED = Rows(X, np.arange(997.0), (500, 497))


@pytest.mark.parametrize(
    "other",
    [
        Rows(X, np.arange(997.0), (499, 498)),
        Rows(X * (1 + 1e-15), np.arange(997.0), (500, 497)),
        Rows(X, np.roll(np.arange(997.0), 1), (500, 497)),
        Rows(X, np.arange(997.0).astype(str), (500, 497)),
    ],
    ids=["groups", "features", "targets", "kind of targets"],
)
def test_a_digest_tells_files_apart(other: Rows) -> None:
    def digest(source: Rows) -> str:
        return survey(source, task="auto", fraction=0.1, seed=0).digest

    assert digest(DIGESTED) == digest(Rows(X.copy(), np.arange(997.0), (500, 497)))
    assert digest(DIGESTED) != digest(other)


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_wide_rows_are_looked_at_in_blocks(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"data{suffix}"
    wide = RNG.normal(size=(300, 20))
    if suffix == ".npy":
        np.save(path, wide)
    else:
        pq.write_table(pa.table({f"x{j}": column for j, column in enumerate(wide.T)}), path, row_group_size=70)

    def found() -> Survey:
        with open_training_rows(path) as source:
            return survey(source, task="auto", fraction=0.3, seed=0)

    whole = found()
    monkeypatch.setattr("portable_mlp.tables.survey.NUMBERS_AT_ONCE", 19 * 13)
    parts = found()
    assert parts.digest == whole.digest
    np.testing.assert_allclose(parts.preparation.input_scale, whole.preparation.input_scale, rtol=1e-13)

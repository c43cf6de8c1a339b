"""Remarks of a careful reader, on made-up columns that have one reason for a remark, or none."""

from typing import Any

import numpy as np
import pytest

from portable_mlp.tables.columns import Column, Columns, RawTable, Reading
from portable_mlp.tables.encoder_options import EncoderOptions
from portable_mlp.tables.giveaways import columns_whose_sum_is
from portable_mlp.tables.preparation import learn_encoded
from portable_mlp.tables.raw import ReadingOptions
from portable_mlp.tables.remarks import remarks

RNG = np.random.default_rng(3)
N = 120
NOISE = RNG.normal(size=N)
CLASSES = np.where(NOISE + RNG.normal(size=N) > 0, "up", "down")
QUANTITY = np.exp(RNG.normal(size=N))


def texts(cells: Any) -> Column:
    column = np.empty(len(cells), dtype=object)
    column[:] = list(cells)
    return Column(Reading("text"), column)


def numbers(values: Any) -> Column:
    return Column(Reading("number", "."), np.asarray(values, dtype=float))


def found(y: np.ndarray, classification: bool, **columns: Column) -> list[str]:
    X = Columns({**columns, "noise": numbers(NOISE)})
    table = RawTable(X, y, None, "y", ())
    options = ReadingOptions(target="y")
    preparation, _ = learn_encoded(
        X, y, classification=classification, target_name="y", table=options, options=EncoderOptions()
    )
    return list(remarks(table, preparation))


def of_classes(**columns: Column) -> list[str]:
    return found(CLASSES, True, **columns)


def of_quantity(**columns: Column) -> list[str]:
    return found(QUANTITY, False, **columns)


def test_tables_without_a_reason_have_no_remark() -> None:
    units = np.where(NOISE > 0, "kg", "pound")
    columns = {
        "unit": texts(units),
        "count": numbers(RNG.poisson(3.0, N)),
        "code": texts([f"{i % 30}{'abcdefg'[i % 7]}" for i in range(N)]),
    }
    assert of_classes(**columns) == []
    assert of_quantity(**columns) == []


KNOWN = "; if it is not known when predictions are made: --drop leak"


@pytest.mark.parametrize(
    "leak",
    [
        numbers(np.where(CLASSES == "up", 1.0, -1.0) * RNG.uniform(1, 2, N)),  # the day's return of a day that was up
        texts(np.where(CLASSES == "up", "won", np.where(NOISE > 0, "lost", "draw"))),
        Column(Reading("truth", "no/yes"), np.where(CLASSES == "up", 1.0, 0.0)),
        numbers(np.where(CLASSES == "up", 7.0, np.where(NOISE > 0, 3.0, 9.0))),  # codes, not in order
    ],
)
def test_a_column_that_determines_the_classes_is_named(leak: Column) -> None:
    assert of_classes(leak=leak) == [f"'leak' alone determines 'y'{KNOWN}"]
    mixed = leak.values.copy()
    mixed[np.flatnonzero(CLASSES == "up")[0]] = mixed[np.flatnonzero(CLASSES == "down")[0]]
    assert of_classes(leak=leak._replace(values=mixed)) == []  # one row that contradicts it is enough


@pytest.mark.parametrize("leak", [numbers(np.log(QUANTITY)), numbers(-(QUANTITY**3))])
def test_a_column_that_determines_the_quantity_is_named(leak: Column) -> None:
    assert of_quantity(leak=leak) == [f"'leak' alone determines 'y'{KNOWN}"]


def test_a_group_that_determines_the_quantity_is_named() -> None:
    group = RNG.integers(12, size=N)
    y = RNG.normal(size=12)[group]
    assert found(y, False, leak=numbers(group)) == [f"'leak' alone determines 'y'{KNOWN}"]
    assert found(y, False, leak=texts([f"g{g}" for g in group])) == [f"'leak' alone determines 'y'{KNOWN}"]


def test_what_grows_with_the_rows_gives_nothing_away() -> None:
    assert found(np.sort(QUANTITY), False, year=numbers(1900.0 + np.arange(N))) == []


def test_parts_of_a_sum_are_named() -> None:
    parts = {"by car": numbers(RNG.poisson(50, N)), "bus": numbers(RNG.poisson(20, N)), "rain": numbers(QUANTITY)}
    y = parts["by car"].values + parts["bus"].values
    question = "; if they are not known when predictions are made: --drop 'by car' --drop bus"
    assert found(y, False, **parts) == [f"'y' is a weighted sum of 'by car' and 'bus'{question}"]
    assert found(y + RNG.normal(size=N), False, **parts) == []
    few = slice(0, 14)  # as many weights would fit almost anything
    assert not columns_fit({name: part.values[few] for name, part in parts.items()}, y[few])


def columns_fit(columns: dict[str, np.ndarray], y: np.ndarray) -> list[str]:
    return columns_whose_sum_is(Columns({name: numbers(values) for name, values in columns.items()}), y)


def test_columns_that_are_left_out_give_nothing_away() -> None:
    assert found(np.repeat(["a", "b"], N // 2), True, id=numbers(np.arange(N))) == []


@pytest.mark.parametrize(
    ("cells", "odd", "n"),
    [
        ([f"{i} kg" for i in range(N)], "0 kg", N),
        ([f"{i % 40 + 0.5} lb" if i % 2 else f"{i % 40} kg" for i in range(N)], "0 kg", N),
        ([str(i % 50) if i % 4 else "unknown" for i in range(N)], "unknown", 90),
        (["<0.5" if i % 2 else f"{i / 100}" for i in range(N)], "<0.5", N),
        ([f"{i},000 $" for i in range(1, N + 1)], "1,000 $", N),
    ],
)
def test_texts_that_hold_numbers_are_named(cells: list[str], odd: str, n: int) -> None:
    assert of_classes(c=texts(cells)) == [
        f"'c' is read as texts, since {odd!r} is not a plain number, though {n} of its 120 cells hold one; plain "
        "numbers and empty cells are a quantity"
    ]


@pytest.mark.parametrize(
    "cells",
    [
        [f"{i % 11:03d} m" if i % 2 else f"{i % 11:03d}" for i in range(N)],  # codes
        [f"{i % 8} kg" for i in range(N)],  # eight sizes
        [f"{i}-{i + 1}" for i in range(N)],
        [f"{i} long street" for i in range(N)],
    ],
)
def test_codes_and_names_are_texts(cells: list[str]) -> None:
    assert of_classes(c=texts(cells)) == []


def test_spellings_that_differ_in_case_are_named() -> None:
    cities = [("Berlin", "BERLIN", "Paris", None)[i % 4] for i in range(N)]
    end = "which differ in case or blanks alone"
    assert of_classes(city=texts(cities)) == [f"'BERLIN' and 'Berlin' of 'city' are 2 categories, {end}"]
    classes = np.array([("yes", "Yes", "no")[i % 3] for i in range(N)])
    assert found(classes, True) == [f"'Yes' and 'yes' of 'y' are 2 classes, {end}"]


@pytest.mark.parametrize(
    ("usual", "stand_in", "is_named"),
    [
        (lambda: RNG.integers(51, size=N), -999, True),
        (lambda: RNG.integers(51, size=N), -9, True),
        (lambda: RNG.integers(1, 6, size=N), 99, True),
        (lambda: RNG.integers(91, size=N), 99, False),  # an age
        (lambda: RNG.integers(-20, 21, size=N), -9, False),
        (lambda: RNG.integers(51, size=N), 1000, False),
    ],
)
def test_numbers_that_stand_for_missing_cells_are_named(usual: Any, stand_in: int, is_named: bool) -> None:
    values = usual()
    values[[3, 50, 77]] = stand_in
    rest = np.delete(values, [3, 50, 77])
    low, high = rest.min(), rest.max()
    expected = (
        f"'c' is {stand_in} in 3 rows, and from {low} to {high} in all others; where it stands for a missing value, "
        "leave the cells empty"
    )
    assert of_classes(c=numbers(values)) == [expected] * is_named


def test_dates_are_no_good_classes() -> None:
    days = np.array([f"2024-01-{i % 28 + 1:02d}" for i in range(N)])
    assert found(days, True) == ["'y' holds dates, each of which is a class; a number of days is a quantity"]


@pytest.mark.parametrize(
    ("values", "n_groups"),
    [
        (1 + np.arange(N) // 4, 30),  # four measurements of each subject
        (1 + np.arange(N) // 30, None),  # four grades
        (1960 + np.arange(N) // 4, None),  # years
        (1 + np.arange(N) // 4 * 2, None),
        (1 + np.arange(N) % 30, None),
    ],
)
def test_numbers_of_groups_are_named(values: np.ndarray, n_groups: int | None) -> None:
    remark = (
        f"'the unit' counts {n_groups} groups of rows from 1 on, and is read as a quantity; --categorical 'the unit'"
    )
    expected = [f"{remark} reads it as categories"] if n_groups else []
    assert of_quantity(**{"the unit": numbers(values)}) == expected

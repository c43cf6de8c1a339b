from __future__ import annotations

import csv
import gzip
import io
import math
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from portable_mlp.tables import limits as table_limits
from portable_mlp.tables.reading import (
    DataError,
    MixedTargetError,
    Table,
    read_prediction_table,
    read_training_table,
    write_table,
)
from portable_mlp.tables.writing import OUTPUT_SUFFIXES
from tests.memory import peak_memory
from tests.selection import one_in, rarely

STOPS = "the compressed data stop before their end (is the file complete?)"

WriteFile = Callable[[str | bytes], Path]
SaveArrays = Callable[..., Path]


@pytest.fixture(params=["data.csv", "data.csv.gz"])
def data_csv(request: pytest.FixtureRequest, tmp_path: Path) -> WriteFile:
    """Write the content of data.csv, plain and compressed: what is read and what is refused is the same."""

    def write(content: str | bytes) -> Path:
        path: Path = tmp_path / request.param
        whole = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(whole, 1) if path.suffix == ".gz" else whole)
        return path

    return write


@pytest.fixture
def data_npz(tmp_path: Path) -> SaveArrays:
    """Save the arrays of data.npz."""

    def save(**arrays: Any) -> Path:
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return save


@pytest.fixture
def data_npy(tmp_path: Path) -> SaveArrays:
    """Save the array of data.npy."""

    def save(array: Any) -> Path:
        path = tmp_path / "data.npy"
        np.save(path, array)
        return path

    return save


def refusal(path: Path, message: str) -> Any:
    """Expect a DataError with this message, no more and no less, after the path."""
    return pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + r"\Z")


def assert_table(table: Table, X: Any, y: Any, names: Sequence[str], target: str | None) -> None:
    assert table.X.dtype == np.float64
    assert table.X.flags.c_contiguous
    assert_array_equal(table.X, np.array(X, dtype=np.float64), strict=True)
    if y is None:
        assert table.y is None
    else:
        assert table.y is not None
        assert_array_equal(table.y, y, strict=True)
    assert table.feature_names == tuple(names)
    assert table.target_name == target


# --- Text files that can be read

FLOWERS = "length,width,kind\n1,2,setosa\n3,4,virginica\n"


@pytest.mark.parametrize(
    ("target", "X", "y", "names"),
    [
        (None, [[1, 2], [3, 4]], np.array(["setosa", "virginica"]), ("length", "width")),
        ("kind", [[1, 2], [3, 4]], np.array(["setosa", "virginica"]), ("length", "width")),
        (" kind\t", [[1, 2], [3, 4]], np.array(["setosa", "virginica"]), ("length", "width")),
    ],
)
def test_the_target_is_the_named_or_the_last_column(
    data_csv: WriteFile, target: str | None, X: Any, y: Any, names: Sequence[str]
) -> None:
    assert_table(read_training_table(data_csv(FLOWERS), target), X, y, names, "kind")


def test_the_target_may_be_any_column(data_csv: WriteFile) -> None:
    table = read_training_table(data_csv("a,b,c\n1,2,3\n4,5,6\n"), "b")
    assert_table(table, [[1, 3], [4, 6]], np.array([2, 5]), ("a", "c"), "b")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("a,b,c\n1,2,x\n3,4,y\n", id="plain"),
        pytest.param("a,b,c\n1,2,x\n3,4,y", id="no line end at the end"),
        pytest.param("a,b,c\r\n1,2,x\r\n3,4,y\r\n", id="line ends of Windows"),
        pytest.param("a,b,c\n1,2,x\n3,4,y\n\n\r\n\n", id="blank lines at the end"),
        pytest.param("\ufeffa,b,c\n1,2,x\n3,4,y\n", id="byte order mark"),
        pytest.param('"a","b","c"\n"1","2","x"\n"3","4","y"\n', id="quoted cells"),
        pytest.param(" a , b\t, c \n 1 ,\t2,  x\n3\t, 4 ,y \t\n", id="blanks around cells"),
        pytest.param("a,b,c\n+1.,.2e+1,x\n0.3E1,400e-2,y\n", id="forms of numbers"),
    ],
)
def test_ways_to_write_one_table(data_csv: WriteFile, content: str) -> None:
    table = read_training_table(data_csv(content))
    assert_table(table, [[1, 2], [3, 4]], np.array(["x", "y"]), ("a", "b"), "c")


@pytest.mark.parametrize("name", ["data.tsv", "DATA.TSV"])
def test_cells_of_a_tsv_file_end_at_tabs(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a\tb, c\ty\n1\t 2 \tx, z\n")
    assert_table(read_training_table(path), [[1, 2]], np.array(["x, z"]), ("a", "b, c"), "y")


def test_quoted_cells_may_hold_delimiters_quotes_and_lines(data_csv: WriteFile) -> None:
    path = data_csv('"a ""b""",y\n1,"one,\nor ""two"""\n')
    assert_table(read_training_table(path), [[1]], np.array(['one,\nor "two"']), ('a "b"',), "y")


BOTH, CLASSES, QUANTITY = ("any", "unmixed"), ("any",), ("unmixed",)
MANY = list(map(str, range(100, 121)))
"""One more than whole numbers that are classes may be."""
TARGET_CELLS: dict[str, tuple[Sequence[str], Sequence[Any], Any]] = {
    "integers": (BOTH, ["1", "-2", "0", "-0"], np.array([1, -2, 0, 0])),
    "the largest integers": (BOTH, [f"{2**63 - 1}", f"{-(2**63)}"], np.array([2**63 - 1, -(2**63)])),
    "integers with a point": (BOTH, ["1.0", "0.0", "2."], np.array([1, 0, 2])),
    "integers with an exponent": (BOTH, ["1e3", "2.5e+01", "-1.000000000000000000e+00"], np.array([1000, 25, -1])),
    "integers in several ways": (BOTH, ["1", "1.0", "+1.0"], np.array([1, 1, 1])),
    "leading zeros": (BOTH, ["007", "12"], np.array(["007", "12"])),
    "leading zeros and signs": (BOTH, ["-01", "+00", "3"], np.array(["-01", "+00", "3"])),
    "many with leading zeros": (BOTH, [*MANY, "0100"], np.array([*MANY, "0100"])),
    "leading zeros and nothing else": (BOTH, ["01", "1", "001"], np.array(["01", "1", "001"])),
    "more zeros than Python reads": (BOTH, ["1" + "0" * 5, "0" * 5000 + "1"], np.array(["100000", "0" * 5000 + "1"])),
    "a plus": (BOTH, ["+1", "-1"], np.array(["+1", "-1"])),
    "classes with a plus": (CLASSES, [*MANY, "+1"], np.array([*MANY, "+1"])),
    "a quantity with a plus": (QUANTITY, [*MANY, "+1"], np.array([*range(100, 121), 1])),
    "too long for integers": (BOTH, ["9223372036854775808", "1"], np.array(["9223372036854775808", "1"])),
    "many that are too long": (QUANTITY, [*MANY, "1" + "0" * 22], np.array([*map(float, MANY), 1e22])),
    "fractions": (BOTH, ["1.5", "0.25", "1e-07"], np.array([1.5, 0.25, 1e-7])),
    "fractions with zeros": (QUANTITY, ["1.50", "01.1", "3", "+2"], np.array([1.5, 1.1, 3.0, 2.0])),
    "classes with fractions": (CLASSES, ["1.10", "1.1", "2"], np.array(["1.10", "1.1", "2"])),
    "beyond what float64 counts": (QUANTITY, ["1e300", "2e16"], np.array([1e300, 2e16])),
    "a word": (BOTH, ["1", "two"], np.array(["1", "two"])),
    "words that Python reads": (BOTH, ["0x1", "1_0", "\uff11"], np.array(["0x1", "1_0", "\uff11"])),
    "no numbers": (BOTH, ["1e999", "nan", "other"], np.array(["1e999", "nan", "other"])),
    "letters": (BOTH, ["é", "日本"], np.array(["é", "日本"])),
    "truth values": (BOTH, ["true", "FALSE", "True"], np.array(["true", "FALSE", "True"])),
    "truth values and words": (BOTH, ["True", "3", "maybe"], np.array(["True", "3", "maybe"])),
}


@pytest.mark.parametrize(
    ("kind", "cells", "y"),
    [
        pytest.param(kind, cells, y, id=f"{name}, {kind}")
        for name, (kinds, cells, y) in TARGET_CELLS.items()
        for kind in kinds
    ],
)
def test_targets_in_text_are_numbers_that_give_the_cells_back_or_texts(
    data_csv: WriteFile, kind: Any, cells: Sequence[str], y: Any
) -> None:
    path = data_csv("a,y\n" + "".join(f"0, {cell} \n" for cell in cells))
    assert_table(read_training_table(path, target_kind=kind), [[0]] * len(cells), y, ("a",), "y")


@pytest.mark.parametrize(
    ("cells", "y"),
    [
        (["1", " -2"], np.array([1, -2])),
        (["007", "+1", "1.0"], np.array([7, 1, 1])),
        (["1.50", "01"], np.array([1.5, 1.0])),
        (["9223372036854775808", "0" * 5000 + "1"], np.array([2.0**63, 1.0])),
        (["TRUE", "false"], np.array([True, False])),
    ],
)
def test_targets_that_must_be_numbers_are_however_they_are_written(
    data_csv: WriteFile, cells: Sequence[str], y: Any
) -> None:
    path = data_csv("a,y\n" + "".join(f"0,{cell}\n" for cell in cells))
    assert_table(read_training_table(path, target_kind="numbers"), [[0]] * len(cells), y, ("a",), "y")


NOT_BOTH = "(a column holds numbers, or True and False, not both)"


def test_truth_values_are_0_and_1(data_csv: WriteFile) -> None:
    path = data_csv("a,b,c,y\nTrue, false ,2,1.5\nFALSE,TRUE,-0.5,2.5\n")
    X = [[1, 0, 2], [0, 1, -0.5]]
    assert_table(read_training_table(path), X, np.array([1.5, 2.5]), ("a", "b", "c"), "y")
    assert_table(read_prediction_table(path, ["a", "b", "c"], "y"), X, None, ("a", "b", "c"), None)


@pytest.mark.parametrize(
    ("first", "cell", "reason"),
    [
        ("True", "3", "'3' is not True or False, as the cells above it are"),
        ("true", "1", "'1' is not True or False, as the cells above it are"),
        ("FALSE", "no", "'no' is not True or False, as the cells above it are"),
        ("FALSE", " ", "the cell is empty; True or False is expected (remove the row or fill the cell)"),
        ("3", " True", f"' True' is not a number {NOT_BOTH}"),
        ("3", "tRUE", "'tRUE' is not a number"),
    ],
)
def test_truth_values_and_numbers_in_one_column(data_csv: WriteFile, first: str, cell: str, reason: str) -> None:
    path = data_csv(f"a,b,y\n1,{first},3\n1,{first},4\n1,{cell},5\n1,bad,5\n")
    for read in (read_training_table, read_prediction_table):
        with refusal(path, f":4:2: {reason}"):
            read(path)


@pytest.mark.parametrize(
    ("kind", "cells", "message"),
    [
        (
            "unmixed",
            ["3", "True", "4"],
            f":3:2: 'True' is not a number {NOT_BOTH}, while 2 of the 3 targets are numbers",
        ),
        ("unmixed", ["false", "3"], f":2:2: 'false' is not a number {NOT_BOTH}, while 1 of the 2 targets are numbers"),
        ("numbers", ["false", "3"], ":3:2: '3' is not True or False, as the cells above it are"),
        ("numbers", ["3", "false"], f":3:2: 'false' is not a number {NOT_BOTH}"),
    ],
)
def test_truth_values_and_numbers_among_targets(
    data_csv: WriteFile, kind: Any, cells: Sequence[str], message: str
) -> None:
    path = data_csv("a,y\n" + "".join(f"0,{cell}\n" for cell in cells))
    with refusal(path, message):
        read_training_table(path, target_kind=kind)
    assert_table(read_training_table(path), [[0]] * len(cells), np.array(cells), ("a",), "y")


def test_numbers_whose_sum_overflows_are_finite(data_csv: WriteFile) -> None:
    path = data_csv("a,b\n1.7e308,1.7e308\n")
    assert_table(read_prediction_table(path), [[1.7e308, 1.7e308]], None, ("a", "b"), None)


@pytest.mark.parametrize(
    ("header", "feature_names", "target_name", "X", "names"),
    [
        ("a,b,c", None, None, [[1, 2, 3]], ("a", "b", "c")),
        ("a,b,c", None, "b", [[1, 3]], ("a", "c")),
        ("a,b,c", None, "absent", [[1, 2, 3]], ("a", "b", "c")),
        ("a,b,c", ["a", "b", "c"], None, [[1, 2, 3]], ("a", "b", "c")),
        ("a,b,c", ["c", "a", "b"], None, [[3, 1, 2]], ("c", "a", "b")),
        ("a,b,c", ["c", "a"], "b", [[3, 1]], ("c", "a")),
    ],
)
def test_columns_for_prediction(
    data_csv: WriteFile,
    header: str,
    feature_names: Sequence[str] | None,
    target_name: str | None,
    X: Any,
    names: Sequence[str],
) -> None:
    table = read_prediction_table(data_csv(f"{header}\n1,2,3\n"), feature_names, target_name)
    assert_table(table, X, None, names, None)


@pytest.mark.parametrize("cell", ["", "nan", "any text"])
def test_the_target_is_not_parsed_for_prediction(data_csv: WriteFile, cell: str) -> None:
    table = read_prediction_table(data_csv(f"y,a\n{cell},1\n"), ["a"], "y")
    assert_table(table, [[1]], None, ("a",), None)


# --- Text files that cannot be read


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "the cell is empty; a number is expected (remove the row or fill the cell)"),
        (" \t ", "the cell is empty; a number is expected (remove the row or fill the cell)"),
        ("abc", "'abc' is not a number"),
        ("1 2", "'1 2' is not a number"),
        ("1.2.3", "'1.2.3' is not a number"),
        (".", "'.' is not a number"),
        ("e5", "'e5' is not a number"),
        ("1e", "'1e' is not a number"),
        ("--1", "'--1' is not a number"),
        ("1_000", "'1_000' is not a number"),
        ("0x10", "'0x10' is not a number"),
        ("\uff11", "'\uff11' is not a number"),
        ("\u00a01", r"'\xa01' is not a number"),
        ("1\u2003", r"'1\u2003' is not a number"),
        ("NA", "'NA' is not a number"),
        ("1\x1b[31m", r"'1\x1b[31m' is not a number"),
        ('"1,5"', "'1,5' is not a number"),
        ('"1\n"', r"'1\n' is not a number"),
        ("x" * 40, f"'{'x' * 40}' is not a number"),
        ("x" * 41, f"'{'x' * 40}'... is not a number"),
        ("nan", "'nan' is not a finite number"),
        (" NaN", "' NaN' is not a finite number"),
        ("-inf", "'-inf' is not a finite number"),
        ("Infinity", "'Infinity' is not a finite number"),
        ("\u0131nf", "'\u0131nf' is not a number"),
        ("1e999", "'1e999' is too large for float64"),
        ("-1e999", "'-1e999' is too large for float64"),
        ("9" * 400, f"'{'9' * 40}'... is too large for float64"),
    ],
)
def test_a_cell_that_is_no_finite_number_is_named(data_csv: WriteFile, cell: str, reason: str) -> None:
    path = data_csv(f"a,b,y\n1,2,3\n1,{cell},3\n")
    with refusal(path, f":3:2: {reason}"):
        read_training_table(path)
    with refusal(path, f":3:2: {reason}"):
        read_prediction_table(path)


def test_a_cell_is_named_by_its_place_in_the_file(data_csv: WriteFile) -> None:
    path = data_csv('a,b,c\n1,"two\nlines",3\n4,x,y\n')
    with refusal(path, ":4:3: 'y' is not a number"):
        read_prediction_table(path, ["c", "a"], "b")


def test_the_line_of_a_cell_is_that_on_which_its_row_starts(data_csv: WriteFile) -> None:
    path = data_csv('a,y\n1,x\nno,"three\nlines\nhere"\n')
    with refusal(path, ":3:1: 'no' is not a number"):
        read_training_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": the file is empty; a header line is expected"),
        ("\ufeff", ": the file is empty; a header line is expected"),
        ("\n\n", ": the file is empty; a header line is expected"),
        ("a,y\n", ": no row after the header line"),
        ("a,y\n\n\n", ": no row after the header line"),
        ("1,2.5,-3e4\n4,5,6\n", ":1: the first line is all numbers; a header line with names is expected"),
        ("a,,y\n1,2,3\n", ":1:2: the column has no name"),
        ("a,b, \n1,2,3\n", ":1:3: the column has no name"),
        ("a,b, a \n1,2,3\n", ":1:3: the name 'a' is that of column 1 too"),
        ("y\n1\n", ":1: 'y' is the only column; no feature is left"),
        ("a,b,y\n1,2,3\n4,5\n", ":3: 2 cells where the header has 3"),
        ("a,b,y\n1,2,3\n4,5,6,7\n", ":3: 4 cells where the header has 3"),
        ("a,b,y\n1,2,3\n \n", ":3: 1 cell where the header has 3"),
        ("a,y\n1,2\n\n\n3,4\n", ":3: blank line (blank lines may stand at the end only)"),
        ("\na,y\n1,2\n", ":1: blank line (blank lines may stand at the end only)"),
        ("a,y\n1,\n", ":2:2: the target is empty (remove the row or fill the cell)"),
        ("a,y\n1, \t\n", ":2:2: the target is empty (remove the row or fill the cell)"),
        ('a,y\n1,2\n3,"x"z\n', ":3: text after the closing quote of a cell"),
        ('a,y\n1,2\n3,"x\n4,5\n', ":3: the closing quote of a cell is missing"),
        ("a,y\r1,2\r", r":1: a carriage return inside an unquoted cell (lines end with \n or \r\n)"),
        (f'a,y\n1,"{"x" * 200_000}"\n', ":2: a cell is too long (is a closing quote missing?)"),
        (
            "a,y\n1,2\n3,\x00\n",
            ":3: a NUL byte; the file is not UTF-8 text (--encoding reads others)",
        ),
        (
            b"a,y\n1,2\n3,\xe9t\xe9\n",
            ":3: byte 0xe9 is not valid UTF-8 (save the file as UTF-8; --encoding reads others)",
        ),
        (
            "a,y\n1,2\n".encode("utf-16"),
            ":1: a NUL byte; the file is not UTF-8 text (--encoding reads others)",
        ),
        ("a,y\n1,2" + "\n" * 10_003, ":3: more than 10000 blank lines"),
        ("a,y\n1,1.5\n2,nan\n", ":3:2: 'nan' is not a finite number"),
        ("a,y\n1,15\n2,-Inf\n", ":3:2: '-Inf' is not a finite number"),
        ("a,y\n1,1.5\n2,1e400\n", ":3:2: '1e400' is too large for float64"),
    ],
)
def test_a_mistake_in_a_text_file(data_csv: WriteFile, content: str | bytes, message: str) -> None:
    path = data_csv(content)
    with refusal(path, message):
        read_training_table(path)


TOO_MANY = "more than {cells} cells; no more can be read from a file of this size"
TOO_LARGE = {
    "header": ("x," * 70_000 + "x\n", f":1: {TOO_MANY}"),
    "row": ("a,y\n1,2" + ",2" * 70_000 + "\n", f":2: {TOO_MANY}"),
    "row of many lines": ("a,y\n" + '1,"\n",' * 70_000, f":2: {TOO_MANY}"),
    "line": ("a,y\n1,2\n3," + "4" * 2**23, ":3: the row is longer than {bytes} bytes"),
    "cell of many lines": ('a,y\n1,"' + "\n" * 2**23, ":2: a cell is too long (is a closing quote missing?)"),
}


@pytest.mark.parametrize(("content", "message"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_rows_that_are_too_large_for_their_file(tmp_path: Path, content: str, message: str) -> None:
    """A file that is not compressed may have many columns if it is long."""
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(content.encode()))
    size = path.stat().st_size
    with refusal(path, message.format(cells=2**16 + size // 16, bytes=2**22 + size // 2)):
        read_training_table(path)


@pytest.mark.parametrize("n_columns", [20_531, *rarely(450_000)])
def test_as_many_columns_as_there_are_genes_and_sites_can_be_read(tmp_path: Path, n_columns: int) -> None:
    path = tmp_path / "data.csv"
    cells = map(repr, np.random.default_rng(0).normal(size=n_columns).tolist())
    path.write_text(",".join(f"cg{column:08}" for column in range(n_columns)) + "\n" + ",".join(cells) + "\n")
    assert read_prediction_table(path).X.shape == (1, n_columns)


def test_labels_that_would_fill_the_memory_are_refused(data_csv: WriteFile) -> None:
    path = data_csv("a,y\n1,z\n1," + "x" * 100_000 + "\n" + "1,z\n" * 3_000)
    with refusal(path, ":3:2: a target of 100000 characters is too long for a label"):
        read_training_table(path)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("abc", "'abc' is not a number"),
        ("1_000", "'1_000' is not a number"),
        (" nan", "'nan' is not a finite number"),
        ("-1e999", "'-1e999' is too large for float64"),
        ("", "the target is empty (remove the row or fill the cell)"),
    ],
)
def test_a_target_that_must_be_a_number_and_is_not(data_csv: WriteFile, cell: str, reason: str) -> None:
    path = data_csv(f"a,y,b\n1,2,3\n1,{cell},3\n1,def,3\n")
    with refusal(path, f":3:2: {reason}"):
        read_training_table(path, "y", target_kind="numbers")


MIXED = [
    pytest.param(["1.5"] * 10 + ["abc"], ":12:2: 'abc' is not a number, while 10 of the 11 targets are numbers"),
    pytest.param(["abc", "def"] + ["7"] * 18, ":2:2: 'abc' is not a number, while 18 of the 20 targets are numbers"),
    pytest.param(["5"] * 90 + ["x"] * 10, ":92:2: 'x' is not a number, while 90 of the 100 targets are numbers"),
    pytest.param(
        ["2"] * 30 + ["nan", "-"], ":32:2: 'nan' is not a finite number, while 30 of the 32 targets are numbers"
    ),
    pytest.param(
        ["1e999"] + ["2"] * 30 + ["-"], ":2:2: '1e999' is too large for float64, while 30 of the 32 targets are numbers"
    ),
]
"""At least ten targets, and at least nine out of ten, are finite numbers; the others are a mistake, most likely."""


@pytest.mark.parametrize(("cells", "message"), MIXED)
def test_numbers_with_a_few_texts_among_them(data_csv: WriteFile, cells: list[str], message: str) -> None:
    path = data_csv("a,y\n" + "".join(f"0,{cell}\n" for cell in cells))
    with refusal(path, message) as caught:
        read_training_table(path, target_kind="unmixed")
    assert caught.type is MixedTargetError
    assert_table(read_training_table(path), [[0]] * len(cells), np.array(cells), ("a",), "y")


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(["1"] * 9 + ["abc"], id="too few numbers"),
        pytest.param(["1"] * 26 + ["abc"] * 3, id="too many texts"),
        pytest.param(["1"] * 10 + ["nan", "abc"], id="too many cells that are not finite"),
        pytest.param(["abc", "def"], id="no number"),
    ],
)
def test_texts_with_a_few_numbers_among_them_are_classes(data_csv: WriteFile, cells: list[str]) -> None:
    path = data_csv("a,y\n" + "".join(f"0,{cell}\n" for cell in cells))
    table = read_training_table(path, target_kind="unmixed")
    assert_table(table, [[0]] * len(cells), np.array(cells), ("a",), "y")


def test_a_missing_value_among_numbers_is_no_class(data_csv: WriteFile) -> None:
    path = data_csv("a,y\n" + "0,1\n" * 20 + "0,nan\n")
    with refusal(path, ":22:2: 'nan' is not a finite number") as caught:
        read_training_table(path, target_kind="unmixed")
    assert caught.type is DataError


def test_an_unknown_kind_of_targets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^target_kind must be one of 'any', 'unmixed', 'numbers'; got 'float'$"):
        read_training_table(tmp_path / "data.csv", target_kind="float")  # type: ignore[arg-type]


FIRST_NAMES = ", ".join(f"'c{i:02}'" for i in range(20))


@pytest.mark.parametrize(
    ("header", "target", "message"),
    [
        ("a,b", "z", ":1: no column 'z'; the columns are 'a', 'b'"),
        ("a,Cost", "cost", ":1: no column 'cost' (did you mean 'Cost'?); the columns are 'a', 'Cost'"),
        (
            ",".join(f"c{i:02}" for i in range(23)),
            "target",
            f":1: no column 'target'; the columns are {FIRST_NAMES} and 3 more",
        ),
    ],
)
def test_a_missing_target(data_csv: WriteFile, header: str, target: str, message: str) -> None:
    path = data_csv(header + "\n")
    with refusal(path, message):
        read_training_table(path, target)


@pytest.mark.parametrize(
    ("header", "feature_names", "target_name", "faults"),
    [
        ("a,c", ["a", "b", "c"], None, "lacks 'b'"),
        ("c,a", ["a", "b", "c", "d"], "y", "lacks 'b', 'd'"),
        ("a,z,b,w", ["a", "b"], None, "has besides 'z', 'w'"),
        ("a,z,y", ["a", "b"], "y", "lacks 'b' and has besides 'z'"),
    ],
)
def test_columns_that_the_model_does_not_expect(
    data_csv: WriteFile, header: str, feature_names: Sequence[str], target_name: str | None, faults: str
) -> None:
    path = data_csv(header + "\n")
    expected = ", ".join(map(repr, feature_names))
    with refusal(path, f":1: the model expects the columns {expected}, the file {faults}"):
        read_prediction_table(path, feature_names, target_name)


def test_a_file_for_prediction_with_the_target_only(data_csv: WriteFile) -> None:
    path = data_csv("y\n1\n")
    with refusal(path, ":1: 'y' is the only column; no feature is left"):
        read_prediction_table(path, None, "y")


@pytest.mark.parametrize("read", [read_training_table, read_prediction_table])
@pytest.mark.parametrize("name", ["data.json", "data", "data.npy.gz", "data.gz", ".csv", "data.csv.gz.gz", "data.pkl"])
def test_files_of_other_kinds(tmp_path: Path, name: str, read: Callable[[Path], Table]) -> None:
    with refusal(tmp_path / name, ": the file's name must end in .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .npy or .npz"):
        read(tmp_path / name)


@pytest.mark.parametrize("read", [read_training_table, read_prediction_table])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".npz", ".npy"])
def test_files_that_the_system_cannot_open(
    tmp_path: Path,
    suffix: str,
    read: Callable[[Path], Table],
) -> None:
    missing, directory, loop = (tmp_path / f"{name}{suffix}" for name in ("missing", "directory", "loop"))
    directory.mkdir()
    loop.symlink_to(loop)
    with refusal(missing, ": No such file or directory"):
        read(missing)
    with refusal(directory, ": Is a directory"):
        read(directory)
    with refusal(loop, ": Too many levels of symbolic links"):
        read(loop)


def test_memory_is_a_small_multiple_of_the_table(data_csv: WriteFile) -> None:
    path = data_csv(",".join("abcdefghij") + "\n" + ("0.123456789," * 9 + "1\n") * 20_000)
    assert read_prediction_table(path).X.shape == (20_000, 10)
    assert peak_memory(lambda: read_prediction_table(path)) < 1.5 * 20_000 * 10 * 8


@pytest.mark.parametrize("target", one_in(3, ["label", "1", "0.123456789"]))
def test_targets_take_little_memory_before_they_are_an_array(data_csv: WriteFile, target: str) -> None:
    """The hardest case: a single feature."""
    path = data_csv("a,y\n" + f"0.5,{target}\n" * 20_000)
    assert peak_memory(lambda: read_training_table(path)) < 4.5 * 20_000 * (8 + 8)


def test_a_line_without_end_takes_little_memory(data_csv: WriteFile) -> None:
    path = data_csv("a,y\n" + "1" * 20_000_000)
    size = path.stat().st_size

    def read() -> None:
        with refusal(path, f":2: the row is longer than {2**22 + size // 2} bytes"):
            read_training_table(path)

    assert peak_memory(read) < 2 * size + 2**25


HALF = "which take half of this machine's memory"


def test_no_more_rows_are_read_than_may_be(data_csv: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_csv("a,b,y\n" + "1,2,3\n" * 10)
    assert len(read_training_table(path, max_rows=10).X) == 10
    assert len(read_prediction_table(path, max_rows=10).X) == 10
    with refusal(path, ":11: more than 9 rows, the limit that was set"):
        read_training_table(path, max_rows=9)
    with refusal(path, ":11: more than 9 rows, the limit that was set"):
        read_prediction_table(path, max_rows=9)
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 9 * (2 * 8 + 3 * 8))
    with refusal(path, f":11: more than 9 rows, {HALF}"):
        read_training_table(path, max_rows=10)
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 9 * 3 * 8)
    with refusal(path, f":11: more than 9 rows, {HALF}"):
        read_prediction_table(path)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_the_size_of_arrays_is_looked_at_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"data{suffix}"
    X = np.zeros((10, 3), dtype=np.int8)
    np.save(path, X) if suffix == ".npy" else np.savez(path, X=X, y=X)
    assert len(read_training_table(path, max_rows=10).X) == 10
    monkeypatch.setattr(np.lib.format, "read_array", None)
    for read in (read_training_table, read_prediction_table):
        with refusal(path, ": 10 rows are more than 9 rows, the limit that was set"):
            read(path, max_rows=9)
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 10 * 3 * 8 - 1)
    with refusal(path, f": 10 rows are more than 9 rows, {HALF}"):
        read_training_table(path)


ANNOUNCED = {
    "more rows": ("(2000000000000, 2)", "its header announces 32000000000000 bytes, and 160 are there"),
    "more columns": ("(1, 20000000000)", "its header announces 160000000000 bytes, and 160 are there"),
    "one number more": ("(7, 3)", "its header announces 168 bytes, and 160 are there"),
    "fewer rows than none": ("(-1, 2)", "its header announces the shape (-1, 2)"),
    "fewer of both": ("(-5, -4)", "its header announces the shape (-5, -4)"),
    "more than an integer holds": (f"({2**63}, 2)", f"its header announces {2**67} bytes, and 160 are there"),
    "no number": ("(True, None)", None),
}


@pytest.mark.parametrize(("shape", "message"), ANNOUNCED.values(), ids=ANNOUNCED)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_that_announces_what_is_not_there_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, shape: str, message: str | None
) -> None:
    monkeypatch.setattr(np.lib.format, "read_array", None)
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00v\x00" + header.encode() + bytes(160)
    path = tmp_path / f"data{suffix}"
    if suffix == ".npy":
        path.write_bytes(array)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("X.npy", array)
            archive.writestr("y.npy", array)
    what = "the array" if suffix == ".npy" else "the array 'X'"
    for read in (read_training_table, read_prediction_table):
        with pytest.raises(DataError, match="^" + re.escape(f"{path}: {what} cannot be read: {message or ''}")):
            read(path)


WRONG = {
    "no numbers": (
        {"X": np.zeros((1000, 1000), "S1"), "y": np.zeros(1000)},
        "X has dtype |S1; real numbers are expected",
    ),
    "dimensions": ({"X": np.zeros((100, 100, 100)), "y": np.zeros(100)}, "X has 3 dimensions; 2 are expected"),
    "lengths": ({"X": np.zeros((1000, 1000)), "y": np.zeros(999)}, "X has 1000 rows, y has 999"),
    "targets": ({"X": np.zeros((1000, 1000)), "y": np.zeros(1000, "S1")}, "y has dtype |S1; bool, integers, floats"),
    "nothing to predict": ({"X": np.zeros((1000, 1000))}, "no array 'y'; the file holds 'X'"),
}


@pytest.mark.parametrize(("arrays", "message"), WRONG.values(), ids=WRONG)
def test_an_archive_whose_headers_are_wrong_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, Any], message: str
) -> None:
    """Eight megabytes of zeros are eight kilobytes of file."""
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **arrays)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: {message}")):
        read_training_table(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_compressed_in_another_way(tmp_path: Path, method: int) -> None:
    """Ten million zeros are one block for bzip2, which unpacks it at once."""
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("X.npy", bytes(10_000_000))
    with refusal(path, ": the array 'X' cannot be read: it is compressed otherwise than numpy.savez_compressed does"):
        read_prediction_table(path)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_arrays_of_more_columns_than_their_file_has_room_for(tmp_path: Path, suffix: str) -> None:
    X = np.zeros((1, 100_000), "?")
    path = tmp_path / f"data{suffix}"
    np.savez_compressed(path, X=X) if suffix == ".npz" else np.save(path, X)
    most = 2**16 + path.stat().st_size // 16
    with refusal(path, f": 100000 columns; at most {most} can be read from a file of this size"):
        read_prediction_table(path)


def test_what_half_of_the_memory_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table_bytes = table_limits.table_bytes.__wrapped__
    assert 2**27 < table_bytes() < 2**50
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(table_limits, "_CONTAINER_LIMIT", limit)
    limit.write_text("104857600\n")
    assert table_bytes() == 50 * 2**20
    limit.write_text("max\n")
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}[name])
    assert table_bytes() == 500 * 4096
    monkeypatch.delattr(os, "sysconf")
    assert table_bytes() > 2**60


@pytest.mark.parametrize("read", [read_training_table, read_prediction_table])
def test_a_limit_that_leaves_nothing(tmp_path: Path, read: Any) -> None:
    with pytest.raises(ValueError, match=r"^max_rows must be at least 1; got 0$"):
        read(tmp_path / "data.csv", max_rows=0)


# --- Delimiters


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.tsv.gz"])
def test_a_delimiter_that_is_named_goes_before_the_suffix(tmp_path: Path, name: str, delimiter: str) -> None:
    path = tmp_path / name
    content = delimiter.join(("a", '"b,;|\tc"', "y")) + "\n" + delimiter.join("123") + "\n"
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert_table(read_training_table(path, delimiter=delimiter), [[1, 2]], np.array([3]), ("a", "b,;|\tc"), "y")
    assert read_prediction_table(path, ["y", "a", "b,;|\tc"], delimiter=delimiter).X.tolist() == [[3, 1, 2]]


@pytest.mark.parametrize("read", [read_training_table, read_prediction_table])
@pytest.mark.parametrize(
    ("header", "found"), [("a;b;y", "';'"), ("a\tb", r"'\t'"), ("a|b", "'|'"), ("a;b|c", "';' and '|'")]
)
def test_another_delimiter_is_not_guessed_but_pointed_out(
    data_csv: WriteFile, read: Callable[[Path], Table], header: str, found: str
) -> None:
    path = data_csv(f"{header}\n1,5;2;3\n")
    with refusal(path, f":1: no ',' in the header line, but {found} (--delimiter names the delimiter)"):
        read(path)


def test_a_single_column_may_be_called_anything_where_the_delimiter_is_named(data_csv: WriteFile) -> None:
    path = data_csv("a;b\n1\n")
    assert_table(read_prediction_table(path, delimiter=","), [[1]], None, ("a;b",), None)


def test_decimal_commas_are_named(data_csv: WriteFile) -> None:
    path = data_csv("a;y\n1,5;2\n")
    with refusal(path, ":2:1: '1,5' is not a number"):
        read_training_table(path, delimiter=";")


def test_delimiters_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^delimiter must be one of ',', '\\t', ';', '\|'; got '1'$"):
        read_training_table(tmp_path / "data.csv", delimiter="1")
    with refusal(tmp_path / "data.npz", ": the delimiter ';' does not go with an .npz file"):
        read_prediction_table(tmp_path / "data.npz", delimiter=";")


# --- Standard input


class OneByOne(io.BytesIO):
    """A pipe into which bytes are written one by one, those after a thousand in larger pieces."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(1 if self.tell() < 1000 else 1000)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Put bytes on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(OneByOne(content)))

    return put


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("a,b,y\n1,2,3\n", None),
        ("a\tb\ty\n1\t2\t3\n", None),
        ("a;b;y\n1;2;3\n", ";"),
        ("\ufeffa,b,y\r\n1,2,3", None),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_text_on_standard_input(
    typed: Callable[[bytes], None], content: str, delimiter: str | None, packed: bool
) -> None:
    whole = gzip.compress(content.encode()) if packed else content.encode()
    typed(whole)
    assert_table(read_training_table("-", delimiter=delimiter), [[1, 2]], np.array([3]), ("a", "b"), "y")
    typed(whole)
    assert_table(read_prediction_table("-", ["b", "a"], "y", delimiter=delimiter), [[2, 1]], None, ("b", "a"), None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty; a header line is expected"),
        (b"a,y\n1,2\nx,3\n", ":3:1: 'x' is not a number"),
        (gzip.compress(b"a,y\n1,2\nx,3\n", mtime=0), ":3:1: 'x' is not a number"),
        (gzip.compress(b"a,y\n1,2\n", mtime=0)[:-8], f":3: {STOPS}"),
        (b"a;y\n1;2\n", ":1: no ',' in the header line, but ';' (--delimiter names the delimiter)"),
        (
            b"a\0b\n",
            ":1: a NUL byte; the file is not UTF-8 text (--encoding reads others)",
        ),
        (
            b"\xff\tb\n",
            ":1: byte 0xff is not valid UTF-8 (save the file as UTF-8; --encoding reads others)",
        ),
        (b"a" * 2**23, f":1: the row is longer than {2**22} bytes"),
        (b"a,y\n" + b"1,2\n" * 20, ":12: more than 10 rows, the limit that was set"),
        (b"PAR1....", ": the file is a Parquet file; standard input takes text alone, name the file"),
        (b"\x93NUMPY.", ": the file is an array of NumPy; standard input takes text alone, name the file"),
        (b"PK\x03\x04.", ": the file is a zip archive or an Excel workbook; save the table as text"),
    ],
)
def test_a_mistake_on_standard_input(typed: Callable[[bytes], None], content: bytes, message: str) -> None:
    typed(content)
    with refusal(Path("standard input"), message):
        read_training_table("-", max_rows=10)


@pytest.mark.parametrize("closed", [False, True])
def test_no_standard_input(monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    """As of a service, or of a program without a console."""
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    monkeypatch.setattr("sys.stdin", stream if closed else None)
    with refusal(Path("standard input"), ": it is closed, or gives no bytes"):
        read_training_table("-")


def test_a_pipe_is_read_to_its_end_and_no_further(tmp_path: Path) -> None:
    code = "from portable_mlp.tables.reading import *; print(len(read_training_table('-').X))"
    content = gzip.compress(b"a,y\n" + b"1,2\n" * 100_000)
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, timeout=120, check=True)
    assert done.stdout == b"100000\n"


# --- What is shown


def test_a_path_is_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;title\x07\u202e\n.csv"
    path.write_text("a,y\nx,1\n")
    shown = f"{tmp_path}" r"/a\x1b]0;title\x07\u202e\n.csv"
    for read in (read_training_table, read_prediction_table):
        with pytest.raises(DataError, match="^" + re.escape(f"{shown}:2:1: 'x' is not a number") + "$"):
            read(path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x\x1b[31m", r"'x\x1b[31m'"),
        ("\x9b2J", r"'\x9b2J'"),
        ("\u202eabc\u2066", r"'\u202eabc\u2066'"),
        ("\u200b", r"'\u200b'"),
        ("\ufeffx", r"'\ufeffx'"),
        ("a\tb", r"'a\tb'"),
        ("\U000e0041", r"'\U000e0041'"),
        ("\\", r"'\\'"),
        ("日本 é", "'日本 é'"),
    ],
)
def test_cells_and_names_are_shown_escaped(data_csv: WriteFile, text: str, shown: str) -> None:
    path = data_csv(f"a,y\n{text},1\n")
    with refusal(path, f":2:1: {shown} is not a number"):
        read_training_table(path)
    path = data_csv(f"y,{text},{text}\n1,1,1\n")
    with refusal(path, f":1:3: the name {shown} is that of column 2 too"):
        read_training_table(path)


# --- Arrays


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", ">f8", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_features_become_float64(data_npz: SaveArrays, dtype: str, order: Any) -> None:
    X = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype, order=order)
    path = data_npz(X=X, y=np.array([1.5, 2.5]))
    assert_table(read_training_table(path), X, np.array([1.5, 2.5]), ("x0", "x1", "x2"), None)
    assert_table(read_prediction_table(path, ["a", "b", "c"]), X, None, ("x0", "x1", "x2"), None)


@pytest.mark.parametrize(
    "y",
    [
        np.array([1, 2], dtype=np.uint8),
        np.array([True, False]),
        np.array([0.5, 1.0], dtype=np.float32),
        np.array(["no", "yes"]),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_targets_of_an_archive_keep_their_dtype_and_shape(data_npz: SaveArrays, y: Any) -> None:
    path = data_npz(X=np.eye(2), y=y, other=np.array([None]))
    assert_table(read_training_table(path), np.eye(2), y, ("x0", "x1"), None)


@pytest.mark.parametrize("column", [[1.0, 0.0], [2, 3], [True, False], ["no", "yes"]])
def test_targets_of_one_column_are_as_those_of_one_dimension(data_npz: SaveArrays, column: Any) -> None:
    y = np.array(column)
    path = data_npz(X=np.eye(2), y=y[:, None])
    assert_table(read_training_table(path), np.eye(2), y, ("x0", "x1"), None)


def test_features_of_an_archive_without_targets(data_npz: SaveArrays) -> None:
    assert_table(read_prediction_table(data_npz(X=np.eye(2))), np.eye(2), None, ("x0", "x1"), None)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_the_last_column_of_an_array_is_the_target(data_npy: SaveArrays, dtype: Any) -> None:
    joined = np.arange(6, dtype=dtype).reshape(2, 3)
    path = data_npy(joined)
    assert_table(read_training_table(path), joined[:, :2], joined[:, 2], ("x0", "x1"), None)
    assert_table(read_prediction_table(path), joined, None, ("x0", "x1", "x2"), None)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), "X has 1 dimension; 2 are expected"),
        (np.ones((1, 2, 3)), "X has 3 dimensions; 2 are expected"),
        (np.ones((2, 2), dtype=complex), "X has dtype complex128; real numbers are expected"),
        (np.array([["1", "2"]]), "X has dtype <U1; real numbers are expected"),
        (np.zeros((1, 2), dtype="M8[s]"), "X has dtype datetime64[s]; real numbers are expected"),
        (np.ones((0, 3)), "X of shape (0, 3) is empty"),
        (np.ones((3, 0)), "X of shape (3, 0) is empty"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "X[1, 1] is nan; finite numbers are expected"),
        (np.array([[1.0, -np.inf], [np.nan, 1.0]]), "X[0, 1] is -inf; finite numbers are expected"),
        (np.array([[np.finfo("g").max]]), "X[0, 0] is inf; finite numbers are expected"),
        (
            np.array([[1, None]]),
            "the array 'X' cannot be read: it holds Python objects (a pickle), which are refused",
        ),
    ],
)
def test_features_that_are_no_matrix_of_numbers(data_npz: SaveArrays, X: Any, message: str) -> None:
    path = data_npz(X=X, y=np.ones(len(X)))
    with refusal(path, f": {message}"):
        read_training_table(path)
    with refusal(path, f": {message}"):
        read_prediction_table(path)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(1.0), "y has 0 dimensions; 1 or 2 are expected"),
        (np.ones((2, 1, 1)), "y has 3 dimensions; 1 or 2 are expected"),
        (np.ones(2, dtype=complex), "y has dtype complex128; bool, integers, floats or str are expected"),
        (np.array([b"a", b"b"]), "y has dtype |S1; bool, integers, floats or str are expected"),
        (np.array([["a", "b"], ["b", "a"]]), "y has dtype <U1 and 2 dimensions; texts have 1"),
        (np.ones(3), "X has 2 rows, y has 3"),
        (np.ones((2, 0)), "y of shape (2, 0) is empty"),
        (np.array([1.0, np.inf]), "y[1] is inf; finite numbers are expected"),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), "y[0, 1] is nan; finite numbers are expected"),
        (
            np.array(["a", None]),
            "the array 'y' cannot be read: it holds Python objects (a pickle), which are refused",
        ),
    ],
)
def test_targets_that_do_not_fit(data_npz: SaveArrays, y: Any, message: str) -> None:
    path = data_npz(X=np.eye(2), y=y)
    with refusal(path, f": {message}"):
        read_training_table(path)


@pytest.mark.parametrize("y", [np.array(["1", "2"]), np.array([["a"], ["b"]]), np.array([1j, 2.0])])
def test_targets_of_an_archive_that_must_be_numbers_and_are_not(data_npz: SaveArrays, y: Any) -> None:
    path = data_npz(X=np.eye(2), y=y)
    with refusal(path, f": y has dtype {y.dtype}; real numbers are expected"):
        read_training_table(path, target_kind="numbers")


@pytest.mark.parametrize(
    "y", [np.array([True, False]), np.array([3, 4], dtype=np.uint8), np.array([[1.5, 1.0], [2.5, 2.0]])]
)
def test_targets_of_an_archive_that_are_numbers(data_npz: SaveArrays, y: Any) -> None:
    path = data_npz(X=np.eye(2), y=y)
    assert_table(read_training_table(path, target_kind="numbers"), np.eye(2), y, ("x0", "x1"), None)


def test_texts_in_an_archive_are_classes_whatever_they_say(data_npz: SaveArrays) -> None:
    y = np.array(["1"] * 20 + ["abc"])
    path = data_npz(X=np.ones((21, 1)), y=y)
    assert_table(read_training_table(path, target_kind="unmixed"), np.ones((21, 1)), y, ("x0",), None)


def test_the_last_column_of_an_array_that_must_be_numbers(data_npy: SaveArrays) -> None:
    path = data_npy(np.eye(2))
    assert_table(read_training_table(path, target_kind="numbers"), [[1], [0]], np.array([0.0, 1.0]), ("x0",), None)
    path = data_npy(np.array([["1", "2"]]))
    with refusal(path, ": array has dtype <U1; real numbers are expected"):
        read_training_table(path, target_kind="numbers")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.ones(2)}, "no array 'X'; the file holds 'y'"),
        ({"X": np.eye(2)}, "no array 'y'; the file holds 'X'"),
        ({"x": np.eye(2), "Y": np.ones(2)}, "no array 'X'; the file holds 'x', 'Y'"),
        ({}, "no array 'X'; the file holds no array"),
    ],
)
def test_arrays_that_an_archive_lacks(
    data_npz: SaveArrays,
    arrays: dict[str, Any],
    message: str,
) -> None:
    path = data_npz(**arrays)
    with refusal(path, f": {message}"):
        read_training_table(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(3), "array has 1 dimension; 2 are expected"),
        (np.array([[1.0, 2.0], [np.nan, 4.0]]), "array[1, 0] is nan; finite numbers are expected"),
        (
            np.array([[1, None]]),
            "the array cannot be read: it holds Python objects (a pickle), which are refused",
        ),
    ],
)
def test_an_array_that_is_no_matrix_of_numbers(data_npy: SaveArrays, array: Any, message: str) -> None:
    path = data_npy(array)
    with refusal(path, f": {message}"):
        read_training_table(path)
    with refusal(path, f": {message}"):
        read_prediction_table(path)


def test_an_array_with_the_target_only(data_npy: SaveArrays) -> None:
    path = data_npy(np.ones((3, 1)))
    with refusal(path, ": the only column is the target; no feature is left"):
        read_training_table(path)


def test_a_target_cannot_be_chosen_in_arrays(data_npz: SaveArrays, data_npy: SaveArrays) -> None:
    choice = (
        "the target column 'price' can be chosen in .csv, .tsv and .parquet files only "
        "(numpy.savez('both.npz', X=X, y=y) keeps inputs and targets in one file)"
    )
    path = data_npz(X=np.eye(2), y=np.ones(2))
    with refusal(path, f": the target of an .npz file is the array y; {choice}"):
        read_training_table(path, "price")
    path = data_npy(np.eye(2))
    with refusal(path, f": the target of an .npy file is the last column; {choice}"):
        read_training_table(path, "price")


@pytest.mark.parametrize(
    ("names", "message"), [("abc", "expected 3 features, got 2"), ("a", "expected 1 feature, got 2")]
)
def test_a_width_that_the_model_does_not_expect(
    data_npz: SaveArrays, data_npy: SaveArrays, names: str, message: str
) -> None:
    for path in (data_npz(X=np.eye(2)), data_npy(np.eye(2))):
        with refusal(path, f": {message}"):
            read_prediction_table(path, list(names))


PICKLE = "(a pickle, perhaps; pickles are refused: write numpy.savez(file, X=X, y=y))"


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", pickle.dumps([[1.0, 2.0]])])
def test_a_file_that_only_has_the_name_of_an_array_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"data{suffix}"
    path.write_bytes(content)
    with refusal(path, f": not an {suffix} file of NumPy {PICKLE}"):
        read_training_table(path)


def test_an_archive_with_the_name_of_an_array(data_npz: SaveArrays, tmp_path: Path) -> None:
    path = data_npz(X=np.eye(2), y=np.ones(2)).rename(tmp_path / "data.npy")
    with refusal(path, f": not an .npy file of NumPy {PICKLE}"):
        read_training_table(path)


def test_a_file_in_an_archive_that_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X", "1,2\n")
    with refusal(path, ": no array 'X'; the file holds no array"):
        read_training_table(path)


def test_an_archive_without_its_end(data_npz: SaveArrays) -> None:
    path = data_npz(X=np.eye(2), y=np.ones(2))
    path.write_bytes(path.read_bytes()[:-30])
    with refusal(path, ": the archive cannot be read: File is not a zip file"):
        read_training_table(path)


def test_an_archive_with_a_changed_byte(data_npz: SaveArrays) -> None:
    path = data_npz(X=np.array([[1.5]]), y=np.ones(1))
    path.write_bytes(path.read_bytes().replace(np.float64(1.5).tobytes(), np.float64(2.5).tobytes()))
    with refusal(path, ": the array 'X' cannot be read: Bad CRC-32 for file 'X.npy'"):
        read_training_table(path)


def test_an_array_without_its_end(data_npy: SaveArrays) -> None:
    path = data_npy(np.eye(3))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: the array cannot be read: ") + "."):
        read_training_table(path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("two\n lines"), "two lines"),
        (ValueError("x" * 201), "x" * 200),
        (EOFError(), "EOFError"),
        (MemoryError("Unable to allocate 7.28 TiB"), "Unable to allocate 7.28 TiB"),
    ],
)
def test_the_reason_that_numpy_gives(
    data_npy: SaveArrays, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    path = data_npy(np.eye(2))
    monkeypatch.setattr(np.lib.format, "read_array", fail)
    with refusal(path, f": the array cannot be read: {reason}"):
        read_training_table(path)


def test_every_broken_array_file_is_a_data_error(data_npz: SaveArrays, data_npy: SaveArrays) -> None:
    for path in (data_npz(X=np.eye(2), y=np.ones(2)), data_npy(np.eye(2))):
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(DataError, match="^" + re.escape(f"{path}: ")):
                read_training_table(path)


# --- Writing


@pytest.mark.parametrize(
    ("header", "columns", "text"),
    [
        (["a"], [np.array([0.1, 1e300, -0.0, 2.0])], "a\n0.1\n1e+300\n-0.0\n2.0\n"),
        (["a"], [np.array([0.1], dtype=np.float32)], "a\n0.10000000149011612\n"),
        (["a"], [[np.float32(0.1), np.float64(0.1), np.int64(7)]], "a\n0.10000000149011612\n0.1\n7\n"),
        (["a"], [np.array([-1, 2], dtype=np.int8)], "a\n-1\n2\n"),
        (["a"], [np.array([True, False])], "a\nTrue\nFalse\n"),
        (["a, b", 'c "d"'], [["x", "y\nz"], [1, "é"]], '"a, b","c ""d"""\nx,1\n"y\nz",é\n'),
        (["a"], [["x\ry", "x\r\ny"]], 'a\n"x\ry"\n"x\r\ny"\n'),
        (["a", "b"], [np.array(["x", "y"]), [0.5, 1]], "a,b\nx,0.5\ny,1\n"),
        (["a", "b"], [[], np.array([])], "a,b\n"),
    ],
)
def test_what_is_written(tmp_path: Path, header: Sequence[str], columns: Any, text: str) -> None:
    path = tmp_path / "out.csv"
    write_table(path, header, columns)
    assert path.read_bytes() == text.encode()
    file = io.StringIO(newline="")
    write_table(file, header, columns)
    assert file.getvalue() == text


FORMULAS = ["=1+2", "+1", "-1", "@SUM(A1)", "\tx", "\rx"]


def test_texts_that_a_spreadsheet_takes_for_formulas_get_an_apostrophe_if_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    columns = [np.array([*FORMULAS, "a=b", "'x", ""]), np.arange(-4.0, 5.0)]
    write_table(path, ["=a", "-b"], columns, spreadsheet_safe=True)
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=a", "'-b"]
    assert [row[0] for row in rows] == [*(f"'{text}" for text in FORMULAS), "a=b", "'x", ""]
    assert [float(row[1]) for row in rows] == list(range(-4, 5))
    write_table(path, ["=a", "-b"], columns)
    with open(path, encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["=a", *columns[0]]


@given(
    rows=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(
                lambda text: f"<{text}>"
            ),
        ),
        min_size=1,
    )
)
@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_what_is_written_can_be_read(
    suffix: str,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[float, str]],
) -> None:
    path = tmp_path_factory.mktemp("written") / f"out{suffix}"
    numbers, labels = zip(*rows, strict=True)
    write_table(path, ["number", "label"], [np.array(numbers), labels])
    table = read_training_table(path)
    assert table.X.tobytes() == np.array(numbers).tobytes()
    assert table.y is not None
    assert table.y.tolist() == list(labels)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    """Compressed files may hold a name and a time."""
    for name in ("one.csv.gz", "two.csv.gz"):
        write_table(tmp_path / name, ["a"], [[1.5]])
    compressed = (tmp_path / "one.csv.gz").read_bytes()
    assert compressed == (tmp_path / "two.csv.gz").read_bytes()
    assert compressed[3:8] == bytes(5)  # no name, no time
    assert gzip.decompress(compressed) == b"a\n1.5\n"


@pytest.mark.parametrize("name", ["out.npy", "out.csv.zip", "out.gz", "csv", "out", "out.txt"])
def test_a_name_without_a_format_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: a table is written .* \.csv, .* or \.parquet$"):
        write_table(path, ["a"], [[1.0]])
    assert os.listdir(tmp_path) == []


def test_parquet_cannot_be_written_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"^\.parquet files need PyArrow: pip install"):
        write_table(tmp_path / "out.parquet", ["a"], [[1.0]])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        (["a", "b"], [[1]], "2 names for 1 column"),
        (["a"], [np.eye(2)], "every column must have one dimension"),
        (["a"], [np.array(1.0)], "every column must have one dimension"),
        (["a", "b"], [[1, 2], [1]], "the columns have different lengths: 1, 2"),
    ],
)
def test_columns_that_make_no_table(
    tmp_path: Path,
    header: Sequence[str],
    columns: Any,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_table(tmp_path / "out.csv", header, columns)
    assert os.listdir(tmp_path) == []


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        write_table(path, ["a"], [["fine", "\ud800"]])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.csv"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "out.csv"
    with pytest.raises(FileNotFoundError, match=re.escape(f"'{path}'")):
        write_table(path, ["a"], [[1.0]])


def test_an_open_file_stays_open(tmp_path: Path) -> None:
    with open(tmp_path / "out.csv", "w", encoding="utf-8", newline="") as file:
        write_table(file, ["a"], [[math.pi]])
        file.write("after\n")
    assert (tmp_path / "out.csv").read_bytes() == b"a\n3.141592653589793\nafter\n"

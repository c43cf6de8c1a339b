"""Random files: a table of finite numbers comes out, each the nearest to what is written, or a DataError."""

import csv
import gzip
import io
import math
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portable_mlp.tables.reading import DataError, read_prediction_table, read_training_table

# The grammar, written down a second time.
NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
NUMBER_LIKE = st.text(alphabet="0123456789+-.eE_ \tnaif", max_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random")


def expected(cell: str) -> float | None:
    """Return the number that a cell must give, by way of `decimal`; None where it must be refused."""
    if NUMBER.fullmatch(cell) is None:
        return None
    value = float(Decimal(cell.strip(" \t")))
    return value if math.isfinite(value) else None


def quoted_table(path: Path, cells: list[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([[f"c{i}" for i in range(len(cells))], cells])


@given(cells=st.lists(st.text() | NUMBER_LIKE | st.floats().map(repr), min_size=1, max_size=4))
@example(cells=["1_0"])
@example(cells=["\u0661"])
@example(cells=["1", "1e999"])
@example(cells=["1e-999"])
@example(cells=["\n\0"])
@example(cells=["nan"])
@example(cells=["+.5E-3 ", "\t007."])
def test_a_cell_is_read_as_decimal_reads_it_or_refused(folder: Path, cells: list[str]) -> None:
    path = folder / "cells.csv"
    quoted_table(path, cells)
    numbers = [expected(cell) for cell in cells]
    if None in numbers:
        with pytest.raises(DataError, match="^" + re.escape(f"{path}:")):
            read_prediction_table(path)
    else:
        assert read_prediction_table(path).X.tolist() == [numbers]


@given(
    sign=st.sampled_from(["", "+", "-"]),
    whole=st.text("0123456789", max_size=25),
    fraction=st.none() | st.text("0123456789", max_size=25),
    exponent=st.none() | st.integers(-360, 330),
)
@example(sign="", whole="9007199254740993", fraction=None, exponent=None)
@example(sign="-", whole="2", fraction="4703282292062327208", exponent=-324)
@example(sign="", whole="17976931348623158", fraction="079", exponent=292)
def test_a_number_is_the_nearest_to_what_is_written(
    folder: Path, sign: str, whole: str, fraction: str | None, exponent: int | None
) -> None:
    """By exact arithmetic: no double is nearer, and one is too large only from half a unit beyond the largest."""
    cell = sign + whole + ("" if fraction is None else f".{fraction}") + ("" if exponent is None else f"e{exponent}")
    if not whole and not fraction:
        return
    exact = Fraction(int(whole or "0")) + Fraction(int(fraction or "0"), 10 ** len(fraction or ""))
    exact *= Fraction(10) ** (exponent or 0) * (-1 if sign == "-" else 1)
    path = folder / "numbers.csv"
    path.write_text(f"a\n{cell}\n")
    largest = Fraction(np.finfo(np.float64).max)
    if abs(exact) >= largest + Fraction(math.ulp(float(largest))) / 2:
        with pytest.raises(DataError, match=r":2:1: '.*'(\.\.\.)? is too large for float64$"):
            read_prediction_table(path)
        return
    value = float(read_prediction_table(path).X[0, 0])
    assert abs(exact - Fraction(value)) <= Fraction(math.ulp(value)) / 2


SEED = b'\xef\xbb\xbfa,b,"y ""1"""\r\n1,-2.5e3,x\n.5,+7.,"two\nlines"\n'
PIECES = st.sampled_from(
    [
        *(b"nan", b"inf", b"-", b".", b"e", b",", b'"', b'""', b"\n", b"\r", b"\r\n", b"\t", b" ", b"\0", b"\xff"),
        *(b"0x1", b"1_0", b"1e999", b"\xef\xbb\xbf", b"\x1b[2J", b"\x9b", b"#", b"1" * 400, b"7", b"-0"),
        *("\u202e".encode(), "\u0661".encode()),
    ]
)
EDITS = st.lists(st.tuples(st.integers(0, len(SEED)), st.integers(0, 4), PIECES | st.binary(max_size=3)), max_size=6)


def edited(edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return the seed with some of its bytes replaced."""
    content = SEED
    for start, length, piece in edits:
        content = content[:start] + piece + content[start + length :]
    return content


def outcome(read: Any, path: Path, *arguments: Any) -> Any:
    """Return the table, or the text of the DataError; let nothing else pass."""
    try:
        return read(path, *arguments)
    except DataError as error:
        return str(error)


def numbers_of(content: bytes, columns: list[int]) -> list[list[float | None]]:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return [[expected(row[column]) for column in columns] for row in rows[1:] if row]


@given(content=EDITS.map(edited) | st.binary(max_size=60))
@example(content=SEED)
def test_a_random_file_is_read_as_it_says_or_refused_in_one_printable_line(folder: Path, content: bytes) -> None:
    plain, compressed = folder / "any.csv", folder / "any.csv.gz"
    plain.write_bytes(content)
    compressed.write_bytes(gzip.compress(content, 1))
    for read, n_targets in ((read_training_table, 1), (read_prediction_table, 0)):
        result = outcome(read, plain)
        if isinstance(result, str):
            assert result.startswith(f"{plain}:")
            assert result.isprintable()
            assert len(result) < 2000
            # A file that its first bytes tell from text is one only as long as it is not compressed.
            if "the file is" not in result or "empty" in result:
                assert outcome(read, compressed) == result.replace(str(plain), str(compressed))
        else:
            width = len(result.feature_names)
            assert result.X.tolist() == numbers_of(content, list(range(width)))
            assert np.isfinite(result.X).all()
            if n_targets and result.y.dtype.kind == "f":
                assert np.isfinite(result.y).all()
            assert outcome(read, compressed).X.tolist() == result.X.tolist()


@given(content=EDITS.map(edited), position=st.integers(0, 200), bit=st.integers(0, 7), cut=st.integers(0, 200))
def test_a_broken_compression_is_a_data_error(folder: Path, content: bytes, position: int, bit: int, cut: int) -> None:
    path = folder / "broken.csv.gz"
    whole = bytearray(gzip.compress(content))
    whole[position % len(whole)] ^= 1 << bit
    path.write_bytes(whole[: len(whole) - cut % len(whole)])
    result = outcome(read_training_table, path)
    if isinstance(result, str):
        assert result.startswith(f"{path}:")
        assert result.isprintable()
    else:
        assert np.isfinite(result.X).all()

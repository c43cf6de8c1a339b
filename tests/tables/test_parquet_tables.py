"""Parquet tables: which columns are numbers and labels, and what is refused with its row and column."""

import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from portable_mlp.tables import limits as table_limits
from portable_mlp.tables.parquet_files import ParquetLayout, ParquetMatrix
from portable_mlp.tables.reading import (
    DataError,
    ReadingOptions,
    read_prediction_table,
    read_raw_table,
    read_training_table,
)
from tests.selection import rarely

SaveColumns = Callable[..., Path]


@pytest.fixture
def data_parquet(tmp_path: Path) -> SaveColumns:
    """Save columns as data.parquet."""

    def save(columns: dict[str, Any] | pa.Table, **options: Any) -> Path:
        path = tmp_path / "data.parquet"
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
        return path

    return save


def refusal(path: Path, message: str) -> Any:
    return pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + r"\Z")


NUMBERS = [
    *(pa.array([1, 0, 3], type=f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    pa.array(np.array([1.5, 0, 3], dtype=np.float16)),
    pa.array([1.5, -0.0, 3e38], type=pa.float32()),
    pa.array([1.5, -1e300, 5e-324], type=pa.float64()),
    pa.array([True, False, True]),
]


@pytest.mark.parametrize("column", NUMBERS, ids=lambda column: str(column.type))
def test_columns_of_numbers_are_features_and_targets(data_parquet: SaveColumns, column: pa.Array) -> None:
    expected = column.to_numpy(zero_copy_only=False)
    path = data_parquet({"a": column, "b": [7, 8, 9], "y": column})
    table = read_training_table(path)
    assert_array_equal(table.X, np.column_stack((expected.astype(np.float64), [7.0, 8.0, 9.0])), strict=True)
    assert table.X.flags.c_contiguous
    assert table.y is not None
    assert_array_equal(table.y, expected, strict=True)
    assert (table.feature_names, table.target_name) == (("a", "b"), "y")
    assert read_training_table(path, target_kind="numbers").y is not None


TEXTS = [
    pa.array(["x", "ä", "x"]),
    pa.array(["x", "ä", "x"], type=pa.large_string()),
    pa.array(["x", "ä", "x"], type=pa.string_view()),
    pa.array(["x", "ä", "x"]).dictionary_encode(),
    pa.array(["x", "ä", "x"], type=pa.large_string()).dictionary_encode(),
]


@pytest.mark.parametrize("column", TEXTS, ids=lambda column: str(column.type))
def test_columns_of_texts_are_targets_alone(data_parquet: SaveColumns, column: pa.Array) -> None:
    path = data_parquet({"y": column, "a": [1.0, 2.0, 3.0]})
    table = read_training_table(path, "y", target_kind="unmixed")
    assert table.y is not None
    assert_array_equal(table.y, np.array(["x", "ä", "x"]), strict=True)
    for arguments, options in ((("y",), {"target_kind": "numbers"}), (("a",), {})):
        with pytest.raises(DataError, match=r": column 'y' has the type '.*; real numbers are expected$"):
            read_training_table(path, *arguments, **options)


def test_texts_are_classes_whatever_they_say(data_parquet: SaveColumns) -> None:
    path = data_parquet({"a": list(range(21)), "y": ["1"] * 20 + ["nan"]})
    assert_array_equal(read_training_table(path, target_kind="unmixed").y, ["1"] * 20 + ["nan"])


def test_what_pandas_writes(tmp_path: Path) -> None:
    """A filtered frame keeps its index, which is no column of it."""
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.0, 3.0, 4.0],
            "n": pd.array([1, 2, 3, 4], dtype="Int64"),
            "c": pd.array([True, False, True, False], dtype="boolean"),
            "y": pd.Categorical(["u", "v", "u", "v"]),
        }
    )
    path = tmp_path / "data.parquet"
    filtered = frame[frame.a != 3]
    for written, index in (
        (filtered, "__index_level_0__"),
        (filtered.set_index(pd.Index([7, 9, 20], name="id")), "id"),
    ):
        written.to_parquet(path)
        assert pq.read_schema(path).names[-1] == index
        table = read_training_table(path)
        assert_array_equal(table.X, [[1, 1, 1], [2, 2, 0], [4, 4, 0]])
        assert_array_equal(table.y, ["u", "v", "v"])
        assert (table.feature_names, table.target_name) == (("a", "n", "c"), "y")
        assert read_prediction_table(path, ["n", "a", "c"], "y").X.tolist() == [[1, 1, 1], [2, 2, 0], [4, 4, 0]]


@pytest.mark.parametrize("options", [{"compression": name} for name in ("none", "snappy", "gzip", "brotli", "zstd")]
    + [{"use_dictionary": False}, {"data_page_version": "2.0"}, {"version": "1.0"}, {"write_page_checksum": True},
       {"use_byte_stream_split": ["a"], "use_dictionary": ["y"]}], ids=str)  # fmt: skip
def test_encodings(data_parquet: SaveColumns, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=1000), rng.choice(["u", "vw"], 1000)
    table = read_training_table(data_parquet({"a": a, "y": y}, row_group_size=300, **options))
    assert_array_equal(table.X[:, 0], a, strict=True)
    assert_array_equal(table.y, y)


def test_many_rows_and_groups(data_parquet: SaveColumns) -> None:
    """More than one piece a group; labels of another length in each."""
    n = 150_000
    a = np.arange(n, dtype=np.float64)
    y = np.array([f"label {'x' * (i // 40_000)}" for i in range(n)])
    path = data_parquet({"a": a, "y": y}, row_group_size=100_000)
    table = read_training_table(path)
    assert_array_equal(table.X[:, 0], a)
    assert_array_equal(table.y, y, strict=True)


def test_columns_for_prediction_are_found_by_name(data_parquet: SaveColumns) -> None:
    path = data_parquet({" b ": [1], "y": [None], "a.c": [2], "a": [3]})
    table = read_prediction_table(path, ["a", "b", "a.c"], "y")
    assert table.X.tolist() == [[3, 1, 2]]
    assert table.feature_names == ("a", "b", "a.c")
    with refusal(path, ": the model expects the columns 'a', 'z', the file lacks 'z' and has besides 'b', 'a.c'"):
        read_prediction_table(path, ["a", "z"], "y")
    with refusal(path, ": no column 'a.b' (did you mean 'a.c'?); the columns are 'b', 'y', 'a.c', 'a'"):
        read_training_table(path, "a.b")


VALUES = {
    "null": (pa.array([1.0, None]), "row 2, column 'a': the value is missing (remove the row or fill the value)"),
    "null integer": (pa.array([None, 1]), "row 1, column 'a': the value is missing (remove the row or fill the value)"),
    "null boolean": (
        pa.array([True, None]), "row 2, column 'a': the value is missing (remove the row or fill the value)"
    ),
    "nan": (pa.array([1.0, np.nan]), "row 2, column 'a': nan is not a finite number"),
    "infinity": (pa.array([-np.inf, np.nan], type=pa.float32()), "row 1, column 'a': -inf is not a finite number"),
    "half nan": (pa.array(np.array([1, np.nan], np.float16)), "row 2, column 'a': nan is not a finite number"),
}  # fmt: skip


@pytest.mark.parametrize(("column", "message"), VALUES.values(), ids=VALUES)
def test_a_value_that_is_no_finite_number_is_named(data_parquet: SaveColumns, column: pa.Array, message: str) -> None:
    path = data_parquet({"a": column, "y": [1, 2]})
    with refusal(path, f": {message}"):
        read_training_table(path)
    with refusal(path, f": {message}"):
        read_training_table(path, "a")
    with refusal(path, f": {message}"):
        read_prediction_table(path, ["a"], "y")


def test_rows_are_counted_over_pieces_and_groups(data_parquet: SaveColumns) -> None:
    a = np.zeros(200_000)
    a[[170_000, 190_000]] = np.nan
    b = np.zeros(200_000)
    b[169_999] = np.inf
    path = data_parquet({"a": a, "b": b, "y": a + b}, row_group_size=150_000)
    with refusal(path, ": row 170000, column 'b': inf is not a finite number"):
        read_training_table(path)
    path = data_parquet({"b": np.zeros(200_000), "y": a}, row_group_size=150_000)
    with refusal(path, ": row 170001, column 'y': nan is not a finite number"):
        read_training_table(path)


LABELS = {
    "null": (["x", None], "row 2, column 'y': the value is missing (remove the row or fill the value)"),
    "empty": (["x", ""], "row 2, column 'y': '' is no label (remove the row or fill the value)"),
    "NUL": (["x\0", "x"], r"row 1, column 'y': 'x\x00' is no label (remove the row or fill the value)"),
}


@pytest.mark.parametrize(("y", "message"), LABELS.values(), ids=LABELS)
def test_a_text_that_is_no_label_is_named(data_parquet: SaveColumns, y: list[str | None], message: str) -> None:
    path = data_parquet({"a": [1, 2], "y": y})
    with refusal(path, f": {message}"):
        read_training_table(path)


OTHER_TYPES = [
    pa.array([Decimal("1.5")]),
    pa.array([datetime(2026, 1, 1)]),
    pa.array([date(2026, 1, 1)]),
    pa.array([1], type=pa.duration("s")),
    pa.array([b"1"]),
    pa.array([[1.0]]),
    pa.array([{"x": 1.0}]),
    pa.array([None]),
    pa.array([[("k", 1.0)]], type=pa.map_(pa.string(), pa.float64())),
    pa.array([[1.0, 2.0]], type=pa.list_(pa.float64(), 2)),
]


@pytest.mark.parametrize("column", OTHER_TYPES, ids=lambda column: str(column.type))
def test_columns_of_other_types(data_parquet: SaveColumns, column: pa.Array) -> None:
    path = data_parquet({"a": column, "y": [1]})
    kind = re.escape(str(column.type)[:4])
    for arguments in ((), ("a",)):
        with pytest.raises(DataError, match=rf": column 'a' has the type ['\"]{kind}.*; real numbers are expected$"):
            read_training_table(path, *arguments)


def test_texts_are_no_features(data_parquet: SaveColumns) -> None:
    path = data_parquet({"a": ["1", "2"], "y": [1, 2]})
    with refusal(path, ": column 'a' has the type 'string'; real numbers are expected"):
        read_training_table(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": [1]}, ": 'y' is the only column; no feature is left"),
        ({"a": pa.array([], "double"), "y": pa.array([], "double")}, ": a table of 0 rows and 2 columns is empty"),
        ({}, ": a table of 0 rows and 0 columns is empty"),
        ({"a": [1], " ": [1]}, ": column 2: the column has no name"),
        ({"a": [1], "a ": [1]}, ": column 2: the name 'a' is that of column 1 too"),
    ],
    ids=["no feature", "no row", "nothing", "no name", "same name"],
)  # fmt: skip
def test_files_that_hold_no_table(data_parquet: SaveColumns, columns: dict[str, Any], message: str) -> None:
    path = data_parquet(columns)
    with refusal(path, message):
        read_training_table(path)


def test_more_columns_than_a_file_has_room_for(data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyArrow itself writes hundreds of bytes for a column, so that a file of its own never has too many."""
    path = data_parquet({f"c{i}": [1] for i in range(1001)})
    assert read_training_table(path).X.shape == (1, 1000)
    monkeypatch.setattr(table_limits, "most_columns", lambda file_bytes: 1000)
    with refusal(path, ": 1001 columns; at most 1000 can be read from a file of this size"):
        read_training_table(path)


def test_names_in_the_file_are_shown_escaped(data_parquet: SaveColumns) -> None:
    path = data_parquet({"\x1b[31m\u202e": [np.nan], "y": [1]})
    with refusal(path, r": row 1, column '\x1b[31m\u202e': nan is not a finite number"):
        read_training_table(path)


def test_rows_and_memory_are_looked_at_before_reading(
    data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_parquet({"a": np.zeros(1000), "y": np.zeros(1000)})
    assert len(read_training_table(path, max_rows=1000).X) == 1000
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    with refusal(path, ": 1000 rows are more than 999 rows, the limit that was set"):
        read_training_table(path, max_rows=999)
    with refusal(path, ": 1000 rows are more than 999 rows, the limit that was set"):
        read_prediction_table(path, max_rows=999)
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 999 * 16)
    with refusal(path, ": 1000 rows are more than 999 rows, which take half of this machine's memory"):
        read_training_table(path)


@pytest.mark.parametrize("n_different", [5, 20_000])
def test_texts_are_counted_at_what_they_take_in_memory(
    data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch, n_different: int
) -> None:
    """An object of Python for each text of its own; of equal ones, which the file has once, references."""
    n_rows = 20_000
    path = data_parquet({"a": [f"road {i % n_different:06}" for i in range(n_rows)], "y": np.zeros(n_rows)})
    tracemalloc.start()
    table = read_raw_table(path, ReadingOptions(), last=True)
    taken = tracemalloc.get_traced_memory()[0] / n_rows
    tracemalloc.stop()
    assert table.X.shape == (n_rows, 1)
    with path.open("rb") as file:
        row_bytes = ParquetLayout(file, str(path)).row_bytes
    assert taken < 1.1 * row_bytes < 1.6 * taken
    monkeypatch.setattr(table_limits, "table_bytes", lambda: row_bytes * (n_rows - 1))
    with refusal(path, ": 20000 rows are more than 19999 rows, which take half of this machine's memory"):
        read_raw_table(path, ReadingOptions())


def test_labels_that_would_fill_the_memory_are_refused(
    data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long label on many rows, within one piece and over all of them."""
    monkeypatch.setattr(table_limits, "MAX_LABEL_BYTES", 2**24)
    for n_rows, n_characters in ((60_000, 100), (200_000, 30)):
        labels = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n_rows, np.int32)), pa.array(["x" * n_characters]))
        path = data_parquet({"a": np.zeros(n_rows), "y": labels})
        assert path.stat().st_size < 100_000
        with refusal(path, f": column 'y': a target of {n_characters} characters is too long for a label"):
            read_training_table(path)


def test_a_row_group_that_would_fill_the_memory_is_refused(
    data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_parquet({"a": range(100), "y": [f"{i:0100}" for i in range(100)]})
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 10_000)
    message = r": a row group of 1\d{4} bytes takes more than half of this machine's memory$"
    with pytest.raises(DataError, match="^" + re.escape(str(path)) + message):
        read_training_table(path)


@pytest.mark.parametrize("kind", ["target", "feature"])
def test_a_file_that_unpacks_to_more_than_its_rows_need_is_not_read(
    data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A text of megabytes in a dictionary, which is kilobytes in the file."""
    label = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["x" * 2**21]))
    path = data_parquet({"a": [1, 2], "b": label} if kind == "target" else {"b": label, "a": [1, 2]})
    assert path.stat().st_size < 300_000
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    message = r": row group 1 announces 2\d{6} bytes, more than 2 rows of numbers take$"
    for read in (read_training_table, read_prediction_table):
        with pytest.raises(DataError, match="^" + re.escape(str(path)) + message):
            read(path)


@pytest.mark.parametrize("content", [b"", b"a,y\n1,2\n", b"PAR", pd.Series([1]).to_numpy().tobytes()])
def test_a_file_that_only_has_the_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(content)
    with refusal(path, ": not a Parquet file"):
        read_training_table(path)


def test_every_cut_is_found(data_parquet: SaveColumns) -> None:
    path = data_parquet({"a": [1.0, 2.0], "y": ["u", "v"]})
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="^" + re.escape(f"{path}: ")):
            read_training_table(path)


@pytest.mark.parametrize("announced", [(2, 3), (3, 2)])
def test_a_row_group_that_has_other_rows_than_it_announces(data_parquet: SaveColumns, announced: Any) -> None:
    path = data_parquet({"a": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [1, 2, 3, 4, 5]}, row_group_size=3)
    with open(path, "rb") as file:
        layout = ParquetLayout(file, str(path))
        assert layout.group_rows == (3, 2)
        layout.group_rows = announced
        columns = ParquetMatrix(file, layout, [0], 1)
        if announced == (3, 2):
            assert len(columns.read([0, 1])[0]) == 5
            return
        for group in (0, 1):
            wrong = f": row group {group + 1} does not have the {announced[group]} rows that it announces"
            with refusal(path, wrong):
                columns.read([group])


FLIPS = """
import sys
import numpy as np
from portable_mlp.tables.reading import DataError, read_training_table

path, n_flips, rng, n_refused = sys.argv[1], int(sys.argv[2]), np.random.default_rng(0), 0
with open(path, "rb") as file:
    whole = file.read()
for position in rng.integers(0, len(whole), n_flips):
    changed = bytearray(whole)
    changed[position] ^= 1 << int(rng.integers(8))
    with open(path, "wb") as file:
        file.write(changed)
    try:
        table = read_training_table(path)
    except DataError:
        n_refused += 1
    else:
        assert np.isfinite(table.X).all()
print(n_refused)
"""


@pytest.mark.parametrize("n_flips", [1000, *rarely(2000)])
def test_changed_bits_end_in_a_data_error_or_in_finite_numbers(n_flips: int, data_parquet: SaveColumns) -> None:
    """In a process of its own: PyArrow could end it, as it does for wrong metadata of a column."""
    path = data_parquet({"a": np.arange(50) / 7, "y": ["u", "v"] * 25}, write_page_checksum=True)
    done = subprocess.run(
        [sys.executable, "-c", FLIPS, path, str(n_flips)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > n_flips / 2


LOST_BYTES = """
import resource, sys
from portable_mlp.tables.reading import DataError, read_training_table

path, n_refused = sys.argv[1], 0
with open(path, "rb") as file:
    whole = file.read()
read_training_table(path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for position in range(4, len(whole) - 8):
    with open(path, "wb") as file:
        file.write(whole[:position] + whole[position + 2 :])
    try:
        read_training_table(path)
    except DataError:
        n_refused += 1
print(n_refused, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_two_lost_bytes_take_no_memory(data_parquet: SaveColumns) -> None:
    """Whatever size a page then announces; in a process of its own, whose memory is measured in kilobytes."""
    path = data_parquet({"a": np.arange(20) / 7, "y": ["u", "v"] * 10}, write_page_checksum=True, compression="none")
    assert path.stat().st_size < 2_000
    done = subprocess.run([sys.executable, "-c", LOST_BYTES, path], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    n_refused, kilobytes = map(int, done.stdout.split())
    assert n_refused > 500
    assert kilobytes < 32 * 1024


def test_checksums_of_pages_are_verified_where_a_file_has_them(data_parquet: SaveColumns) -> None:
    path = data_parquet(
        {"a": [1.5, 2.5, 9.5], "y": [1, 2, 3]}, write_page_checksum=True, use_dictionary=False, compression="none"
    )
    path.write_bytes(path.read_bytes().replace(np.float64(2.5).tobytes(), np.float64(3.5).tobytes()))
    with pytest.raises(DataError, match=r": row group 1 cannot be read: .*CRC"):
        read_training_table(path)


def test_without_pyarrow_the_command_is_named(data_parquet: SaveColumns, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_parquet({"a": [1], "y": [1]})
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'^\.parquet files need PyArrow: pip install "\.\[parquet\]" in a clone'):
        read_training_table(path)


def test_memory_is_a_small_multiple_of_the_table(data_parquet: SaveColumns) -> None:
    """Of NumPy and of PyArrow: the table, and a row group of the file, which here is all of it and not compressed."""
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=1_000_000) for name in "abcdefghiy"}
    path = data_parquet(columns, use_dictionary=False, compression="none")
    code = f"""
import tracemalloc, pyarrow
from portable_mlp.tables.reading import read_training_table
tracemalloc.start()
table = read_training_table({str(path)!r})
print(tracemalloc.get_traced_memory()[1] + pyarrow.default_memory_pool().max_memory())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 3 * 1_000_000 * 10 * 8

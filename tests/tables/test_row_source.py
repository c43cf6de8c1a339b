"""Rows read when they are asked for: the same as from the whole file, with little memory, and no group read twice."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from portable_mlp.tables import limits as table_limits
from portable_mlp.tables.parquet_files import ParquetMatrix
from portable_mlp.tables.prepared_rows import without_test_part
from portable_mlp.tables.reading import DataError, ReadingOptions, RowSource, open_raw_rows, open_training_rows
from portable_mlp.tables.row_sources import SelectedRows
from portable_mlp.training.group_order import Selection

N_ROWS = 1000


def refusal(path: Path, message: str) -> Any:
    return pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + r"\Z")


def saved(folder: Path, suffix: str, X: np.ndarray, y: np.ndarray, group_rows: int = 130) -> Path:
    """Save features and a target."""
    path = folder / f"data{suffix}"
    if suffix == ".npy":
        np.save(path, np.column_stack((X, y)))
    else:
        columns = {f"x{j}": X[:, j] for j in range(X.shape[1])} | {"y": y}
        pq.write_table(pa.table(columns), path, row_group_size=group_rows)
    return path


@pytest.fixture(params=[".npy", ".parquet"])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_those_of_the_file(tmp_path: Path, suffix: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N_ROWS, 3)).astype(dtype), rng.normal(size=N_ROWS).astype(dtype)
    with open_training_rows(saved(tmp_path, suffix, X, y)) as source:
        assert (source.n_rows, source.n_features, source.feature_names) == (N_ROWS, 3, ("x0", "x1", "x2"))
        assert source.target_name == (None if suffix == ".npy" else "y")
        assert sum(source.groups) == N_ROWS
        for indices in (
            np.arange(N_ROWS),
            np.arange(N_ROWS)[::-1],
            rng.permutation(N_ROWS),
            np.array([7]),
            np.array([999, 0, 500, 500, 0], dtype=np.uint16),
        ):
            some_X, some_y = source.rows(indices)
            assert_array_equal(some_X, X[indices], strict=True)
            assert_array_equal(some_y, y[indices], strict=True)
            assert some_X.flags.c_contiguous
            some_X[:] = 0  # what is returned belongs to the caller
        for size in (1, 130, 300, 5000):
            blocks = list(source.blocks(size))
            assert [len(some_y) for _, some_y in blocks[:-1]] == [size] * (len(blocks) - 1)
            assert_array_equal(np.concatenate([some_X for some_X, _ in blocks]), X)
            assert_array_equal(np.concatenate([some_y for _, some_y in blocks]), y)


@pytest.mark.parametrize(
    ("stored", "read"),
    [("i4", "f8"), ("?", "f8"), ("f2", "f8"), (">f4", "f4"), (">f8", "f8"), ("u8", "f8"), ("g", "f8")],
)
def test_arrays_of_other_dtypes_become_float64_block_by_block(tmp_path: Path, stored: str, read: str) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.asfortranarray(np.array([[1, 0, 1], [0, 1, 0]], dtype=stored)))
    with open_training_rows(path) as source:
        X, y = source.rows(np.array([1, 0]))
    assert_array_equal(X, np.array([[0, 1], [1, 0]], dtype=read), strict=True)
    assert_array_equal(y, np.array([0, 1], dtype=np.dtype(stored).newbyteorder("=")), strict=True)


def test_columns_of_parquet_keep_float32_if_all_do(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    narrow, half = pa.array([1.5, 2.5], pa.float32()), pa.array(np.array([1, 2], np.float16))
    for columns, dtype in (
        ({"a": narrow, "b": half}, np.float32),
        ({"a": narrow, "b": [1.0, 2.0]}, np.float64),
        ({"a": narrow, "b": [1, 2]}, np.float64),
    ):
        pq.write_table(pa.table({**columns, "y": ["u", "v"]}), path)
        with open_training_rows(path, "y") as source:
            X, y = source.rows(np.array([1, 0]))
        assert X.dtype == dtype
        assert_array_equal(y, ["v", "u"])


def test_labels_of_different_lengths_and_groups_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    groups = [pa.table({"a": np.arange(len(y), dtype=float), "y": pa.array(y, pa.string())})
              for y in ([], ["u", "longer"], [], ["v"], [])]  # fmt: skip
    with pq.ParquetWriter(path, groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group)
    with open_training_rows(path) as source:
        X, y = source.rows(np.array([2, 1, 0]))
        assert sum(source.groups) == 3
    assert_array_equal(X, [[0], [1], [0]])
    assert_array_equal(y, ["v", "longer", "u"])


def test_a_large_array_has_groups_too(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.zeros((150_000, 2), dtype=np.int8))
    with open_training_rows(path) as source:
        assert source.groups == (2**16, 2**16, 150_000 - 2 * 2**16)


def epoch(source: RowSource, rng: np.random.Generator) -> np.ndarray:
    """Return an epoch's order: groups shuffled, and rows shuffled among those that are in memory together."""
    starts = np.cumsum((0, *source.groups))
    groups = rng.permutation(len(source.groups))
    order = []
    for first in range(0, len(groups), source.groups_in_memory):
        some = groups[first : first + source.groups_in_memory]
        order.append(rng.permutation(np.concatenate([np.arange(starts[g], starts[g + 1]) for g in some])))
    return np.concatenate(order)


@pytest.mark.parametrize("batch_size", [7, 64, 300])
def test_an_epoch_reads_each_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    """Also where a batch takes rows from the groups that end and from those that begin."""
    X = np.arange(N_ROWS, dtype=np.float64)[:, None]
    read: list[int] = []
    original = ParquetMatrix.read
    monkeypatch.setattr(ParquetMatrix, "read", lambda self, groups: (read.extend(groups), original(self, groups))[1])
    with open_training_rows(saved(tmp_path, ".parquet", X, X[:, 0], group_rows=30)) as source:
        assert len(source.groups) == 34
        order = epoch(source, np.random.default_rng(0))
        assert_array_equal(np.sort(order), np.arange(N_ROWS))
        seen = [source.rows(order[start : start + batch_size])[1] for start in range(0, N_ROWS, batch_size)]
    assert_array_equal(np.concatenate(seen), order)
    assert sorted(read) == list(range(34))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [1, 2])
def test_a_number_that_is_not_finite_is_found_when_it_is_read(
    tmp_path: Path, suffix: str, value: float, column: int
) -> None:
    X = np.zeros((N_ROWS, 3))
    X[777, column] = value
    path = saved(tmp_path, suffix, X[:, :2], X[:, 2])
    name = ("x0", "x1", "y")[column]
    message = {
        ".npy": f": array[777, {column}] is {value}; finite numbers are expected",
        ".parquet": f": row 778, column '{name}': {value} is not a finite number",
    }[suffix]
    with open_training_rows(path) as source:
        source.rows(np.arange(600))
        with refusal(path, message):
            source.rows(np.array([999, 777, 0]))
        with refusal(path, message):
            list(source.blocks(100))


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.array([-1]), "rows -1 to -1 were asked for; there are 1000"),
        (np.array([0, 1000]), "rows 0 to 1000 were asked for; there are 1000"),
        (np.array([0.0]), "rows are asked for by whole numbers, at least one; got float64(1,)"),
        (np.array([True]), "rows are asked for by whole numbers, at least one; got bool(1,)"),
        (np.array([[0]]), "rows are asked for by whole numbers, at least one; got int64(1, 1)"),
        (np.array([], dtype=np.int64), "rows are asked for by whole numbers, at least one; got int64(0,)"),
    ],
)
def test_rows_that_are_not_there(tmp_path: Path, suffix: str, indices: np.ndarray, message: str) -> None:
    path = saved(tmp_path, suffix, np.zeros((N_ROWS, 1)), np.zeros(N_ROWS))
    with open_training_rows(path) as source, pytest.raises(IndexError, match=f"^{re.escape(message)}$"):
        source.rows(indices)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    csv = tmp_path / "data.csv"
    with refusal(csv, ": rows can be read one by one from .npy and .parquet files, not from .csv"):
        open_training_rows(csv)
    path = saved(tmp_path, ".npy", np.zeros((2, 1)), np.zeros(2))
    with refusal(
        path,
        ": the target of an .npy file is the last column; it has no column 'y' "
        "(numpy.savez('both.npz', X=X, y=y) keeps inputs and targets in one file)",
    ):
        open_training_rows(path, "y")
    for array, message in (
        (np.zeros(3), "array has 1 dimension; 2 are expected"),
        (np.zeros((3, 1)), "the only column is the target; no feature is left"),
        (np.zeros((3, 2), dtype="U1"), "array has dtype <U1; real numbers are expected"),
        (
            np.zeros((1, 70_000), dtype="?"),
            "70000 columns; at most 69919 can be read from a file of this size",
        ),
    ):
        np.save(path, array)
        with refusal(path, f": {message}"):
            open_training_rows(path)
    np.save(path, np.array([[1, None]]))
    with refusal(path, ": the array cannot be read: it holds Python objects (a pickle), which are refused"):
        open_training_rows(path)
    np.save(path, np.zeros((3, 2)))
    path.write_bytes(path.read_bytes()[:-1])
    with refusal(path, ": the array cannot be read: its header announces 48 bytes, and 47 are there"):
        open_training_rows(path)
    path.write_bytes(path.read_bytes().replace(b"(3, 2)", b"(-3,2)"))
    with refusal(path, ": the array cannot be read: its header announces the shape (-3, 2)"):
        open_training_rows(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r": not an \.npy file of NumPy"):
        open_training_rows(path)
    path = saved(tmp_path, ".parquet", np.zeros((2, 1)), np.zeros(2))
    with refusal(path, ": no column 'z'; the columns are 'x0', 'y'"):
        open_training_rows(path, "z")


def test_row_groups_too_large_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, ".parquet", np.zeros((N_ROWS, 1)), np.zeros(N_ROWS), group_rows=300)
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 4 * 300 * 16 - 1)
    with refusal(
        path,
        ": 4 row groups of 300 rows, which are read at a time, are more than 1199 rows, which take half of this "
        "machine's memory; write the file with smaller row groups",
    ):
        open_training_rows(path)
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 4 * 300 * 16)
    open_training_rows(path).close()


# Data of 480 MB may take what is there already and 96 MiB more: a mapped file is not counted, what is read from it is.
ALL_ROWS = """
import re, resource, sys
import numpy as np
from portable_mlp.tables.reading import open_training_rows, read_training_table

taken = int(re.search("VmData:\\\\s*(\\\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + 96 * 2**20,) * 2)
path, how = sys.argv[1:]
if how == "whole":
    read_training_table(path)
with open_training_rows(path) as source:
    n_rows = sum(len(y) for _, y in source.blocks(50_000))
    source.rows(np.random.default_rng(0).integers(0, source.n_rows, 1000))
print(n_rows)
"""


def test_an_array_larger_than_the_memory_that_is_allowed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        return  # elsewhere this limit does not count what is mapped
    path = tmp_path / "data.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float64, (6_000_000, 10))  # zeros that take no room on the disk
    del array

    def read(how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", ALL_ROWS, path, how], capture_output=True, text=True, timeout=120, check=False
        )

    rows = read("rows")
    assert (rows.stdout, rows.stderr) == ("6000000\n", "")
    assert "Unable to allocate" in read("whole").stderr


PEAK = """
import sys, tracemalloc
import numpy as np, pyarrow, pyarrow.parquet
from portable_mlp.tables.reading import open_training_rows

tracemalloc.start()
with open_training_rows(sys.argv[1]) as source:
    rng = np.random.default_rng(0)
    n_rows = sum(len(y) for _, y in source.blocks(5000))
    for _ in range(3):
        source.rows(np.sort(rng.integers(0, source.n_rows, 50)))
print(n_rows, tracemalloc.get_traced_memory()[1] + pyarrow.default_memory_pool().max_memory())
"""


def test_memory_does_not_grow_with_the_number_of_row_groups(tmp_path: Path) -> None:
    group = pa.table({f"x{j}": np.random.default_rng(j).normal(size=20_000) for j in range(10)})
    peaks = []
    for n_groups in (6, 60):
        path = tmp_path / f"{n_groups}.parquet"
        with pq.ParquetWriter(path, group.schema, use_dictionary=False, compression="none") as writer:
            for _ in range(n_groups):
                writer.write_table(group)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, path], capture_output=True, text=True, timeout=120, check=True
        )
        n_rows, peak = map(int, done.stdout.split())
        assert n_rows == n_groups * 20_000
        peaks.append(peak)
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 60 * 20_000 * 10 * 8 / 2


def test_selected_rows_are_those_of_the_other_source(tmp_path: Path, suffix: str) -> None:
    X, y = np.arange(4000.0).reshape(1000, 4), np.arange(1000.0)
    with open_training_rows(saved(tmp_path, suffix, X, y)) as source:
        chosen = [np.array([3, 1, 2]), *[np.empty(0, np.int64)] * (len(source.groups) - 2), np.array([999, 990])]
        chosen = chosen if len(source.groups) > 1 else [np.array([3, 1, 2, 999, 990])]
        some = SelectedRows(source, Selection(tuple(map(len, chosen)), chosen.__getitem__))
        assert (some.n_rows, some.feature_names, some.target_name) == (5, source.feature_names, source.target_name)
        wanted = np.array([4, 0, 3, 3, 1])
        numbers = np.array([990, 3, 999, 999, 1])
        assert_array_equal(some.row_numbers(wanted), numbers)
        for found, expected in zip(some.rows(wanted), (X[numbers], y[numbers]), strict=True):
            assert_array_equal(found, expected)
        nested = SelectedRows(some, Selection((2,), lambda _: np.array([4, 1])))
        assert_array_equal(nested.row_numbers(np.array([1, 0])), [1, 990])
        assert_array_equal(nested.rows(np.array([1, 0]))[1], [1.0, 990.0])
        some.close()
        assert_array_equal(source.rows(np.array([7]))[1], [7.0])


def test_a_test_part_has_to_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, ".npy", np.ones((1000, 4)), np.ones(1000))
    with open_training_rows(path) as source:
        monkeypatch.setattr(table_limits, "table_bytes", lambda: 199 * 8 * 3 * 5)
        with pytest.raises(DataError, match=r"data.npy: a test part: 200 rows are more than 199 rows, which take half"):
            without_test_part(source, "auto", 0.2, 0)
        assert without_test_part(source, "auto", 0.199, 0)[0].n_rows == 801


def test_texts_of_a_test_part_count_as_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as 24 bytes each: equal ones are in memory once, long ones take their length."""
    long = [f"{i % 500:01000}" for i in range(1000)]
    short = [f"{i % 5:01000}" for i in range(1000)]
    y = np.arange(1000) % 2
    for texts, fits in ((long, False), (short, True)):
        pq.write_table(pa.table({"a": texts, "y": y}), path := tmp_path / "t.parquet", row_group_size=250)
        with open_raw_rows(path, ReadingOptions()) as source:
            monkeypatch.setattr(table_limits, "table_bytes", lambda: 2 * 24 * 200 + 50_000)
            if fits:
                _, table, _ = without_test_part(source, "auto", 0.2, 0)
                assert np.isin(table.X["a"], short).all()
                assert len(table.X["a"]) == 200
            else:
                with pytest.raises(
                    DataError, match=r"t\.parquet: a test part of \d+ bytes takes more than half of this"
                ):
                    without_test_part(source, "auto", 0.2, 0)
            monkeypatch.undo()

"""Text tables larger than memory: read group by group they give the rows, and the errors, of the table in memory."""

import errno
import gzip
import io
import os
import pathlib
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portable_mlp.tables import limits, loaded_text, text_census, text_copies, text_tables
from portable_mlp.tables.columns import Column, RawTable
from portable_mlp.tables.reading import DataError, ReadingOptions, RowSource, read_or_copy_table
from tests.memory import peak_memory

Outcome = RawTable | str
NUMBERS = "a,b,y\n1,2.5,0.5\n-3,1e3,1.5\n0.25,.5,2\n7,NA,3\n8,1,\n"


@pytest.fixture(autouse=True)
def small_groups(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Groups of three rows, and a folder for temporary files, in which nothing stays."""
    folder = tmp_path_factory.mktemp("copies")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(text_tables, "GROUP_ROWS", 3)
    yield
    assert not list(folder.iterdir())


def outcome(path: pathlib.Path, options: ReadingOptions, kind: Any = "unmixed", *, most_bytes: int) -> Outcome:
    """Return the rows of a table, or the error; a text of more bytes is read group by group."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded_text, "text_bytes", lambda: most_bytes)
        said: list[str] = []
        try:
            table = read_or_copy_table(path, options, target_kind=kind, announce=said.append)
            assert isinstance(table, RowSource) == (most_bytes == 0) == bool(said)
            return rows_of(table) if isinstance(table, RowSource) else table
        except DataError as error:
            return str(error)


def rows_of(source: RowSource) -> RawTable:
    """Return all rows, in the order in which they come back from a shuffle."""
    with source:
        assert source.schema is not None
        some = np.random.default_rng(0).permutation(source.n_rows)
        X, y = source.rows(some)
        back = np.argsort(some)
        numbers = source.row_numbers(np.arange(source.n_rows))
        assert [len(rows) for _, rows in source.blocks(2)] == [
            min(2, source.n_rows - i) for i in range(0, source.n_rows, 2)
        ]
        return RawTable(X[back], y[back], None, source.target_name, source.notes, source.text, numbers)


def assert_same(path: pathlib.Path, options: ReadingOptions | None = None, kind: Any = "unmixed") -> Outcome:
    """Assert that a file gives the same table, or the same error, group by group and whole."""
    options = options or ReadingOptions()
    whole, grouped = (outcome(path, options, kind, most_bytes=most) for most in (2**30, 0))
    if isinstance(whole, str) or isinstance(grouped, str):
        assert grouped == whole
        return whole
    assert list(grouped.X) == list(whole.X)
    for name in whole.X:
        assert_equal(grouped.X.column(name), whole.X.column(name))
    assert whole.y is not None
    assert grouped.y is not None
    assert (grouped.y.dtype.kind, grouped.y.tolist()) == (whole.y.dtype.kind, whole.y.tolist())
    assert (grouped.target_name, grouped.text) == ((whole.target_name or "").strip(), whole.text)
    assert [note for note in grouped.notes if "batch by batch" not in note] == list(whole.notes)
    rows = np.arange(len(whole.y)) if whole.rows is None else whole.rows
    assert grouped.rows is not None
    assert grouped.rows.tolist() == rows.tolist()
    return whole


def assert_equal(found: Column, expected: Column) -> None:
    assert found.reading == expected.reading
    assert found.values.dtype == expected.values.dtype
    np.testing.assert_array_equal(found.values, expected.values)


def lines(*cells: str, header: str = "a,y") -> str:
    return f"{header}\n" + "".join(f"{cell}\n" for cell in cells)


TEXTS = {
    "numbers": NUMBERS,
    "no line end": NUMBERS.rstrip("\n"),
    "carriage returns": NUMBERS.replace("\n", "\r\n"),
    "blank lines at the end": NUMBERS + "\n\n",
    "byte-order mark": "\ufeff" + NUMBERS,
    "semicolons": NUMBERS.replace(",", ";"),
    "quotes": 'a,b,y\n"1","x, ""y""",2\n"2","two\nlines",3\n"3"," blanks ",4\n4,"two\nlines",5\n',
    "dates": lines(*(f"2001-02-{day:02},{day}" for day in range(1, 12))),
    "truth values": lines(*(f"{'yes' if i % 3 else 'no'},{i}" for i in range(9))),
    "a later notation": lines(*(f"{i},1" for i in range(7)), '"27,000",2', "$,2".replace("$", "")),
    "currency": lines(*(f"${i}.50,{i % 2}" for i in range(7))),
    "codes": lines(*(f"00{i},{i % 2}" for i in range(7))),
    "texts among numbers": lines(*(f"{'x' if i % 2 else i},{i}" for i in range(9))),
    "classes": lines(*(f"{i},{'north' if i % 2 else 'south'}" for i in range(9))),
    "classes with gaps": lines(*(f"{i},{('north', '', 'NA', 'south')[i % 4]}" for i in range(14))),
    "codes as classes": lines(*(f"{i},{'007' if i % 2 else '1'}" for i in range(9))),
    "whole numbers with a fraction": lines(*(f"{i},{'1.0' if i % 2 else '2'}" for i in range(9))),
    "targets with marks": lines(*(f'{i},"{1 + i},000"' for i in range(7))),
    "truth values as targets": lines(*(f"{i},{i % 2 == 0}" for i in range(7))),
    "a group without targets": lines("1,1", "2,2", "3,3", "4,", "5,", "6,", "7,7"),
    "a column of gaps": lines(*(f",{i}" for i in range(9))),
    "one row": "a,y\n1,2\n",
    "dates in digits": lines(*(f"200102{day},{day}" for day in range(10, 20)), header="date,y"),
    "dates in digits with gaps": lines("20010203,1", ",2", ",3", ",4", "NA,5", "20010204,6", ",7", header="day,y"),
    "nearly dates in digits": lines(*(f"200102{day},{day}" for day in range(20, 40)), header="date,y"),
    "dates of two forms": lines(*(f"{'200102' if i > 2 else '20010203'},{i}" for i in range(9)), header="date,y"),
    "spaces of other kinds": lines(*(f"\u00a0{i}\u00a0,\u00a0{'xy'[i % 2]}" for i in range(8)), "\u00a0,\u00a0"),
    "units": lines(*(f"{i} km,{i}" for i in range(8))),
    "a quote within a cell": lines("1,2", "2,3", '3 "x",4'),
    # Errors.
    "empty": "",
    "no row": "a,y\n",
    "an open quote": lines("1,2", "2,3", '"3,4'),
    "text after a quote": lines("1,2", '"2"x,3'),
    "a blank line": lines("1,2", "2,3", "", "3,4"),
    "a carriage return": lines("1,2", "2\r3,3", "3,4"),
    "a NUL byte": lines("1,2", "2,3", "3,4", "\0,5"),
    "a narrow row": lines("1,2", "2,3", "3,4", "5"),
    "a number too large": lines("1,2", "2,3", "3,4", "1e999,5"),
    "a wrong number": lines(*(f"{i},1" for i in range(5)), *(f"{i}.5,2" for i in range(5, 20)), "abc,3", "x,4"),
    "after two lines": lines('"two\nlines",1,1', *(f"x,{i},1" for i in range(14)), "y,abc,3", header="t,a,y"),
    "a wrong date": lines(*(f"2001-02-{day:02},1" for day in range(1, 20)), "2001-02-30,2"),
    "a wrong truth value": lines(*("yes,1" if i % 2 else "no,2" for i in range(19)), "maybe,2"),
    "decimal commas": lines(*(f'"{i},5",1' for i in range(9))),
    "a wrong target": lines(*(f"{i},{i}.5" for i in range(19)), "20,abc"),
    "an infinite target": lines("1,2", "2,3", "3,4", "5,inf"),
    "no target": lines("1,", "2,", "3,", "4,NA"),
    "all numbers in the header": "1,2\n3,4\n",
    "twice a name": "a,a\n1,2\n",
    "no feature": "y\n1\n2\n",
    "titles": "a title\nof 2020\nb,y\n1,2\n",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_crafted_files(name: str, suffix: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / f"data{suffix}"
    content = TEXTS[name].encode()
    path.write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
    found = assert_same(path)
    names = list(TEXTS)
    # The empty file is refused before its size is looked at.
    assert isinstance(found, str) == (names.index(name) >= names.index("empty"))


OPTIONS: list[tuple[str, ReadingOptions, Any]] = [
    (NUMBERS, ReadingOptions(target="a", drop=("b",)), "unmixed"),
    (NUMBERS, ReadingOptions(target=" a ", id="b"), "numbers"),
    (NUMBERS, ReadingOptions(features=("b",)), "any"),
    (NUMBERS, ReadingOptions(target="c"), "any"),
    (lines("1,2", "a,z", "3,4"), ReadingOptions(target="z"), "any"),
    (NUMBERS, ReadingOptions(drop=("c",)), "any"),
    (NUMBERS, ReadingOptions(max_rows=4), "any"),
    (NUMBERS.partition("\n")[2], ReadingOptions(header=False), "unmixed"),
    (TEXTS["codes"], ReadingOptions(categorical=("a",)), "unmixed"),
    (TEXTS["decimal commas"], ReadingOptions(decimal=","), "unmixed"),
    (lines(*(f'1,"{i},5"' for i in range(9))), ReadingOptions(decimal=","), "numbers"),
    (TEXTS["classes"], ReadingOptions(), "numbers"),
    (TEXTS["truth values as targets"], ReadingOptions(), "numbers"),
    (TEXTS["a wrong target"], ReadingOptions(), "any"),
    (TEXTS["whole numbers with a fraction"], ReadingOptions(), "any"),
    (NUMBERS.replace(",", "|"), ReadingOptions(delimiter="|"), "unmixed"),
]


@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_options(number: int, tmp_path: pathlib.Path) -> None:
    text, options, kind = OPTIONS[number]
    (path := tmp_path / "data.csv").write_text(text)
    assert_same(path, options, kind)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_encodings(encoding: str, tmp_path: pathlib.Path) -> None:
    (path := tmp_path / "data.csv").write_bytes(lines(*(f"é{i % 2},{i}" for i in range(9))).encode(encoding))
    assert_same(path, ReadingOptions(encoding=None if encoding == "utf-16" else encoding))
    message = str(assert_same(path, ReadingOptions(encoding="ascii")))
    assert message.startswith(f"{path}: the text is not valid ascii, in line 1 or later")


CELL = st.sampled_from(
    [*"0123", "-1.5", "1e3", "007", "1,000", "$5", "", "NA", "?", "x", "north", "yes", "no", "2001-02-03", "True"]
) | st.text(alphabet='ab1."\n\r,; é', max_size=4)


@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=14), quoted=st.booleans())
@example(rows=[("1", "x", "1")] * 4 + [("2", "", "?")], quoted=False)
def test_random_files(rows: list[tuple[str, str, str]], quoted: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "random.csv"
    mark = '"' if quoted else ""
    cells = [[f"{mark}{cell.replace(mark, mark * 2) if mark else cell}{mark}" for cell in row] for row in rows]
    path.write_text("a,b,y\n" + "".join(",".join(row) + "\n" for row in cells), newline="")
    assert_same(path)


def test_more_different_numbers_than_are_counted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are numbers all the same, with gaps, in another notation later, and with a mistake."""
    monkeypatch.setattr(text_census, "MOST_TEXTS", 5)
    numbers = [f"{i},{'NA' if i % 7 == 0 else i + 0.5}" for i in range(40)]
    (path := tmp_path / "data.csv").write_text(lines(*numbers))
    assert isinstance(assert_same(path), RawTable)
    path.write_text(lines(*numbers, '"27,000",3', header="a,y"))
    assert isinstance(assert_same(path), RawTable)
    path.write_text(lines(*numbers, "abc,3", "x,3"))
    assert str(assert_same(path)).startswith(f"{path}:42:1: 'abc' is not a number, while 40 of the 42 cells of column")
    path.write_text(lines(*(f"1,{i}" for i in range(40)), "1,abc"))
    assert "abc" in str(outcome(path, ReadingOptions(), most_bytes=0))
    path.write_text(lines(*(f"1,n{i}" for i in range(40))))
    assert outcome(path, ReadingOptions(), most_bytes=0) == f"{path}: the target 'y' has more than 5 classes"
    path.write_text(lines(*(f"n{i},1,{i}" for i in range(40)), header="a,b,y"))
    table = outcome(path, ReadingOptions(), most_bytes=0)
    assert isinstance(table, RawTable)
    assert list(table.X) == ["b"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "data.csv").write_text(NUMBERS)
    expected = f"{path}: its cells cannot be copied to a temporary file: No space left on device (TMPDIR names another "
    assert os.path.exists("/dev/full")
    with monkeypatch.context() as patch:
        patch.setattr(text_copies.tempfile, "TemporaryFile", lambda prefix: open("/dev/full", "r+b"))  # noqa: SIM115
        assert str(outcome(path, ReadingOptions(), most_bytes=0)).startswith(expected)
    usage = text_copies.shutil._ntuple_diskusage(100, 90, 10)  # type: ignore[attr-defined]
    monkeypatch.setattr(text_copies.shutil, "disk_usage", lambda folder: usage)
    assert str(outcome(path, ReadingOptions(), most_bytes=0)) == (
        f"{path}, 1 MB, is too large for memory, and {tempfile.gettempdir()} has 1 MB left for a copy of its cells "
        "(TMPDIR names another folder)"
    )


def test_no_folder_for_temporary_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "data.csv").write_text(NUMBERS)

    def missing(prefix: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(text_copies.tempfile, "TemporaryFile", missing)
    found = outcome(path, ReadingOptions(), most_bytes=0)
    assert str(found).startswith(f"{path}: its cells cannot be copied to a temporary file: Permission denied (TMPDIR ")


def test_an_interrupt_closes_the_copy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "data.csv").write_text(NUMBERS)
    files: list[Any] = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(text_copies.tempfile, "TemporaryFile", lambda prefix: files.append(make()) or files[-1])

    def interrupted(self: Any, rows: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(text_copies.CopiedCells, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        outcome(path, ReadingOptions(), most_bytes=0)
    assert [file.closed for file in files] == [True]


def test_a_large_file_is_not_loaded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is a quarter of that on tables, which the size of the file, or its first bytes, exceed."""
    (path := tmp_path / "data.csv").write_text(text := lines(*(f"{'x' * 99},{i}" for i in range(9))))
    monkeypatch.setattr(limits, "table_bytes", lambda: 4 * len(text) + 4)
    options = ReadingOptions()
    assert isinstance(read_or_copy_table(path, options, target_kind="any", announce=pytest.fail), RawTable)
    monkeypatch.setattr(limits, "table_bytes", lambda: 4 * len(text) - 4)
    said: list[str] = []
    read_or_copy_table(path, options, target_kind="any", announce=said.append).close()  # type: ignore[union-attr]
    assert said == [
        f"{path}, 1 MB, is too large for memory: its cells are copied to a temporary file in {tempfile.gettempdir()} "
        "(TMPDIR names another folder)"
    ]


def test_memory_does_not_grow_with_the_rows(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "GROUP_ROWS", 200)
    monkeypatch.setattr(text_tables, "_BLOCK_CHARACTERS", 2**12)
    monkeypatch.setattr(text_census, "MOST_TEXTS", 100)
    monkeypatch.setattr(text_census, "ROWS_COUNTED", 100)
    monkeypatch.setattr(loaded_text, "text_bytes", lambda: 0)

    def peak(n_rows: int) -> int:
        with open(path := tmp_path / f"{n_rows}.csv", "w") as file:
            file.write(
                lines(
                    *(f"{i}.25,{'' if i % 9 == 0 else i},t{i % 20},u{i},{i}" for i in range(n_rows)), header="a,b,c,d,y"
                )
            )

        def read() -> None:
            table = read_or_copy_table(path, ReadingOptions(), target_kind="numbers", announce=str)
            assert isinstance(table, RowSource)
            with table:
                for _, y in table.blocks(200):
                    assert len(y)

        read()
        return peak_memory(read)

    few, many = peak(2000), peak(16_000)
    assert many - few < 0.05 * 8 * 4 * 14_000


def test_standard_input(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_text, "text_bytes", lambda: 4)
    for content in (NUMBERS.encode(), gzip.compress(NUMBERS.encode())):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        said: list[str] = []
        table = read_or_copy_table("-", ReadingOptions(), target_kind="any", announce=said.append)
        assert isinstance(table, RowSource)
        assert rows_of(table).X["a"].tolist() == [1.0, -3.0, 0.25, 7.0]
        assert said[0].startswith("standard input is too large for memory: its cells are copied to a temporary file in")

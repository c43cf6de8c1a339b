"""Text tables compressed with gzip: what is broken in the compression, and how little memory a bomb gets."""

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portable_mlp.tables import limits as table_limits
from portable_mlp.tables.reading import DataError, read_prediction_table, read_training_table
from tests.memory import peak_memory

TEXT = b"a,y\n1,2\n3,4\n"
WHOLE = gzip.compress(TEXT, mtime=0)
STOPS = "the compressed data stop before their end (is the file complete?)"
DAMAGED = "the compressed data are damaged from here, or a little before"
FOLLOWED = "something that is not gzip follows the compressed data"

WriteGzip = Callable[[bytes], Path]


@pytest.fixture
def data_csv_gz(tmp_path: Path) -> WriteGzip:
    """Write data.csv.gz as it is given."""

    def write(content: bytes) -> Path:
        path = tmp_path / "data.csv.gz"
        path.write_bytes(content)
        return path

    return write


def refusal(path: Path, message: str) -> Any:
    return pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + r"\Z")


def changed(content: bytes, position: int, byte: int) -> bytes:
    """Return the content with other bits at a position."""
    flipped = bytearray(content)
    flipped[position] ^= byte
    return bytes(flipped)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE, id="one member"),
        pytest.param(gzip.compress(TEXT[:6]) + gzip.compress(TEXT[6:]), id="two members, cut inside a line"),
        pytest.param(gzip.compress(b"") + WHOLE + gzip.compress(b""), id="empty members"),
        pytest.param(WHOLE + bytes(512), id="padded with zeros, as on tapes"),
    ],
)
def test_what_gzip_reads_is_read(data_csv_gz: WriteGzip, content: bytes) -> None:
    table = read_training_table(data_csv_gz(content))
    np.testing.assert_array_equal(table.X, [[1.0], [3.0]])
    np.testing.assert_array_equal(table.y, [2, 4], strict=True)


def test_cells_of_a_compressed_tsv_end_at_tabs(tmp_path: Path) -> None:
    path = tmp_path / "DATA.TSV.GZ"
    path.write_bytes(gzip.compress(b"a\ty\n1\tx,z\n"))
    assert read_training_table(path).y == ["x,z"]


BROKEN = {
    "not compressed": (TEXT, ": the file is not compressed with gzip, as its name says"),
    "nothing": (b"", ": the file is not compressed with gzip, as its name says"),
    "no lines": (gzip.compress(b""), ": the file is empty; a header line is expected"),
    "cut in the header": (WHOLE[:5], f":1: {STOPS}"),
    "cut in the data": (gzip.compress(TEXT + b"5,6\n" * 9, 0)[:-16], f":11: {STOPS}"),
    "cut in the checksum": (WHOLE[:-6], f":4: {STOPS}"),
    "cut in the second member": (WHOLE + gzip.compress(b"5,6\n")[:-1], f":5: {STOPS}"),
    "wrong checksum": (changed(WHOLE, -8, 1), f":4: {DAMAGED}"),
    "wrong length": (changed(WHOLE, -4, 1), f":4: {DAMAGED}"),
    "unknown method": (changed(WHOLE, 2, 1), f":1: {DAMAGED}"),
    "no deflate": (WHOLE[:10] + b"\xff" * 30, f":1: {DAMAGED}"),
    "garbage at the end": (WHOLE + b"garbage", f":4: {FOLLOWED}"),
    "garbage after a member": (gzip.compress(TEXT[:6]) + b"garbage", f":2: {FOLLOWED}"),
    "a mistake inside": (gzip.compress(b"a,y\n1,2\nx,4\n"), ":3:1: 'x' is not a number"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named(data_csv_gz: WriteGzip, content: bytes, message: str) -> None:
    path = data_csv_gz(content)
    for read in (read_training_table, read_prediction_table):
        with refusal(path, message):
            read(path)


def test_every_cut_and_every_flipped_bit_is_found_or_harmless(data_csv_gz: WriteGzip) -> None:
    """Some bits of the header (time, system, name) do not matter; nothing may change a number."""
    cuts = [WHOLE[:size] for size in range(len(WHOLE))]
    flips = [changed(WHOLE, position, 1 << bit) for position in range(len(WHOLE)) for bit in range(8)]
    refused = 0
    for content in cuts + flips:
        path = data_csv_gz(content)
        try:
            table = read_training_table(path)
        except DataError:
            refused += 1
        else:
            assert (table.X.tolist(), table.y.tolist()) == ([[1.0], [3.0]], [2, 4])
    assert refused > len(cuts + flips) - 8 * 10


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (WHOLE, "compressed with gzip; its name must end in .gz"),
        (b"PK\x03\x04", "a zip archive or an Excel workbook; save the table as text"),
        (b"PAR1\x00", "a Parquet file; its name must end in .parquet"),
        (b"\x93NUMPY\x01", "an array of NumPy; its name must end in .npy"),
    ],
)
def test_a_file_that_is_no_text_is_known_by_its_first_bytes(tmp_path: Path, start: bytes, kind: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(start)
    with refusal(path, f": the file is {kind}"):
        read_training_table(path)


def bomb(line: bytes, repeats: int) -> bytes:
    """Return a compressed table of one line again and again, made without holding it."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(b"a,y\n"), *(packer.compress(line) for _ in range(repeats)), packer.flush()])


HALF = "more than 20000 rows, which take half of this machine's memory"
BOMBS = {
    "a line without end": (b"1" * 2**20, 64, ":2: the row is longer than {bytes} bytes"),
    "a cell without end": (b'"' + b"1" * 2**20 + b"\n", 64, ":2: a cell is too long (is a closing quote missing?)"),
    "rows of many cells": (
        b"1," * 2**20 + b"\n", 32, ":2: more than {cells} cells; no more can be read from a file of this size"
    ),
    "blank lines": (b"\n" * 2**20, 2, ":2: more than 10000 blank lines"),
    "blank lines of Windows": (b"\r\n" * 2**20, 2, ":2: more than 10000 blank lines"),
    "rows": (b"1,2\n" * 2**12, 16, f":20002: {HALF}"),
    "labels": (b"1,x\n" * 2**12, 16, f":20002: {HALF}"),
    "long labels": (
        b"1," + b"x" * 100_000 + b"\n", 20, ":12:2: the targets up to here are longer than 1000000 bytes"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "repeats", "message"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_found_before_it_fills_the_memory(
    data_csv_gz: WriteGzip, monkeypatch: pytest.MonkeyPatch, line: bytes, repeats: int, message: str
) -> None:
    monkeypatch.setattr(table_limits, "table_bytes", lambda: 20_000 * 8 * 4)
    monkeypatch.setattr("portable_mlp.tables.targets.MAX_LABEL_BYTES", 1_000_000)
    path = data_csv_gz(bomb(line, repeats))
    assert path.stat().st_size < 70_000

    size = path.stat().st_size
    message = message.format(bytes=2**22 + size // 2, cells=2**16 + size // 16)

    def read() -> None:
        with refusal(path, message):
            read_training_table(path)

    assert peak_memory(read) < 2 * size + 2**25
    assert unpacked(path) < 2**23


def unpacked(path: Path) -> int:
    """Return how many bytes the reader asks for before it refuses a file."""
    n_bytes = 0

    class Counted(gzip.GzipFile):
        def readline(self, size: Any = -1) -> bytes:
            nonlocal n_bytes
            line = super().readline(size)
            n_bytes += len(line)
            return line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gzip, "GzipFile", Counted)
        with pytest.raises(DataError):
            read_training_table(path)
    return n_bytes

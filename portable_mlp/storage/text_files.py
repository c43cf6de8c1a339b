"""Text files opened for reading, plain or compressed with gzip, if their first bytes agree with their names."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from io import BufferedIOBase

from .table_errors import DataError, opened

__all__ = ["DELIMITERS", "DELIMITER_OF", "opened_text"]

DELIMITER_OF = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
"""What stands between the cells of a file, by its suffix, where nothing else is said."""

DELIMITERS = (",", "\t", ";", "|")
"""What may stand between them."""

_GZIP = b"\x1f\x8b"
_NO_TEXT = {
    _GZIP: "compressed with gzip; its name must end in .gz",
    b"PK\x03\x04": "a zip archive or an Excel workbook; save the table as text",
    b"PAR1": "a Parquet file; its name must end in .parquet",
    b"\x93NUMPY": "an array of NumPy; its name must end in .npy",
}


@contextlib.contextmanager
def opened_text(path: str) -> Iterator[BufferedIOBase]:
    """Open a text file; one whose name ends in .gz is decompressed while it is read."""
    with opened(path) as file:
        start = file.peek(max(map(len, _NO_TEXT)))
        if not path.lower().endswith(".gz"):
            for magic, kind in _NO_TEXT.items():
                if start.startswith(magic):
                    raise DataError(f"{path}: the file is {kind}")
            yield file
        elif start.startswith(_GZIP):
            with gzip.GzipFile(fileobj=file, mode="rb") as decompressed:
                yield decompressed
        else:
            raise DataError(f"{path}: the file is not compressed with gzip, as its name says")

"""The cells of a text table that is too large for memory, in a temporary file."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .errors import DataError
from .text_files import TextFile
from .text_numbers import Place
from .text_tables import TextColumn, TextRows

__all__ = ["CopiedCells", "CopiedColumn", "announcement"]

_OTHER = "TMPDIR names another folder"

_POSITION_BYTES = 8


class CopiedCells:
    """The rows of a text table in groups, in a temporary file that the system removes when it is closed.

    Each group has the ends of its columns, the columns as blocks of text, and the lines on which its rows begin.

    Parameters
    ----------
    path : str
        Name of the text file in error messages.
    names : sequence of str
        Names of all columns, in order.
    groups : iterable of TextRows
        All rows, which are read once.

    Attributes
    ----------
    columns : dict of str to CopiedColumn
        The columns by their names.
    group_rows : tuple of int
        Number of rows of each group.

    Raises
    ------
    DataError
        If the rows cannot be read, or the folder of temporary files has no space for them.
    """

    def __init__(self, path: str, names: Sequence[str], groups: Iterable[TextRows]) -> None:
        self.path = path
        self.columns = {name: CopiedColumn(self, name, number) for number, name in enumerate(names)}
        self._starts: list[int] = []
        group_rows: list[int] = []
        with contextlib.ExitStack() as stack:
            with _no_space(path):
                self._file = tempfile.TemporaryFile(prefix="portable-mlp-")  # noqa: SIM115
            stack.callback(self.close)
            for rows in groups:
                with _no_space(path):
                    self._append(rows)
                group_rows.append(len(rows.lines))
            stack.pop_all()
        self.group_rows = tuple(group_rows)

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):  # what could not be written is not missed
            self._file.close()

    def block(self, group: int, column: int) -> bytes:
        """Return a column of a group; that after the last one are the lines."""
        start = self._starts[group]
        self._file.seek(start + _POSITION_BYTES * column)
        first, end = np.frombuffer(self._file.read(2 * _POSITION_BYTES), dtype=np.int64).tolist()
        self._file.seek(start + _POSITION_BYTES * (len(self.columns) + 2) + first)
        return self._file.read(end - first)

    def line(self, group: int, row: int) -> int:
        """Return the line on which a row of a group begins."""
        return int(np.frombuffer(self.block(group, len(self.columns)), dtype=np.int64)[row])

    def _append(self, rows: TextRows) -> None:
        """Write a group."""
        blocks = [*(column.block() for column in rows.columns), rows.lines.tobytes()]
        self._starts.append(self._file.tell())
        self._file.write(np.cumsum([0, *map(len, blocks)], dtype=np.int64).tobytes())
        self._file.writelines(blocks)
        self._file.flush()


class CopiedColumn:
    """A column of `CopiedCells`, read on demand.

    Parameters
    ----------
    cells : CopiedCells
        The table that it belongs to.
    name : str
        Name of this column.
    number : int
        Its position, counted from 0.
    """

    def __init__(self, cells: CopiedCells, name: str, number: int) -> None:
        self.name = name
        self._cells = cells
        self._number = number

    def read(self, groups: range) -> TextColumn:
        """Read the column of one group, a range of one number."""
        (group,) = groups

        def place(row: int) -> Place:
            return Place(self._cells.path, self._cells.line(group, row), self._number + 1)

        return TextColumn(self.name, place, [self._cells.block(group, self._number)])


def announcement(file: TextFile) -> str:
    """Return the sentence about the copy of a text file that is too large for memory.

    Raises
    ------
    DataError
        If the folder of temporary files has less space than the file takes, or there is none.
    """
    with _no_space(file.name):
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    size = f", {_megabytes(file.n_bytes)}," if file.n_bytes else ""
    about = f"{file.name}{size} is too large for memory"
    if free < file.n_bytes:
        raise DataError(f"{about}, and {folder} has {_megabytes(free)} left for a copy of its cells ({_OTHER})")
    return f"{about}: its cells are copied to a temporary file in {folder} ({_OTHER})"


def _megabytes(n_bytes: int) -> str:
    """Return a size in words.

    >>> _megabytes(20_500_000)
    '21 MB'
    """
    return f"{-(-n_bytes // 10**6)} MB"


@contextlib.contextmanager
def _no_space(path: str) -> Iterator[None]:
    """Turn the error of a full disk, or of a folder that cannot be written to, into a DataError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: its cells cannot be copied to a temporary file: {reason} ({_OTHER})") from error

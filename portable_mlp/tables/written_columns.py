"""Columns of text whose cells are still to be interpreted."""

from __future__ import annotations

import abc

from .cells import Cells, read_as, recognised
from .columns import Column, Reading

__all__ = ["WrittenColumn"]


class WrittenColumn(abc.ABC):
    """A column of cells as they are written in a file."""

    name: str

    @abc.abstractmethod
    def cells(self) -> Cells:
        """Return the cells with their places."""

    @abc.abstractmethod
    def plain_numbers(self, decimal: str) -> Column | None:
        """Return the numbers of a column of nothing but numbers and missing cells; None for any other, or for codes.

        This is what `recognised` and `conformed` would return, sooner.
        """

    def recognised(self, decimal: str) -> Column:
        """Return the column with the kind inferred from its cells."""
        return self.plain_numbers(decimal) or recognised(self.cells(), decimal)

    def conformed(self, reading: Reading) -> Column:
        """Return the column with a known kind; raise DataError for a cell of another kind."""
        plain = self.plain_numbers(".") if reading in (Reading("number"), Reading("number", ".")) else None
        return read_as(self.cells(), reading) if plain is None else plain._replace(reading=reading)

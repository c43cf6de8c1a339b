"""The table that a command trains on: its options, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple, TypeVar

import typer

from ..distributed.group import current_group
from ..kernels.options import check_choice
from ..tables.columns import RawTable, Table
from ..tables.digits import digits, refuse_with_digits
from ..tables.prepared_rows import open_if_large, open_raw_if_large
from ..tables.reading import (
    MixedTargetError,
    ReadingOptions,
    RowSource,
    TargetKind,
    read_or_copy_table,
    read_raw_table,
    read_training_table,
)
from .misuse import PROGRAM
from .options import TABLE, DelimiterOption, MaxRowsOption
from .output_files import STREAM
from .table_options import (
    CategoricalOption,
    DecimalOption,
    DropOption,
    EncodingOption,
    FeaturesOption,
    IdOption,
    NoHeaderOption,
    StrictOption,
)
from .terminal import echo

TARGET_KINDS: dict[str, TargetKind] = {"auto": "unmixed", "classification": "any", "regression": "numbers"}
"""The targets that each task accepts."""

AnyTable = TypeVar("AnyTable")

ONE_STANDARD_INPUT = "standard input goes to one process alone"


class TrainingTable(NamedTuple):
    """A table to read, and the options for reading it.

    Attributes
    ----------
    data : str
        "digits", the path of a table, or "-".
    task : str
        "auto", "classification" or "regression".
    options : ReadingOptions
        The options for reading it.
    """

    data: str
    task: str
    options: ReadingOptions

    @property
    def is_of_numbers(self) -> bool:
        """Whether every cell must be a number, and no option is about single columns."""
        options, usual = self.options, ReadingOptions(strict=True)
        return options == usual._replace(target=options.target, delimiter=options.delimiter, max_rows=options.max_rows)

    def check_processes(self) -> None:
        """Raise ValueError if it is standard input and several processes train together."""
        group = current_group()
        if self.data == STREAM and group is not None and group.size > 1:
            raise ValueError(f"{ONE_STANDARD_INPUT}, and {group.size} train together: name a file")

    def read(self) -> Table | RawTable:
        """Read it whole."""
        return self._read(partial(read_raw_table, last=True))

    def read_or_copy(self) -> Table | RawTable | RowSource:
        """Read it whole, unless it is a text table that is too large for memory: this is copied, and opened."""
        return self._read(partial(read_or_copy_table, announce=_announce))

    def _read(self, read_raw: Callable[..., AnyTable]) -> Table | AnyTable:
        """Read a table of numbers; any other table is read by ``read_raw``."""
        options = self.options
        if self.data == "digits":
            given = {
                name: value for name, value in options._asdict().items() if value != getattr(ReadingOptions(), name)
            }
            refuse_with_digits(**given)
            return digits()
        kind = TARGET_KINDS[self.task]
        try:
            if not self.is_of_numbers:
                return read_raw(self.data, options, target_kind=kind)
            return read_training_table(
                self.data,
                options.target,
                target_kind=kind,
                delimiter=options.delimiter,
                max_rows=options.max_rows,
            )
        except MixedTargetError as error:
            raise MixedTargetError(f"{error}; --task classification takes it as a class") from None

    def open_if_large(self, *, whole: bool) -> RowSource | None:
        """Open it, if it is to stay in its file.

        Parameters
        ----------
        whole : bool
            Whether the model needs all rows at once. A table of numbers that does not fit into memory is opened all the
            same: what its rows cannot do is then an error.
        """
        options, kind = self.options, TARGET_KINDS[self.task]
        if options.delimiter is None and self._replace(options=options._replace(strict=True)).is_of_numbers:
            source = open_if_large(
                self.data, options.target, kind, options.max_rows, whole=whole, strict=options.strict
            )
            if source is not None:
                return source
        return None if whole or options.strict else open_raw_if_large(self.data, options, kind)

    def open_with_gaps(self) -> RowSource | None:
        """Open a large Parquet table of numbers as one that may have gaps; return None if it is to be read whole."""
        return open_raw_if_large(self.data, self.options, TARGET_KINDS[self.task])


def _announce(sentence: str) -> None:
    echo(f"{PROGRAM}: {sentence}", err=True)


def training_table(
    *,
    data: Annotated[
        str,
        typer.Argument(
            help="digits, or a table: .csv/.tsv (.gz too), .parquet, .npz with X and y, .npy whose last column is y; "
            "- is standard input."
        ),
    ],
    target: Annotated[
        str | None, typer.Option(help="Column to predict.", show_default="the last one", rich_help_panel=TABLE)
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            help="auto, classification or regression; auto takes text and few whole numbers for classes.",
            rich_help_panel=TABLE,
        ),
    ] = "auto",
    drop: DropOption = None,
    id: IdOption = None,
    features: FeaturesOption = None,
    categorical: CategoricalOption = None,
    strict: StrictOption = False,
    encoding: EncodingOption = None,
    decimal: DecimalOption = ".",
    no_header: NoHeaderOption = False,
    delimiter: DelimiterOption = None,
    max_rows: MaxRowsOption = None,
) -> TrainingTable:
    """Return the table that is named, with its options. A group of options."""
    check_choice("--task", task, TARGET_KINDS)
    options = ReadingOptions(
        target=target,
        drop=tuple(drop or ()),
        id=id,
        features=tuple(features) if features else None,
        categorical=tuple(categorical or ()),
        encoding=encoding,
        decimal=decimal,
        delimiter=delimiter,
        header=not no_header,
        strict=strict,
        max_rows=max_rows,
    )
    return TrainingTable(data, task, options)

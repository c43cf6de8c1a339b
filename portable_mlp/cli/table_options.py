"""Options of commands that read tables with columns of any kind, and the printed report on the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from ..tables.encoding import ColumnReport
from .options import TABLE
from .terminal import echo

DropOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Column to leave out; may be repeated.", rich_help_panel=TABLE)
]
IdOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Column that identifies the rows: not a feature, but copied to the predictions.", rich_help_panel=TABLE
    ),
]
FeaturesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Column to learn from; may be repeated.", show_default="all others", rich_help_panel=TABLE),
]
CategoricalOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="Column to read as categories, even if it holds numbers; may be repeated.", rich_help_panel=TABLE
    ),
]
StrictOption: TypeAlias = Annotated[
    bool, typer.Option("--strict", help="Refuse anything but finite numbers in feature columns.", rich_help_panel=TABLE)
]
EncodingOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Encoding of a text table, such as cp1252.",
        show_default="utf-8, or utf-16 by its mark",
        rich_help_panel=TABLE,
    ),
]
DecimalOption: TypeAlias = Annotated[str, typer.Option(help="Decimal mark: . or ,", rich_help_panel=TABLE)]
NoHeaderOption: TypeAlias = Annotated[
    bool,
    typer.Option("--no-header", help="The first line is not a header; columns are x0, x1, ...", rich_help_panel=TABLE),
]

_MOST_COLUMNS = 60


def show_columns(report: Sequence[ColumnReport]) -> None:
    """Print what is done with each column, those that are treated alike on one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, kind, _, treatment in report:
        alike.setdefault((kind, treatment), []).append(name)
    lines = []
    for (kind, treatment), names in alike.items():
        more = f" and {len(names) - 3} more" if len(names) > 4 else ""
        lines.append((", ".join(names[:3] if more else names) + more, kind, treatment))
    widths = [min(40, max(len(line[i]) for line in lines)) for i in range(2)]
    for name, kind, treatment in lines[:_MOST_COLUMNS]:
        echo(f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {treatment}")
    if len(lines) > _MOST_COLUMNS:
        echo(f"  and {len(lines) - _MOST_COLUMNS} more")

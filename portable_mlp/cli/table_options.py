"""Options of commands that read a table as it is, and what is printed of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from ..tables.encoding import ColumnReport
from .terminal import echo

DropOption: TypeAlias = Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")]
IdOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Column that names the rows: no feature, but in the predictions too.")
]
FeaturesOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Column to learn from; may be repeated.", show_default="all others")
]
CategoricalOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Column of categories, whatever they look like; may be repeated.")
]
StrictOption: TypeAlias = Annotated[
    bool, typer.Option("--strict", help="Refuse whatever is no finite number in a feature column.")
]
EncodingOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Of a text table, such as cp1252.", show_default="utf-8, or utf-16 by its mark")
]
DecimalOption: TypeAlias = Annotated[str, typer.Option(help="Mark before the fraction of a number: . or ,")]
NoHeaderOption: TypeAlias = Annotated[
    bool, typer.Option("--no-header", help="The first line has no names; columns are x0, x1, ...")
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

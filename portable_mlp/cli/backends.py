"""``portable-mlp backends``: which array libraries can be used here."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from .. import backends as known_backends
from .options import JsonOption, print_json


def backends(as_json: JsonOption = False) -> None:
    """List the array libraries: which can be used here, on which devices, and why not."""
    infos = known_backends()
    if as_json:
        print_json([info._asdict() for info in infos])
        return
    table = Table("backend", "usable", "version", "devices", Column("why not", overflow="fold"))
    for info in infos:
        usable = Text("yes", style="green") if info.available else Text("no", style="red")
        table.add_row(info.name, usable, info.version or "-", ", ".join(info.devices) or "-", Text(info.reason or ""))
    Console().print(table)

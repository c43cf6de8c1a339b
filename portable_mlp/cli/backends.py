"""``portable-mlp backends``: a table of the array libraries that can be used here."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import backends as known_backends
from .options import JsonOption, print_json
from .terminal import echo


def backends(as_json: JsonOption = False) -> None:
    """List the array libraries: which can be used here, on which devices, and why not."""
    infos = known_backends()
    if as_json:
        print_json([info._asdict() for info in infos])
        return
    table = Table("backend", "usable", "version", "devices")
    for info in infos:
        usable = Text("yes", style="green") if info.available else Text("no", style="red")
        table.add_row(info.name, usable, info.version or "-", ", ".join(info.devices) or "-")
    Console().print(table)
    # Below the table, unwrapped: a command must stay whole to be copied.
    for info in infos:
        if info.reason is not None:
            echo(info.reason)

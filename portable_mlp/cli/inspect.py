"""``portable-mlp inspect``: the content of a model file."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from ..storage.models import read_model_file
from ..tables.search_record import SEARCH_ENTRY, SearchRecord
from ..tables.stored_preparation import preparation_of
from .options import JsonOption, print_json
from .table_options import show_columns
from .terminal import echo
from .tune_table import found_by


def inspect(model: Annotated[pathlib.Path, typer.Argument(help="Model file.")], as_json: JsonOption = False) -> None:
    """Show what is in a model file, having verified its checksum."""
    file = read_model_file(model)
    net = file.net
    described: dict[str, Any] = {
        "file": str(model),
        "bytes": file.n_bytes,
        "format": file.described.format_version,
        "written by": f"portable_mlp {file.described.library_version}",
        "sha256": file.sha256,
        "sizes": list(net.sizes),
        "activation": net.activation,
        "output": net.output,
        "loss": net.loss,
        "loss_options": dict(net.loss_options),
        "networks": file.described.n_networks,
        "parameters": file.flat.size,
        "dtype": file.flat.dtype.name,
    }
    if as_json:
        print_json({**{name.replace(" ", "_"): value for name, value in described.items()}, "metadata": file.metadata})
        return
    preparation = preparation_of(model, net, file.metadata)
    described["sizes"] = "-".join(map(str, net.sizes))
    described["loss"] = ", ".join(
        [str(net.loss), *(f"{name} {value}" for name, value in dict(net.loss_options).items())]
    )
    del described["loss_options"]
    if described["networks"] == 1:
        del described["networks"]
    if preparation.target_name is not None:
        described["predicts"] = preparation.target_name
    if preparation.target_low is not None:
        described["stays"] = preparation.range_in_words
    if preparation.classes is not None:
        described["classes"] = _first_names(preparation.classes)
    if preparation.feature_names:
        described["features"] = _first_names(preparation.feature_names)
    for name, value in described.items():
        echo(f"{name:<11}{value}")
    record = SearchRecord.from_metadata(file.metadata.get(SEARCH_ENTRY))
    if record is not None:
        for line in found_by(record):
            echo(line)
    if preparation.encoder is not None:
        echo("columns")
        show_columns(preparation.report)


def _first_names(names: list[Any], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(ascii(name) if isinstance(name, str) else str(name) for name in names[:most]) + more

"""The description in a model file of its network, its parameters and itself; docs/format.md has it as a table."""

from __future__ import annotations

import itertools
import re
from typing import Any

from ..kernels.network import Network
from ..kernels.parameters import Layer
from .model_errors import Defect
from .tensor_files import STORED, Tensor

__all__ = ["FORMAT_VERSION", "MOST_LAYERS", "description_of", "model_of", "network_fields", "tensors_of"]

FORMAT_VERSION = 1
MOST_LAYERS = 1000
_LARGEST_SIZE = 2**48
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,64}")
_FIELDS = {"dtype", "format_version", "library_version", "metadata", "network"}
_NETWORK_FIELDS = {"sizes", "activation", "output", "loss"}
_LOSS_OPTIONS = "loss_options"


def description_of(net: Network, dtype: str, metadata: dict[str, Any], library_version: str) -> dict[str, Any]:
    """Return the description of a model, as it stands in its file."""
    return {
        "dtype": dtype,
        "format_version": FORMAT_VERSION,
        "library_version": library_version,
        "metadata": metadata,
        "network": network_fields(net),
    }


def network_fields(net: Network) -> dict[str, Any]:
    """Return the arguments of a network; ``loss_options`` only where its loss has constants."""
    fields = {"sizes": net.sizes, "activation": net.activation, "output": net.output, "loss": net.loss}
    return {**fields, _LOSS_OPTIONS: dict(net.loss_options)} if net.loss_options else fields


def tensors_of(net: Network, dtype: str) -> list[Tensor]:
    """Return the tensors of a network's file, in the order of `pack`."""
    pairs = enumerate(itertools.pairwise(net.sizes), start=1)
    return [
        Tensor(f"{part}{i}", dtype, shape)
        for i, (fan_in, fan_out) in pairs
        for part, shape in zip(Layer._fields, ((fan_in, fan_out), (fan_out,)), strict=True)
    ]


def model_of(described: dict[str, Any]) -> tuple[Network, str, dict[str, Any], str]:
    """Return the arguments of `description_of` that a file's description was made of.

    How they are spelt is left to the comparison of `description_of` with the file.

    Raises
    ------
    Defect
        If there are none.
    """
    version = described.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        newer = type(version) is int and version > FORMAT_VERSION
        raise Defect(
            f"its format version is {version!r}, but this release of portable_mlp reads version {FORMAT_VERSION}"
            + (": a newer release may read it" if newer else "")
        )
    _check_fields(described, _FIELDS, "description")
    dtype, metadata, library_version = described["dtype"], described["metadata"], described["library_version"]
    if dtype not in tuple(STORED):
        raise Defect(f"its numbers are said to be {dtype!r}; they are {' or '.join(STORED)}")
    if not isinstance(metadata, dict):
        raise Defect("its metadata are not a dict")
    if not isinstance(library_version, str) or not _VERSION.fullmatch(library_version):
        raise Defect("its library version is not one")
    return _network(described["network"]), dtype, metadata, library_version


def _network(fields: Any) -> Network:
    has_options = isinstance(fields, dict) and _LOSS_OPTIONS in fields
    _check_fields(
        fields, _NETWORK_FIELDS | {_LOSS_OPTIONS} if has_options else _NETWORK_FIELDS, "description of the network"
    )
    sizes = fields["sizes"]
    if not isinstance(sizes, list) or len(sizes) > MOST_LAYERS + 1 or any(type(size) is not int for size in sizes):
        raise Defect(f"its sizes are not a list of {MOST_LAYERS + 1} whole numbers at most")
    if max(sizes, default=0) > _LARGEST_SIZE:
        raise Defect("a layer is larger than any memory")
    try:
        return Network(**fields)
    except (TypeError, ValueError) as error:
        raise Defect(f"its description of the network is wrong: {error}") from None


def _check_fields(found: Any, fields: set[str], what: str) -> None:
    if not isinstance(found, dict):
        raise Defect(f"its {what} is not a dict")
    if set(found) != fields:
        raise Defect(
            f"its {what} should have the fields {', '.join(sorted(fields))}; it has {', '.join(sorted(found))}"
        )

"""The description in a model file of its network, its parameters and itself; docs/format.md has it as a table."""

from __future__ import annotations

import itertools
import re
from typing import Any, NamedTuple

from ..kernels.network import Network
from ..kernels.parameters import Layer
from .model_errors import Defect
from .tensor_files import STORED, Tensor

__all__ = ["MOST_LAYERS", "MOST_NETWORKS", "Described", "described_by", "network_fields"]

OF_ONE_NETWORK, OF_SEVERAL_NETWORKS = 1, 2
"""The versions of the format. A model of one network is in the first, which all releases read."""

MOST_LAYERS = 1000
MOST_NETWORKS = 1000
_LARGEST_SIZE = 2**48
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,64}")
_FIELDS = {"dtype", "format_version", "library_version", "metadata", "network"}
_N_NETWORKS = "n_networks"
_NETWORK_FIELDS = {"sizes", "activation", "output", "loss"}
_LOSS_OPTIONS = "loss_options"


class Described(NamedTuple):
    """The description of a model in its file.

    Attributes
    ----------
    net : Network
        Network of the model, or of each of its networks.
    dtype : {"float32", "float64"}
        Dtype of all parameters.
    metadata : dict
        Entries of the user.
    library_version : str
        Version of portable_mlp that writes the file.
    n_networks : int
        Networks of an ensemble, whose tensors have them as their first axis; 1 for a model of one.
    """

    net: Network
    dtype: str
    metadata: dict[str, Any]
    library_version: str
    n_networks: int = 1

    @property
    def format_version(self) -> int:
        """The version of the format that the file has."""
        return OF_ONE_NETWORK if self.n_networks == 1 else OF_SEVERAL_NETWORKS

    def fields(self) -> dict[str, Any]:
        """Return the description as it stands in the file."""
        several = {} if self.n_networks == 1 else {_N_NETWORKS: self.n_networks}
        return {
            "dtype": self.dtype,
            "format_version": self.format_version,
            "library_version": self.library_version,
            "metadata": self.metadata,
            "network": network_fields(self.net),
            **several,
        }

    def tensors(self) -> list[Tensor]:
        """Return the tensors of the file, in the order of `pack`."""
        networks = () if self.n_networks == 1 else (self.n_networks,)
        pairs = enumerate(itertools.pairwise(self.net.sizes), start=1)
        return [
            Tensor(f"{part}{i}", self.dtype, (*networks, *shape))
            for i, (fan_in, fan_out) in pairs
            for part, shape in zip(Layer._fields, ((fan_in, fan_out), (fan_out,)), strict=True)
        ]


def network_fields(net: Network) -> dict[str, Any]:
    """Return the arguments of a network; ``loss_options`` only where its loss has constants."""
    fields = {"sizes": net.sizes, "activation": net.activation, "output": net.output, "loss": net.loss}
    return {**fields, _LOSS_OPTIONS: dict(net.loss_options)} if net.loss_options else fields


def described_by(fields: dict[str, Any]) -> Described:
    """Return what the fields of a file's description say.

    How they are spelt is left to the comparison of `Described.fields` with the file.

    Raises
    ------
    Defect
        If they say nothing.
    """
    version = fields.get("format_version")
    known = (OF_ONE_NETWORK, OF_SEVERAL_NETWORKS)
    if type(version) is not int or version not in known:
        newer = type(version) is int and version > known[-1]
        raise Defect(
            f"its format version is {version!r}, but this release of portable_mlp reads versions "
            f"{' and '.join(map(str, known))}" + (": a newer release may read it" if newer else "")
        )
    of_several = version == OF_SEVERAL_NETWORKS
    _check_fields(fields, _FIELDS | {_N_NETWORKS} if of_several else _FIELDS, "description")
    dtype, metadata, library_version = fields["dtype"], fields["metadata"], fields["library_version"]
    if dtype not in tuple(STORED):
        raise Defect(f"its numbers are said to be {dtype!r}; they are {' or '.join(STORED)}")
    if not isinstance(metadata, dict):
        raise Defect("its metadata are not a dict")
    if not isinstance(library_version, str) or not _VERSION.fullmatch(library_version):
        raise Defect("its library version is not one")
    n_networks = fields[_N_NETWORKS] if of_several else 1
    if of_several and (type(n_networks) is not int or not 2 <= n_networks <= MOST_NETWORKS):
        raise Defect(f"its number of networks is not a whole number from 2 to {MOST_NETWORKS}")
    return Described(_network(fields["network"]), dtype, metadata, library_version, n_networks)


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

"""Common parts of both kinds of ONNX file: checks of parameters and scalings, and the writing of a checked model."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import version
from ..backends import dtype_name
from ..backends.ambient import flat_on_host
from ..backends.extras import load
from ..kernels.arguments import check_params
from ..kernels.network import Network
from ..kernels.parameters import Params, check_dtype, n_parameters
from ..storage.atomic import replace_file
from ..storage.model_descriptions import network_fields
from ..storage.models import check_one_model
from ..storage.paths import FilePath
from ..tables.number_features import Pieces

LARGEST_FILE = 2**31 - 1
"""The largest size in bytes of a protobuf message, and so of an ONNX file with its weights inside."""

Scaling: TypeAlias = tuple[Any, Any]
"""Mean and scale of each column: the input of the network is ``(x - mean) / scale``."""


load_onnx = functools.partial(load, purpose="ONNX files need {missing}, which is missing", extra="onnx")
"""``load_onnx(module)`` returns one of the modules that the extra ``onnx`` installs, as `load` does."""


def host_vector(net: Network, params: Params, *, copies: int = 1) -> np.ndarray:
    """Return checked parameters of one model as a flat vector on the host, float32 or float64.

    Parameters
    ----------
    net : Network
        Network of the parameters.
    params : tuple of Layer
        Parameters of any library, device and memory layout.
    copies : int
        Number of vectors of this size that the file will have.

    Raises
    ------
    ValueError
        If they are of another network, several models, not finite, or too many for a file.
    TypeError
        If they are not float32 or float64.
    """
    return _on_host(net, check_one_model(net, params, "an ONNX file"), copies)


def host_vectors(net: Network, params: Params) -> np.ndarray:
    """Return what `host_vector` returns; of several models, a vector of each (n_models, n_parameters).

    Raises
    ------
    ValueError, TypeError
        As `host_vector`.
    """
    checked = check_params(net, params)
    check_dtype(checked)
    return _on_host(net, checked, math.prod(checked[0].W.shape[:-2]))


def _on_host(net: Network, params: Params, copies: int) -> np.ndarray:
    """Return checked parameters, flat and on the host, if they are finite and their copies fit into a file."""
    n_bytes = copies * n_parameters(net.sizes) * np.dtype(dtype_name(params[0].W.dtype)).itemsize
    if n_bytes > LARGEST_FILE:
        raise ValueError(
            f"the numbers of {net} take {n_bytes:,} bytes, but an ONNX file can have {LARGEST_FILE:,} at most; "
            "save_model writes files of any size"
        )
    flat = flat_on_host(params)
    if not np.all(np.isfinite(flat)):
        raise ValueError("params hold NaN or infinity: such a model predicts nothing")
    return flat.astype(flat.dtype.newbyteorder("="), copy=False)


def checked_scaling(name: str, scaling: Scaling | None, n_columns: int, dtype: Any) -> Scaling | None:
    """Return mean and scale (n_columns,) in float64; None where they change nothing.

    Raises
    ------
    ValueError
        If there is not one of each for every column, or they are not finite and the scales positive, in ``dtype``.
    """
    if scaling is None:
        return None
    try:
        mean, scale = (np.asarray(x, dtype=np.float64) for x in scaling)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a pair (mean, scale), each with a number for every column") from None
    if mean.shape != (n_columns,) or scale.shape != (n_columns,):
        raise ValueError(
            f"{name} must be a pair (mean, scale) of shape ({n_columns},) each; got {mean.shape} and {scale.shape}"
        )
    with np.errstate(over="ignore"):
        in_dtype = mean.astype(dtype), scale.astype(dtype)
    if not (np.all(np.isfinite(in_dtype)) and np.all(in_dtype[1] > 0)):
        raise ValueError(f"{name} must be finite, and every scale positive, in {dtype}")
    return None if np.all(mean == 0) and np.all(scale == 1) else (mean, scale)


def checked_target_scaling(net: Network, scaling: Scaling | None, dtype: Any) -> Scaling | None:
    """Return what `checked_scaling` returns for the targets; raise ValueError where outputs are probabilities."""
    checked = checked_scaling("target_scaling", scaling, net.sizes[-1], dtype)
    if checked is not None and net.output in ("softmax", "logistic"):
        raise ValueError(f"target_scaling does not go with the output {net.output!r}, which gives probabilities")
    return checked


def checked_edges(net: Network, edges: Sequence[Sequence[float]] | None, dtype: Any) -> Pieces | None:
    """Return the pieces between the edges of each column; None where there are no edges.

    Raises
    ------
    ValueError
        If the edges of a column are not finite, or do not ascend, in ``dtype``, or the network has not an input for
        each column and piece.
    """
    pieces = None if edges is None else Pieces.between(edges)
    if pieces is None:
        return None
    with np.errstate(over="ignore"):
        low, width = pieces.low.astype(dtype), pieces.width.astype(dtype)
    is_sound = np.isfinite(low) & np.isfinite(width) & (width > 0)
    if not is_sound.all():
        column = pieces.column[np.argmin(is_sound)]
        raise ValueError(
            f"input_edges must be finite, and ascend in every column; those of column {column} do not, in {dtype}"
        )
    n_columns, n_pieces = pieces.n_columns, len(pieces.width)
    if n_columns + n_pieces != net.sizes[0]:
        raise ValueError(
            f"{n_columns} columns and {n_pieces} pieces between input_edges are not the {net.sizes[0]} inputs of {net}"
        )
    return pieces


def write_model(path: FilePath, model: Any, net: Network, metadata: dict[str, Any] | None, **also: Any) -> None:
    """Write a model with its header and metadata, checked by ONNX, in one step: a crash leaves the old file or the new.

    The same arguments give the same bytes: no clock, path or user is in them.

    Parameters
    ----------
    path : str, bytes or path
        File to create or replace.
    model : onnx.ModelProto
        Graph; its header is filled in here.
    net : Network
        Network that the metadata describe.
    metadata : dict or None
        Entries of the user.
    **also
        Further entries of the file's own.
    """
    onnx = load_onnx("onnx")
    opset = {entry.domain: entry.version for entry in model.opset_import}[""]
    entries = _entries(metadata, {"network": network_fields(net), "opset": opset, **also})
    model.producer_name, model.producer_version = "portable_mlp", version.__version__
    onnx.helper.set_model_props(model, entries)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    with replace_file(path) as file:
        file.write(content)


def _entries(metadata: dict[str, Any] | None, own: dict[str, Any]) -> dict[str, str]:
    """Return metadata properties, texts by name in order: each value as JSON."""
    given = {} if metadata is None else metadata
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"metadata must be a dict whose keys are texts, got {metadata!r}")
    for name in own.keys() & given.keys():
        raise ValueError(f"metadata has the entry {name!r}, which an ONNX file has of its own; give it another name")
    try:
        entries = {
            name: json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
            for name, value in sorted({**given, **own}.items())
        }
        for text in (*entries, *entries.values()):
            text.encode()
        return entries
    except UnicodeEncodeError as error:
        raise ValueError(
            f"metadata must hold texts that UTF-8 can write, without {error.object[error.start]!a}"
        ) from None
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"metadata must hold what JSON can say (numbers, texts, lists, dicts): {error}") from None

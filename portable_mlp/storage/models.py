"""Model files: safetensors, readable by everyone, with a strict description of the network in the metadata.

A file holds one tensor for each layer's weights and biases, "W1", "b1", "W2", ..., and a single metadata entry,
"portable_mlp", with canonical JSON: the same model gives the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from typing import Any

from ..backends import Backend, backend_of, dtype_name, get_backend
from ..kernels.calls import check_params
from ..kernels.network import Network
from ..kernels.parameters import Params, pack, unpack
from ..training.data import DTYPES, check_dtype
from .atomic import replace_file

FORMAT_VERSION = 1
_METADATA_KEY = "portable_mlp"


class ModelFileError(ValueError):
    """A model file that cannot be used; the message begins with its path and says why."""


def save_model(
    path: str | os.PathLike[str], net: Network, params: Params, metadata: dict[str, Any] | None = None
) -> None:
    """Write a model to a file, which is replaced in one step: a crash leaves the old file or the new one.

    Parameters
    ----------
    path : str or path
        Where; usually "*.safetensors".
    net : Network
        What the parameters are for.
    params : tuple of Layer
        Parameters of any library, device and memory layout; one model.
    metadata : dict, optional
        Anything JSON can say, with string keys: class labels, the scaling of the inputs, a remark.

    Raises
    ------
    ValueError
        If ``params`` belong to another network or have an axis of models, or ``metadata`` holds NaN or infinity.
    TypeError
        If ``metadata`` cannot be said in JSON, or the parameters are not float32 or float64.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile, portable_mlp as pm
    >>> net = pm.Network((2, 3, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "xor.safetensors"
    ...     pm.save_model(path, net, pm.init_params(net), metadata={"classes": ["no", "yes"]})
    ...     same_net, params, metadata = pm.load_model(path)
    >>> same_net == net, metadata
    (True, {'classes': ['no', 'yes']})
    """
    from safetensors.numpy import save

    checked = check_params(net, params)
    check_dtype(checked)
    if checked[0].W.ndim != 2:
        raise ValueError("a model file holds one model, but params have a leading axis of models")
    # All tensors are cut from one C-contiguous vector: safetensors 0.8 writes wrong bytes for other layouts
    # (https://github.com/huggingface/safetensors/issues/825).
    flat = backend_of(checked[0].W).to_numpy(pack(checked))
    flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    described = {
        "format_version": FORMAT_VERSION,
        "network": {"sizes": net.sizes, "activation": net.activation, "output": net.output, "loss": net.loss},
        "metadata": _checked_metadata(metadata),
        "sha256": _sha256(flat),
    }
    tensors = {name: x for i, layer in enumerate(unpack(net, flat), start=1) for name, x in _named(i, layer)}
    content = save(tensors, {_METADATA_KEY: _canonical(described)})
    with replace_file(path) as file:
        file.write(content)


def load_model(
    path: str | os.PathLike[str], backend: str | Backend = "numpy", dtype: Any = None
) -> tuple[Network, Params, dict[str, Any]]:
    """Read a model from a file.

    Parameters
    ----------
    path : str or path
        Of a file that `save_model` wrote.
    backend : str or Backend
        Where the parameters shall live.
    dtype : str or dtype, optional
        Of the parameters; by default as they were saved.

    Returns
    -------
    net : Network
        What was saved.
    params : tuple of Layer
        On the backend.
    metadata : dict
        What was given to `save_model`; empty if nothing was.

    Raises
    ------
    ModelFileError
        If the file is not a sound model file; names it and says why.
    OSError
        If it cannot be read.
    ValueError
        If the backend does not have the dtype.

    Examples
    --------
    >>> import pathlib, tempfile, portable_mlp as pm
    >>> net = pm.Network((2, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.safetensors"
    ...     pm.save_model(path, net, pm.init_params(net))
    ...     _, params, _ = pm.load_model(path, dtype="float32")
    >>> params[0].W.dtype
    dtype('float32')
    """
    chosen = get_backend(backend)
    if dtype is not None and dtype_name(dtype) not in DTYPES:
        raise ValueError(f"parameters are float32 or float64, got dtype {dtype!r}")
    with open(path, "rb") as file:
        content = file.read()
    try:
        net, flat, metadata = _decoded(content)
    except _DefectError as defect:
        raise ModelFileError(f"{os.fspath(path)}: {defect}") from None
    return net, unpack(net, chosen.asarray(flat, dtype=flat.dtype if dtype is None else dtype)), metadata


class _DefectError(Exception):
    """What is wrong with a file's content."""


def _named(i: int, layer: Any) -> list[tuple[str, Any]]:
    return [(f"{part}{i}", x) for part, x in zip(("W", "b"), layer, strict=True)]


def _sha256(flat: Any) -> str:
    return hashlib.sha256(flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def _canonical(described: dict[str, Any]) -> str:
    return json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _checked_metadata(metadata: dict[str, Any] | None) -> dict[str, Any]:
    given = {} if metadata is None else metadata
    try:
        same = json.loads(_canonical(given))
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"metadata must be a dict of what JSON can say (numbers, texts, lists, dicts): {error}") from None
    if not isinstance(given, dict) or not _keys_are_text(given):
        raise TypeError("metadata must be a dict whose keys are all texts")
    return dict(same)


def _keys_are_text(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _keys_are_text(inner) for key, inner in value.items())
    return all(map(_keys_are_text, value)) if isinstance(value, list | tuple) else True


def _decoded(content: bytes) -> tuple[Network, Any, dict[str, Any]]:
    """Return the network, the flat vector and the metadata; raise _DefectError for what cannot have been written."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _DefectError(f"not a safetensors file that can be read here ({error})") from None
    described = _description(content)
    net = _network(described)
    expected = list(itertools.chain.from_iterable(_shapes(net)))
    found = {name: tuple(x.shape) for name, x in tensors.items()}
    if found != dict(expected):
        raise _DefectError(f"{net} needs the tensors {dict(expected)}, the file has {found}")
    dtypes = {x.dtype for x in tensors.values()}
    if len(dtypes) > 1 or dtype_name(dtypes.pop()) not in DTYPES:
        raise _DefectError("the tensors must all be float32 or all float64")
    flat = np.concatenate([tensors[name].reshape(-1) for name, _ in expected])
    if described.get("sha256") != _sha256(flat):
        raise _DefectError("the numbers are not those that were written: the SHA-256 checksum differs")
    metadata = described.get("metadata")
    if not isinstance(metadata, dict):
        raise _DefectError("the metadata entry is not a dict")
    return net, flat, metadata


def _description(content: bytes) -> dict[str, Any]:
    """Return the JSON description in the header, whose own JSON follows its length in 8 bytes, little-endian."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = (header.get("__metadata__") or {}).get(_METADATA_KEY)
    if text is None:
        raise _DefectError("a safetensors file, but not one that portable_mlp wrote: its description is missing")
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        raise _DefectError("the description is not JSON") from None
    if not isinstance(described, dict) or described.get("format_version") != FORMAT_VERSION:
        version = described.get("format_version") if isinstance(described, dict) else None
        raise _DefectError(f"format version {version!r} is not known; this release reads version {FORMAT_VERSION}")
    return described


def _network(described: dict[str, Any]) -> Network:
    fields = described.get("network")
    if not isinstance(fields, dict) or set(fields) != {"sizes", "activation", "output", "loss"}:
        raise _DefectError("the description of the network is incomplete")
    try:
        return Network(**fields)
    except (TypeError, ValueError) as error:
        raise _DefectError(f"the description of the network is wrong: {error}") from None


def _shapes(net: Network) -> list[list[tuple[str, tuple[int, ...]]]]:
    pairs = itertools.pairwise(net.sizes)
    return [_named(i, ((fan_in, fan_out), (fan_out,))) for i, (fan_in, fan_out) in enumerate(pairs, start=1)]

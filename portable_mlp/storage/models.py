"""Model files: safetensors, readable by everyone, with a strict description of the network in the metadata.

A file holds one tensor for each layer's weights and biases, "W1", "b1", "W2", ..., which together are the flat vector
of `pack`, and a single metadata entry, "portable_mlp", with canonical JSON: the same model gives the same bytes.
docs/format.md has the format on one page.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import version
from ..backends import Backend, dtype_name, get_backend
from ..backends.ambient import flat_on_host
from ..kernels.arguments import check_params
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.parameters import DTYPES, Params, check_dtype, named_arrays, unpack
from ..kernels.suggestions import suggesting
from .json_values import check_json
from .model_descriptions import MOST_LAYERS, MOST_NETWORKS, Described, described_by
from .model_errors import Defect, ModelFileError
from .paths import FilePath
from .tensor_files import STORED, checked_header, open_tensor_file, write_tensor_file

__all__ = [
    "ESTIMATOR_ENTRY",
    "ModelFile",
    "ModelFileError",
    "check_one_model",
    "check_savable",
    "load_model",
    "on_backend",
    "read_model_file",
    "save_ensemble",
    "save_model",
]

ESTIMATOR_ENTRY = "estimator"
"""The entry of the metadata for the state of an estimator beyond its network."""


class ModelFile(NamedTuple):
    """The content of a model file.

    Attributes
    ----------
    described : Described
        What the file says of the model.
    flat : ndarray of shape (n_parameters,), or (n_networks, n_parameters) of an ensemble, float32 or float64
        The parameters, as `pack` has them.
    sha256 : str
        Checksum of the whole file.
    n_bytes : int
        Size of the file.
    """

    described: Described
    flat: np.ndarray
    sha256: str
    n_bytes: int

    @property
    def net(self) -> Network:
        """The network of the model, or of each of its networks."""
        return self.described.net

    @property
    def metadata(self) -> dict[str, Any]:
        """The entries of the user."""
        return self.described.metadata


@suggesting
def save_model(path: FilePath, net: Network, params: Params, metadata: dict[str, Any] | None = None) -> None:
    """Write a model to a file, which is replaced in one step: a crash leaves the old file or the new one.

    Parameters
    ----------
    path : str, bytes or path
        File to create or replace, usually ending in ".safetensors".
    net : Network
        Network of the parameters, 1000 layers at most.
    params : tuple of Layer
        Finite parameters of any library, device and memory layout; one model.
    metadata : dict, optional
        Anything that JSON returns unchanged: class labels, the scaling of the inputs, a remark. Just under 32 MiB.

    Raises
    ------
    ValueError
        If ``params`` belong to another network, are not finite or have an axis of models, or ``metadata`` holds NaN or
        infinity, or is too large.
    TypeError
        If ``metadata`` holds something that JSON has not, such as a tuple or a NumPy array, or the parameters are not
        float32 or float64.
    OSError
        If the file cannot be written. After any error ``path`` is what it was before.

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
    _write(path, net, check_one_model(net, params, "a model file"), metadata)


def save_ensemble(path: FilePath, net: Network, params: Params, metadata: dict[str, Any] | None = None) -> None:
    """Write several networks to one file, which is replaced in one step; `load_model` reads it.

    Parameters
    ----------
    path, net, metadata
        The same as for `save_model`.
    params : tuple of Layer
        Finite parameters with a leading axis of 2 to 1000 models, or without one, as for `save_model`.

    Raises
    ------
    ValueError, TypeError, OSError
        As `save_model`.
    """
    checked = check_params(net, params)
    check_dtype(checked)
    if checked[0].W.ndim == 3 and not 2 <= checked[0].W.shape[0] <= MOST_NETWORKS:
        raise ValueError(f"a model file holds 2 to {MOST_NETWORKS} networks, but params are of {checked[0].W.shape[0]}")
    _write(path, net, checked, metadata)


def _write(path: FilePath, net: Network, params: Params, metadata: dict[str, Any] | None) -> None:
    """Write checked parameters, of one model or with a leading axis of models."""
    n_networks = 1 if params[0].W.ndim == 2 else int(params[0].W.shape[0])
    check_savable(net, metadata, n_networks)
    dtype = dtype_name(params[0].W.dtype)
    flat = flat_on_host(params)
    culprit = _first_not_finite(net, flat)
    if culprit is not None:
        raise ValueError(f"{culprit}; a model file holds finite numbers only, and nothing was written")
    described = Described(net, dtype, metadata or {}, version.__version__, n_networks)
    # The stored vector is ours, one piece and in order; a library that writes arrays of other layouts may not look.
    payload = np.ascontiguousarray(_tensor_by_tensor(net, flat), dtype=STORED[dtype])
    write_tensor_file(path, described.fields(), described.tensors(), payload)


def _tensor_by_tensor(net: Network, flat: np.ndarray) -> np.ndarray:
    """Return parameters in the order of the file: each tensor of all networks, one after another."""
    return np.concatenate([part.ravel() for layer in unpack(net, flat) for part in layer]) if flat.ndim == 2 else flat


def _network_by_network(described: Described, numbers: np.ndarray) -> np.ndarray:
    """Return the numbers of a file as `pack` has them, the inverse of `_tensor_by_tensor`."""
    if described.n_networks == 1:
        return numbers
    ends = np.cumsum([math.prod(tensor.shape) for tensor in described.tensors()])
    return np.hstack([part.reshape(described.n_networks, -1) for part in np.split(numbers, ends[:-1])])


def check_one_model(net: Network, params: Params, holder: str) -> Params:
    """Check that parameters are those of one model, in a dtype that files hold; return them as a tuple of Layer.

    Raises
    ------
    ValueError
        If they are of another network, or of several models, of which ``holder`` holds one.
    TypeError
        If they are not float32 or float64.
    """
    checked = check_params(net, params)
    check_dtype(checked)
    if checked[0].W.ndim != 2:
        raise ValueError(f"{holder} holds one model, but params have a leading axis of models")
    return checked


def check_savable(net: Network, metadata: dict[str, Any] | None, n_networks: int = 1) -> None:
    """Raise where a model file could not hold networks or metadata; before training, so that it is not in vain.

    Raises
    ------
    ValueError, TypeError
        As `save_model`.
    """
    if metadata is not None and not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict, got {type(metadata).__name__}")
    check_json(metadata, "metadata", depth=1)
    if len(net.sizes) - 1 > MOST_LAYERS:
        raise ValueError(f"a model file holds {MOST_LAYERS} layers at most, but the network has {len(net.sizes) - 1}")
    longest = Described(net, "float64", metadata or {}, version.__version__, n_networks)
    checked_header(longest.fields(), longest.tensors())


@suggesting
def load_model(
    path: FilePath, backend: str | Backend = "numpy", dtype: Any = None
) -> tuple[Network, Params, dict[str, Any]]:
    """Read a model from a file, having verified every byte of it.

    Parameters
    ----------
    path : str, bytes or path
        File that `save_model` wrote, or an ensemble's.
    backend : str or Backend
        Library and device of the parameters.
    dtype : str or dtype, optional
        Dtype of the parameters; by default as they were saved.

    Returns
    -------
    net : Network
        Network of the model.
    params : tuple of Layer
        Parameters on the backend; of an ensemble with a leading axis of models, whose outputs are averaged.
    metadata : dict
        Metadata that `save_model` was given, empty without.

    Raises
    ------
    ModelFileError
        If the file is not a sound model file; the message has its path and the reason.
    OSError
        If it cannot be read.
    ValueError
        If the backend does not have the dtype, or a parameter is too large for it.

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
    file = read_model_file(path)
    with chosen.undisturbed():
        params = unpack(file.net, on_backend(file, chosen, dtype))
    return file.net, params, file.metadata


def read_model_file(path: FilePath) -> ModelFile:
    """Read a model file to the host.

    Raises
    ------
    ModelFileError, OSError
        As `load_model`.
    """
    with open_tensor_file(path) as file:
        described = described_by(file.described)
        numbers = file.numbers(described.fields(), described.tensors())
        stored = numbers.view(STORED[described.dtype]).astype(described.dtype, copy=False)
        flat = _network_by_network(described, stored)
        culprit = _first_not_finite(described.net, flat)
        if culprit is not None:
            raise Defect(culprit)
    return ModelFile(described, flat, file.sha256, file.n_bytes)


def on_backend(file: ModelFile, backend: Backend, dtype: Any = None) -> Array:
    """Return the flat parameters of a file on a backend, by default in their own dtype.

    Raises
    ------
    ValueError
        If the backend does not have the dtype, or a parameter is too large for it.
    """
    name = file.flat.dtype.name if dtype is None else dtype_name(dtype)
    with np.errstate(over="ignore"):
        cast = file.flat.astype(name, copy=False)
    culprit = _first_not_finite(file.net, cast)
    if culprit is not None:
        raise ValueError(f"in {name}, {culprit}: load the model in {file.flat.dtype}")
    return backend.asarray(cast, dtype=name)


def _first_not_finite(net: Network, flat: np.ndarray) -> str | None:
    """Return the place and the value of the first parameter that is not finite, None if there is none."""
    for name, x in named_arrays(unpack(net, flat)).items():
        finite = np.isfinite(x)
        if not finite.all():
            index = np.unravel_index(np.argmin(finite), x.shape)
            return f"{name}[{', '.join(map(str, index))}] is {x[index]}"
    return None

"""The checked arguments of `train`: a network with its loss, the initial parameters, and the samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..backends import Backend, backend_of
from ..distributed.agreement import n_samples_of_all
from ..kernels.arrays import Array
from ..kernels.losses import SMOOTHED_LOSSES
from ..kernels.network import Network
from ..kernels.parameters import Params, pack
from ..kernels.step import Objective
from .checkpointing import fingerprint
from .data import checked_data
from .options import fields_of_step
from .stream import Samples, Stream
from .weights import check_own_samples, learnt_class_weights, weighted

FIRST_SAMPLES = 8
"""The number of samples that ranks with the same data compare."""


class Problem(NamedTuple):
    """The problem that one call of `train` solves.

    Attributes
    ----------
    backend : Backend
        The library and device, at the requested precision.
    objective : Objective
        The network and its loss.
    params : tuple of Layer
        The initial parameters, layer by layer.
    data : Data or Stream
        The samples of this process.
    hold_out : Data or Stream or None
        The samples to validate on.
    n_samples : int
        The number of samples of all processes.
    """

    backend: Backend
    objective: Objective
    params: Params
    data: Samples
    hold_out: Samples | None
    n_samples: int

    @property
    def net(self) -> Network:
        """The network."""
        return self.objective.net


def checked_problem(
    net: Network,
    params: Params,
    X: Array,
    y: Array,
    sample_weight: Array | None,
    validation: Any,
    options: Mapping[str, Any],
) -> Problem:
    """Check parameters, samples and the options that depend on them; in a group, also that the ranks agree.

    Raises
    ------
    ValueError, TypeError
        As `train`.
    """
    _check_smoothing(net, options["label_smoothing"])
    objective = Objective(net, **fields_of_step(Objective, options))
    data = _checked_samples(net, params, X, y, sample_weight)
    backend = backend_of(params[0][0]).at_precision(options["precision"], params[0][0].dtype)
    hold_out = _checked_validation(net, params, validation)
    with backend.running():
        by_class = learnt_class_weights(backend, net, data, options["class_weight"])
        data = weighted(backend, data, by_class)
        check_own_samples(backend, data)
        if hold_out is not None:
            with _named_validation():
                hold_out = weighted(backend, hold_out, by_class)
    _check_there_is_validation(options, hold_out)
    _check_one_model(params, options)
    others = {
        "params": lambda: _content_of(backend, params),
        "validation data": lambda: b"" if hold_out is None else _first_of(backend, hold_out),
    }
    n_samples = n_samples_of_all(data.n_samples, lambda: _first_of(backend, data), others)
    return Problem(backend, objective, params, data, hold_out, n_samples)


def _check_smoothing(net: Network, label_smoothing: float) -> None:
    if label_smoothing and net.loss not in SMOOTHED_LOSSES:
        losses = " and ".join(map(repr, SMOOTHED_LOSSES))
        raise ValueError(f"label_smoothing is for the losses {losses}, but the network's is {net.loss!r}")


def _checked_samples(net: Network, params: Params, X: Array, y: Array, sample_weight: Array | None = None) -> Samples:
    """Return the data; a `Stream` in the place of ``X`` checks its samples when it reads them."""
    if not isinstance(X, Stream):
        return checked_data(net, params, X, y, sample_weight)
    if sample_weight is not None:
        raise ValueError("sample_weight is not for samples in a file")
    return X


def _checked_validation(net: Network, params: Params, validation: Any) -> Samples | None:
    if validation is None:
        return None
    try:
        given = tuple(validation)
    except TypeError:
        given = ()
    if len(given) not in (2, 3):
        raise ValueError("validation must be a pair (X_val, y_val), or (X_val, y_val, sample_weight)")
    with _named_validation():
        return _checked_samples(net, params, *given)


@contextlib.contextmanager
def _named_validation() -> Iterator[None]:
    """Prefix an error to locate it in the validation data."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"in the validation data: {error}") from None


def _check_there_is_validation(options: Mapping[str, Any], hold_out: Samples | None) -> None:
    asked = {"patience": options["patience"] is not None, 'monitor="score"': options["monitor"] == "score"}
    for what, is_asked in asked.items():
        if is_asked and hold_out is None:
            raise ValueError(f"{what} looks at the validation: give validation=(X_val, y_val) with it")


def _check_one_model(params: Params, options: Mapping[str, Any]) -> None:
    """Refuse options that follow the loss of one model where there are several."""
    asked = {
        "patience": options["patience"] is not None,
        'schedule "adaptive"': options["schedule"] == "adaptive",
        'solver "lbfgs"': options["solver"] == "lbfgs",
    }
    for what, is_asked in asked.items():
        if is_asked and params[0][0].ndim > 2:
            raise ValueError(f"{what} follows the loss of one model, but params have a leading axis of models")


def _first_of(backend: Backend, samples: Samples) -> bytes:
    """Return the number of samples and a digest of the first of them, to compare with other ranks."""
    if isinstance(samples, Stream):
        return samples.digest.encode()
    first = samples.part(0, min(samples.n_samples, FIRST_SAMPLES))
    return f"{samples.n_samples} {fingerprint(backend, first)}".encode()


def _content_of(backend: Backend, params: Params) -> bytes:
    """Return parameters, library and dtype in a form to compare with other ranks."""
    flat = pack(params)
    return f"{backend.name} {flat.dtype} {flat.shape}".encode() + backend.to_numpy(flat).tobytes()

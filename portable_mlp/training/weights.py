"""The weights of samples in `train`: their own, times those of their classes."""

from __future__ import annotations

from typing import Any

from ..backends import Backend, dtype_name
from ..distributed.group import current_group
from ..kernels.network import Network
from ..kernels.targets import are_labels
from .batches import Data
from .class_weights import ClassWeights, asks_for_balance
from .stream import Samples, Stream


def learnt_class_weights(backend: Backend, net: Network, data: Samples, class_weight: Any) -> ClassWeights | None:
    """Return the weights of the classes of the training data; None where all count the same.

    Raises
    ------
    ValueError
        If the samples are in a file or have no classes, or if their number would have to be that of all processes.
    """
    if class_weight is None:
        return None
    if isinstance(data, Stream):
        raise ValueError("class_weight looks at the classes of all samples: it is not for samples in a file")
    group = current_group()
    if group is not None and not group.has_all_samples and asks_for_balance(class_weight):
        raise ValueError(
            "class_weight 'balanced' counts the classes of all samples, of which each process has its own: give a dict"
        )
    one_of_two = net.output == "logistic" and net.sizes[-1] == 1
    if net.output != "softmax" and not one_of_two:
        raise ValueError(f"class_weight is for one class a sample, but the output is {net.output!r}")
    weights = None if data.weights is None else backend.to_numpy(data.weights)
    classes = range(2 if one_of_two else net.sizes[-1])
    return ClassWeights(class_weight, classes, _classes_of(backend, data), weights)


def weighted(backend: Backend, data: Samples, by_class: ClassWeights | None) -> Samples:
    """Multiply the weights of samples by those of their classes; check that all are finite and that one is not 0."""
    if isinstance(data, Stream):
        return data
    if by_class is not None:
        factors = backend.asarray(by_class.of_samples(_classes_of(backend, data)), dtype=data.X.dtype)
        weights = factors if data.weights is None else data.weights * factors
        if not bool(backend.xp.all(backend.xp.isfinite(weights))):
            raise ValueError(
                f"the weights of samples, times class_weight, are too large for {dtype_name(data.X.dtype)}: "
                "give smaller ones in the same proportions"
            )
        data = data._replace(weights=weights)
    if data.weights is not None and not bool(backend.xp.any(data.weights > 0)):
        raise ValueError("the weights of all samples are 0: one at least must count")
    return data


def check_own_samples(backend: Backend, data: Samples) -> None:
    """Refuse weights of 0 where no process can detect a batch whose weights are all 0, which has no step."""
    group = current_group()
    if group is None or group.has_all_samples or isinstance(data, Stream) or data.weights is None:
        return
    if not bool(backend.xp.all(data.weights > 0)):
        raise ValueError("weights of 0 need all samples on each process: leave out those that do not count")


def _classes_of(backend: Backend, data: Data) -> Any:
    """Return the class of each sample, (n_samples,) on the host."""
    Y = backend.to_numpy(data.Y)
    if Y.ndim > 2:
        raise ValueError("class_weight needs targets that all models share")
    if not are_labels(backend.xp, data.Y) and not ((Y == 0) | (Y == 1)).all():
        raise ValueError("class_weight needs the class of each sample: labels, or one-hot rows of 0 and 1")
    return Y[:, 0].astype(int) if Y.shape[1] == 1 else Y.argmax(axis=1)


def weights_to_skip_by(backend: Backend, data: Samples) -> Any:
    """Return the weights on the host if some are 0, so that batches can be skipped; else None."""
    if isinstance(data, Stream) or data.weights is None:
        return None
    weights = backend.to_numpy(data.weights)
    return None if (weights > 0).all() else weights

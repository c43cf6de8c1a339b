"""The state of a fit after its last complete epoch: parameters, optimizer and record together."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Self

from ..kernels.arrays import Array, Namespace, namespace_of, snapshot
from ..kernels.network import Network
from ..kernels.parameters import unpack
from .optimizer_state import OptimizerState

CURVES = ("loss_curve_", "validation_loss_curve_", "validation_scores_")
"""The lists to which a fit appends one number an epoch."""


class CompleteEpoch(NamedTuple):
    """The state of a fit after a complete epoch, or iteration of L-BFGS; `apart` makes it independent of later steps.

    Attributes
    ----------
    attributes : dict
        The attributes of the draft.
    net : Network
        The network that is trained.
    lengths : dict
        The lengths of the curves at that moment, since the lists keep growing.
    flat : array of shape (n_parameters,)
        The parameters to predict with.
    optimizer : OptimizerState or None
        The optimizer of a stochastic solver; None for L-BFGS.
    """

    attributes: dict[str, Any]
    net: Network
    lengths: dict[str, int]
    flat: Array
    optimizer: OptimizerState | None = None

    @classmethod
    def now(cls, draft: Any, net: Network, flat: Array, optimizer: OptimizerState | None = None) -> Self:
        """Return the current state of a fit."""
        attributes = dict(vars(draft))
        lengths = {name: len(attributes[name]) for name in CURVES if attributes.get(name) is not None}
        return cls(attributes, net, lengths, flat, copy.copy(optimizer))

    def apart(self, xp: Namespace) -> Self:
        """Return a copy with arrays of its own, which a step of the training loop does not overwrite."""
        optimizer = copy.copy(self.optimizer)
        if optimizer is not None:
            optimizer.moments = tuple(snapshot(xp, moment) for moment in optimizer.moments)
        return self._replace(flat=snapshot(xp, self.flat), optimizer=optimizer)

    def state(self) -> dict[str, Any]:
        """Return all attributes of an estimator in this state."""
        curves = {name: self.attributes[name][:length] for name, length in self.lengths.items()}
        optimizer = {} if self.optimizer is None else {"_optimizer": self.optimizer}
        return self.attributes | curves | optimizer | parameters_of(self.net, self.flat)


def parameters_of(net: Network, flat: Array) -> dict[str, list[Array]]:
    """Return ``coefs_`` and ``intercepts_`` with these parameters, each array with memory of its own."""
    xp = namespace_of(flat)
    layers = unpack(net, flat)
    return {
        "coefs_": [snapshot(xp, W) for W, _ in layers],
        "intercepts_": [snapshot(xp, b) for _, b in layers],
    }

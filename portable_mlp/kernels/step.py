"""One training step, composed once: forward, loss, backward, penalty, update.

    logits            = forward(params, X)
    loss, dlogits     = loss(logits, Y)                   summed over samples, weighted
    dW, db            = backward(dlogits)                 likewise
    gradient          = (dW + strength W) / divisor       the mean's, with its penalty
    params, state     = update(params, gradient, state)

`step` is all of it, for a batch. Code that needs a part calls that part: the shards of a group compute `passes` and
add up the sums before one `advance`; L-BFGS, `loss_and_grad` and the gradient check stop at the gradient; an ONNX
training graph is a trace of the same functions. They are pure functions of arrays, which a backend may compile, record
or replay. Programs compare and hash: equal programs share compiled code.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from .arrays import Array, constant
from .batch import Batch, encode_targets, gather
from .network import Network
from .optimizers import Optimizer, Scalars, State
from .parameters import Params, pack_pieces, unpack
from .primitives import BatchLoss, GradientSums, KeptParameters, Primitives, Report
from .propagation import backward_pass, forward_pass
from .workspace import Workspace

FUNCTIONS_KEPT = 128


class Objective(NamedTuple):
    """The function that training minimises.

    Attributes
    ----------
    net : Network
        The network, and its loss.
    l2 : float
        Penalty ``l2 / 2`` times the sum of squared weights.
    l2_per_batch : bool
        Whether the penalty is added to a batch's mean loss, or else to its sum, so that the mean divides it too.
    label_smoothing : float
        The share of each target that goes to all classes alike, in [0, 1); an output "logistic" has two.
    report : Report, optional
        The loss to report in the place of the network's; the gradient stays that of the network's loss.
    """

    net: Network
    l2: float = 0.0
    l2_per_batch: bool = True
    label_smoothing: float = 0.0
    report: Report | None = None

    def strength(self, divisor: float | Array) -> float | Array:
        """Return the penalty in units of the sum over samples, which ``divisor`` will divide."""
        has_none = isinstance(self.l2, float | int) and self.l2 == 0.0  # a compiler's number is known to it alone
        return self.l2 if has_none or not self.l2_per_batch else self.l2 * divisor


class Program(NamedTuple):
    """The complete definition of a training step; equal programs define the same step.

    Attributes
    ----------
    objective : Objective
        The function that is minimised.
    optimizer : Optimizer
        The update of the parameters.
    clip_norm : float or None
        The upper bound of the Euclidean norm of the gradient, over all parameters and with the penalty.
    warmup_steps : int
        The number of steps over which the learning rate rises in proportion to the step's number.
    """

    objective: Objective
    optimizer: Optimizer
    clip_norm: float | None = None
    warmup_steps: int = 0

    @property
    def net(self) -> Network:
        """The network."""
        return self.objective.net

    def scalars(self, t: int, rate: Any, sqrt: Callable[[Any], Any] = math.sqrt) -> Scalars:
        """Return the scalars of step t = 1, 2, ...: the optimizer's, then the factor of weights that decay."""
        if self.warmup_steps and t < self.warmup_steps:
            rate = rate * (t / self.warmup_steps)
        numbers = self.optimizer.scalars(t, rate, sqrt)
        weight_decay = self.optimizer.weight_decay
        return numbers if weight_decay == 0.0 else (*numbers, 1.0 - rate * weight_decay)


class Carry(NamedTuple):
    """The values that a step passes to the next.

    Attributes
    ----------
    parameters : array of shape (n_parameters,) or (n_models, n_parameters), or as the backend's primitives keep them
        The flat parameters, or the form that the backend's primitives keep them in.
    state : tuple
        The optimizer's moments, in the same form.
    total : array of shape () or (n_models,)
        The epoch's loss so far, summed over samples.
    """

    parameters: KeptParameters
    state: State
    total: Array


class Passes(NamedTuple):
    """The result of the two passes through the network.

    Attributes
    ----------
    loss : BatchLoss
        The loss without its penalty; `Primitives.mean_loss` completes it.
    sums : GradientSums
        The gradients, before they are divided.
    logits : array of shape (..., n_samples, n_outputs)
        The pre-activations of the output layer; used up by primitives that write.
    """

    loss: BatchLoss
    sums: GradientSums
    logits: Array


Evaluate: TypeAlias = Callable[[Array, Batch], tuple[Array, Array]]


def step(
    ops: Primitives,
    program: Program,
    carry: Carry,
    data: Batch,
    rows: Array | None,
    scalars: Scalars,
    workspace: Workspace | None = None,
) -> tuple[Carry, Array]:
    """Take one step; return the next carry, and the batch's mean loss with its penalty.

    The batch consists of the samples ``rows`` of the data; with None the data are the batch. Masks are the batch's
    either way. With primitives that write, the carry is used up: the returned one is in the same memory.
    """
    objective = program.objective
    some = data if rows is None else gather(ops, objective.net, data, rows, workspace)
    batch = encoded(ops, objective, some, workspace)
    params = ops.layers(objective.net, carry.parameters) if workspace is None else workspace.params
    divisor = weight_of(ops, batch)
    loss, sums, _ = passes(ops, objective, params, batch, divisor, objective.strength(divisor), workspace)
    return advance(ops, program, carry, loss, sums, float(batch.n_samples), scalars, workspace)


@functools.lru_cache(FUNCTIONS_KEPT)
def make_objective(ops: Primitives, objective: Objective) -> Evaluate:
    """Return ``evaluate(flat, data) -> (loss, gradient)``, the mean loss with the penalty, and its gradient, flat."""

    def evaluate(flat: Array, data: Batch) -> tuple[Array, Array]:
        batch = encoded(ops, objective, data)
        loss, grads = loss_and_gradient(ops, objective, unpack(objective.net, flat), batch, weight_of(ops, batch))
        return loss, pack_pieces(ops.xp, grads)

    return evaluate


def loss_and_gradient(
    ops: Primitives, objective: Objective, params: Params, batch: Batch, divisor: float | Array
) -> tuple[Array, Params]:
    """Return the loss with its penalty, a sum over samples that is divided, and its gradient."""
    loss, sums, _ = passes(ops, objective, params, batch, divisor, objective.strength(divisor))
    return ops.mean_loss(loss, sums), ops.reduced(sums)


def passes(
    ops: Primitives,
    objective: Objective,
    params: Params,
    batch: Batch,
    divisor: float | Array,
    strength: float | Array,
    workspace: Workspace | None = None,
) -> Passes:
    """Compute the forward and the backward pass for a batch whose targets are rows.

    ``divisor`` 1.0 and ``strength`` 0.0 leave the sums over samples plain: those of other samples can be added to them.
    """
    net = objective.net
    trace = forward_pass(ops, net, params, batch.X, batch.masks, workspace)
    loss, dlogits, logits = data_loss(ops, objective, trace.product, trace.bias, batch, divisor)
    grads = backward_pass(ops, net, params, trace, dlogits, batch.masks, workspace)
    return Passes(loss, GradientSums(params, grads, strength, divisor), logits)


def advance(
    ops: Primitives,
    program: Program,
    carry: Carry,
    loss: BatchLoss,
    sums: GradientSums,
    n_samples: float,
    scalars: Scalars,
    workspace: Workspace | None = None,
) -> tuple[Carry, Array]:
    """Take the optimizer's step along the sums of ``n_samples`` samples, and add their mean loss to the epoch's.

    All arguments are used up.
    """
    decays = program.optimizer.weight_decay != 0.0
    if decays or program.clip_norm is not None:
        # The penalty's gradient must be that of the weights before they decay, and must count in the norm.
        loss = BatchLoss(mean=ops.mean_loss(loss, sums))
        sums = GradientSums(sums.params, ops.reduced(sums._replace(divisor=1.0)), 0.0, sums.divisor)
    if program.clip_norm is not None:
        sums = clipped(ops, sums, program.clip_norm)
    if decays:
        carry = carry._replace(parameters=ops.decayed(carry.parameters, sums.params, scalars[-1]))
        scalars = scalars[:-1]
    return ops.concluded(program.objective.net, program.optimizer, carry, sums, loss, n_samples, scalars, workspace)


def clipped(ops: Primitives, sums: GradientSums, clip_norm: float) -> GradientSums:
    """Scale sums, which include the penalty already, so that the norm of their mean is at most ``clip_norm``.

    g min(1, c / |g|) with g = sum / divisor is sum / (divisor max(1, |g| / c)).
    """
    xp = ops.xp
    squares = [ops.sum_of_squares(x) for dW, db in sums.grads for x in (dW, xp.expand_dims(db, axis=-2))]
    norm = xp.sqrt(sum(squares[1:], start=squares[0])) / sums.divisor
    norm = norm + (norm - norm)  # NaN where it is infinite: a gradient of 0 would stop training silently
    return sums._replace(divisor=sums.divisor * xp.maximum(norm / clip_norm, constant(xp, norm, 1.0)))


def encoded(ops: Primitives, objective: Objective, data: Batch, workspace: Workspace | None = None) -> Batch:
    """Turn labels into the rows that are trained on: one-hot, or smoothed, (1 - e) Y + e / n_classes.

    Labels may stay where the loss takes them.
    """
    plain = objective.label_smoothing == 0.0
    if plain and ops.takes_labels(objective.net, objective.report):
        return data
    batch = encode_targets(ops, objective.net, data, workspace)
    if plain:
        return batch
    e, n_classes = objective.label_smoothing, batch.Y.shape[-1] if objective.net.output == "softmax" else 2
    return batch._replace(Y=batch.Y * (1.0 - e) + e / n_classes)


def weight_of(ops: Primitives, batch: Batch) -> float | Array:
    """Return the divisor of a mean over samples: their number, or their weight."""
    return float(batch.n_samples) if batch.weights is None else ops.xp.sum(batch.weights, axis=-1)


def data_loss(
    ops: Primitives, objective: Objective, z: Array, b: Array | None, batch: Batch, divisor: float | Array
) -> tuple[BatchLoss, Array, Array]:
    """Return the loss without penalty, the weighted sum's derivative at the logits ``z + b``, and the logits.

    ``z`` is used up, but where ``b`` is None: then it is the logits.
    """
    _, Y, weights, _ = batch
    if objective.report is None:
        loss, dlogits, logits = ops.output_losses(objective.net, z, b, Y, weights, divisor)
    else:
        loss, dlogits, logits = ops.reported_losses(objective.report, z, b, Y, weights, divisor)
    return loss, dlogits if weights is None else dlogits * ops.xp.expand_dims(weights, axis=-1), logits

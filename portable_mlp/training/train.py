"""`train`: checks its options and data, then runs the loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..distributed.agreement import check_same_options
from ..distributed.group import current_group, is_root, refuse_in_group
from ..kernels.arrays import Array
from ..kernels.docstrings import documented_with, quoted
from ..kernels.initializers import RandomState
from ..kernels.network import Network
from ..kernels.optimizers import OPTIMIZERS, SOLVERS
from ..kernels.options import flag
from ..kernels.parameters import Params, pack
from ..kernels.step import Program
from ..kernels.suggestions import suggesting
from ..storage.paths import FilePath
from . import lbfgs
from .batches import Data
from .checkpointing import Checkpoints, checked_folder, entered_on_root, identity_of, used
from .dropout import Dropout
from .loop import make_loop
from .loop_record import LoopRecord
from .monitor import Callback, Monitor
from .options import TRAINING_OPTIONS, checked, fields_of_step, identity_of_options, of_optimizer
from .order import KeyedOrder
from .problem import Problem, checked_problem
from .progress import Silent, shown_progress
from .result import TrainResult
from .run import Run
from .schedules import SCHEDULES, LossDrivenRates, OfEpoch, schedule_entry
from .shuffle import Shuffle
from .stopping import rules_of
from .stream import Stream
from .weights import weights_to_skip_by

ARGUMENTS_THAT_MAY_DIFFER = {
    "params": "compared by their numbers, once they were found to be the network's",
    "X": "compared with the samples",
    "y": "compared with the samples",
    "callbacks": "called on rank 0 alone",
    "progress": "drawn by rank 0 alone",
}
"""Arguments that the ranks of a group do not compare with the other options, and why."""


@documented_with(solvers=quoted(SOLVERS), schedules=quoted(SCHEDULES))
@suggesting
def train(
    net: Network,
    params: Params,
    X: Array,
    y: Array,
    *,
    solver: str = "adam",
    learning_rate: float = 1e-3,
    batch_size: int = 200,
    epochs: int = 20,
    momentum: float = 0.9,
    nesterov: bool = True,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    clip_norm: float | None = None,
    schedule: str | OfEpoch = "constant",
    decay: float = 0.95,
    warmup_steps: int = 0,
    l2: float = 0.0,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    class_weight: dict[int, float] | str | None = None,
    dropout: float = 0.0,
    shuffle: bool = True,
    random_state: RandomState = 0,
    validation: tuple[Array, Array] | tuple[Array, Array, Array] | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
    precision: str = "float32",
    checkpoint: FilePath | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
) -> TrainResult:
    """Train a network, starting from ``params``, on the library and device where they live.

    Parameters
    ----------
    net : Network
        The network to train.
    params : tuple of Layer
        The initial parameters, such as those of `init_params`, float32 or float64; not written into. With a leading
        axis of models all of them are trained at once, each as if alone, unless one diverges, which stops them all.
    X : array of shape (n_samples, n_features)
        Inputs, all finite, of the same library and device. With NumPy they may stay in their file
        (``numpy.load(path, mmap_mode="r")``), in the dtype of ``params``: rows are read when a batch needs them.
    y : array
        Targets, as for `loss_and_grad`; all finite, labels in range.
    solver : str
        One of {solvers}. "adamw" is Adam with decoupled weight decay. "lbfgs" (SciPy) uses all samples in every
        step and ignores the options of the others.
    learning_rate : float
        The initial learning rate of the schedule, positive.
    batch_size : int
        The number of samples of a step; the last batch of an epoch may be short.
    epochs : int
        The largest number of passes over the data; iterations of "lbfgs".
    momentum : float
        The momentum of "sgd", in [0, 1).
    nesterov : bool
        Whether the momentum of "sgd" looks ahead.
    beta_1, beta_2, epsilon : float
        The constants of "adam" and "adamw": the decay of the two moments, in [0, 1), and the term of the denominator.
    weight_decay : float
        The decay of "adamw", not negative: each step subtracts ``learning_rate * weight_decay * W`` from the weights W,
        beside Adam's step; biases do not decay.
    clip_norm : float, optional
        The upper bound of the norm of the whole gradient, penalty included: a longer one is scaled down to it.
    schedule : str or callable
        One of {schedules}. The learning rate of each epoch, counted from 0: "exponential" is
        ``learning_rate * decay**epoch``, "invscaling" divides by the root of the samples seen, "adaptive" divides by 5
        where the loss stalls, "cosine" falls to 0. A function of the epoch returns the rate itself; it may be called
        for several epochs before the first of them, and again for epochs that have diverged.
    decay : float
        The factor of the schedule "exponential", positive.
    warmup_steps : int
        The number of steps (batches) over which the learning rate rises to the schedule's, which is multiplied by
        ``min(1, step / warmup_steps)``, with steps counted from 1.
    l2 : float
        Penalty ``l2 / 2`` times the sum of squared weights, added to each batch's mean loss.
    label_smoothing : float
        In [0, 1), for the losses "cross_entropy" and "binary_cross_entropy": training, not validation, is on targets
        ``(1 - label_smoothing) * Y + label_smoothing / n_classes``, where a logistic output has two classes.
    sample_weight : array of shape (n_samples,), optional
        The weight of each sample, not negative: a batch's mean divides by the sum of its weights, and a batch whose
        weights sum to zero is skipped. A weight of 2 is the sample twice in its batch.
    class_weight : dict, "balanced" or None
        The weight of each class, a factor beside ``sample_weight``; 1 for classes that the dict omits; "balanced" is
        inverse to the weight of the class in the training data. Validation uses the same weights.
    dropout : float
        In [0, 1): the probability with which each hidden unit is dropped from a step; the others are divided by
        ``1 - dropout``. Drawn on the host, keyed by ``random_state``, epoch and batch. Not for "lbfgs".
    shuffle : bool
        Whether each epoch has an order of its own, drawn on the host, the same on every backend.
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
        The source of random numbers for the shuffle and dropout.
    validation : tuple of two or three arrays, optional
        ``(X_val, y_val)`` or ``(X_val, y_val, sample_weight)``, evaluated after each epoch.
    patience : int, optional
        Stop after so many epochs without a better validation, and return the best parameters.
    monitor : {"loss", "score"}
        The number that ``patience`` follows: the validation loss or the validation score (accuracy or R²).
    callbacks : iterable of callable
        Each is called with an `EpochEnd` after each epoch, whose parameters are a copy; returning True ends training.
    progress : bool
        Whether to draw a progress bar on stderr, or where it is no terminal to write a line there every few seconds;
        needs rich.
    precision : {"float32", "tf32", "bfloat16"}
        The precision of the factors in products of float32 matrices: 24 significant bits, or, by the tensor cores of a
        GPU, 11 or 8. Sums, parameters and moments are float32 always. The library's own settings have no effect.
    checkpoint : str, bytes or path, optional
        A folder for the state of this run alone: parameters, moments, shuffle, history, best so far. It is written at
        the end of each epoch, and on Ctrl-C or SIGTERM; the last two states are kept. SIGTERM then ends the process
        with code 143. Not for "lbfgs".
    checkpoint_every : int, optional
        Steps (batches) from one state to the next within an epoch, for long ones.
    resume : bool
        Whether to resume from the newest sound state in ``checkpoint``, if there is one. The same options and data are
        required; on the same library the result equals that of an uninterrupted run, to the bit. More ``epochs`` than
        before continue the run; a complete run is returned unchanged, and where a callback had stopped it, the
        callbacks are called again. Without ``resume``, a folder that holds states is refused.

    Returns
    -------
    TrainResult
        ``params``, ``history``, ``n_epochs`` and ``stopped_because``. Ctrl-C ends training cleanly and returns the
        result so far.

    Raises
    ------
    ValueError
        If an option or the data are not as described; with the offending numbers.
    TypeError
        If something is not an array.
    NonFiniteError
        If the loss or a parameter becomes infinite or NaN; it carries the last good parameters.
    ImportError
        If rich or SciPy is needed and missing.
    OSError
        If the folder for checkpoints cannot be made or written to. Once training has begun, a state that cannot be
        written is a warning.

    See Also
    --------
    portable_mlp.parallel : Train one model by several processes.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> X, y = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.asarray([0, 1, 1, 0])
    >>> net = pm.Network((2, 8, 2), activation="tanh")
    >>> result = pm.train(net, pm.init_params(net), X, y, learning_rate=0.05, epochs=200)
    >>> np.argmax(pm.predict(net, result.params, X), axis=1)
    array([0, 1, 1, 0])
    """
    given = locals()
    # Ranks compare only whether there is a folder, since rank 0 alone writes there, and weights as part of the samples.
    whether = {"checkpoint": checkpoint is not None, "sample_weight": sample_weight is not None}
    check_same_options("train", given | whether, but=ARGUMENTS_THAT_MAY_DIFFER)
    options = checked({name: given[name] for name in TRAINING_OPTIONS})
    called, draws_bar = _called(callbacks), flag("progress", progress)
    problem = checked_problem(net, params, X, y, sample_weight, validation, options)
    folder = checked_folder(checkpoint, checkpoint_every, resume, solver)
    if solver == "lbfgs":
        _prepare_lbfgs(problem, options)
    shown = shown_progress(options["epochs"], problem.n_samples) if draws_bar and is_root() else Silent()
    with problem.backend.running(), shown as bar, entered_on_root(folder, checkpoint, resume) as states:
        watch = _monitor(problem, options, called, bar)
        if solver == "lbfgs":
            return _by_lbfgs(problem, options, watch)
        keep = None if checkpoint is None else functools.partial(Checkpoints, states, every=checkpoint_every)
        return _by_batches(problem, options, watch, random_state, keep)


def _monitor(problem: Problem, options: Mapping[str, Any], callbacks: tuple[Callback, ...], bar: Silent) -> Monitor:
    return Monitor(
        problem.backend,
        problem.net,
        epochs=options["epochs"],
        validation=problem.hold_out,
        rules=rules_of(options),
        monitored=options["monitor"],
        callbacks=callbacks,
        bar=bar,
    )


def _by_lbfgs(problem: Problem, options: Mapping[str, Any], watch: Monitor) -> TrainResult:
    assert isinstance(problem.data, Data)  # a stream is refused
    flat = pack(problem.params)
    return lbfgs.train_by_lbfgs(problem.backend, problem.objective, flat, problem.data, watch, epochs=options["epochs"])


def _by_batches(
    problem: Problem,
    options: Mapping[str, Any],
    watch: Monitor,
    random_state: RandomState,
    keep: Callable[..., Checkpoints] | None,
) -> TrainResult:
    """Train a batch at a time; ``keep`` makes the `Checkpoints` of the run from its parts."""
    optimizer = OPTIMIZERS[options["solver"]].make(**of_optimizer(options))
    program = Program(problem.objective, optimizer, **fields_of_step(Program, options))
    loop = make_loop(problem.backend, program, pack(problem.params))
    draws = Shuffle(random_state) if options["shuffle"] or options["dropout"] else None
    order = KeyedOrder(
        problem.data,
        problem.n_samples,
        options["batch_size"],
        draws,
        shuffles=options["shuffle"],
        weights=weights_to_skip_by(problem.backend, problem.data),
        dropout=_dropout(problem, options, draws),
    )
    entry = schedule_entry(options["schedule"])
    of_schedule = {name: options[name] for name in entry.options if name in options}
    rates = LossDrivenRates(entry, options["learning_rate"], of_schedule)
    record = LoopRecord(loop, watch, rates)
    epochs: int = options["epochs"]
    checkpoints = None
    if keep is not None:
        identity = _identity_of_run(problem, options, random_state)
        checkpoints = keep(identity=identity, loop=loop, record=record, rates=rates, order=order)
    run = Run(loop, problem.data, order, rates, record, epochs=epochs, checkpoints=checkpoints)
    stopped_because = run.until_stopped()
    run.pass_on_requests(stopped_because)
    return watch.result(loop.flat, stopped_because)


def _dropout(problem: Problem, options: Mapping[str, Any], draws: Shuffle | None) -> Dropout | None:
    if draws is None or not options["dropout"]:
        return None
    return Dropout(problem.backend, problem.net, options["dropout"], draws, problem.params[0][0].dtype)


def _identity_of_run(problem: Problem, options: Mapping[str, Any], random_state: RandomState) -> dict[str, Any]:
    """Return what distinguishes this run from others, for JSON."""
    group = current_group()
    return identity_of(
        problem.backend,
        problem.net,
        pack(problem.params),
        problem.data,
        problem.hold_out,
        **identity_of_options(options),
        random_state=random_state if isinstance(random_state, int) else None,
        # Another sum, to the last bit, is another run.
        **used(shards=group.n_shards if group is not None and group.reproducible else None),
    )


def _prepare_lbfgs(problem: Problem, options: Mapping[str, Any]) -> None:
    refuse_in_group('solver "lbfgs"')
    if options["dropout"]:
        raise ValueError('"lbfgs" needs the same loss in every step: dropout is for the other solvers')
    if isinstance(problem.data, Stream):
        raise ValueError('"lbfgs" takes all samples in every step: samples in a file are for the other solvers')
    lbfgs.load_scipy()


def _called(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    try:
        called = tuple(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be a sequence of functions of an EpochEnd, got {callbacks!r}") from None
    for callback in called:
        if not callable(callback):
            raise TypeError(f"callbacks must be functions of an EpochEnd, got {callback!r}")
    return called

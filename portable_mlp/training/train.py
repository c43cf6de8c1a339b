"""`train`: its options and data checked, then handed to the loop."""

from __future__ import annotations

from collections.abc import Iterable

from ..backends import Backend, backend_of
from ..distributed.agreement import check_same_options, n_samples_of_all
from ..distributed.group import current_group, is_root, refuse_in_group
from ..kernels.arrays import Array
from ..kernels.initializers import RandomState
from ..kernels.network import Network
from ..kernels.optimizers import OPTIMIZERS, checked_options
from ..kernels.options import check_choice, fraction, not_negative_number, positive_number, whole_number
from ..kernels.parameters import Params, pack
from ..kernels.spelling import suggesting
from ..kernels.step import Objective, Program
from ..storage.paths import FilePath
from . import lbfgs
from .batches import Data, Shuffle
from .checkpointing import Checkpoints, checked_folder, entered_on_root, fingerprint, identity_of, used
from .data import checked_data
from .data_parallel import make_loop
from .monitor import MONITORED, Callback, LoopRecord, Monitor
from .order import KeyedOrder
from .progress import Bar, Silent
from .result import TrainResult
from .run import Run
from .schedules import LossDrivenRates, OfEpoch, make_schedule, needs_epochs
from .stream import Samples, Stream

SOLVERS = (*OPTIMIZERS, "lbfgs")

SMOOTHED = ("cross_entropy", "binary_cross_entropy")
"""The losses whose targets are probabilities."""

FIRST_SAMPLES = 8
"""Ranks that are to have the same samples compare so many."""

MAY_DIFFER = {
    "params": "compared by their numbers, once they were found to be the network's",
    "X": "compared with the samples",
    "y": "compared with the samples",
    "callbacks": "called on rank 0 alone",
    "progress": "drawn by rank 0 alone",
}
"""Arguments that the ranks of a group do not compare with the other options, and why."""


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
    shuffle: bool = True,
    random_state: RandomState = 0,
    validation: tuple[Array, Array] | None = None,
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
        What is trained.
    params : tuple of Layer
        Where to start, as from `init_params`, float32 or float64; left as they are. With a leading axis of models all
        of them are trained at once, each as if alone, unless one diverges, which stops them all.
    X : array of shape (n_samples, n_features)
        Inputs, all finite, of the same library and device. With NumPy they may stay in their file
        (``numpy.load(path, mmap_mode="r")``), in the dtype of ``params``: rows are read when a batch needs them.
    y : array
        Targets, as for `loss_and_grad`; all finite, labels in range.
    solver : {"adam", "adamw", "sgd", "lbfgs"}
        "adamw" is Adam with decoupled weight decay. "lbfgs" (SciPy) takes all samples in every step and ignores the
        options of the others.
    learning_rate : float
        Positive; the schedule starts from it.
    batch_size : int
        Samples of a step; the last batch of an epoch may be short.
    epochs : int
        Passes over the data, at most; iterations of "lbfgs".
    momentum : float
        Of "sgd", in [0, 1).
    nesterov : bool
        Whether the momentum of "sgd" looks ahead.
    beta_1, beta_2, epsilon : float
        Of "adam" and "adamw".
    weight_decay : float
        Of "adamw": each step takes ``learning_rate * weight_decay * W`` off the weights W, beside Adam's step, and
        nothing off the biases; not negative.
    clip_norm : float, optional
        The whole gradient, penalty included, is shortened to this length before the update where it is longer.
    schedule : {"constant", "exponential", "invscaling", "adaptive", "cosine"} or callable
        The learning rate of each epoch, counted from 0: "exponential" is ``learning_rate * decay**epoch``,
        "invscaling" divides by the root of the samples seen, "adaptive" divides by 5 where the loss stalls, "cosine"
        falls to 0. A function of the epoch returns the rate itself.
    decay : float
        Of the schedule "exponential", positive.
    warmup_steps : int
        The number of steps (batches) over which the learning rate rises to the schedule's, which is multiplied by
        ``min(1, step / warmup_steps)``, with steps counted from 1.
    l2 : float
        Penalty ``l2 / 2`` times the sum of squared weights, added to each batch's mean loss.
    label_smoothing : float
        In [0, 1), for the losses "cross_entropy" and "binary_cross_entropy": training, not validation, is on targets
        ``(1 - label_smoothing) * Y + label_smoothing / n_classes``, where a logistic output has two classes.
    shuffle : bool
        Whether each epoch has an order of its own, drawn on the host, the same on every backend.
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
        For the shuffle.
    validation : tuple of two arrays, optional
        ``(X_val, y_val)``, evaluated after each epoch.
    patience : int, optional
        Stop after so many epochs without a better validation, and return the best parameters.
    monitor : {"loss", "score"}
        What is better: a smaller validation loss or a higher validation score (accuracy or R²).
    callbacks : iterable of callable
        Each is called with an `EpochEnd` after each epoch, whose parameters are a copy; returning True ends training.
    progress : bool
        Whether to draw a progress bar on stderr (needs rich).
    precision : {"float32", "tf32", "bfloat16"}
        Of the factors in products of float32 matrices: 24 significant bits, or, by the tensor cores of a GPU, 11 or 8.
        Sums, parameters and moments are float32 all the same. The library's own settings have no say.
    checkpoint : str, bytes or path, optional
        A folder for the state of the run, of its own: parameters, moments, shuffle, history, best so far. It is written
        at the end of each epoch, and when Ctrl-C or SIGTERM asks to stop; the last two states are kept. SIGTERM then
        ends the process with code 143. Not for "lbfgs".
    checkpoint_every : int, optional
        Steps (batches) from one state to the next within an epoch, for long ones.
    resume : bool
        Whether to go on from the newest sound state in ``checkpoint``, if there is one: the same options and data are
        needed, and give, on the same library, every bit of what the run would have given in one go. More ``epochs``
        than before are added; what has come to its end is returned as it is, and where a callback had ended it, the
        callbacks are asked again. Without, a folder that holds states is refused.

    Returns
    -------
    TrainResult
        ``params``, ``history``, ``n_epochs`` and ``stopped_because``. Ctrl-C ends training cleanly and returns what
        was reached.

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
    # Of a folder it matters whether there is one: rank 0 alone writes there.
    given = {**locals(), "checkpoint": checkpoint is not None}
    check_same_options("train", given, but=MAY_DIFFER)
    check_choice("solver", solver, SOLVERS)
    epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size)
    learning_rate = positive_number("learning_rate", learning_rate)
    decay = positive_number("decay", decay)
    l2 = not_negative_number("l2", l2)
    options = {"momentum": momentum, "nesterov": nesterov, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    options = checked_options(solver, {**options, "weight_decay": weight_decay})
    clip_norm = None if clip_norm is None else positive_number("clip_norm", clip_norm)
    warmup_steps = whole_number("warmup_steps", warmup_steps, least=0)
    objective = Objective(net, l2, label_smoothing=_checked_smoothing(net, label_smoothing))
    called = _called(callbacks)
    data = _checked_samples(net, params, X, y)
    backend = backend_of(params[0][0]).at_precision(precision, params[0][0].dtype)
    held_out = _checked_validation(net, params, validation)
    others = {
        "params": lambda: _content_of(backend, params),
        "validation data": lambda: b"" if held_out is None else _first_of(backend, held_out),
    }
    n_samples = n_samples_of_all(data.n_samples, lambda: _first_of(backend, data), others)
    rates = LossDrivenRates(make_schedule(schedule, learning_rate, decay=decay, power_t=None))
    patience = _checked_patience(patience, validation)
    check_choice("monitor", monitor, MONITORED)
    _check_one_model(params, patience=patience, schedule=schedule, solver=solver)
    folder = checked_folder(checkpoint, checkpoint_every, resume, solver)
    if solver == "lbfgs":
        _prepare_lbfgs(data)
    group = current_group()
    with (
        backend.running(),
        Bar(epochs, n_samples) if progress and is_root() else Silent() as bar,
        entered_on_root(folder, checkpoint, resume) as entered,
    ):
        watch = Monitor(
            backend,
            net,
            epochs=epochs,
            validation=held_out,
            patience=patience,
            monitored=monitor,
            callbacks=called,
            bar=bar,
        )
        flat = pack(params)
        if isinstance(data, Data) and solver == "lbfgs":
            return lbfgs.train_by_lbfgs(backend, objective, flat, data, watch, epochs=epochs)
        loop = make_loop(backend, Program(objective, OPTIMIZERS[solver].make(**options), clip_norm, warmup_steps), flat)
        order = KeyedOrder(data, n_samples, batch_size, Shuffle(random_state) if shuffle else None)
        record = LoopRecord(loop, watch, rates)
        checkpoints: Checkpoints | None = None
        if checkpoint is not None:
            identity = identity_of(
                backend,
                net,
                flat,
                data,
                held_out,
                solver=[solver, *map(float, options.values())],
                learning_rate=learning_rate,
                schedule=schedule if isinstance(schedule, str) else "a function",
                decay=decay,
                # More epochs are the same run, unless the rate is a matter of how many there are.
                epochs=epochs if needs_epochs(schedule) else None,
                precision=precision,
                batch_size=batch_size,
                l2=l2,
                shuffle=bool(shuffle),
                random_state=random_state if isinstance(random_state, int) else None,
                patience=patience,
                # Without the options that are not used: states were written before there were such.
                **used(
                    clip_norm=clip_norm,
                    label_smoothing=objective.label_smoothing,
                    warmup_steps=warmup_steps,
                    monitor=None if monitor == "loss" else monitor,
                    # Another sum, to the last bit, is another run.
                    shards=group.n_shards if group is not None and group.reproducible else None,
                ),
            )
            checkpoints = Checkpoints(
                entered, identity, checkpoint_every, loop=loop, record=record, rates=rates, order=order
            )
        run = Run(loop, data, order, rates, record, epochs=epochs, checkpoints=checkpoints)
        stopped_because = run.until_stopped()
        run.end_if_terminated()
        return watch.result(loop.flat, stopped_because)


def _prepare_lbfgs(data: Samples) -> None:
    refuse_in_group('solver "lbfgs"')
    if isinstance(data, Stream):
        raise ValueError('"lbfgs" takes all samples in every step: samples in a file are for the other solvers')
    lbfgs.load_scipy()


def _first_of(backend: Backend, samples: Samples) -> bytes:
    """Return what other samples would differ in, with a look at their number and the first of them."""
    if isinstance(samples, Stream):
        return samples.digest.encode()
    first = samples.part(0, min(samples.n_samples, FIRST_SAMPLES))
    return f"{samples.n_samples} {fingerprint(backend, first)}".encode()


def _content_of(backend: Backend, params: Params) -> bytes:
    """Return what other parameters, or the same ones of another library or dtype, would differ in."""
    flat = pack(params)
    return f"{backend.name} {flat.dtype} {flat.shape}".encode() + backend.to_numpy(flat).tobytes()


def _checked_smoothing(net: Network, label_smoothing: float) -> float:
    smoothing = fraction("label_smoothing", label_smoothing)
    if smoothing and net.loss not in SMOOTHED:
        losses = " and ".join(map(repr, SMOOTHED))
        raise ValueError(f"label_smoothing is for the losses {losses}, but the network's is {net.loss!r}")
    return smoothing


def _checked_samples(net: Network, params: Params, X: Array, y: Array) -> Samples:
    """Return the data; a `Stream` in the place of ``X`` looks at its samples itself, when they are read."""
    return X if isinstance(X, Stream) else checked_data(net, params, X, y)


def _checked_validation(net: Network, params: Params, validation: tuple[Array, Array] | None) -> Samples | None:
    if validation is None:
        return None
    try:
        X, y = validation
    except (TypeError, ValueError):
        raise ValueError("validation must be a pair (X_val, y_val)") from None
    try:
        return _checked_samples(net, params, X, y)
    except (TypeError, ValueError) as error:
        raise type(error)(f"in the validation data: {error}") from None


def _checked_patience(patience: int | None, validation: object) -> int | None:
    if patience is not None and validation is None:
        raise ValueError("patience looks at the validation: give validation=(X_val, y_val) with it")
    return None if patience is None else whole_number("patience", patience)


def _check_one_model(params: Params, *, patience: int | None, schedule: str | OfEpoch, solver: str) -> None:
    """Refuse what follows the loss of one model where there are several."""
    asked = {
        "patience": patience is not None,
        'schedule "adaptive"': schedule == "adaptive",
        'solver "lbfgs"': solver == "lbfgs",
    }
    for what, is_asked in asked.items():
        if is_asked and params[0][0].ndim > 2:
            raise ValueError(f"{what} follows the loss of one model, but params have a leading axis of models")


def _called(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a sequence of functions of an EpochEnd, got {callbacks!r}")
    checked = tuple(callbacks)
    for callback in checked:
        if not callable(callback):
            raise TypeError(f"callbacks must be functions of an EpochEnd, got {callback!r}")
    return checked

"""The training options, described once.

`train` checks its arguments against this table; the estimators derive the constraints of their parameters from it, the
command line its options, and a checkpoint the identity of its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..backends import PRECISIONS
from ..kernels.optimizers import OPTIMIZERS, SOLVERS
from ..kernels.options import (
    Check,
    Choice,
    OrNone,
    Whole,
    flag,
    fraction,
    not_negative_number,
    positive_number,
)
from ..kernels.step import Objective, Program
from .schedules import SCHEDULES, needs_epochs
from .stopping import MONITORED

OF_OPTIMIZERS = frozenset(name for entry in OPTIMIZERS.values() for name in entry.options)
"""The options of any optimizer."""


class TrainingOption(NamedTuple):
    """The description of an option.

    Attributes
    ----------
    default : object
        The value where none is given.
    check : callable
        ``check(name, value)`` returns the value as the library uses it, or raises ValueError or TypeError.
    help : str
        One sentence, for the command line.
    parameter : str or None
        The estimators' parameter with this meaning; one that scikit-learn has keeps its default and its constraint.
    for_classes : bool
        Whether targets must be classes, so that the classifier alone has the parameter.
    """

    default: Any
    check: Check
    help: str
    parameter: str | None = None
    for_classes: bool = False


def class_weights(name: str, value: Any) -> Any:
    """Return a checked ``class_weight``: a dict from class to weight, "balanced" or None."""
    if isinstance(value, Mapping):
        return {Whole(0)(f"a class in {name}", key): not_negative_number(name, x) for key, x in value.items()}
    if value is not None and not (isinstance(value, str) and value == "balanced"):
        raise ValueError(f"{name} must be a dict from classes to numbers, 'balanced' or None; got {value!r}")
    return value


TRAINING_OPTIONS = {
    "solver": TrainingOption("adam", Choice(SOLVERS), f"One of {', '.join(SOLVERS)}.", "solver"),
    "learning_rate": TrainingOption(
        1e-3, positive_number, "Initial step size, before the schedule.", "learning_rate_init"
    ),
    "batch_size": TrainingOption(200, Whole(1), "Rows per step.", "batch_size"),
    "epochs": TrainingOption(20, Whole(1), "Most passes over the data; iterations of lbfgs.", "max_iter"),
    "momentum": TrainingOption(0.9, fraction, "Momentum of sgd.", "momentum"),
    "nesterov": TrainingOption(True, flag, "Sgd uses Nesterov's momentum.", "nesterovs_momentum"),
    "beta_1": TrainingOption(0.9, fraction, "Decay of the mean gradient in adam and adamw.", "beta_1"),
    "beta_2": TrainingOption(0.999, fraction, "Decay of the mean squared gradient in adam and adamw.", "beta_2"),
    "epsilon": TrainingOption(1e-8, positive_number, "Added to the denominator in adam and adamw.", "epsilon"),
    "weight_decay": TrainingOption(
        0.01,
        not_negative_number,
        "Fraction of the weights that adamw subtracts, times the rate, at each step.",
        "weight_decay",
    ),
    "clip_norm": TrainingOption(None, OrNone(positive_number), "Largest norm of the gradient.", "clip_norm"),
    "schedule": TrainingOption(
        "constant", Choice(SCHEDULES, or_function=True), f"One of {', '.join(SCHEDULES)}.", "learning_rate"
    ),
    "decay": TrainingOption(0.95, positive_number, "Factor of the schedule exponential, per epoch.", "decay"),
    "warmup_steps": TrainingOption(
        0, Whole(0), "Steps over which the learning rate rises to its full value.", "warmup_steps"
    ),
    "l2": TrainingOption(0.0, not_negative_number, "Penalty on squared weights.", "alpha"),
    "label_smoothing": TrainingOption(
        0.0, fraction, "Fraction of each label spread evenly over all classes.", "label_smoothing", for_classes=True
    ),
    "class_weight": TrainingOption(
        None,
        class_weights,
        "balanced: rare classes count as much as others.",
        "class_weight",
        for_classes=True,
    ),
    "dropout": TrainingOption(0.0, fraction, "Fraction of the hidden units that each step drops.", "dropout"),
    "shuffle": TrainingOption(True, flag, "Rows are shuffled in each epoch.", "shuffle"),
    "patience": TrainingOption(
        None, OrNone(Whole(1)), "Stop after this many epochs without improvement on the validation rows; keep the best."
    ),
    "monitor": TrainingOption(
        "loss", Choice(MONITORED), f"Validation measure that patience follows: {' or '.join(MONITORED)}."
    ),
    "precision": TrainingOption(
        "float32",
        Choice(PRECISIONS),
        "Precision of products of float32 matrices: float32; on a GPU also tf32 or bfloat16.",
        "precision",
    ),
}
"""The options of `train` that define the training, by name; its other arguments are the data and the outputs."""

NOT_OF_ESTIMATORS = {
    "patience": "early_stopping and n_iter_no_change: epochs in a row whose score gains less than tol",
    "monitor": "early_stopping follows the score; without it the training loss is followed",
}
"""The options that the estimators lack, and the rule in their place."""

IN_EVERY_STATE = ("learning_rate", "decay", "precision", "batch_size", "l2", "shuffle", "patience")
"""The options that a checkpoint stores even where they are the default; older states have no others."""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check options, each by itself, and return all options as the library uses them: the others are the defaults.

    Raises
    ------
    ValueError, TypeError
        If an option is not as described, whether the solver takes it or not.
    """
    defaults = {name: option.default for name, option in TRAINING_OPTIONS.items()}
    return defaults | {name: TRAINING_OPTIONS[name].check(name, value) for name, value in given.items()}


def of_optimizer(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of the solver's optimizer, in the order of its entry; none of "lbfgs"."""
    solver = options["solver"]
    return {name: options[name] for name in OPTIMIZERS[solver].options} if solver in OPTIMIZERS else {}


def fields_of_step(kind: type[Objective | Program], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are fields of what a step minimises, or adds to its optimizer."""
    return {name: options[name] for name in kind._fields if name in options}


def identity_of_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what distinguishes a run from others on the same data, for JSON."""
    schedule, its_own = options["schedule"], of_optimizer(options)
    named = {
        "solver": [options["solver"], *map(float, its_own.values())],
        "schedule": schedule if isinstance(schedule, str) else "a function",
        # A run with more epochs is the same run, unless the rate depends on their number.
        "epochs": options["epochs"] if needs_epochs(schedule) else None,
    }
    for name, option in TRAINING_OPTIONS.items():
        if name not in (*named, *OF_OPTIMIZERS) and (name in IN_EVERY_STATE or options[name] != option.default):
            named[name] = options[name]
    if isinstance(options["class_weight"], dict):
        named["class_weight"] = {str(key): x for key, x in options["class_weight"].items()}  # as JSON has keys
    return named

"""The options of a training as parameters of the estimators, with constraints in scikit-learn's form."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from ..kernels.options import Check, Choice, Names, OrNone, Whole, flag, fraction, not_negative_number, positive_number
from ..kernels.step import Objective, Program
from ..training.options import TRAINING_OPTIONS, class_weights

PARAMETER_OF = {name: option.parameter for name, option in TRAINING_OPTIONS.items() if option.parameter is not None}
"""The parameter of each option that the estimators have."""

_CONSTRAINTS: dict[Check, list[Any]] = {
    flag: ["boolean"],
    fraction: [Interval(Real, 0, 1, closed="left")],
    not_negative_number: [Interval(Real, 0, None, closed="left")],
    positive_number: [Interval(Real, 0, None, closed="neither")],
    class_weights: [dict, list, StrOptions({"balanced"}), None],  # a list is for several labels
}


def parameters_of_step(kind: type[Objective | Program], estimator: Any) -> dict[str, Any]:
    """Return the options that are fields of what a step minimises, or adds to its optimizer, as plain numbers.

    Equal programs share a compiled step, and a NumPy scalar, which equals a float, widens float32.
    """
    parameters = {name: PARAMETER_OF[name] for name in kind._fields if name in PARAMETER_OF}
    return {name: TRAINING_OPTIONS[name].check(one, getattr(estimator, one)) for name, one in parameters.items()}


def parameters_among(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters among the ``locals()`` of a constructor."""
    return {name: value for name, value in arguments.items() if name not in ("self", "__class__")}


def constraints(*, for_classes: bool) -> dict[str, list[Any]]:
    """Return the constraints of those parameters that are for classes alone, or of the others."""
    return {
        parameter: _constraint_of(TRAINING_OPTIONS[name].check)
        for name, parameter in PARAMETER_OF.items()
        if TRAINING_OPTIONS[name].for_classes == for_classes
    }


def _constraint_of(check: Check) -> list[Any]:
    match check:
        case OrNone():
            return [*_constraint_of(check.check), None]
        case Whole():
            return [Interval(Integral, check.least, None, closed="left")]
        case Choice():
            return [StrOptions(Names(lambda: check.choices))]
    return _CONSTRAINTS[check]

"""A check of gradients: the analytic derivative against finite differences of the function's values.

    forward   f'(x) ~ (f(x + h) - f(x)) / h            error O(h)
    central   f'(x) ~ (f(x + h) - f(x - h)) / (2 h)    error O(h^2)
    backward  f'(x) ~ (f(x) - f(x - h)) / h            error O(h)

Unlike the kernels, a check reads its numbers back to the host: it is a diagnosis, not a step of training.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import array_api_compat

from ..html_parts import notebook_heading, notebook_table, number_text
from .arrays import Array, Namespace, device_for_new, namespace_of
from .options import OrNone, check_choice, positive_number
from .suggestions import suggesting

METHODS = ("forward", "central", "backward")


class GradientCheck(NamedTuple):
    """The result of a gradient check.

    Attributes
    ----------
    passed : bool
        Whether the largest error is within ``tolerance``, and something was compared.
    max_relative_error : float
        Largest ``|analytic - numerical| / scale``, where scale is the larger of the two, but not less than a fraction
        of the largest gradient, nor so little that rounding of the function's values would exceed the tolerance.
    worst : tuple
        The entry with that error: ``(layer, "W" or "b", index)`` of a network, the index of a plain function.
    analytic, numerical : float
        The two derivatives of that entry.
    tolerance : float
        The largest relative error allowed: wider for one-sided differences and for float32.
    n_checked : int
        The number of entries compared.
    n_skipped : int
        The number of entries where every difference would step over a kink of a ReLU, or is rounding alone.
    """

    passed: bool
    max_relative_error: float
    worst: tuple[Any, ...]
    analytic: float
    numerical: float
    tolerance: float
    n_checked: int
    n_skipped: int

    def __str__(self) -> str:
        return (
            f"gradient check {'passed' if self.passed else 'FAILED'}: largest relative error "
            f"{self.max_relative_error:.1e} (allowed {self.tolerance:.0e}) at {self.worst}, "
            f"analytic {self.analytic:.8g}, numerical {self.numerical:.8g}; "
            f"{self.n_checked} entries compared, {self.n_skipped} skipped"
        )

    def _repr_html_(self) -> str:
        """Return the check for a notebook: whether it passed, and a row for each number."""
        verdict = notebook_heading(self, {"gradient check": "passed" if self.passed else "FAILED"})
        row = [number_text(value) if isinstance(value, float) else value for value in self[1:]]
        return f"<div>{verdict}{notebook_table(self._fields[1:], [row])}</div>"


class Difference(NamedTuple):
    """A numerical derivative, and the largest error that rounding alone may have caused."""

    value: float
    noise: float


class Precision(NamedTuple):
    """The resolution of finite differences in the dtype that the function is computed in."""

    epsilon: float
    of_largest: float
    """Relative errors of entries smaller than this fraction of the largest are relative to that fraction."""

    def step(self, method: str) -> float:
        """Balance truncation, which grows with the step, against rounding, which grows as it shrinks."""
        return float(self.epsilon ** (1 / 3 if method == "central" else 1 / 2))

    def difference(self, plus: float, minus: float, width: float) -> Difference:
        """Return ``(plus - minus) / width``; each value may be off by some units in its last place."""
        noise = _UNITS_LOST * self.epsilon * max(abs(plus), abs(minus)) / width
        return Difference((plus - minus) / width, noise)


_UNITS_LOST = 8.0
_IN_FLOAT64 = Precision(epsilon=2.0**-52, of_largest=1e-2)
_IN_FLOAT32 = Precision(epsilon=2.0**-23, of_largest=1e-1)
_TOLERANCE = {"central": 1e-5, "forward": 1e-3, "backward": 1e-3}
_TOLERANCE_FLOAT32_GRADIENT = 1e-3
_TOLERANCE_FLOAT32_DIFFERENCE = 3e-2


def _is_float64(x: Array) -> bool:
    return "float64" in str(getattr(x, "dtype", "float64"))


def precision_of(x: Array) -> Precision:
    """Return the resolution of finite differences of a function at ``x``."""
    return _IN_FLOAT64 if _is_float64(x) else _IN_FLOAT32


def tolerance_of(method: str, gradient: Array, differenced: Array) -> float:
    """Return the error to allow, for a gradient and for the point where differences are taken."""
    if not _is_float64(differenced):
        return _TOLERANCE_FLOAT32_DIFFERENCE
    return max(_TOLERANCE[method], 0.0 if _is_float64(gradient) else _TOLERANCE_FLOAT32_GRADIENT)


@suggesting
def check_gradient_of(
    f: Callable[[Any], tuple[Any, Any]], x: Any, *, method: str = "central", step: float | None = None
) -> GradientCheck:
    """Compare the gradient that a function returns with finite differences of its value, entry by entry.

    Parameters
    ----------
    f : callable
        ``f(x) -> (value, gradient)``, the gradient in the shape of ``x``.
    x : float, or array of any shape
        The point at which the gradient is checked; a scalar, a vector or a matrix of floats.
    method : {"central", "forward", "backward"}
        The kind of finite difference.
    step : float, optional
        The distance between the points; by default it balances truncation against rounding, as in `check_gradient`.

    Returns
    -------
    GradientCheck
        Whether it passed, and the index of the worst entry.

    Raises
    ------
    ValueError
        If the gradient has another shape than ``x``, ``x`` is empty, the method is unknown or the step not positive.
    TypeError
        If ``x`` is not real floating, or the step not a number.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> pm.check_gradient_of(lambda x: (np.sum(x**2), 2 * x), np.asarray([1.0, -2.0, 3.0])).passed
    True
    >>> pm.check_gradient_of(lambda x: (np.sum(x**2), np.asarray([2, 2, 3]) * x), np.ones(3)).worst
    (2,)
    """
    check_options(method, step)
    x = float(x) if isinstance(x, int) else x
    shape = _shape_of_point(x)
    value, gradient = f(x)
    if tuple(getattr(gradient, "shape", ())) != shape:
        raise ValueError(
            f"f must return a gradient of the shape of x, {shape}; got {tuple(getattr(gradient, 'shape', ()))}"
        )
    entries = list(itertools.product(*map(range, shape)))
    precision = precision_of(x)
    # Read before f is called again, which may write its next gradient into the same memory.
    value = float(value)
    analytic = [float(gradient[index]) if shape else float(gradient) for index in entries]
    numerical = []
    for moved in _moved_along_each_entry(x, float(step or precision.step(method))):
        plus = float(f(moved.plus)[0]) if method != "backward" else value
        minus = float(f(moved.minus)[0]) if method != "forward" else value
        width = (2.0 if method == "central" else 1.0) * moved.width
        numerical.append(precision.difference(plus, minus, width))
    check = compare(
        analytic,
        numerical,
        precision=precision,
        tolerance=tolerance_of(method, x, x),
    )
    return check._replace(worst=entries[check.worst[0]])


def compare(
    analytic: Sequence[float],
    numerical: Sequence[Difference | None],
    *,
    precision: Precision,
    tolerance: float,
) -> GradientCheck:
    """Find the worst entry; ``worst`` holds its flat index here."""
    known = [(i, a, d) for i, (a, d) in enumerate(zip(analytic, numerical, strict=True)) if d is not None]
    floor = precision.of_largest * max((max(abs(a), abs(d.value)) for _, a, d in known), default=math.nan)
    pairs = [(i, a, d) for i, a, d in known if _tells(a, d, floor)]
    worst, error, at = 0, 0.0 if pairs else math.nan, (math.nan, math.nan)
    for i, a, (d, noise) in pairs:
        scale = max(abs(a), abs(d), floor, noise / tolerance, sys.float_info.min)
        relative = abs(a - d) / scale
        # "Not within" rather than "beyond", so that a NaN is the worst of all.
        if math.isnan(at[0]) or not relative <= error:
            worst, error, at = i, relative, (a, d)
            if math.isnan(relative):
                break
    return GradientCheck(
        passed=error <= tolerance,
        max_relative_error=error,
        worst=(worst,),
        analytic=at[0],
        numerical=at[1],
        tolerance=tolerance,
        n_checked=len(pairs),
        n_skipped=len(analytic) - len(pairs),
    )


def _tells(a: float, difference: Difference, floor: float) -> bool:
    """Return whether a difference is conclusive: not where rounding hides a third of it, unless both are negligible."""
    d, noise = difference
    return not noise > max(abs(a), abs(d), floor) / 3.0 or (a == 0.0 and abs(d) <= noise)


class _Moved(NamedTuple):
    plus: Any
    minus: Any
    width: float


def _shape_of_point(x: Any) -> tuple[int, ...]:
    if isinstance(x, float):
        return ()
    if not array_api_compat.is_array_api_obj(x):
        raise TypeError(f"x must be a float or an array of floats, got {type(x).__name__}")
    xp = namespace_of(x)
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(f"x must be real floating, got {x.dtype}")
    shape = tuple(x.shape)
    if 0 in shape:
        raise ValueError(f"x is empty: its shape is {shape}")
    return shape


def _moved_along_each_entry(x: Any, step: float) -> Iterator[_Moved]:
    if isinstance(x, float) or x.ndim == 0:
        width = step * max(1.0, abs(float(x)))
        yield _Moved(x + width, x - width, width)
        return
    xp: Namespace = namespace_of(x)
    positions = xp.reshape(xp.arange(math.prod(x.shape), device=device_for_new(x)), x.shape)
    for i, index in enumerate(itertools.product(*map(range, x.shape))):
        width = step * max(1.0, abs(float(x[index])))
        along = width * xp.astype(positions == i, x.dtype)
        yield _Moved(x + along, x - along, width)


def check_options(method: str, step: float | None) -> None:
    """Raise ValueError for an unknown method, or a step that is not positive and finite; TypeError if it is none."""
    check_choice("method", method, METHODS)
    OrNone(positive_number)("step", step)

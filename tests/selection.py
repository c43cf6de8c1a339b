"""Which tests run, and a sentence about those that do not. No test may skip."""

import functools
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

import portable_mlp as pm


@functools.cache
def can_be_used(library: str, device: str | None) -> bool:
    """Tell whether an array library works on this machine, on a device of its own choice or on "cuda"."""
    try:
        pm.get_backend(library, device=device)
    except pm.BackendUnavailable:
        return False
    return True


def refuse_skip(report: Any) -> Any:
    """Turn the report of a test, or of a file, that was skipped into a failure; what fails as expected is none."""
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"No test may skip: {report.longrepr}"
    return report


def one_in(n: int, *axes: Iterable[Any], on: str = "") -> list[Any]:
    """Return all combinations of values for a `parametrize`, those off the diagonals marked as thorough.

    One combination in ``n`` is on a diagonal; of several axes these together have every value. With ``on``, the others
    are thorough on the libraries alone whose name starts so.
    """
    values = [list(axis) for axis in axes]
    places = list(itertools.product(*(range(len(axis)) for axis in values)))
    diagonal = [place for place in places if sum(place) % n == 0]
    assert len(axes) == 1 or [len(set(found)) for found in zip(*diagonal, strict=True)] == list(map(len, values))
    mark = pytest.mark.thorough_on(on) if on else pytest.mark.thorough
    return [
        pytest.param(*map(list.__getitem__, values, place), marks=() if place in diagonal else mark) for place in places
    ]


def rarely(*rows: Any) -> list[Any]:
    """Return rows for a `parametrize`, each one value or a tuple of several, marked as thorough."""
    return [pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.thorough) for row in rows]


def and_rarely_others(rows: Iterable[Any], *axes: Iterable[Any]) -> list[Any]:
    """Return rows for a `parametrize`, then all other combinations of values, these marked as thorough."""
    rows = list(rows)
    chosen = [tuple(getattr(row, "values", row)) for row in rows]
    return [*rows, *rarely(*(row for row in itertools.product(*axes) if row not in chosen))]


DEVICES = {"gpu": "cuda", "optional": None}
"""The marks of tests that need a library, and the device on which they need it; None for any."""

REASONS = {
    "gpu": "no NVIDIA GPU answers {} here",
    "optional": "{} cannot be used here (nox -s libraries)",
    "thorough": "they are thorough (nox -s thorough)",
}
"""What a run says of the tests that it leaves out, by their mark."""


class Selection:
    """The plugin: leaves out tests marked `gpu` or `optional` where what they need is missing, and those marked
    `thorough` unless -m asks for them.

    A test that is thorough for two reasons, as a rare row on a rare library, is never run: others have each of the two.

    pytest-xdist collects in its workers, which all leave out the same tests, and prints in the one that started them.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.asked_for_thorough = "thorough" in config.option.markexpr
        if "gpu" in config.option.markexpr:
            # A machine with a GPU may lack packages of other tests: these are errors, and all others run.
            config.option.continue_on_collection_errors = True
        self.left_out: Counter[tuple[str, str]] = Counter()

    def pytest_itemcollected(self, item: Any) -> None:
        names = (mark.args[0] for mark in item.iter_markers("thorough_on"))
        if any(item.callspec.params["lib"].startswith(name) for name in names):
            item.add_marker("thorough")

    @staticmethod
    def _is_a_repetition(item: pytest.Item) -> bool:
        """Tell whether two reasons make a test thorough, as a rare row on a rare library."""
        return sum(1 for _ in item.iter_markers("thorough")) > 1

    def _why_not(self, item: Any) -> tuple[str, str] | None:
        """Return a mark, and the library that it asks for in vain; None for a test that runs."""
        if item.get_closest_marker("thorough") and not self.asked_for_thorough:
            return "thorough", ""
        asked = ((mark.name, mark.args[0]) for mark in item.iter_markers() if mark.name in DEVICES)
        return next(((mark, library) for mark, library in asked if not can_be_used(library, DEVICES[mark])), None)

    @pytest.hookimpl(trylast=True)  # after -k and -m
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not self._is_a_repetition(item)]
        reasons = [self._why_not(item) for item in items]
        config.hook.pytest_deselected(items=[item for item, why in zip(items, reasons, strict=True) if why])
        items[:] = [item for item, why in zip(items, reasons, strict=True) if not why]
        self.left_out.update(filter(None, reasons))
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = dict(self.left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left_out = Counter(getattr(node, "workeroutput", {}).get("left_out", self.left_out))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Any:
        return refuse_skip((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Any:
        return refuse_skip((yield))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for mark, reason in REASONS.items():
            counts = {library: n for (other, library), n in sorted(self.left_out.items()) if other == mark}
            if counts:
                why = reason.format(" or ".join(counts))
                terminalreporter.write_line(f"{sum(counts.values()):,} tests were left out: {why}.")

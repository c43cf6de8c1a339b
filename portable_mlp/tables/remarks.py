"""Remarks on a table that a careful reader would make: what its owner may not have meant."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Column, Columns, RawTable, Reading
from .dates import date_form
from .errors import counted, shown
from .giveaways import columns_that_determine, columns_whose_sum_is
from .preparation import Preparation
from .text_numbers import as_float, is_code

__all__ = ["remarks"]

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?", re.ASCII)
_BESIDE = re.compile(r"[^\w\s]{0,2} ?# ?[^\d#]{0,8}")
"""What may stand beside the number #: a sign, a unit."""

_MOST_MARKS = 5
"""With more kinds of marks, numbers are parts of codes, such as 12a."""

_MOST_CODES = 10
"""So few different numbers are categories as well as a quantity."""

_STAND_INS = {float(f"{sign}{digit * n}") for sign in ("", "-") for digit in "89" for n in range(1, 7)}
"""Numbers that stand for missing cells in many tables: 9, -99, 888."""

_FEWEST_GROUPS = 5
"""Fewer groups of rows, which are counted, are in order for another reason: grades, periods."""

_MOST_NAMES = 5


def remarks(table: RawTable, preparation: Preparation) -> tuple[str, ...]:
    """Return remarks on the columns of a table, of which a model has learnt, and on its target.

    They name columns that give the target away, texts most of which hold a number, categories and classes that differ
    in case alone, numbers that seem to stand for missing cells or that count groups of rows, and dates that are
    classes.
    """
    if preparation.encoder is None or table.y is None or table.y.ndim > 1:
        return ()
    target, classification = table.target_name or "y", preparation.classes is not None
    used = Columns({name: table.X.column(name) for name in preparation.encoder.readings})
    found = list(_on_giveaways(used, table.y, target, classification=classification))
    if classification and table.y.dtype.kind == "U":
        found += _on_texts(target, table.y, "classes")
        if date_form(np.unique(table.y).tolist()) is not None:
            found.append(f"{shown(target)} holds dates, each of which is a class; a number of days is a quantity")
    for name in table.X:
        column = table.X.column(name)
        if column.reading == Reading("text"):
            found += _on_texts(name, column.values[~column.missing], "categories")
        elif column.reading.kind == "number":
            found += _on_stand_ins(name, column)
            found += _on_groups(name, column) if name in used else ()
    return tuple(found)


def _on_giveaways(X: Columns, y: NDArray[Any], target: str, *, classification: bool) -> Iterator[str]:
    """Yield a remark on columns that determine the target, alone or together."""
    alone = columns_that_determine(X, y, classification=classification)
    if alone:
        yield f"{_listed(alone)} alone determine{'s' * (len(alone) == 1)} {shown(target)}{_are_they_known(alone)}"
        return
    together = [] if classification else columns_whose_sum_is(X, y.astype(np.float64))
    if together:
        yield f"{shown(target)} is a weighted sum of {_listed(together)}{_are_they_known(together)}"


def _are_they_known(names: Sequence[str]) -> str:
    """Return the question that tells a leak from a column of use, and the options that leave it out."""
    drop = " ".join(f"--drop {shlex.quote(name)}" for name in names[:_MOST_NAMES])
    return f"; if {'it is' if len(names) == 1 else 'they are'} not known when predictions are made: {drop}"


def _on_texts(name: str, texts: NDArray[Any], kind: str) -> Iterator[str]:
    """Yield remarks on texts, none of which is missing, that are read as categories or classes."""
    rows = Counter(texts.tolist())
    spellings: dict[str, list[str]] = {}
    for text in sorted(rows):
        spellings.setdefault(" ".join(text.casefold().split()), []).append(text)
    alike = next((different for different in spellings.values() if len(different) > 1), None)
    if alike is not None:
        yield f"{_listed(alike)} of {shown(name)} are {len(alike)} {kind}, which differ in case or blanks alone"
    marks = {text: _NUMBER.sub("#", text, count=1) for text in rows}
    numbers = [text for text, mark in marks.items() if _BESIDE.fullmatch(mark)]
    n_rows = sum(rows[text] for text in numbers)
    if len(numbers) > _MOST_CODES and 2 * n_rows > len(texts) and len({marks[text] for text in numbers}) <= _MOST_MARKS:
        odd = next((text for text, _ in rows.most_common() if as_float(text) is None), None)
        if odd is not None and not any(map(is_code, numbers)):
            yield (
                f"{shown(name)} is read as texts, since {shown(odd)} is not a plain number, though {n_rows} of its "
                f"{counted(len(texts), 'cell')} hold one; plain numbers and empty cells are a quantity"
            )


def _on_stand_ins(name: str, column: Column) -> Iterator[str]:
    """Yield a remark on the least or the greatest of some numbers, if it seems to stand for missing cells."""
    present = column.values[~column.missing]
    if not len(present) or not {present.min().item(), present.max().item()} & _STAND_INS:
        return
    values, counts = np.unique(present, return_counts=True)
    if len(values) < 3:
        return
    for extreme, others in ((0, values[1:]), (-1, values[:-1])):
        low, high = others[0].item(), others[-1].item()
        value, n_rows = values[extreme].item(), counts[extreme].item()
        is_far = min(abs(value - low), abs(value - high)) > high - low or value < 0.0 <= low
        if value in _STAND_INS and n_rows > 1 and is_far:
            yield (
                f"{shown(name)} is {value:g} in {n_rows} rows, and from {low:g} to {high:g} in all others; where it "
                "stands for a missing value, leave the cells empty"
            )


def _on_groups(name: str, column: Column) -> Iterator[str]:
    """Yield a remark on numbers that count groups of rows, one after another: the subjects of repeated measures."""
    values = column.values
    n_groups = values[-1]
    if (
        values[0] == 1.0
        and _FEWEST_GROUPS <= n_groups <= len(values) / 2
        and np.isin(np.diff(values), (0.0, 1.0)).all()
    ):
        yield (
            f"{shown(name)} counts {n_groups:g} groups of rows from 1 on, and is read as a quantity; --categorical "
            f"{shlex.quote(name)} reads it as categories"
        )


def _listed(names: Sequence[str]) -> str:
    """Return names for a sentence; of many, only the first."""
    *first, last = [
        *map(shown, names[:_MOST_NAMES]),
        *[f"{len(names) - _MOST_NAMES} more"] * (len(names) > _MOST_NAMES),
    ]
    return f"{', '.join(first)} and {last}" if first else last

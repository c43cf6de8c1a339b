"""Checks that all ranks of a group were given the same; each of them raises an error that names the differences."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .group import current_group

LONGEST_TEXT = 98
"""The number of bytes of a value that an error shows; a multiple of 7."""

MOST_NUMBERS = 1000
"""Arrays of one axis are compared number by number up to this length, longer ones by their shape."""


def check_same_options(call: str, options: Mapping[str, Any], *, but: Collection[str] = ()) -> None:
    """Raise ValueError on all ranks if they make different calls, or give one of its options different values.

    Parameters
    ----------
    call : str
        Name of the function or command, as a user writes it.
    options : dict
        All options of the call by name.
    but : collection of str
        Names of the options that may differ.
    """
    group = current_group()
    if group is None:
        return
    texts = {name: comparable_text(value) for name, value in options.items() if name not in but}
    texts |= {
        "reproducible of parallel(...)": comparable_text(group.reproducible),
        "samples of parallel(...)": comparable_text("all" if group.has_all_samples else "own"),
    }
    names = sorted(texts)
    if _all_alike(group.gathered(_digest(repr([call, *names])), _digest(repr([texts[name] for name in names])))):
        return
    calls = group.gathered(_digest(repr([call, *names])), *_packed(call))
    if not _all_alike(calls):
        raise ValueError(
            f"all ranks must make the same call, but it is {_by_ranks(calls)}: do all run the same program and version?"
        )
    rows = {name: group.gathered(_digest(texts[name]), *_packed(texts[name])) for name in names}
    differing = [f"{name} is {_by_ranks(row)}" for name, row in rows.items() if not _all_alike(row)]
    raise ValueError(f"all ranks must give {call} the same options, but {'; '.join(differing)}")


def n_samples_of_all(
    n_samples: int, first: Callable[[], bytes], others: Mapping[str, Callable[[], bytes]] | None = None
) -> int:
    """Return the number of samples on which the whole group trains, having compared what the ranks were given.

    Parameters
    ----------
    n_samples : int
        Number of samples that this process was given.
    first : callable
        Returns the first of these samples as bytes, by which the data of two ranks are compared.
    others : dict of callable, optional
        By name: returns something else as bytes that must be the same on every rank.

    Raises
    ------
    ValueError
        On all ranks, if what must be the same differs: also the samples, where every rank is to have all of them.
    """
    group = current_group()
    if group is None:
        return n_samples
    digests = {name: _digest(give()) for name, give in (others or {}).items()}
    rows = group.gathered(n_samples, _digest(first()), *digests.values())
    counts = [count for count, *_ in rows]
    if group.has_all_samples and not _all_alike([row[:2] for row in rows]):
        raise ValueError(
            f"each rank must be given the same samples, but what they have differs ({counts} samples); if each is to "
            'train on its own, say so: parallel(..., samples="own")'
        )
    for i, name in enumerate(digests, start=2):
        apart = [rank for rank, row in enumerate(rows) if row[i] != rows[0][i]]
        if apart:
            raise ValueError(
                f"each rank must be given the same {name}; those of {ranks_in_words(apart)} differ from rank 0's"
            )
    return counts[0] if group.has_all_samples else sum(counts)


def comparable_text(value: Any) -> str:
    """Return the same text for values that are equal, whatever their types and addresses.

    >>> comparable_text((0.5, 1, 1.0, True, "relu", None, len))
    "(0.5, 1, 1, True, 'relu', None, builtin_function_or_method)"
    """
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(sorted(f"{comparable_text(key)}: {comparable_text(item)}" for key, item in value.items()))
            + "}"
        )
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(comparable_text, value)) + ")"
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if hasattr(value, "shape"):
        return _text_of_array(value)
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    shown = repr(value)
    return type(value).__name__ if callable(value) or " at 0x" in shown else shown


def _text_of_array(x: Any) -> str:
    shape = tuple(x.shape)
    if hasattr(x, "tolist") and (shape == () or (len(shape) == 1 and shape[0] <= MOST_NUMBERS)):
        return comparable_text(x.tolist())
    return f"{type(x).__name__} of shape {shape}"


def _all_alike(rows: list[list[int]]) -> bool:
    return all(row == rows[0] for row in rows)


def _digest(content: str | bytes) -> int:
    """Return a hash of a content, in the range of int64."""
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big")


def _packed(text: str) -> list[int]:
    """Return the beginning of a text as numbers of 7 bytes, none of which is negative as an int64."""
    content = text.encode("utf-8", "replace")[:LONGEST_TEXT].ljust(LONGEST_TEXT, b"\0")
    return [int.from_bytes(content[i : i + 7], "big") for i in range(0, LONGEST_TEXT, 7)]


def _unpacked(numbers: list[int]) -> str:
    content = b"".join(number.to_bytes(7, "big") for number in numbers)
    return content.rstrip(b"\0").decode("utf-8", "ignore") + ("" if content.endswith(b"\0") else "...")


def _by_ranks(rows: list[list[int]]) -> str:
    """Return each text with the ranks that have it; a row is the digest of a text and its packed numbers."""
    ranks: dict[tuple[int, ...], list[int]] = {}
    for rank, row in enumerate(rows):
        ranks.setdefault(tuple(row), []).append(rank)
    return " and ".join(f"{_unpacked([*text])} on {ranks_in_words(some)}" for (_, *text), some in ranks.items())


def ranks_in_words(ranks: Sequence[int]) -> str:
    """Return ranks as a message names them.

    >>> ranks_in_words([1]), ranks_in_words([0, 2])
    ('rank 1', 'ranks 0, 2')
    """
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"

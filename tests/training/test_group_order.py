"""The order of an epoch over groups: a permutation, drawn evenly, that reaches each group once."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from portable_mlp.training.group_order import GroupOrder, Selection
from portable_mlp.training.shuffle import Shuffle

GROUPS = (5, 0, 7, 1, 4, 0, 6, 9, 3)
NONE = np.empty(0, dtype=np.int64)
STARTS = np.cumsum((0, *GROUPS))


def every_second(groups: tuple[int, ...] = GROUPS) -> Selection:
    """Return the even rows."""
    starts = np.cumsum((0, *groups))
    rows = [np.asarray([row for row in range(a, b) if row % 2 == 0], np.int64) for a, b in itertools.pairwise(starts)]
    return Selection(tuple(map(len, rows)), rows.__getitem__)


def whole(order: GroupOrder) -> np.ndarray:
    return np.concatenate([*order.parts(0, 1000), NONE])


@pytest.mark.parametrize("shuffle", [Shuffle(0), None], ids=["shuffled", "in order"])
@pytest.mark.parametrize("at_a_time", [1, 2, 4, 100])
def test_every_chosen_row_comes_once_and_groups_follow_each_other(shuffle: Shuffle | None, at_a_time: int) -> None:
    for epoch in range(3):
        rows = whole(GroupOrder(every_second(), at_a_time, shuffle, epoch))
        np.testing.assert_array_equal(np.sort(rows), np.arange(0, sum(GROUPS), 2))
        groups = np.searchsorted(STARTS, rows, side="right")
        # A group is left for good once as many others have begun after it as are taken at a time.
        begun = list(dict.fromkeys(groups.tolist()))
        for i, group in enumerate(begun):
            last = np.flatnonzero(groups == group)[-1]
            assert set(groups[: last + 1].tolist()) <= set(begun[: i + at_a_time])


def test_without_a_shuffle_the_order_is_the_files() -> None:
    np.testing.assert_array_equal(whole(GroupOrder(every_second(), 4, None, 0)), np.arange(0, sum(GROUPS), 2))


def test_one_window_has_the_order_that_samples_in_memory_have() -> None:
    for epoch in range(3):
        rows = whole(GroupOrder(every_second((11,)), 4, Shuffle(7), epoch))
        np.testing.assert_array_equal(rows, 2 * Shuffle(7).order(epoch, 6))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 18, 50])
def test_parts_from_any_place_are_those_of_the_whole(size: int) -> None:
    order = GroupOrder(every_second(), 2, Shuffle(0), 5)
    rows = whole(order)
    for start in range(len(rows) + 1):
        parts = list(order.parts(start, size))
        assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
        np.testing.assert_array_equal(np.concatenate([*parts, NONE]), rows[start:])


def test_epochs_and_windows_are_drawn_for_themselves() -> None:
    orders = [whole(GroupOrder(Selection((50,) * 6, lambda g: np.arange(50 * g, 50 * g + 50)), 2, Shuffle(key), epoch))
              for key in (0, 1) for epoch in (0, 1)]  # fmt: skip
    for one, other in itertools.combinations(orders, 2):
        assert (one == other).mean() < 0.05
    windows = [np.argsort(orders[0][start : start + 100]) for start in (0, 100, 200)]
    for one, other in itertools.combinations(windows, 2):
        assert (one == other).mean() < 0.1


def test_every_row_is_in_every_place_equally_often() -> None:
    selection = Selection((4,) * 6, lambda group: np.arange(4 * group, 4 * group + 4))
    shuffle = Shuffle(0)
    counts = np.zeros((24, 24))
    for epoch in range(6_000):
        counts[whole(GroupOrder(selection, 2, shuffle, epoch)), np.arange(24)] += 1
    assert min(chisquare(row).pvalue for row in counts) > 0.001 / 24

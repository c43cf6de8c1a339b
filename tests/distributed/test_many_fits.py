"""Many fits on the ranks of a group over MPI: the results of one process, on every rank."""

import functools
import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.distributed import many_fits_rank
from tests.distributed.test_mpi import mpiexec
from tests.selection import rarely

RANK = pathlib.Path(many_fits_rank.__file__)


class Job(NamedTuple):
    """An end, "interrupted" or "killed" for one rank, and what every rank found before."""

    done: "subprocess.CompletedProcess[str]"
    found: list[Any]
    went_on: list[pathlib.Path]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Job]:
    """Return a function of the number of ranks and the end of one of them."""

    def run(size: int, *end: str) -> Job:
        folder = tmp_path_factory.mktemp("ranks")
        done = mpiexec(size, RANK, folder, *end)
        assert (done.returncode != 0) == bool(end), done.stderr
        models = -(-4 // size)
        assert done.stderr.count(f"{models} of {models} models, 0:0") == done.stderr.count(" models, ") == 1
        found = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(size)]
        return Job(done, found, list(folder.glob("after-*")))

    return functools.cache(run)


@pytest.fixture(scope="module")
def on_ranks(job: Callable[..., Job]) -> Callable[[int], list[Any]]:
    """What every rank found, by the number of ranks; two of them share the job that is interrupted at its end."""
    return lambda size: (job(2, "interrupted") if size == 2 else job(size)).found


@pytest.mark.parametrize("size", [2, *rarely(3)])
def test_each_rank_has_the_results_of_one_process_and_computes_a_share(
    size: int, on_ranks: Callable[[int], list[Any]], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_fits_rank, "FOLDER", str(tmp_path))
    n_before = len(many_fits_rank.N_FITS)
    alone = {call.__name__: json.loads(json.dumps(call())) for call in many_fits_rank.SAME_AS_ALONE}
    n_fits = len(many_fits_rank.N_FITS) - n_before
    for found in on_ranks(size):
        for name, expected in alone.items():
            assert found["same"][name] == expected, name
        assert found["n fits"] < n_fits / size + 10  # each rank fits the best of a search
    assert alone["once"] == 1


def test_what_no_seed_fixes_is_the_same_on_all_ranks(on_ranks: Callable[[int], list[Any]]) -> None:
    one, other = on_ranks(2)
    assert one["without a seed"] == other["without a seed"]


def test_what_cannot_be_sent_is_the_error_of_its_model(on_ranks: Callable[[int], list[Any]]) -> None:
    for found in on_ranks(2):
        pickling, unpickling, by_name, of_search = found["not sent"]
        assert pickling.startswith("it cannot be sent to the other processes: AttributeError: Can't ")
        assert unpickling.startswith("it cannot be sent to the other processes: ValueError: invalid literal")
        assert by_name.removeprefix("ByName: ") == "at seat 17"  # a copy on another rank has the name in its text
        assert of_search.startswith("best_estimator_ cannot be sent to the other processes: AttributeError: Can't ")


def test_a_warning_that_cannot_be_sent_is_one_of_python(on_ranks: Callable[[int], list[Any]]) -> None:
    for found in on_ranks(2):
        assert found["warnings not sent"] == [
            "DeprecationWarning: local",
            "FutureWarning: lock",
            "UserWarning: at seat 18",
        ]


def test_other_calls_on_one_rank_are_an_error_of_all(on_ranks: Callable[[int], list[Any]]) -> None:
    one, other = on_ranks(2)
    assert one["other calls"] == other["other calls"]
    for error, told in zip(
        one["other calls"],
        (
            "len(estimators) is 1 on rank 0 and 2 on rank 1",
            "estimators[1] is {'Counted': {'activation': 'relu', 'alpha': 0, ",
            "what they have differs ([70, 70] samples)",
            "the same rows; those of rank 1 differ from rank 0's",
            "the same sample_weight; those of rank 1 differ from rank 0's",
            "GridSearchCV.fit the same options, but param_grid is {'alpha': (0.01, 0.1)} on rank 0 and",
            "cross_validate the same options, but cv is KFold(n_splits=3, random_state=0, shuffle=True) on rank 0",
            "the same candidates and folds (drawn with a random_state); those of rank 1 differ from rank 0's",
            "it is cross_validate on rank 0 and fit_many on rank 1",
            'fit_many takes all samples on every process, but parallel(...) has samples="own"',
        ),
        strict=True,
    ):
        assert error.startswith("ValueError: ")
        assert told in error


@pytest.mark.parametrize("end", ["interrupted", *rarely("killed")])
def test_what_ends_one_rank_ends_all(end: str, job: Callable[..., Job]) -> None:
    one = job(2, end)
    assert not one.went_on
    assert (end == "killed") != ("portable_mlp: rank 1 of 2 ends the job:" in one.done.stderr)

"""Tasks in threads of one process: their order, their errors, what they see of the caller, and Ctrl-C."""

import contextvars
import functools
import itertools
import operator
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from threadpoolctl import ThreadpoolController, threadpool_info

import portable_mlp as pm
from portable_mlp.backends._compiled_steps import compiled_steps
from portable_mlp.distributed.group import current_group
from portable_mlp.estimators.threads import n_threads, settings_of_thread
from portable_mlp.training import side_by_side as core
from portable_mlp.training.side_by_side import OneThreadEach, TaskOutcome
from portable_mlp.training.stop_requests import shared_request
from tests.distributed.fakes import on_ranks

X, y = np.linspace(-1.0, 1.0, 400).reshape(100, 4), np.arange(100) % 3
WAIT = 60.0
"""Seconds after which a test that waits for another thread fails."""


def side_by_side(
    tasks: Iterable[Callable[[], Any]], n_jobs: int | None = None, ended: Callable[[Any], Any] | None = None
) -> list[TaskOutcome[Any]]:
    """Run tasks as the estimators' functions do."""
    return core.side_by_side(tasks, n_threads(n_jobs), ended=ended, start=settings_of_thread())


def numbers(n: int) -> list[Callable[[], int]]:
    return [functools.partial(operator.mul, 10, i) for i in range(n)]


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def three_blas_threads() -> Iterator[None]:
    """Let BLAS have three threads, by a thread that has ended: while it lives, threadpoolctl obeys no other."""
    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [library.num_threads for library in blas]

    def set_them(numbers: list[int]) -> None:
        for library, number in zip(blas, numbers, strict=True):
            library.set_num_threads(number)

    def set_by_another(numbers: list[int]) -> None:
        setting = threading.Thread(target=set_them, args=(numbers,))
        setting.start()
        setting.join()

    set_by_another([3] * len(blas))
    yield
    set_by_another(before)


@pytest.mark.parametrize("n_jobs", [1, 2, 3, -1, None])
def test_outcomes_come_in_the_order_of_the_tasks(n_jobs: int | None) -> None:
    tasks = numbers(20)
    tasks[7] = functools.partial(operator.truediv, 1, 0)
    as_they_end: list[Any] = []
    outcomes = side_by_side(tasks, n_jobs, ended=as_they_end.append)
    assert [outcome.number for outcome in outcomes] == list(range(20))
    assert [outcome.value for outcome in outcomes] == [10 * i if i != 7 else None for i in range(20)]
    assert [type(outcome.error) for outcome in outcomes if outcome.error] == [ZeroDivisionError]
    assert sorted(as_they_end, key=operator.itemgetter(0)) == outcomes


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_tasks_are_taken_when_a_thread_is_free(n_jobs: int) -> None:
    n_ended = 0

    def count(_: Any) -> None:
        nonlocal n_ended
        n_ended += 1

    def tasks() -> Iterator[Callable[[], int]]:
        for i in range(10):
            n_taken.append(i)
            assert len(n_taken) <= n_returned[0] + n_jobs
            yield task

    def task() -> int:
        with lock:
            n_returned[0] += 1
        return n_returned[0]

    lock, n_taken, n_returned = threading.Lock(), [], [0]
    assert len(side_by_side(tasks(), n_jobs, ended=count)) == n_ended == len(n_taken) == 10


def test_two_tasks_run_at_once_and_one_at_a_time_with_one_thread() -> None:
    both = threading.Barrier(2, timeout=WAIT)
    assert {outcome.value for outcome in side_by_side([both.wait, both.wait], 2)} == {0, 1}
    here = threading.get_ident()
    assert [outcome.value for outcome in side_by_side([threading.get_ident] * 3, 1)] == [here] * 3
    assert here not in {outcome.value for outcome in side_by_side([threading.get_ident] * 3, 2)}


setting: contextvars.ContextVar[str] = contextvars.ContextVar("setting", default="default")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_task_sees_what_the_caller_sees(n_jobs: int) -> None:
    def seen() -> tuple[Any, ...]:
        before = setting.get()
        setting.set("by a task")  # which no other task sees
        return before, sklearn.get_config()["assume_finite"], np.geterr()["over"]

    setting.set("by the caller")
    with sklearn.config_context(assume_finite=True), np.errstate(over="raise"):
        outcomes = side_by_side([seen] * 4, n_jobs)
    assert [outcome.value for outcome in outcomes] == [("by the caller", True, "raise")] * 4
    assert setting.get() == "by the caller"


def test_a_task_of_a_group_is_outside_of_it() -> None:
    with pm.parallel("serial") as group:
        outcomes = side_by_side([lambda: current_group() is None] * 3, 2)
        assert current_group() is group
        assert n_threads(None) == joblib.cpu_count()
    assert [outcome.value for outcome in outcomes] == [True] * 3


def test_several_processes_have_one_thread_each_unless_told_otherwise() -> None:
    assert on_ranks(2, lambda rank: [n_threads(None), n_threads(3)]) == [[1, 3]] * 2


def test_the_number_of_threads() -> None:
    cores = joblib.cpu_count()
    assert (n_threads(None), n_threads(-1), n_threads(3)) == (cores, cores, 3)
    with joblib.parallel_config(n_jobs=5):
        assert (n_threads(None), n_threads(2)) == (5, 2)
    # Within a task of ours, and of joblib, nothing more is started.
    nested = side_by_side([lambda: n_threads(None), lambda: joblib.effective_n_jobs(None)] * 2, 2)
    assert [outcome.value for outcome in nested] == [1] * 4
    assert joblib.Parallel(n_jobs=2, prefer="threads")(joblib.delayed(n_threads)(None) for _ in range(2)) == [1, 1]
    with pytest.raises(ValueError, match="n_jobs == 0"):
        side_by_side(numbers(2), 0)
    for wrong in ("2", 2.5):
        with pytest.raises(
            TypeError, match=f"n_jobs must be a whole number, as -1 for all cores, or None, got {wrong!r}"
        ):
            side_by_side(numbers(2), wrong)  # type: ignore[arg-type]


def test_blas_has_one_thread_meanwhile_also_where_two_calls_overlap(three_blas_threads: None) -> None:
    first, second, first_ended = threading.Event(), threading.Event(), threading.Event()

    def in_first() -> set[int]:
        first.set()
        assert second.wait(WAIT)
        return blas_threads()

    def in_second() -> set[int]:
        second.set()
        assert first_ended.wait(WAIT)
        return blas_threads()

    outcomes: dict[str, Any] = {}

    def call(name: str, task: Callable[[], set[int]]) -> None:
        outcomes[name] = side_by_side([task, set], 2)

    calls = [threading.Thread(target=call, args=arguments) for arguments in (("1", in_first), ("2", in_second))]
    calls[0].start()
    assert first.wait(WAIT)
    calls[1].start()
    calls[0].join(WAIT)
    assert blas_threads() == {1}  # the second call still runs
    first_ended.set()
    calls[1].join(WAIT)
    assert blas_threads() == {3}
    assert (outcomes["1"][0].value, outcomes["2"][0].value) == ({1}, {1})


def test_blas_is_restored_after_an_error_of_the_iterable_and_of_the_callback(three_blas_threads: None) -> None:
    def tasks() -> Iterator[Callable[[], int]]:
        yield from numbers(3)
        raise LookupError("no more")

    def fail(_: Any) -> None:
        raise LookupError("unwanted")

    with pytest.raises(LookupError, match="no more"):
        side_by_side(tasks(), 2)
    with pytest.raises(LookupError, match="unwanted"):
        side_by_side(numbers(3), 2, ended=fail)
    assert blas_threads() == {3}


def test_filters_of_warnings_are_restored() -> None:
    """Two threads that change them for a moment, as scikit-learn's checks do, would restore each other's."""
    inside = threading.Barrier(2, timeout=WAIT)

    def change(category: type[Warning]) -> None:
        inside.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error", category)
            inside.wait()

    before = list(warnings.filters)
    side_by_side([functools.partial(change, one) for one in (BytesWarning, ImportWarning)], 2)
    assert list(warnings.filters) == before


def ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def never_ending(begun: Callable[[], Any], **options: Any) -> Callable[[], None]:
    """Return a task that fits until it is stopped, and tells that it runs."""
    options = {"max_iter": 10**9, "tol": 0.0, "n_iter_no_change": 10**9, "max_fun": 10**9, **options}

    def task() -> None:
        begun()
        while True:  # "lbfgs" ends by itself
            pm.MLPClassifier((4,), random_state=0, **options).fit(X, y)

    return task


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_stops_all(solver: str, three_blas_threads: None) -> None:
    begun = threading.Barrier(2, timeout=WAIT, action=ctrl_c)
    after: list[int] = []
    tasks = [never_ending(begun.wait, solver=solver)] * 2
    with pytest.raises(KeyboardInterrupt):
        side_by_side(itertools.chain(tasks, [lambda: after.append(1)]), 2)
    assert blas_threads() == {3}
    assert not after
    assert shared_request() is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("portable_mlp")]


def test_no_task_begins_after_ctrl_c() -> None:
    begun = threading.Barrier(2, timeout=WAIT, action=ctrl_c)
    after: list[int] = []

    def task() -> None:
        begun.wait()
        while (request := shared_request()) is None or request.received is None:
            time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        side_by_side([task, task, lambda: after.append(1)], 2)
    assert not after


def test_ctrl_c_stops_all_in_the_calling_thread() -> None:
    """Where one fit by itself would end with a warning, and the next one begin."""
    with pytest.raises(KeyboardInterrupt):
        side_by_side([never_ending(ctrl_c)] * 2, 1)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_stops_calls_within_a_task(n_jobs: int) -> None:
    """Their trainings, and their tasks that have not begun."""
    begun = threading.Barrier(2, timeout=WAIT, action=ctrl_c)
    n_ended = itertools.count()

    def task() -> None:
        inner: list[Callable[[], Any]] = [lambda: pm.MLPClassifier((4,), max_iter=3).fit(X, y)] * 50
        begun.wait()
        while not stop_asked():
            time.sleep(0.001)
        side_by_side([*inner, lambda: next(n_ended)], n_jobs)
        next(n_ended)

    def stop_asked() -> bool:
        request = shared_request()
        return request is not None and request.received is not None

    with pytest.raises(KeyboardInterrupt):
        side_by_side([task] * 2, 2)
    assert next(n_ended) == 0


def test_ctrl_c_while_the_settings_are_changed_leaves_none_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def keep(are_set: threading.Event, end: threading.Event) -> None:
        ctrl_c()
        ended.append(end.wait(5.0))

    monkeypatch.setattr(OneThreadEach, "_keep", staticmethod(keep))
    settings = OneThreadEach()
    with pytest.raises(KeyboardInterrupt):
        settings.__enter__()
    settings._keeper.join()
    assert ended == [True]


def test_an_interruption_that_a_task_raises_stops_all() -> None:
    running = threading.Event()

    def interrupt() -> None:
        assert running.wait(WAIT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side([never_ending(running.set), interrupt], 2)


@pytest.mark.compiled_steps
def test_ctrl_c_stops_epochs_that_are_joined() -> None:
    """Epochs of one step are taken many at a time, once steps are compiled."""
    compiled_steps.compile(np.dtype("float64"))
    net = pm.Network((4, 3, 3))

    def task() -> None:
        begun.wait()
        pm.train(net, pm.init_params(net), X, y, batch_size=len(y), epochs=10**9)

    begun = threading.Barrier(2, timeout=WAIT, action=ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        side_by_side([task] * 2, 2)

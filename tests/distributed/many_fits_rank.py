"""What one rank of `test_many_fits` does: ``python many_fits_rank.py FOLDER [END]``."""

import json
import os
import pathlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm
from portable_mlp.distributed.group import current_group, training_in

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(70, 4)), RNG.integers(0, 3, 70)
WEIGHTS = RNG.uniform(0.5, 1.0, 70)
N_FITS: list[str] = []


class Counted(pm.MLPClassifier):
    """Counts its fits in this process, none of which is in a group."""

    def fit(self, *args: Any, **options: Any) -> Any:
        assert current_group() is None
        N_FITS.append("fit")
        return super().fit(*args, **options)


class Unlike(ValueError):
    """An error whose class takes something else than it says."""

    def __init__(self, place: str, number: int) -> None:
        super().__init__(f"{place} number {number}")
        self.number = number


class Failing(Counted):
    def fit(self, *args: Any, **options: Any) -> Any:
        raise Unlike("seat", 17)


class NotSent(Counted):
    def fit(self, *args: Any, **options: Any) -> Any:
        super().fit(*args, **options)
        self.call_ = lambda: None
        return self


class OneWay:
    """Can be pickled, but not be made from its pickle."""

    def __reduce__(self) -> Any:
        return int, ("seat",)


class NotReceived(Counted):
    def fit(self, *args: Any, **options: Any) -> Any:
        super().fit(*args, **options)
        self.one_way_ = OneWay()
        return self


class ByName(ValueError):
    """An error that is made of named arguments alone."""

    def __new__(cls, *, place: str) -> Any:
        return super().__new__(cls)

    def __init__(self, *, place: str) -> None:
        super().__init__(f"at {place}")


class FailingByName(Counted):
    def fit(self, *args: Any, **options: Any) -> Any:
        raise ByName(place="seat 17")


class WithLock(FutureWarning):
    """A warning that cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class WarningByName(ByName, UserWarning):
    """A warning that is made of named arguments alone."""


class Warned(Counted):
    def fit(self, *args: Any, **options: Any) -> Any:
        class Local(DeprecationWarning):
            pass

        for one in (WithLock("lock"), WarningByName(place="seat 18"), Local("local")):
            warnings.warn(one, stacklevel=1)
        return super().fit(*args, **options)


def numbers(model: Any) -> Any:
    """Return what a fit and a further epoch leave: the optimizer and the generator are those of the fit, too."""
    fitted = model[-1] if isinstance(model, Pipeline) else model
    found = [fitted.n_iter_, fitted.loss_curve_, [x.tolist() for x in fitted.coefs_ + fitted.intercepts_]]
    if fitted.solver != "lbfgs" and not fitted.early_stopping:
        with training_in(None):
            found.append([x.tolist() for x in fitted.partial_fit(X, Y).coefs_])
    return found


def quietly(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what a call returns, or the error that it raises, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            result = error
    return result, sorted(f"{one.category.__name__}: {one.message}"[:60] for one in caught)


def small(seed: Any = 0, kind: Any = Counted, **options: Any) -> Any:
    return kind(**{"hidden_layer_sizes": (5,), "max_iter": 4, "batch_size": 20, "random_state": seed, **options})


def fits() -> Any:
    """Estimators of many kinds, two of which share a generator."""
    rng = np.random.RandomState(3)
    scaler, last = StandardScaler(), small(4, dropout=0.3)
    models = [
        small(alpha=0.1),
        small(1, hidden_layer_sizes=(), solver="sgd", learning_rate="adaptive"),
        small(2, solver="lbfgs"),
        small(rng, early_stopping=True),
        make_pipeline(scaler, last),
        small(rng),
    ]
    rows = [None, *(np.arange(i, 70) for i in range(1, len(models)))]
    fitted, messages = quietly(lambda: pm.fit_many(models, X, Y, rows=rows, sample_weight=WEIGHTS))
    assert all(one is given for one, given in zip(fitted, models, strict=True)), fitted
    assert models[4].steps == [("standardscaler", scaler), ("counted", last)]  # the same objects
    return [[numbers(one) for one in fitted], rng.uniform(), fitted[4][0].mean_.tolist(), messages]


def table() -> Any:
    model = pm.TableClassifier(hidden_layer_sizes=(4,), max_iter=3, n_networks=2, random_state=0)
    return quietly(lambda: pm.fit_many([small(), model], X, Y))[0][1].predict_proba(X).tolist()


def memory() -> Any:
    """A pipeline that puts fitted steps in the place of those that it was given."""
    folder = pathlib.Path(FOLDER) / f"memory-{len(list(pathlib.Path(FOLDER).iterdir()))}"
    piped = Pipeline([("scale", StandardScaler()), ("mlp", small())], memory=str(folder))
    quietly(lambda: pm.fit_many([small(), piped], X, Y))
    return piped.predict_proba(X).tolist()


def errors() -> Any:
    """Errors of some models; the others are fitted."""
    models = [small(), small(1, kind=Failing), small(2, solver="sgd", learning_rate_init=1e200), small(3)]
    with np.errstate(all="ignore"):
        error, _ = quietly(lambda: pm.fit_many(models, X, Y))
    return [
        str(error),
        {i: [type(one).__name__, str(one), getattr(one, "number", None)] for i, one in error.by_number.items()},
        [numbers(models[i]) for i in (0, 3)],
        [hasattr(one, "coefs_") for one in models],
    ]


def once() -> int:
    """Warnings of one place and text are shown once, whichever process they come from."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        pm.fit_many([small(i) for i in range(4)], X, Y, verbose=True)
    return len(caught)


def results(search: Any) -> Any:
    kept = {name: value for name, value in search.cv_results_.items() if not name.endswith("_time")}
    return [
        {name: [str(one) for one in value] if name == "params" else np.ma.getdata(value).tolist()}
        for name, value in kept.items()
    ]


def searches() -> Any:
    options: dict[str, Any] = {"cv": KFold(3, shuffle=True, random_state=1), "return_train_score": True}
    grid = {"alpha": [0.01, 1.0], "hidden_layer_sizes": [(4,), (6, 3)]}
    one, messages = quietly(lambda: pm.GridSearchCV(small(), grid, pre_dispatch=5, **options).fit(X, Y))
    found = [results(one), numbers(one.best_estimator_), one.best_score_, messages]
    piped = Pipeline([("scale", StandardScaler()), ("mlp", small())])
    space = {"mlp__alpha": [0.01, 0.1, 1.0], "mlp__solver": ["adam", "lbfgs"]}
    drawn = pm.RandomizedSearchCV(piped, space, n_iter=3, random_state=0, n_jobs=2, **options)
    other, _ = quietly(lambda: drawn.fit(X, Y, mlp__sample_weight=WEIGHTS))
    found += [results(other), other.predict_proba(X).tolist()]
    validated, _ = quietly(lambda: pm.cross_validate(small(), X, Y, cv=3, return_estimator=True))
    found += [validated["test_score"].tolist(), [numbers(one) for one in validated["estimator"]]]
    return [*found, quietly(lambda: pm.cross_val_score(small(), X, Y, cv=4))[0].tolist()]


def failing_searches() -> Any:
    failing = {"alpha": [0.01, -1.0]}
    one, messages = quietly(lambda: pm.GridSearchCV(small(), failing, cv=3).fit(X, Y))
    error, _ = quietly(lambda: pm.GridSearchCV(small(), failing, cv=3, error_score="raise").fit(X, Y))
    return [np.isnan(one.cv_results_["mean_test_score"]).tolist(), messages, type(error).__name__, str(error)]


SAME_AS_ALONE: list[Callable[[], Any]] = [fits, table, memory, errors, once, searches, failing_searches]


def without_a_seed() -> Any:
    """The results of one process, whichever it was: all ranks have them."""
    models, _ = quietly(lambda: pm.fit_many([small(None), small(None)], X, Y))
    one, _ = quietly(lambda: pm.GridSearchCV(small(None), {"alpha": [0.01, 1.0]}, cv=3).fit(X, Y))
    return [[[x.tolist() for x in model.coefs_] for model in (*models, one.best_estimator_)], results(one)]


def not_sent() -> list[str]:
    """Return the errors of models that rank 0 cannot send, and of a search whose best model is one."""
    kinds = (NotSent, Counted, NotReceived, Counted, FailingByName)
    error, _ = quietly(lambda: pm.fit_many([small(kind=kind) for kind in kinds], X, Y))
    search, _ = quietly(lambda: pm.GridSearchCV(small(kind=NotSent), {"alpha": [0.1, 1.0]}, cv=3).fit(X, Y))
    return [str(one) for one in (*error.by_number.values(), search)]


def warnings_not_sent() -> list[str]:
    """Return the warnings of rank 1 that it cannot send."""
    _, messages = quietly(lambda: pm.fit_many([small(max_iter=1), small(kind=Warned)], X, Y))
    return [one for one in messages if not one.startswith("Conv")]


def other_calls(rank: int) -> list[str]:
    """Return the errors of calls that are not the same on all ranks."""
    shuffled = {"cv": KFold(3, shuffle=True, random_state=rank)}
    calls: list[Callable[[], Any]] = [
        lambda: pm.fit_many([small()] * (1 + rank), X, Y),
        lambda: pm.fit_many([small(), small(1, alpha=0.1 * rank)], X, Y),
        lambda: pm.fit_many([small()], X + rank, Y),
        lambda: pm.fit_many([small()], X, Y, rows=[np.arange(10 + rank, 60)]),
        lambda: pm.fit_many([small()], X, Y, sample_weight=WEIGHTS + rank),
        lambda: pm.GridSearchCV(small(), {"alpha": [0.01, 0.1 + rank]}, cv=3).fit(X, Y),
        lambda: pm.cross_validate(small(), X, Y, **shuffled),
        lambda: pm.cross_val_score(small(), X, Y, cv=KFold(3, shuffle=True)),
        lambda: pm.fit_many([small()], X, Y) if rank else pm.cross_validate(small(), X, Y),
    ]
    found = [call for call, _ in map(quietly, calls)]
    return [f"{type(error).__name__}: {error}" for error in found]


class Ending(Counted):
    """Ends its process, or interrupts it, where others have fits to do."""

    def fit(self, *args: Any, **options: Any) -> Any:
        if END == ["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt


FOLDER, *END = sys.argv[1:] if __name__ == "__main__" else [""]

if __name__ == "__main__":
    with pm.parallel("mpi") as group:
        same = {call.__name__: call() for call in SAME_AS_ALONE}
        counted = len(N_FITS)
        others = {"without a seed": without_a_seed(), "not sent": not_sent()}
        others["warnings not sent"] = warnings_not_sent()
        errors_of_calls = other_calls(group.rank)
    with pm.parallel("mpi", samples="own"):
        refused, _ = quietly(lambda: pm.fit_many([small()], X, Y))
    others["other calls"] = [*errors_of_calls, f"ValueError: {refused}"]
    outcome = {"same": same, "n fits": counted, **others}
    (pathlib.Path(FOLDER) / f"rank-{group.rank}.json").write_text(json.dumps(outcome))
    if END:
        with pm.parallel("mpi"):
            pm.fit_many([small(), small(kind=Ending), small()], X, Y)
        (pathlib.Path(FOLDER) / f"after-{group.rank}").touch()

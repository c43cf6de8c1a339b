"""dask's arrays and data frames: the fit of what they hold, and answers block by block, against NumPy and pandas."""

import itertools
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import config_context

import portable_mlp as pm
from tests.estimators.problems import KINDS, OPTIONS, assert_same, ours, problem, quietly, weights

ROWS = (20, 0, 33, 17)
"""Blocks as a filter leaves them: of several sizes, one empty."""

COLUMNS = list("abcde")


def blocks(x: np.ndarray) -> Any:
    return da.from_array(x, chunks=(ROWS, -1)[: x.ndim])


def frame(kind: str = "classes") -> pd.DataFrame:
    return pd.DataFrame(problem(kind).X, columns=COLUMNS).assign(kind=problem(kind).y)


def methods(estimator: Any) -> list[str]:
    named = ("predict", "predict_proba", "predict_log_proba", "transform")
    return [name for name in named if hasattr(estimator, name)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_is_that_of_what_the_blocks_hold(kind: str, solver: str) -> None:
    X, y = problem(kind).X, problem(kind).y
    mine, plain = (ours(kind, **OPTIONS, solver=solver, early_stopping=solver == "adam") for _ in range(2))
    quietly(mine.fit, blocks(X), blocks(y), blocks(weights()))
    assert_same(mine, quietly(plain.fit, X, y, weights()))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_come_block_by_block(kind: str) -> None:
    X, y = problem(kind).X, problem(kind).y
    mine, plain = (quietly(ours(kind, **OPTIONS).fit, *data) for data in ((blocks(X), blocks(y)), (X, y)))
    edges = np.cumsum((0, *ROWS))
    for name in methods(mine):
        answer = getattr(mine, name)(blocks(X))
        parts = [getattr(plain, name)(X[start:stop]) for start, stop in itertools.pairwise(edges) if stop > start]
        expected = np.concatenate(parts)
        assert isinstance(answer, da.Array)
        assert answer.chunks == (ROWS, *((n,) for n in expected.shape[1:]))
        assert answer.dtype == expected.dtype
        assert type(answer._meta) is np.ndarray
        np.testing.assert_array_equal(answer.compute(), expected)
    score = mine.score(blocks(X), blocks(y), blocks(weights()))
    assert type(score) is float
    assert score == plain.score(X, y, weights())


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    clf, computed = quietly(pm.MLPClassifier(**OPTIONS).fit, problem("classes").X, problem("classes").y), []

    def seen(block: np.ndarray) -> np.ndarray:
        computed.append(len(block))
        return block

    X = blocks(problem("classes").X).map_blocks(seen, dtype=float, meta=np.empty((0, 0)))
    answer = clf.predict(X)
    assert computed == []
    answer.blocks[2].compute()
    assert computed == [33]


def test_what_x_and_y_share_is_computed_once() -> None:
    computed = []

    def seen(block: np.ndarray) -> np.ndarray:
        computed.append(len(block))
        return block

    table = blocks(problem("number").X).map_blocks(seen, dtype=float, meta=np.empty((0, 0)))
    regressor = quietly(pm.MLPRegressor(**OPTIONS).fit, table[:, 1:], table[:, 0])
    assert sorted(computed) == sorted(ROWS)
    computed.clear()
    regressor.score(table[:, 1:], table[:, 0])
    assert sorted(computed) == sorted(ROWS)


def test_answers_are_of_the_model_as_it_was() -> None:
    X, y = problem("classes").X, problem("classes").y
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    before, answer = clf.predict_proba(X), clf.predict_proba(da.from_array(X))
    quietly(clf.partial_fit, X, y)
    clf.intercepts_[-1][:] = 0.0
    np.testing.assert_array_equal(answer.compute(), before)


@pytest.mark.thorough  # each time: estimators are pickled
def test_answers_travel_to_other_processes() -> None:
    X, y = problem("classes").X, problem("classes").y
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    answer = clf.predict(da.from_array(X)).compute(scheduler="processes", num_workers=1)
    np.testing.assert_array_equal(answer, clf.predict(X))


def test_x_and_y_need_not_be_chunked_alike_nor_be_of_dask_both() -> None:
    X, y, w = problem("classes").X, problem("classes").y, weights()
    expected = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y, w)
    for data in (
        (blocks(X), da.from_array(y, chunks=11), w),
        (blocks(X), y, blocks(w)),
        (X, blocks(y), w),
        (blocks(X), pd.Series(y), list(w)),
    ):
        assert_same(quietly(pm.MLPClassifier(**OPTIONS).fit, *data), expected)


def test_validation_data_and_partial_fit() -> None:
    X, y, w = problem("classes").X, problem("classes").y, weights()
    mine, plain = pm.MLPClassifier(**OPTIONS), pm.MLPClassifier(**OPTIONS)
    quietly(mine.fit, blocks(X), blocks(y), validation_data=(blocks(X), blocks(y), blocks(w)))
    quietly(plain.fit, X, y, validation_data=(X, y, w))
    assert mine.validation_loss_curve_ == plain.validation_loss_curve_
    for kind in ("classes", "labels", "number"):
        X, y = problem(kind).X, problem(kind).y
        mine, plain = ours(kind, **OPTIONS), ours(kind, **OPTIONS)
        options = {"classes": problem(kind).classes} if kind != "number" else {}
        for _ in range(2):
            mine.partial_fit(blocks(X), blocks(y), blocks(w), **options)
            plain.partial_fit(X, y, w, **options)
        assert_same(mine, plain)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # lost names would be another
def test_a_data_frame_is_fitted_and_answered_with_its_names() -> None:
    table = frame()
    mine, plain = pm.MLPClassifier(**OPTIONS), pm.MLPClassifier(**OPTIONS)
    lazy = dd.from_pandas(table, npartitions=3)
    mine.fit(lazy[COLUMNS], lazy["kind"], validation_data=(lazy[COLUMNS], lazy["kind"]))
    assert_same(mine, plain.fit(table[COLUMNS], table["kind"]))
    assert list(mine.feature_names_in_) == COLUMNS
    for name in methods(mine):
        answer = getattr(mine, name)(lazy[COLUMNS])
        assert isinstance(answer, da.Array)
        parts = [getattr(plain, name)(part) for part in dask.compute(*lazy[COLUMNS].partitions)]
        np.testing.assert_array_equal(answer.compute(), np.concatenate(parts))
    assert mine.score(lazy[COLUMNS], lazy["kind"]) == plain.score(table[COLUMNS], table["kind"])
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
        mine.predict(lazy[COLUMNS[::-1]])


def test_blocks_of_scipys_stay_sparse() -> None:
    X, y = np.where(np.abs(problem("number").X) > 1, problem("number").X, 0.0), problem("number").y
    sparse = da.from_array(X, chunks=(35, -1)).map_blocks(scipy.sparse.csr_matrix)
    mine = quietly(pm.MLPRegressor(**OPTIONS).fit, sparse, y)
    assert_same(mine, quietly(pm.MLPRegressor(**OPTIONS).fit, scipy.sparse.csr_matrix(X), y))
    np.testing.assert_array_equal(
        mine.predict(sparse).compute(), np.concatenate([mine.predict(sparse.blocks[i].compute()) for i in range(2)])
    )


def test_blocks_are_moved_to_the_backend_that_is_named() -> None:
    X, y = problem("classes").X, problem("classes").y
    mine, plain = pm.MLPClassifier(**OPTIONS, backend="torch"), pm.MLPClassifier(**OPTIONS, backend="torch")
    quietly(mine.fit, blocks(X), blocks(y))
    quietly(plain.fit, X, y)
    np.testing.assert_array_equal(mine.coefs_[0].numpy(), plain.coefs_[0].numpy())
    assert type(mine.predict_proba(blocks(X)).compute()) is np.ndarray


@pytest.mark.parametrize("how", ["estimator", "config"])
def test_transform_gives_pandas_where_that_is_asked_for(how: str) -> None:
    X, y = problem("number").X, problem("number").y
    regressor = quietly(pm.MLPRegressor(**OPTIONS).fit, X, y)
    expected = regressor.transform(X)
    if how == "estimator":
        regressor.set_output(transform="pandas")
    with config_context(transform_output="pandas" if how == "config" else "default"):
        found = regressor.transform(da.from_array(X, chunks=(35, -1)))
    assert list(found.columns) == [f"mlpregressor{i}" for i in range(6)]
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-12)


def test_columns_that_are_split_are_refused() -> None:
    X, y = problem("classes").X, problem("classes").y
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    split = da.from_array(X, chunks=(35, 3))
    message = r"each block of X must hold whole rows, .* shape \(70, 5\) .* X\.rechunk\(\{1: -1\}\) joins the columns"
    for call in (lambda: clf.fit(split, y), lambda: clf.partial_fit(split, y), lambda: clf.predict(split)):
        with pytest.raises(ValueError, match=message):
            call()
    assert_same(quietly(clf.fit, split.rechunk({1: -1}), y), quietly(pm.MLPClassifier(**OPTIONS).fit, X, y))
    with pytest.raises(ValueError, match="each block of y must hold whole rows"):
        pm.MLPRegressor(**OPTIONS).fit(blocks(X), da.from_array(X, chunks=(35, 3)))


def test_unknown_sizes_are_refused_by_a_fit_and_answered() -> None:
    table = dd.from_pandas(frame("two classes"), npartitions=3)
    X, y = table[COLUMNS].to_dask_array(), table["kind"].to_dask_array()
    with pytest.raises(ValueError, match=r"X is a dask array whose blocks are of unknown size: call X\.compute_chunk"):
        pm.MLPClassifier(**OPTIONS).fit(X, problem("two classes").y)
    with pytest.raises(ValueError, match=r"call y\.compute_chunk_sizes\(\) first"):
        pm.MLPClassifier(**OPTIONS).fit(blocks(problem("classes").X), y)
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, table[COLUMNS].to_dask_array(lengths=True), table["kind"])
    assert clf.predict(X).compute().shape == (70,)
    assert clf.score(X, y) == clf.score(problem("two classes").X, problem("two classes").y)
    with pytest.raises(ValueError, match=r"call X\.compute_chunk_sizes\(\) first"):
        clf.predict(blocks(problem("classes").X)[:, da.from_array(np.arange(5) > 2)])


@pytest.mark.parametrize("X", [blocks(problem("number").X[:, :3]), blocks(problem("number").y)])
def test_what_cannot_be_answered_is_refused_at_once(X: Any) -> None:
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, problem("classes").X, problem("classes").y)
    with pytest.raises(ValueError, match=r"X has 3 features, but MLPClassifier is expecting 5|Expected 2D array"):
        clf.predict(X)
    with pytest.raises(ValueError, match=r"Expected 2D array|inconsistent numbers of samples"):
        clf.fit(X, problem("classes").y[:-1])


@pytest.mark.parametrize("threads", [1, 4])
def test_many_blocks_at_once(threads: int) -> None:
    X, y = np.tile(problem("numbers").X, (20, 1)), problem("numbers").y
    regressor = quietly(pm.MLPRegressor(**OPTIONS).fit, problem("numbers").X, y)
    expected = np.tile(regressor.predict(problem("numbers").X), (20, 1))
    with dask.config.set(num_workers=threads):
        np.testing.assert_array_equal(regressor.predict(da.from_array(X, chunks=(70, -1))).compute(), expected)


def test_kernels_refuse_them_and_name_the_estimators() -> None:
    net = pm.Network((5, 4, 3))
    params, X, y = pm.init_params(net), problem("classes").X, np.zeros(70, dtype=int)
    lazy = tuple(pm.Layer(da.from_array(W), da.from_array(b)) for W, b in params)
    for call in (
        lambda: pm.forward(net, params, blocks(X)),
        lambda: pm.predict(net, params, blocks(X)),
        lambda: pm.loss_and_grad(net, params, X, blocks(y)),
        lambda: pm.train(net, params, blocks(X), blocks(y), epochs=1),
        lambda: pm.train(net, params, X, y, validation=(blocks(X), blocks(y)), epochs=1),
        lambda: pm.check_gradient(net, params, blocks(X), blocks(y)),
        lambda: pm.forward(net, lazy, blocks(X)),
        lambda: pm.pack(lazy),
    ):
        with pytest.raises(TypeError, match=r"is a dask array, .* MLPClassifier and MLPRegressor take dask arrays"):
            call()

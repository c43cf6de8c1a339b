"""What files of results say of the methods."""

import pandas as pd

OF_CLASSES = ["balanced_accuracy", "log_loss"]
"""Scores that there are none of where all tables are of quantities."""


def summary(rows: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return a line for each method, the best first.

    A table's score is the mean over its seeds, R² not below -1; "mean" is over the tables, and "spread" the mean over
    the tables of the deviation between their seeds. Only splits that all methods were run on count.
    """
    rows = rows.reindex(columns=rows.columns.union(OF_CLASSES)).assign(score=rows["score"].clip(lower=-1.0))
    splits = ["table", "seed", "most_rows"]
    n_methods = rows["method"].nunique()
    rows = rows[rows.groupby(splits)["method"].transform("nunique") == n_methods]
    by_table = rows.groupby(["method", "table"])["score"].mean().unstack()
    difference = by_table - by_table.loc[against]
    task = rows.groupby("table")["task"].first()
    columns = {
        "mean": by_table.mean(axis=1),
        "accuracy": by_table[task.index[task == "classification"]].mean(axis=1),
        "r2": by_table[task.index[task == "regression"]].mean(axis=1),
        "balanced accuracy": rows.groupby(["method", "table"])["balanced_accuracy"].mean().unstack().mean(axis=1),
        "log loss": rows.groupby(["method", "table"])["log_loss"].mean().unstack().mean(axis=1),
        "spread": rows.groupby(["method", "table"])["score"].std().unstack().mean(axis=1),
        "worst against": difference.min(axis=1),
        "on": difference.idxmin(axis=1),
        "CPU seconds": rows.groupby("method")["cpu_seconds"].mean(),
    }
    return pd.DataFrame(columns).sort_values("mean", ascending=False)

"""Our defaults for tables beside other methods', on tables that ship in packages: how the defaults were chosen.

``python benchmarks/tables.py collect FOLDER`` downloads the tables; ``run FOLDER --half choose --out FILE.jsonl``
scores methods on those of one half, and skips what the file has; ``summary FILE.jsonl`` prints what came out. Half of
the tables is there to choose by, the other half to report on. A run is one process: start it on one thread
(``OMP_NUM_THREADS=1``). "CPU seconds" are the process's, of preparing columns, fitting and predicting.
"""

import argparse
import pathlib

import pandas as pd
from table_suite.collect import collect
from table_suite.methods import METHODS
from table_suite.run import recorded, run
from table_suite.summary import summary


def main() -> None:
    chosen = parsed()
    if chosen.command == "collect":
        collect(chosen.tables)
    elif chosen.command == "run":
        options = {"half": chosen.half, "methods": chosen.methods, "seeds": chosen.seeds, "most_rows": chosen.rows}
        run(chosen.tables, chosen.out, smallest=chosen.smallest, **options)
    else:
        rows = pd.DataFrame([row for path in chosen.results for row in recorded(path)])
        print(f"{rows['table'].nunique()} tables, {len(rows[['table', 'seed', 'most_rows']].drop_duplicates())} splits")
        print(summary(rows, chosen.against).to_string(float_format="{:.4f}".format))
        if chosen.by_table:
            by_table = rows.groupby(["table", "method"])["score"].mean().unstack()
            print(by_table.to_string(float_format="{:.3f}".format))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting, running = commands.add_parser("collect"), commands.add_parser("run")
    for command in (collecting, running):
        command.add_argument("tables", type=pathlib.Path, help="the folder of the tables")
    running.add_argument("--half", choices=["choose", "report"], required=True)
    running.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--rows", type=int, default=2000, help="drawn of a larger table, before the split")
    running.add_argument("--smallest", type=int, metavar="N", help="run on the N tables of the fewest rows alone")
    running.add_argument("--out", type=pathlib.Path, required=True)
    summing = commands.add_parser("summary")
    summing.add_argument("results", type=pathlib.Path, nargs="+")
    summing.add_argument("--against", choices=list(METHODS), default="sklearn_mlp")
    summing.add_argument("--by-table", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()

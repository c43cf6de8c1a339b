"""The GPU benchmark: ``python benchmarks/gpu.py --out FOLDER [--quick]`` writes ``gpu.json`` and ``gpu.md`` there.

Our training step beside PyTorch's and JAX's, in float32, TF32 and bfloat16, each verified; `gpu_suite.suite`
says how. What fails, or is not installed in the environment of this Python, has a line that says why. The most telling
tables come first, and each line is written as soon as it is known; ``--seconds`` ends a run in time, and ``--case``,
``--precision`` and ``--candidate`` choose parts. ``--first FOLDER`` is for the first minutes on a GPU: it
tries everything that has never run on one, `gpu_suite.first_run` says in which order. Nobody has run it on a GPU yet;
the tests run it on the CPU, with tiny networks.
"""

import argparse
import functools
import pathlib
import sys
import time
from collections.abc import Sequence

from gpu_suite import first_run
from gpu_suite.on_device import CANDIDATES
from gpu_suite.precisions import ERRORS
from gpu_suite.process import Process
from gpu_suite.report import as_json, as_markdown
from gpu_suite.roofline import H200, Rates
from gpu_suite.suite import GPU_CASES, Result, Setting, run, tables

from portable_mlp.bench.machine import machine

N_QUICK_CASES = 2
SECONDS_A_TURN, QUICK_SECONDS_A_TURN = 0.5, 0.2
SECONDS_OF_WARM_UP = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parsed(arguments)
    if chosen.first is not None:
        return first_run.run(chosen.first, chosen.device, chosen.seconds)
    cases = [case for case in GPU_CASES if case.name in chosen.case]
    rates = Rates(*(1e12 * rate for rate in chosen.rates))
    setting = Setting(
        chosen.device,
        rates,
        seconds_of_warm_up=SECONDS_OF_WARM_UP,
        seconds_a_turn=QUICK_SECONDS_A_TURN if chosen.quick else SECONDS_A_TURN,
        ends_at=time.monotonic() + chosen.seconds,
        tell=functools.partial(print, file=sys.stderr, flush=True),
    )
    chosen.out.mkdir(parents=True, exist_ok=True)
    with Process() as process:  # a library that is asked for its version may take memory on the GPU
        facts = process.call(machine)
    results: list[Result] = []
    candidates = {name: entry for name, entry in CANDIDATES.items() if name in (chosen.candidate or CANDIDATES)}
    for results in run(tables(cases, chosen.precision), candidates, setting):
        # Each time, so that what there is does not get lost with what comes.
        (chosen.out / "gpu.json").write_text(as_json(results, cases, facts, rates), encoding="utf-8")
        (chosen.out / "gpu.md").write_text(as_markdown(results, cases, facts, rates), encoding="utf-8")
    sys.stdout.write((chosen.out / "gpu.md").read_text(encoding="utf-8"))
    return 0 if any(result.problem is None for result in results) else 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    names, precisions, candidates = [case.name for case in GPU_CASES], list(ERRORS), list(CANDIDATES)
    parser = argparse.ArgumentParser(description="Time training steps on a GPU.")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=pathlib.Path, metavar="FOLDER", help="for gpu.json and gpu.md")
    task.add_argument(
        "--first", type=pathlib.Path, metavar="FOLDER", help="the first minutes on a GPU; results go there"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time limit; by default none")
    parser.add_argument("--quick", action="store_true", help="the two smaller cases, shorter turns")
    parser.add_argument("--case", nargs="+", choices=names, metavar="NAME", help=f"of {names}")
    parser.add_argument(
        "--precision", nargs="+", choices=precisions, default=precisions, metavar="NAME", help=f"of {precisions}"
    )
    parser.add_argument("--candidate", nargs="+", choices=candidates, metavar="NAME", help=f"of {candidates}")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a trial")
    parser.add_argument(
        "--rates",
        nargs=4,
        type=float,
        default=[rate / 1e12 for rate in H200],
        metavar=("FLOAT32", "TF32", "BFLOAT16", "MEMORY"),
        help="of the GPU, in TFLOP/s and TB/s; by default those of an H200",
    )
    chosen = parser.parse_args(arguments)
    chosen.case = chosen.case or (names[:N_QUICK_CASES] if chosen.quick else names)
    return chosen


if __name__ == "__main__":
    sys.exit(main())

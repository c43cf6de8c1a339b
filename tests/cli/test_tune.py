"""``portable-mlp tune``: what it finds is what ``train`` trains with the same options, and how it was found is said."""

import errno
import json
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest

import portable_mlp as pm
from portable_mlp.cli import tune, tune_processes
from portable_mlp.cli.trainer import Trained, Trainer
from portable_mlp.cli.tune_progress import TrialLines
from portable_mlp.storage.checkpoints import CheckpointFolder
from portable_mlp.tables.hold_out import stratified_splits
from portable_mlp.tables.model import TableModel
from portable_mlp.tables.search import TableSearch, TrialScores
from tests.cli.commands import Capture, printed
from tests.distributed.test_mpi import mpiexec
from tests.processes import environment
from tests.selection import rarely

RNG = np.random.default_rng(0)
N = 90
FLATS = pd.DataFrame({"size": RNG.normal(80, 20, N).round(1), "district": RNG.choice(["north", "south", None], N)})
FLATS["rent"] = (5.0 * FLATS["size"] + 100 * (FLATS["district"] == "north") + 10 * RNG.normal(size=N)).round(1)
FLATS["dear"] = np.where(FLATS["rent"] > 450, "dear", "cheap")
QUICK = ("--epochs", 3, "--trials", 4, "--folds", 3, "--dtype", "float64", "--backend", "numpy")
OF_CLASSES = ("tune", "flats.csv", "--target", "dear", "--drop", "rent", *QUICK)
OF_QUANTITIES = ("tune", "flats.csv", "--target", "rent", "--drop", "dear", *QUICK)


@pytest.fixture(autouse=True)
def in_a_folder_with_flats(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FLATS.to_csv("flats.csv", index=False)


def tuned(*arguments: object, capfd: Capture) -> dict[str, Any]:
    out, _ = printed(*arguments, "--json", capfd=capfd)
    summary: dict[str, Any] = json.loads(out)
    return summary


def parameters(path: str) -> np.ndarray:
    return np.concatenate([x.ravel() for layer in pm.load_model(path)[1] for x in layer])


def test_the_model_is_trained_on_all_rows_with_the_parameters_of_the_best_trial(capfd: Capture) -> None:
    found = tuned(*OF_CLASSES, "--save", "m.safetensors", "--seed", 4, capfd=capfd)
    search, trials = found["search"], found["trials"]
    assert [one["number"] for one in trials] == [1, 2, 3, 4]
    assert search["parameters"] == trials[search["trial"] - 1]["parameters"]
    assert trials[0]["parameters"]["hidden"] == [256]
    scores = [np.mean([fold["accuracy"] for fold in one["folds"]]) for one in trials]
    assert search["score"] == max(scores) == scores[search["trial"] - 1]
    assert search["default"] == scores[0] < search["score"]
    model = pm.TableClassifier.load("m.safetensors")
    resolved = search["parameters"]
    again = pm.TableClassifier(
        hidden_layer_sizes=resolved["hidden"], activation=resolved["activation"], n_pieces=resolved["n_pieces"],
        learning_rate_init=resolved["learning_rate"], learning_rate=resolved["schedule"], dropout=resolved["dropout"],
        alpha=32 * resolved["l2"], max_iter=3, dtype="float64", random_state=4,
    ).fit(FLATS[["size", "district"]], FLATS["dear"])  # fmt: skip
    X = FLATS[["size", "district"]]
    np.testing.assert_allclose(model.predict_proba(X), again.predict_proba(X), rtol=1e-10)


def test_a_test_part_is_out_of_the_search_and_the_model(capfd: Capture) -> None:
    found = tuned(*OF_QUANTITIES, "--test", 0.2, "--save", "m.safetensors", "--trials", 2, capfd=capfd)
    ((kept, scored),) = stratified_splits(FLATS["rent"].to_numpy(), 0.2, 1, classification=False, seed=0)
    FLATS.iloc[kept].to_csv("flats.csv", index=False)
    without = tuned(*OF_QUANTITIES, "--save", "without.safetensors", "--trials", 2, capfd=capfd)
    assert found["trials"] == without["trials"]
    np.testing.assert_array_equal(parameters("m.safetensors"), parameters("without.safetensors"))
    FLATS.iloc[scored].to_csv("scored.csv", index=False)
    expected = json.loads(printed("evaluate", "without.safetensors", "scored.csv", "--json", capfd=capfd)[0])
    assert found["assessment"]["scores"] == pytest.approx(expected["scores"], rel=1e-12)


@pytest.mark.parametrize(
    ("of", "name", "words"), [(OF_CLASSES, "log_loss", "log loss"), *rarely((OF_QUANTITIES, "mae", "MAE"))]
)
def test_another_score_chooses(of: Sequence[object], name: str, words: str, capfd: Capture) -> None:
    """All scores of a trial are kept: a search that resumes may choose by another one."""
    usual = tuned(*of, "--checkpoint", "states", capfd=capfd)
    options = ("--checkpoint", "states", "--resume", "--score", name, "--plot", "search.png")
    found = tuned(*of, *options, capfd=capfd)
    assert found["trials"] == usual["trials"]
    scores = [np.mean([fold[name] for fold in one["folds"]]) for one in found["trials"]]
    assert found["search"]["measure"] == name
    assert found["search"]["score"] == min(scores) == scores[found["search"]["trial"] - 1] < found["search"]["baseline"]
    out, err = printed(*of, *options, "--save", "m.safetensors", capfd=capfd)
    assert f", by {words} on 3 folds; all of them are finished" in out
    assert "no trial is better" not in err
    assert re.search(rf"found by   4 trials: {words} \d", printed("inspect", "m.safetensors", capfd=capfd)[0])


def test_what_is_printed_for_people(capfd: Capture) -> None:
    out, err = printed(*OF_CLASSES, "--save", "m.safetensors", capfd=capfd)
    assert out.splitlines()[0].split() == ["trial", *out.splitlines()[0].split()[1:-1], "baseline"]
    assert "  district  category  " in out
    assert "1, the default" in out
    assert "baseline" in out
    assert "4 trials, by accuracy on 3 folds; all of them are finished" in out
    assert "the best of many scores is optimistic: --test 0.2" in out
    assert "m.safetensors" in out
    lines = err.splitlines()
    assert lines[0].startswith("1/4  trial 1, the default: 0.")
    assert lines[0].endswith(", the best so far")
    assert len([line for line in lines if "  trial " in line]) == 4
    shown, _ = printed("inspect", "m.safetensors", capfd=capfd)
    assert "found by   4 trials: accuracy 0." in shown
    assert " on 3 folds in trial " in shown
    assert "with       activation " in shown
    out, _ = printed(*OF_CLASSES, "--test", 0.2, capfd=capfd)
    assert "optimistic" not in out
    assert "no trial is better" not in err
    assert "scored on 18 rows, held out from training" in out


def test_a_search_that_finds_nothing_says_so(capfd: Capture) -> None:
    FLATS.assign(rent=RNG.normal(size=N)).to_csv("noise.csv", index=False)
    _, err = printed("tune", "noise.csv", *OF_QUANTITIES[2:], "--epochs", 40, "--trials", 2, capfd=capfd)
    assert re.search(r"\nportable-mlp: no trial is better than the baseline: R² -0\.\d+ against -0\.0\d+\n", err)


def test_on_a_terminal_a_table_of_the_best_trials_is_drawn(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    _, err = printed(*OF_CLASSES, "--trials", 2, capfd=capfd)
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert "0 of 2 trials, 0:0" in drawn
    assert "2 of 2 trials, 0:0" in drawn
    assert "Ctrl-C takes the best so far" in drawn
    assert "1, the default" in drawn
    assert "learning rate" in drawn


def test_a_model_file_whose_search_is_the_users_own(capfd: Capture) -> None:
    net = pm.Network((2, 2))
    pm.save_model("m.safetensors", net, pm.init_params(net), metadata={"search": "under the sofa"})
    assert "found by" not in printed("inspect", "m.safetensors", capfd=capfd)[0]


def test_the_picture(capfd: Capture) -> None:
    _, err = printed(*OF_CLASSES, "--plot", "search.png", capfd=capfd)
    assert "picture written to search.png" in err
    assert pathlib.Path("search.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time", 0), "--time takes seconds, more than 0; got 0"),
        (("--score", "r2"), "--score must be one of 'accuracy', 'balanced_accuracy', 'roc_auc', 'log_loss'"),
        (("--resume",), "--resume needs a folder: --checkpoint DIR"),
        (("--folds", 91), "--folds 91 needs as many rows; the table has 90"),
        (("--test", 1), "--test is a fraction of the rows, between 0 and 1; got 1.0"),
        (("--save", "flats.csv"), "this file is read by the same command"),
        (("--plot", "m.pdf"), "what is written there is a .png file"),
        (("--loss", "huber"), "--loss must be one of"),
        (("--patience", 3, "--validation", 0), "--patience needs rows to validate on"),
        (
            ("--solver", "sgd", "--learning-rate", 1e30, "--hidden", "128,64", "--trials", 1),
            "training diverged in every trial",
        ),
    ],
)
def test_mistakes(options: tuple[object, ...], message: str, capfd: Capture) -> None:
    _, err = printed(*OF_CLASSES, *options, capfd=capfd, code=2)
    assert message in err.splitlines()[-1]


def test_folds_of_one_row_have_no_r2(capfd: Capture) -> None:
    _, err = printed(*OF_QUANTITIES, "--folds", 50, capfd=capfd, code=2)
    assert err == "portable-mlp: --folds 50 of 90 rows leaves folds of one row, and R² needs two or more\n"


def test_a_search_resumes_with_what_it_has(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tuned(*OF_CLASSES, "--save", "whole.safetensors", capfd=capfd)
    _, err = printed(*OF_CLASSES, "--trials", 2, "--checkpoint", "states", "--resume", capfd=capfd)
    assert err.startswith("portable-mlp: states has no state: the search starts from the beginning\n1/2")
    _, err = printed(*OF_CLASSES, "--checkpoint", "states", capfd=capfd, code=2)
    assert "states holds checkpoints already: resume, or give another folder" in err
    evaluated, evaluate = [], TableSearch.evaluate

    def counted(search: TableSearch, number: int) -> TrialScores:
        evaluated.append(number)
        return evaluate(search, number)

    monkeypatch.setattr(TableSearch, "evaluate", counted)
    resumed = (*OF_CLASSES, "--checkpoint", "states", "--resume", "--save", "parts.safetensors")
    out, err = printed(*resumed, "--json", capfd=capfd)
    assert err.startswith("resumes after 2 of 4 trials\n")
    assert evaluated == [3, 4]
    assert json.loads(out)["trials"] == whole["trials"]
    assert pathlib.Path("parts.safetensors").read_bytes() == pathlib.Path("whole.safetensors").read_bytes()
    _, err = printed(*OF_CLASSES, "--checkpoint", "states", "--resume", "--seed", 1, capfd=capfd, code=2)
    assert "states holds the checkpoints of another search: seed was 0, now 1" in err


@pytest.mark.parametrize(
    ("number", "procs"), [(signal.SIGINT, ()), *rarely((signal.SIGKILL, ()), (signal.SIGINT, ("--procs", "2")))]
)
def test_a_signal_costs_no_finished_trial(number: int, procs: tuple[str, ...], capfd: Capture) -> None:
    """Ctrl-C takes the best so far, and a search that was killed resumes: both find what an undisturbed one finds."""
    whole = tuned(*OF_CLASSES, "--trials", 8, "--save", "whole.safetensors", capfd=capfd)
    options = [*map(str, OF_CLASSES), "--checkpoint", "states", "--save", "parts.safetensors"]
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start += "import sys; from portable_mlp.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", start, *options, "--trials", "500", *procs]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True)
    while not [path for path in pathlib.Path("states").glob("step-*") if path.name > "step-000000000001.safetensors"]:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 0, err
        assert "Traceback" not in err
        assert "states has the finished trials; the same command with --resume goes on" in err
        assert 2 <= pm.load_model("parts.safetensors")[2]["search"]["trials"] < 500
    else:
        assert process.returncode == -number
        assert not pathlib.Path("parts.safetensors").exists()
    found = tuned(*options, "--trials", 8, "--resume", capfd=capfd)
    assert found["trials"] == whole["trials"]
    assert pathlib.Path("parts.safetensors").read_bytes() == pathlib.Path("whole.safetensors").read_bytes()


def test_ctrl_c_before_a_trial_is_finished(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(search: TableSearch, number: int) -> TrialScores:
        raise KeyboardInterrupt

    monkeypatch.setattr(TableSearch, "evaluate", interrupted)
    _, err = printed(*OF_CLASSES, "--save", "m.safetensors", capfd=capfd, code=130)
    assert err == "portable-mlp: interrupted\n"
    assert not pathlib.Path("m.safetensors").exists()


def test_ctrl_c_in_the_last_training_keeps_what_was_found(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Trainer._fit

    def interrupted(trainer: Trainer, *arguments: Any) -> Trained:
        trained = fit(trainer, *arguments)
        return trained._replace(fitted=trained.fitted._replace(was_interrupted=True))

    monkeypatch.setattr(Trainer, "_fit", interrupted)
    out, err = printed(*OF_CLASSES, "--trials", 1, "--save", "m.safetensors", capfd=capfd, code=130)
    assert "1 trial, by accuracy on 3 folds" in out
    assert err.endswith("portable-mlp: interrupted\n")
    assert not pathlib.Path("m.safetensors").exists()


def test_a_disk_that_is_full_costs_no_trial(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(model: TableModel, path: pathlib.Path, **entries: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(TableModel, "save", full)
    options = (*OF_CLASSES, "--trials", 1, "--save", "m.safetensors")
    out, err = printed(*options, "--checkpoint", "states", capfd=capfd, code=2)
    assert "1 trial, by accuracy on 3 folds" in out
    assert err.endswith(
        "portable-mlp: m.safetensors: No space left on device; states has what was computed: the same command with "
        "--resume computes none of it again\n"
    )
    out, err = printed(*options, capfd=capfd, code=2)
    assert "1 trial, by accuracy on 3 folds" in out
    assert err.endswith("portable-mlp: m.safetensors: No space left on device\n")
    training = ("train", "flats.csv", "--target", "dear", "--epochs", 1, "--save", "m.safetensors")
    _, err = printed(*training, "--checkpoint", "of-training", capfd=capfd, code=2)
    assert "; of-training has what was computed: the same command with --resume" in err


def test_what_cannot_be_printed_costs_no_model(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "standard output")

    monkeypatch.setattr(tune, "show_trials", full)
    _, err = printed(*OF_CLASSES, "--trials", 1, "--save", "m.safetensors", capfd=capfd, code=2)
    assert err.endswith("portable-mlp: standard output: No space left on device; m.safetensors has the model\n")
    assert pm.load_model("m.safetensors")[2]["search"]["trials"] == 1


def test_processes_find_what_one_finds(capfd: Capture) -> None:
    alone = tuned(*OF_CLASSES, capfd=capfd)
    assert tuned(*OF_CLASSES, "--procs", 2, capfd=capfd)["trials"] == alone["trials"]


def processes_of_the_search() -> list[BaseProcess]:
    """Return the processes that a search has started; other tests leave joblib's."""
    return [process for process in multiprocessing.active_children() if isinstance(process, SpawnProcess)]


def test_a_process_that_dies_is_replaced_three_times(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def killing(lines: TrialLines, trials: Sequence[TrialScores]) -> None:
        for process in processes_of_the_search():
            process.kill()

    monkeypatch.setattr(TrialLines, "__call__", killing)
    monkeypatch.setattr(TableSearch, "evaluate", None)  # not here
    options = (*OF_CLASSES, "--procs", 1, "--checkpoint", "states")
    _, err = printed(*options, "--trials", 5, capfd=capfd, code=75)
    died = "portable-mlp: a process of the search died"
    assert err.splitlines() == [
        *(f"{died}; another evaluates its trial: {i} of 3" for i in (1, 2, 3)),
        f"{died}; --checkpoint DIR and --resume keep its trials",
    ]
    with CheckpointFolder("states") as folder:
        found = folder.newest()
    assert found is not None
    assert found.facts["trials"] == [1, 2, 3, 4]


class CalledInProcess:
    """Calls a function where it is unpickled, in a process that starts; calls another one where it is pickled."""

    def __init__(self, function: Callable[..., object], *arguments: object, here: Callable[[], object] = bool) -> None:
        self.call, self.here = (function, arguments), here

    def __reduce__(self) -> Any:
        self.here()
        return self.call


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def evaluate_in_one(monkeypatch: pytest.MonkeyPatch, starting: CalledInProcess) -> None:
    """Evaluate a trial in a process that makes a call while it starts."""
    monkeypatch.setattr(tune_processes, "_evaluate_for", starting)
    search: Any = bytes(1 << 20)  # larger than what a pipe holds
    tune_processes.evaluate_in_processes(search, iter([1]), lambda trial: None, 1)


def test_ctrl_c_is_not_for_a_process_that_starts(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChildProcessError):  # without a function to call it ends
        evaluate_in_one(monkeypatch, CalledInProcess(signal.raise_signal, signal.SIGINT))
    assert capfd.readouterr().err == ""


def test_ctrl_c_while_a_process_starts_ends_it(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate_in_one(monkeypatch, CalledInProcess(time.sleep, 60, here=interrupt))
    assert processes_of_the_search() == []
    assert capfd.readouterr().err == ""


def test_a_process_that_dies_while_it_starts_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChildProcessError, match="a process of the search died; --checkpoint DIR and --resume keep"):
        evaluate_in_one(monkeypatch, CalledInProcess(os._exit, 1))


@pytest.mark.parametrize("procs", ["0", "two"])
def test_a_number_of_processes_that_is_none(procs: str, capfd: Capture) -> None:
    _, err = printed(*OF_CLASSES, "--procs", procs, capfd=capfd, code=2)
    assert f"--procs takes a number of processes, at least 1, or auto; got '{procs}'" in err


def test_processes_of_its_own_are_refused_under_mpiexec(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    _, err = printed(*OF_CLASSES, "--procs", 2, capfd=capfd, code=2)
    assert "--procs starts the processes itself: leave out mpiexec, or --procs" in err


KILLED = """
import os, signal, sys
from portable_mlp.__main__ import main
from portable_mlp.tables.search import TableSearch
evaluate = TableSearch.evaluate
def killed(search, number):
    if number == 10 and os.environ["PMI_RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(search, number)
TableSearch.evaluate = killed
sys.exit(main())
"""


def test_ranks_find_what_one_process_finds_also_after_one_was_killed(capfd: Capture) -> None:
    options = [*OF_CLASSES, "--trials", 10, "--test", 0.2]
    whole = tuned(*options, "--save", "whole.safetensors", capfd=capfd)
    options += ["--checkpoint", "states", "--save", "ranks.safetensors", "--json"]
    done = mpiexec(2, "-c", KILLED, *options)
    assert done.returncode != 0
    assert not pathlib.Path("ranks.safetensors").exists()
    done = mpiexec(2, "-m", "portable_mlp", *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("resumes after 8 of 10 trials\n9/10  trial 9: ")
    assert json.loads(done.stdout)["trials"] == whole["trials"]
    assert pathlib.Path("ranks.safetensors").read_bytes() == pathlib.Path("whole.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "states holds checkpoints already: resume, or give another folder"),
        *rarely(("FLATS.csv", "all ranks must give the search the same options, but table is ")),
    ],
)
def test_a_mistake_under_mpiexec_is_said_once(change: str, message: str, capfd: Capture) -> None:
    options: list[object] = [*OF_CLASSES, "--trials", 1, "--checkpoint", "states"]
    printed(*options, capfd=capfd)
    program = "import os, sys; from portable_mlp.__main__ import main; "
    if change:
        FLATS[::-1].to_csv(change, index=False)
        program += "sys.argv[2] = sys.argv[2].upper() if os.environ['PMI_RANK'] == '1' else sys.argv[2]; "
        program = program.replace(".upper()", ".replace('flats', 'FLATS')")
    done = mpiexec(2, "-c", f"{program} sys.exit(main())", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("portable-mlp: ") == 1
    assert message in done.stderr

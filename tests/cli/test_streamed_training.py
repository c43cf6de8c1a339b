"""`train` on tables that stay in their file: the model of a table in memory, in memory that does not grow with it."""

import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, r2_score

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.tables import prepared_rows, text_census
from portable_mlp.tables.hold_out import GroupSplit, stratified_splits
from portable_mlp.tables.limits import RowLimit
from portable_mlp.tables.parquet_files import ParquetMatrix
from portable_mlp.tables.stored_preparation import preparation_of
from portable_mlp.training import stream
from tests.processes import environment
from tests.selection import one_in, rarely

RNG = np.random.default_rng(0)
N_ROWS = 1000
X = (RNG.normal(size=(N_ROWS, 4)) * [1e-3, 1.0, 1e5, 0.0] + [0.0, 0.0, 1e6, 5.0]).astype(np.float32)
Z = (X[:, 0] * 1e3 + X[:, 1]).astype(np.float64)
TARGETS: dict[str, np.ndarray] = {
    "quantity": 40 + 3 * Z,
    "kind": np.where(np.arange(N_ROWS) == 17, "unique", np.where(Z > 0, "above", "below")),
    "number": (Z > 0).astype(np.int64) + 7,
}


FILES = [("quantity", ".npy"), ("number", ".npy"), *((kind, ".parquet") for kind in TARGETS)]
"""In an array the whole numbers are floats, as the features are."""

SOME_FILES = one_in(3, FILES)


@pytest.fixture(autouse=True)
def everything_is_large(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tables stay in their files, and an epoch has several pieces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 0)
    monkeypatch.setattr(stream, "BATCHES_A_PIECE", 3)
    yield
    assert not [thread.name for thread in threading.enumerate() if "reader" in thread.name]


def saved(kind: str, suffix: str, group_rows: int = 130) -> str:
    name, y = f"{kind}{suffix}", TARGETS[kind]
    if suffix == ".npy":
        np.save(name, np.column_stack((X, y)))
    else:
        pq.write_table(pa.table({f"x{j}": X[:, j] for j in range(4)} | {kind: y}), name, row_group_size=group_rows)
    return name


OPTIONS = ["--strict", "--hidden", "8", "--batch-size", "32", "--backend", "numpy"]
OPTIONS += ["--validation", "0.1", "--schedule", "constant"]


def trained(data: str, *options: Any, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capfd.readouterr()
    code = run(["train", data, *OPTIONS, "--json", *map(str, options)])
    out, err = capfd.readouterr()
    assert code == 0, err
    summary: dict[str, Any] = json.loads(out)
    return summary


def mistake(data: str, *options: Any, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert run(["train", data, *OPTIONS, *map(str, options)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    # What a progress bar has left comes before.
    return err[err.index("portable-mlp: ") :]


@pytest.mark.parametrize(
    ("data", "backend"), [*one_in(2, FILES, ["numpy", "torch"]), *rarely(*((data, "jax") for data in FILES[::3]))]
)
def test_a_table_of_one_group_gives_the_very_model_that_it_gives_in_memory(
    data: tuple[str, str], backend: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Split, scaling, order, steps, patience; one rare class among them, which must not be held out."""
    name = saved(*data, group_rows=N_ROWS)
    options = ["--backend", backend, "--epochs", 6, "--patience", 2, "--validation", 0.3]
    options += ["--l2", 0.001, "--save"]  # by default that of so few quantities in memory follows their noise
    found = trained(name, *options, "streamed", capfd=capfd)
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 2**28)
    expected = trained(name, *options, "whole", capfd=capfd)
    if backend == "jax":  # takes other numbers of steps in a call, which XLA may round otherwise
        streamed, whole = (pm.pack(pm.load_model(path)[1]) for path in ("streamed", "whole"))
        np.testing.assert_allclose(streamed, whole, atol=1e-5)
    else:
        (net, streamed, metadata), (same_net, whole, kept) = map(pm.load_model, ("streamed", "whole"))
        assert pm.pack(streamed).tobytes() == pm.pack(whole).tobytes()
        del kept["baseline"]  # which takes all targets at once
        assert (net, metadata) == (same_net, kept)
    for summary in (found, expected):
        del summary["seconds"], summary["saved"], summary["history"]["samples_per_second"]
    assert found["rows"] == N_ROWS
    for name in ("task", "target", "network", "epochs", "stopped_because"):
        assert found[name] == expected[name]
    for name, numbers in expected["history"].items():
        np.testing.assert_allclose(found["history"][name], numbers, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data", SOME_FILES)
def test_a_part_of_each_group_is_held_out_of_everything(
    data: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The score is scikit-learn's for these rows; scaling is learnt from the others."""
    name = saved(*data)
    options = ["--epochs", 20, "--validation", 0, "--test", 0.2, "--save", "model", "--learning-rate", 0.01]
    summary = trained(name, *options, capfd=capfd)
    net, params, metadata = pm.load_model("model")
    preparation = preparation_of(pathlib.Path("model"), net, metadata)
    groups = [N_ROWS] if name.endswith(".npy") else [130] * 7 + [90]
    held_out = GroupSplit(groups, 0.2, 0).held_out
    rows = np.concatenate([held_out.of_group(group) for group in range(len(groups))])
    assert (len(rows), summary["rows"]) == (200, 800)
    np.testing.assert_allclose(preparation.input_mean, np.delete(X, rows, axis=0).mean(axis=0, dtype=float), rtol=1e-9)
    outputs = pm.predict(net, params, preparation.inputs(X[rows]).astype(np.float32))
    predictions, y = preparation.predictions(outputs), TARGETS[data[0]][rows]
    assert summary["assessment"]["scored_on"] == "200 rows, held out from training"
    scores = summary["assessment"]["scores"]
    if data[0] == "quantity":
        assert scores["r2"] == pytest.approx(r2_score(y, predictions), rel=1e-5)
        assert scores["r2"] > 0.9
    else:
        assert scores["accuracy"] == pytest.approx(accuracy_score(y, predictions))
        assert scores["accuracy"] > 0.9


@pytest.mark.parametrize("data", SOME_FILES)
def test_many_groups_are_learnt_and_validated(data: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """The score is the one that scikit-learn gives the predictions for the rows that were held out."""
    name = saved(*data)
    summary = trained(name, "--epochs", 40, "--save", "model", "--learning-rate", 0.01, capfd=capfd)
    net, params, metadata = pm.load_model("model")
    preparation = preparation_of(pathlib.Path("model"), net, metadata)
    groups = [N_ROWS] if name.endswith(".npy") else [130] * 7 + [90]
    held_out = GroupSplit(groups, 0.1, 0).held_out
    rows = np.concatenate([held_out.of_group(group) for group in range(len(groups))])
    assert len(rows) == 100
    outputs = pm.predict(net, params, preparation.inputs(X[rows]).astype(np.float32))
    predictions, y = preparation.predictions(outputs), TARGETS[data[0]][rows]
    if data[0] == "quantity":
        assert summary["validation_r2"] == pytest.approx(r2_score(y, predictions), rel=1e-5)
        assert summary["validation_r2"] > 0.98
    else:
        assert summary["validation_accuracy"] == pytest.approx(accuracy_score(y, predictions))
        assert summary["validation_accuracy"] > 0.95


@pytest.mark.parametrize(("validation", "reads_an_epoch"), [(0, 1), (0.1, 2)])
def test_each_row_group_is_read_once_for_training_and_once_for_validation(
    validation: float, reads_an_epoch: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read: list[int] = []
    original = ParquetMatrix.read
    monkeypatch.setattr(ParquetMatrix, "read", lambda self, groups: (read.extend(groups), original(self, groups))[1])
    name = saved("quantity", ".parquet", group_rows=30)
    trained(name, "--epochs", 3, "--validation", validation, capfd=capfd)
    assert read[:34] == list(range(34))
    # The last groups of a pass are still there when the next one begins.
    times = np.bincount(read)
    assert times.max() <= 1 + 3 * reads_an_epoch
    assert times.sum() >= 34 * (1 + 3 * reads_an_epoch) - 3 * 4 * reads_an_epoch


def test_a_run_in_two_parts_gives_the_same_file(capfd: pytest.CaptureFixture[str]) -> None:
    name = saved("kind", ".parquet")
    options = ("--patience", 50, "--save")
    trained(name, "--epochs", 4, *options, "whole", capfd=capfd)
    trained(name, "--epochs", 2, *options, "parts", "--checkpoint", "states", capfd=capfd)
    for _ in range(2):
        trained(name, "--epochs", 4, *options, "parts", "--checkpoint", "states", "--resume", capfd=capfd)
        assert pathlib.Path("parts").read_bytes() == pathlib.Path("whole").read_bytes()
    for options in (("--seed", 1), ("--validation", 0.2)):
        message = mistake(name, "--checkpoint", "states", "--resume", *options, capfd=capfd)
        assert "holds the checkpoints of another training: data was" in message
    saved("kind", ".parquet", group_rows=100)
    message = mistake(name, "--checkpoint", "states", "--resume", capfd=capfd)
    assert "holds the checkpoints of another training: data was" in message


STREAMED_MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from portable_mlp.__main__ import main
from portable_mlp.tables import prepared_rows, text_census
prepared_rows.STREAMED_BYTES = 0
sys.exit(main())
"""


@pytest.mark.thorough  # each time: test_checkpoints, of a table in memory
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_in_the_middle_loses_nothing(number: int, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    name = saved("kind", ".parquet", group_rows=30)
    command = ["train", name, *OPTIONS, "--epochs", "20", "--checkpoint", "states", "--checkpoint-every", "7"]
    process = subprocess.Popen(
        [sys.executable, "-c", STREAMED_MAIN, *command, "--save", "parts"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    while not list(pathlib.Path("states").glob("step-*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert not pathlib.Path("parts").exists()
    assert run([*command, "--save", "parts", "--resume"]) == 0
    assert run([*command[:-4], "--save", "whole"]) == 0
    assert pathlib.Path("parts").read_bytes() == pathlib.Path("whole").read_bytes()


def test_ctrl_c_without_checkpoints_keeps_what_was_reached(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read: list[int] = []
    original = ParquetMatrix.read

    def interrupted(self: ParquetMatrix, groups: Any) -> Any:
        read.extend(groups)
        if len(read) == 8 * 4:
            signal.raise_signal(signal.SIGINT)
        return original(self, groups)

    monkeypatch.setattr(ParquetMatrix, "read", interrupted)
    summary = trained(saved("quantity", ".parquet"), "--epochs", 1000, "--save", "model", capfd=capfd)
    assert summary["stopped_because"] == "interrupted"
    assert pathlib.Path("model").exists()


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_number_that_is_not_finite_is_found_before_training(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    name = saved("quantity", suffix)
    if suffix == ".npy":
        numbers = np.load(name)
        numbers[987, 1] = np.nan
        np.save(name, numbers)
        place = "array[987, 1] is nan; finite numbers are expected"
    else:
        table = pq.read_table(name).to_pydict()
        table["x1"][987] = np.nan
        pq.write_table(pa.table(table), name, row_group_size=130)
        place = "row 988, column 'x1': nan is not a finite number"
    assert mistake(name, capfd=capfd) == f"portable-mlp: {name}: {place}\n"


def changed_after_the_survey(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    original = prepared_rows.survey

    def survey(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        arguments[0].close() if change is None else change(arguments[0])
        return found

    monkeypatch.setattr(prepared_rows, "survey", survey)


def test_a_file_that_is_cut_short_meanwhile(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    name = saved("quantity", ".parquet")
    changed_after_the_survey(monkeypatch, lambda source: pathlib.Path(name).write_bytes(b"PAR1"))
    assert f"portable-mlp: {name}: row group " in mistake(name, "--save", "model", capfd=capfd)
    assert not pathlib.Path("model").exists()


def test_a_number_that_is_spoilt_meanwhile(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    name = saved("quantity", ".npy")

    def spoil(source: Any) -> None:
        np.load(name, mmap_mode="r+")[777, 2] = np.inf

    changed_after_the_survey(monkeypatch, spoil)
    message = mistake(name, "--validation", "0", capfd=capfd)
    assert message == f"portable-mlp: {name}: array[777, 2] is inf; finite numbers are expected\n"


@pytest.mark.parametrize("label", [-3, 8.5, 999])
def test_a_class_that_was_not_there_before(
    label: float, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A network must not see a label beyond its outputs."""
    name = saved("number", ".npy")
    changed_after_the_survey(monkeypatch, lambda source: np.load(name, mmap_mode="r+").__setitem__((777, 4), label))
    message = mistake(name, "--task", "classification", "--validation", "0", capfd=capfd)
    assert message == f"portable-mlp: {name}: row 778 has become {float(label)}: the file was changed meanwhile\n"


def test_a_row_held_out_that_is_too_far_from_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    row = int(GroupSplit([N_ROWS], 0.1, 0).held_out.of_group(0)[0])
    numbers = np.column_stack((X, TARGETS["quantity"])).astype(np.float64)
    for column, column_name in ((1, "x1"), (4, "y")):
        spoilt = numbers.copy()
        spoilt[row, column] = 1e40
        np.save("far.npy", spoilt)
        message = mistake("far.npy", capfd=capfd)
        assert f"far.npy: row {row + 1}, column '{column_name}': scaled like the rows to train on" in message
        assert "e+3" in message or "e+4" in message
        assert message.endswith("too large for float32\n")
        assert trained("far.npy", "--dtype", "float64", "--epochs", 1, capfd=capfd)["rows"] == N_ROWS


@pytest.mark.parametrize("way", ["streamed", "strict", "as it is"])
def test_an_outlier_of_the_test_part_costs_no_model(
    way: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error names the row by its place in the file."""
    y: list[float | None] = [n + 0.1 for n in range(100)]
    if way == "streamed":
        row = int(GroupSplit([10] * 10, 0.3, 0).held_out.of_group(5)[0])
    else:
        monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 2**28)
        left_out = way == "as it is"  # rows without a target, which count all the same
        y[:left_out] = [None] * left_out
        known = np.arange(left_out, 100)
        row = int(known[stratified_splits(known, 0.3, 1, classification=False, seed=0)[0][1][-1]])
    columns: dict[str, Any] = {"a": np.arange(100.0), "b": np.arange(100.0), "y": y}
    columns["b"][row] = 1e45
    pq.write_table(pa.table(columns), "far.parquet", row_group_size=10)
    options = ["--epochs", "1", "--validation", "0", "--test", "0.3", "--save", "model.safetensors"]
    assert run(["train", "far.parquet", *OPTIONS[way == "as it is" :], *options]) == 2
    err = capfd.readouterr().err
    assert (
        f"portable-mlp: far.parquet: row {row + 1}, column 'b': scaled like the rows to train on, the value is" in err
    )
    assert err.endswith("too large for float32; model.safetensors has the model\n")
    assert pm.load_model("model.safetensors")[0].sizes[0] == (18 if way == "as it is" else 2)  # with pieces, or without


def test_classes_keep_a_row_outside_of_the_test_part(capfd: pytest.CaptureFixture[str]) -> None:
    for names in (np.array(["a", "b"]), np.array([0, 1])):
        y = np.repeat(names, 25)
        pq.write_table(pa.table({"x": np.arange(50.0), "y": y}), "t.parquet", row_group_size=10)
        summary = trained("t.parquet", "--epochs", 1, "--test", 0.99, "--save", "model", capfd=capfd)
        assert pm.load_model("model")[2]["preparation"]["classes"] == names.tolist()
        assert (summary["rows"], summary["task"]) == (2, "classification")
        assert summary["assessment"]["scored_on"] == "48 rows, held out from training"


def test_the_rows_of_the_test_part_decide_on_the_task_too(capfd: pytest.CaptureFixture[str]) -> None:
    """As in memory: one quantity among whole numbers makes all of them quantities."""
    row = int(GroupSplit([50], 0.3, 0).held_out.of_group(0)[0])
    y = np.arange(50) % 2 * 1.0
    y[row] = 0.5
    np.save("t.npy", np.column_stack((RNG.normal(size=50), y)))
    assert trained("t.npy", "--epochs", 1, "--test", 0.3, capfd=capfd)["task"] == "regression"
    y[row] = 1.0
    np.save("t.npy", np.column_stack((RNG.normal(size=50), y)))
    assert trained("t.npy", "--epochs", 1, "--test", 0.3, capfd=capfd)["task"] == "classification"


def test_what_the_road_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prepared_rows, "row_limit", lambda *_: RowLimit(N_ROWS - 1, "too many"))
    name = saved("quantity", ".parquet")
    assert mistake(name, "--solver", "lbfgs", capfd=capfd) == (
        "portable-mlp: quantity.parquet: --solver lbfgs takes all rows in every step, and the 1000 of this table are "
        "read batch by batch: choose adam or sgd\n"
    )
    message = mistake(name, "--max-rows", "999", capfd=capfd)
    assert message == "portable-mlp: quantity.parquet: 1000 rows are more than 999 rows, the limit that was set\n"
    assert trained(name, "--max-rows", "1000", "--epochs", 1, capfd=capfd)["rows"] == 1000
    message = mistake(name, "--delimiter", ";", capfd=capfd)
    assert "the delimiter ';' does not go with an .parquet file" in message
    assert "no column 'z'" in mistake(name, "--target", "z", capfd=capfd)
    assert "numbers are expected" in mistake(saved("kind", ".parquet"), "--task", "regression", capfd=capfd)
    assert "leaves none" in mistake(name, "--validation", "0", "--patience", "2", capfd=capfd)
    np.save("one.npy", np.zeros((9, 2), dtype=np.int8))
    message = mistake("one.npy", capfd=capfd)
    assert message == "portable-mlp: classification needs at least two classes, but every target is 0\n"


def test_a_small_table_is_read_whole(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    name = saved("quantity", ".parquet")
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 8 * N_ROWS * 5)
    monkeypatch.setattr(prepared_rows, "survey", None)
    assert trained(name, "--solver", "lbfgs", "--epochs", 2, capfd=capfd)["rows"] == N_ROWS


PEAK = """
import sys, tracemalloc
import numpy, pyarrow, pyarrow.parquet
from portable_mlp.backends import get_backend
from portable_mlp.tables import prepared_rows, text_census
from portable_mlp.cli.app import run
from portable_mlp.tables import row_sources
from portable_mlp.training import evaluation, stream

# Small parts, so that a few groups fill all that is in memory at a time.
row_sources._GROUP_ROWS, evaluation.ACTIVATIONS_AT_ONCE, stream.NUMBERS_A_PIECE = 2**12, 2**15, 2**15
prepared_rows.STREAMED_BYTES = float(sys.argv[1])
get_backend("numpy").load()  # Numba's import would count in long runs alone
tracemalloc.start()
code = run(sys.argv[2:])
print(code, tracemalloc.get_traced_memory()[1] + pyarrow.default_memory_pool().max_memory())
"""
N_COLUMNS, GROUP_ROWS, TEXTS = 40, 2**12, ".texts.parquet"


def large(suffix: str, n_groups: int) -> str:
    """Save the same rows again and again."""
    name = f"{n_groups}{suffix}"
    rows = np.random.default_rng(0).normal(size=(GROUP_ROWS, N_COLUMNS)).astype(np.float32)
    if suffix == ".npy":
        matrix = np.lib.format.open_memmap(name, "w+", np.float32, (n_groups * GROUP_ROWS, N_COLUMNS))
        for group in range(n_groups):
            matrix[group * GROUP_ROWS : (group + 1) * GROUP_ROWS] = rows
    else:
        table = pa.table({f"x{j}": column for j, column in enumerate(rows.T)})
        if suffix == TEXTS:
            texts = pa.array([f"t{i % 50}" for i in range(GROUP_ROWS)])
            table = table.set_column(0, "text", texts).set_column(
                1, "day", pa.array([f"2001-02-{1 + i % 28:02}" for i in range(GROUP_ROWS)])
            )
        with pq.ParquetWriter(name, table.schema) as writer:
            for _ in range(n_groups):
                writer.write_table(table)
    return name


def peak(name: str, streamed_bytes: float = 0.0) -> int:
    """Return what Python, NumPy and PyArrow have asked for at most; what is mapped from a file is not among it."""
    options = "--hidden 32 --epochs 1 --batch-size 250 --backend numpy --patience 3 --validation 0.3 --checkpoint"
    command = [
        sys.executable,
        "-c",
        PEAK,
        str(streamed_bytes),
        "train",
        name,
        *options.split(),
        f"{streamed_bytes} {name}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=True)
    code, n_bytes = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    return int(n_bytes)


@pytest.mark.thorough  # each time: test_row_source, of reading alone
@pytest.mark.parametrize("suffix", [".parquet", ".npy", TEXTS])
def test_eight_times_the_rows_need_no_more_memory(suffix: str) -> None:
    """From a few more groups than are in memory together, and pieces than are read ahead, to eight times these."""
    few, many = large(suffix, 6), large(suffix, 48)
    more = 4 * N_COLUMNS * GROUP_ROWS * (48 - 6)
    needed = peak(many)
    assert needed - peak(few) < 0.03 * more
    assert peak(many, np.inf) - needed > more


KINDS_OF_COLUMNS = {
    "id": np.arange(N_ROWS),
    "size": np.where(np.arange(N_ROWS) % 9, 100 * Z, np.nan),
    "district": [None if i % 7 == 0 else ("north", "south", "west")[i % 3] for i in range(N_ROWS)],
    "street": [f"street {i % 40}" for i in range(N_ROWS)],
    "lift": np.where(Z > 0, "yes", "no"),
    "built": [f"{2001 + i % 20}-{1 + i % 12:02}-03" for i in range(N_ROWS)],
    "price": [f"{1000 + i:,}" for i in range(N_ROWS)],
    "flag": Z > 0.3,
    "whole": pa.array([None if i % 5 == 0 else i % 4 for i in range(N_ROWS)]),
    "constant": np.ones(N_ROWS),
}
RAW_OPTIONS = ["--epochs", "3", "--batch-size", "32", "--backend", "numpy", "--schedule", "constant"]


def saved_raw(kind: str, group_rows: int = 130) -> str:
    pq.write_table(pa.table(KINDS_OF_COLUMNS | {kind: TARGETS[kind]}), f"{kind}.parquet", row_group_size=group_rows)
    return f"{kind}.parquet"


def trained_raw(data: str, *options: Any, capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    capfd.readouterr()
    assert run(["train", data, *RAW_OPTIONS, "--json", *map(str, options)]) == 0, capfd.readouterr().err
    out, err = capfd.readouterr()
    summary: dict[str, Any] = json.loads(out)
    return summary, err


@pytest.mark.parametrize(("kind", "n_rows"), [("quantity", N_ROWS), ("kind", N_ROWS), ("kind", 600)])
def test_columns_of_any_kind_stay_in_their_file(
    kind: str, n_rows: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of one group, with few different texts and numbers without gaps, it is the very model of the table in memory."""
    name = saved_raw(kind, N_ROWS)
    pq.write_table(pq.read_table(name).slice(0, n_rows), name)
    options = ["--drop", "street", "--drop", "size", "--drop", "whole", "--validation", 0]
    found, _ = trained_raw(name, *options, "--save", "streamed", capfd=capfd)
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 2**28)
    expected, _ = trained_raw(name, *options, "--save", "whole", capfd=capfd)
    (_, streamed, metadata), (_, whole, kept) = map(pm.load_model, ("streamed", "whole"))
    assert metadata["preparation"] == kept["preparation"]
    assert pm.pack(streamed).tobytes() == pm.pack(whole).tobytes()
    assert found["columns"] == expected["columns"]


@pytest.mark.parametrize("kind", ["quantity", "kind"])
def test_groups_of_columns_of_any_kind(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A model of them predicts, is scored on its test part, and says what it learnt."""
    name = saved_raw(kind)
    summary, _ = trained_raw(name, "--validation", 0.2, "--test", 0.2, "--save", "m", capfd=capfd)
    treatments = {one["name"]: (one["kind"], one["n_features"]) for one in summary["columns"]}
    assert treatments["id"][0] == treatments["constant"][0] == "dropped"
    assert treatments["street"] == ("category", 31)
    assert treatments["size"] == ("number", 10)
    assert treatments["whole"][0] == "number"
    assert treatments["price"][0] == "number"
    assert treatments["lift"] == ("truth", 1)
    assert treatments["built"][0] == "date"
    score = "r2" if kind == "quantity" else "accuracy"
    assert summary["assessment"]["scores"][score] > 0.8
    assert run(["predict", "m", name, "--output", "p.csv"]) == 0
    assert "predictions written" in capfd.readouterr().err


def test_numbers_with_gaps_stay_in_their_file(capfd: pytest.CaptureFixture[str]) -> None:
    gaps = np.where(np.arange(N_ROWS) % 11 == 10, np.nan, Z)
    pq.write_table(pa.table({"a": gaps, "b": X[:, 0], "y": TARGETS["quantity"]}), "t.parquet", row_group_size=200)
    summary, _ = trained_raw("t.parquet", capfd=capfd)
    assert "gaps become the median" in summary["columns"][0]["treatment"]
    assert "row 11, column 'a': nan is not a finite number" in mistake("t.parquet", capfd=capfd)  # --strict


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_dates_in_digits_stay_in_their_file(kind: pa.DataType, capfd: pytest.CaptureFixture[str]) -> None:
    """All row groups decide: where one number is no date, all are numbers."""
    days = np.datetime64("2020-01-27") + np.arange(N_ROWS)
    dates = np.array([str(day).replace("-", "") for day in days], dtype=np.int64)
    columns = {"date": pa.array(dates).cast(kind), "b": X[:, 0], "y": TARGETS["quantity"]}
    pq.write_table(pa.table(columns), "t.parquet", row_group_size=200)
    treatment = trained_raw("t.parquet", "--save", "m", capfd=capfd)[0]["columns"][0]["treatment"]
    assert treatment == "read as YYYYMMDD: elapsed, year, month, weekday"
    assert run(["predict", "m", "t.parquet", "--output", "p.csv"]) == 0
    dates[-1] = 20201332
    columns["date"] = pa.array(dates).cast(kind)
    pq.write_table(pa.table(columns), "t.parquet", row_group_size=200)
    treatment = trained_raw("t.parquet", capfd=capfd)[0]["columns"][0]["treatment"]
    assert treatment.endswith(
        "nearly dates such as 20200127, but not all are: correct or empty those, and all are read as dates"
    )


def test_a_run_on_columns_of_any_kind_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    name = saved_raw("kind")
    options = ["--checkpoint", "states", "--save"]
    trained_raw(name, *options, "once", capfd=capfd)
    trained_raw(name, "--checkpoint", "others", "--epochs", 1, capfd=capfd)
    trained_raw(name, "--checkpoint", "others", "--resume", "--save", "twice", capfd=capfd)
    assert pathlib.Path("once").read_bytes() == pathlib.Path("twice").read_bytes()


def test_what_needs_all_rows_reads_them(capfd: pytest.CaptureFixture[str]) -> None:
    name = saved_raw("quantity")
    for options in (["--folds", 2], ["--preset", "best"], ["--solver", "lbfgs", "--batch-size", N_ROWS]):
        summary, _ = trained_raw(name, *options, "--epochs", 1, capfd=capfd)
        assert {one["name"]: one["kind"] for one in summary["columns"]}["street"] == "many categories"
    summary, _ = trained_raw(saved_raw("kind"), "--class-weight", "balanced", capfd=capfd)
    assert {one["name"]: one["kind"] for one in summary["columns"]}["street"] == "many categories"


TARGETS_IN_MEMORY = {
    "numbers as text": [f"{value:.3f}" for value in Z],
    "numbers with marks": [f"${value + 9000:,.3f}" for value in Z],
    "dates": np.datetime64("2001-02-03", "us") + np.arange(N_ROWS) % 5 * np.timedelta64(1, "D"),
    "a missing number": np.where(np.arange(N_ROWS) == 700, np.nan, Z),
    "a missing whole number": pa.array([None if i == 700 else i % 3 for i in range(N_ROWS)]),
    "a missing text": [None if i == 700 else "ab"[i % 2] for i in range(N_ROWS)],
    "an empty text": ["" if i == 700 else "ab"[i % 2] for i in range(N_ROWS)],
    "NA": ["NA" if i == 700 else "ab"[i % 2] for i in range(N_ROWS)],
}


@pytest.mark.parametrize("beside", [["size", "lift"], ["flag", "constant", "id"]])
@pytest.mark.parametrize("kind", TARGETS_IN_MEMORY)
def test_targets_that_are_not_plain_are_read_whole(
    kind: str, beside: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is the model of the table in memory; rows without a target are left out."""
    columns = {name: KINDS_OF_COLUMNS[name] for name in beside} | {"x": Z, "y": TARGETS_IN_MEMORY[kind]}
    pq.write_table(pa.table(columns), "t.parquet", row_group_size=200)
    found, err = trained_raw("t.parquet", "--save", "streamed", capfd=capfd)
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 2**28)
    expected, same_err = trained_raw("t.parquet", "--save", "whole", capfd=capfd)
    assert pathlib.Path("streamed").read_bytes() == pathlib.Path("whole").read_bytes()
    assert (found["task"], found["rows"], found["columns"]) == (expected["task"], expected["rows"], expected["columns"])
    left_out = "1 row without a target left out"
    assert (left_out in err) == (left_out in same_err)


def test_texts_that_are_too_many_to_count(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(text_census, "MOST_TEXTS", 30)
    summary, _ = trained_raw(saved_raw("quantity"), capfd=capfd)
    treatments = {one["name"]: one["treatment"] for one in summary["columns"]}
    assert treatments["street"] == "more than 30 different texts"
    assert treatments["built"].startswith("read as YYYY-MM-DD")
    assert treatments["price"].startswith("scaled")


@pytest.mark.parametrize("kind", ["date", "number"])
def test_a_cell_that_contradicts_its_column_is_found_in_its_group(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One row among many, though of numbers there are only seven different ones."""
    cells = [*KINDS_OF_COLUMNS["built"]] if kind == "date" else [str(i % 7) for i in range(N_ROWS)]
    cells[777] = "someday"
    pq.write_table(pa.table({"built": cells, "y": Z}), "t.parquet", row_group_size=200)
    assert run(["train", "t.parquet"]) == 2
    assert f"t.parquet: row 778, column 'built': 'someday' is not a {kind}" in capfd.readouterr().err

"""Steps in compiled calls beside steps one by one: every bit, whatever a program may be; and what is left to them."""

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import special
from scipy.special import _ufuncs

import portable_mlp as pm
from portable_mlp.backends import _compiled_steps, _native_runner, _recording, _ufunc_loops
from portable_mlp.backends._compiled_steps import LOOPS, CompiledSteps
from portable_mlp.backends._native_runner import NativeRunner
from portable_mlp.backends._numba_loops import LOOPS_OF_UPDATES
from portable_mlp.backends._tape import Tape, Untapeable
from portable_mlp.backends._tape_codes import TAKE, TAKE_LABELS
from portable_mlp.backends._ufunc_loops import inner_loop
from portable_mlp.backends.portable_runner import PortableRunner
from portable_mlp.backends.runner import COMPILED_STEPS_A_CALL
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels import activations, optimizers
from portable_mlp.kernels.activations import ACTIVATIONS, ELEMENTWISE_OUTPUTS, Activation
from portable_mlp.kernels.losses import LOSSES, TargetRange
from portable_mlp.kernels.optimizers import Optimizer, adam, adamw
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.dropout import Dropout
from portable_mlp.training.loop import Loop
from portable_mlp.training.shuffle import Shuffle
from tests.selection import one_in

from .optimizers import OPTIMIZERS as FORMS

pytestmark = [pytest.mark.compiled_steps, pytest.mark.usefixtures("compiled")]

NUMPY = pm.get_backend("numpy")
OPTIMIZERS = {**FORMS, "adamw": adamw(weight_decay=0.1)}
N_SAMPLES = 43


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each compiled call has taken."""
    taken, honest = [], _native_runner._replayed

    def counted(tapes: Any, places: Any, carry: Any, call: Any) -> Any:
        taken.append(len(call.spans))
        return honest(tapes, places, carry, call)

    monkeypatch.setattr(_native_runner, "_replayed", counted)
    return taken


def data_for(net: pm.Network, dtype: str, weighted: bool = False) -> Data:
    rng = np.random.default_rng(0)
    n, k = N_SAMPLES, net.sizes[-1]
    targets = LOSSES[str(net.loss)].targets
    if targets is TargetRange.DISTRIBUTIONS:
        Y = rng.integers(0, k, size=(n, 1))
    else:
        Y = rng.integers(0, 2 if targets.are_probabilities else 4, size=(n, k)).astype(dtype)
    weights = rng.uniform(0.5, 2.0, size=n).astype(dtype) if weighted else None
    return Data(rng.normal(size=(n, net.sizes[0])).astype(dtype), Y, weights)


def program(net: pm.Network, optimizer: Optimizer | None = None, **options: Any) -> Program:
    clip_norm = options.pop("clip_norm", None)
    return Program(Objective(net, **options), optimizer or adam(), clip_norm, warmup_steps=5)


def loop(kind: Any, the_program: Program, dtype: str) -> Loop:
    flat = pm.pack(pm.init_params(the_program.net, random_state=0, dtype=dtype))
    return Loop(NUMPY, kind(NUMPY, the_program), flat)


def epochs(the_loop: Loop, data: Data, batch_size: int = 10, shuffle: bool = True) -> list[bytes]:
    """Train with another rate in each epoch; return the bits of all that comes out."""
    losses = []
    with NUMPY.running():
        for epoch in range(3):
            order = Shuffle(0).order(epoch, data.n_samples) if shuffle else None
            batches = spans(data.n_samples, batch_size)
            losses.append(the_loop.epoch(data, batches, lambda step, epoch=epoch: 0.01 / (1 + epoch), order=order))
    return [np.asarray(x).tobytes() for x in (*losses, the_loop.flat, *the_loop.state)]


def assert_same_bits(the_program: Program, data: Data, calls: list[int], **options: Any) -> None:
    dtype = data.X.dtype.name
    found = epochs(loop(NativeRunner, the_program, dtype), data, **options)
    assert sum(calls) == 3 * len(spans(data.n_samples, options.get("batch_size", 10)))
    assert found == epochs(loop(PortableRunner, the_program, dtype), data, **options)


@pytest.mark.parametrize(
    ("optimizer", "l2", "clip_norm", "dtype"), one_in(3, OPTIMIZERS, [0.0, 0.01], [None, 0.1], ["float32", "float64"])
)
def test_optimizers(optimizer: str, l2: float, clip_norm: float | None, dtype: str, calls: list[int]) -> None:
    net = pm.Network((4, 6, 5, 3), ("tanh", "relu"))
    the_program = program(net, OPTIMIZERS[optimizer], l2=l2, clip_norm=clip_norm)
    assert_same_bits(the_program, data_for(net, dtype), calls)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hidden", [(), *((name,) for name in ACTIVATIONS), tuple(ACTIVATIONS)], ids=str)
def test_layers(hidden: tuple[str, ...], weighted: bool, dtype: str, calls: list[int]) -> None:
    net = pm.Network((4, *range(1, 1 + len(hidden)), 3), hidden or "relu")
    assert_same_bits(program(net, l2=0.01), data_for(net, dtype, weighted), calls)


PAIRS = [(output, loss) for loss, entry in LOSSES.items() for output in entry.outputs]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("pair", "n_outputs", "weighted", "reported"), one_in(2, PAIRS, [1, 3, 130], *2 * [[False, True]])
)
def test_losses(
    pair: tuple[str, str],
    n_outputs: int,
    weighted: bool,
    reported: bool,
    dtype: str,
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, loss = pair
    n_outputs += output == "softmax" and n_outputs == 1
    net = pm.Network((4, 6, n_outputs), output=output, loss=loss)
    # Where SCIPY_ARRAY_API is set, as here, SciPy's functions are wrapped, and no tape can hold them.
    monkeypatch.setattr(special, "expit", _ufuncs.expit)
    monkeypatch.setattr(special, "xlogy", _ufuncs.xlogy)
    report = REPORTED.get(loss) if reported and output in LOSSES[loss].natural_for else None
    smoothing = 0.1 if weighted and LOSSES[loss].targets.are_probabilities else 0.0
    objective = {"l2": 0.01, "l2_per_batch": not reported, "report": report, "label_smoothing": smoothing}
    assert_same_bits(program(net, **objective), data_for(net, dtype, weighted), calls)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 10, 21])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches(dtype: str, batch_size: int, shuffle: bool, calls: list[int]) -> None:
    net = pm.Network((4, 6, 3))
    data = data_for(net, dtype)
    assert_same_bits(program(net, l2=0.01), data, calls, batch_size=batch_size, shuffle=shuffle)


def test_infinite_and_missing_numbers(calls: list[int]) -> None:
    net = pm.Network((4, 6, 3), "gelu")
    data = data_for(net, "float32")
    data.X[3], data.X[17, 1] = 1e30, np.nan
    found, expected = (loop(kind, program(net), "float32") for kind in (NativeRunner, PortableRunner))
    for one in (found, expected):
        epochs(one, data)
    np.testing.assert_array_equal(found.flat, expected.flat)
    assert found.first_bad_batch() == expected.first_bad_batch()
    assert not found.is_finite(within_epoch=False)


def test_dropout_of_a_network_without_hidden_units(calls: list[int]) -> None:
    net = pm.Network((4, 3))
    data, batches = data_for(net, "float64"), spans(N_SAMPLES, 10)
    masks = Dropout(NUMPY, net, 0.3, Shuffle(1), np.dtype("float64")).masks
    left = []
    for kind in KINDS:
        one = loop(kind, program(net), "float64")
        one.epoch(data, batches, lambda step: 0.01, order=Shuffle(0).order(0, N_SAMPLES), masks=masks(0, batches, 0))
        left.append([x.tobytes() for x in (one.flat, *one.state, one.total)])
    assert left[0] == left[1]
    assert calls == [5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch_size", "shuffle", "taped"), [(10, True, 5), (43, False, 1), (30, False, 0)])
def test_dropout(batch_size: int, shuffle: bool, taped: int, dtype: str, calls: list[int]) -> None:
    net = pm.Network((4, 6, 5, 3), ("tanh", "relu"))
    data, batches = data_for(net, dtype, weighted=True), spans(N_SAMPLES, batch_size)
    masks = Dropout(NUMPY, net, 0.3, Shuffle(1), np.dtype(dtype)).masks
    left = []
    for kind in KINDS:
        one = loop(kind, program(net, l2=0.01), dtype)
        for epoch in range(2):
            order = Shuffle(0).order(epoch, N_SAMPLES) if shuffle else None
            one.epoch(data, batches, lambda step: 0.01, order=order, masks=masks(epoch, batches, 0))
        left.append([x.tobytes() for x in (one.flat, *one.state, one.total)])
    assert left[0] == left[1]
    # A batch of 30 of 43 in their own order is not gathered; its rest is, once that is known.
    assert calls == ([taped] * 2 if taped else [1])


def test_an_epoch_goes_on_where_it_was_left(calls: list[int]) -> None:
    net = pm.Network((4, 6, 3))
    data, order = data_for(net, "float64"), Shuffle(0).order(0, N_SAMPLES)
    whole = loop(PortableRunner, program(net), "float64")
    whole.epoch(data, spans(N_SAMPLES, 3), lambda step: 0.01, order=order)
    first, seen = loop(NativeRunner, program(net), "float64"), []

    def keep(done: int) -> None:
        if first.n_steps % 4 == 0:
            seen.append((done, first.n_steps, *map(np.copy, (first.flat, first.total, *first.state))))

    first.epoch(data, spans(N_SAMPLES, 3), lambda step: 0.01, order=order, every=4, between=keep)
    assert [n_steps for _, n_steps, *_ in seen] == [4, 8, 12]
    assert max(calls) == 4
    for done, n_steps, flat, total, *state in seen:
        again = loop(NativeRunner, program(net), "float64")
        again.restore(flat, state, total, n_steps)
        loss = again.epoch(data, spans(N_SAMPLES, 3), lambda step: 0.01, order=order, done=done)
        assert float(loss) == float(whole.total / N_SAMPLES)
        assert again.flat.tobytes() == whole.flat.tobytes()


def test_two_data_sets_by_turns_are_not_mixed_up(calls: list[int]) -> None:
    net = pm.Network((4, 6, 3))
    some = data_for(net, "float64")
    other = Data(some.X[::-1].copy(), some.Y[::-1].copy())
    runs = []
    for kind in (NativeRunner, PortableRunner):
        one = loop(kind, program(net), "float64")
        runs.append([epochs(one, data) for data in (some, other, some)])
    assert runs[0] == runs[1]


def fortran(data: Data) -> Data:
    return data._replace(X=np.asfortranarray(data.X))


def short_labels(data: Data) -> Data:
    return data._replace(Y=data.Y.astype(np.int32))


@pytest.mark.parametrize("other", [fortran, short_labels])
def test_other_memory_is_left_to_single_steps(other: Callable[[Data], Data], calls: list[int]) -> None:
    net = pm.Network((4, 6, 3))
    runs = [epochs(loop(kind, program(net), "float64"), other(data_for(net, "float64"))) for kind in KINDS]
    assert runs[0] == runs[1]
    assert calls == []


KINDS = (NativeRunner, PortableRunner)


@pytest.mark.parametrize(("batch_size", "taped"), [(30, 2), (43, 3)])
def test_large_batches_in_the_samples_own_order_are_not_copied(batch_size: int, taped: int, calls: list[int]) -> None:
    net, data = pm.Network((4, 6, 3)), data_for(pm.Network((4, 6, 3)), "float64")
    one, other = (loop(kind, program(net), "float64") for kind in KINDS)
    assert epochs(one, data, batch_size, shuffle=False) == epochs(other, data, batch_size, shuffle=False)
    # Of 43 samples a batch of 30 is computed where it is by a single step, its rest of 13 is gathered.
    (recording,) = one._runner._tapes._kept  # type: ignore[attr-defined]
    assert bool({TAKE, TAKE_LABELS} & set(recording.operations[:, 0])) == (batch_size == 30)
    assert sum(calls) == taped


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """The programs whose step was recorded."""
    programs, honest = [], _recording.step

    def noted(ops: Any, program: Program, *arguments: Any) -> Any:
        programs.append(program)
        return honest(ops, program, *arguments)

    monkeypatch.setattr(_recording, "step", noted)
    return programs


def trained(net: pm.Network) -> list[bytes]:
    return epochs(loop(NativeRunner, program(net), "float64"), data_for(net, "float64"), 43)


def test_runs_share_the_recording_of_a_step(recorded: list[Program]) -> None:
    net = pm.Network((4, 7, 6, 3))
    assert trained(net) == trained(net)
    assert len(recorded) == 1


def test_a_users_formula_may_change_from_run_to_run(recorded: list[Program], monkeypatch: pytest.MonkeyPatch) -> None:
    slope = [0.1]
    mine = Activation(
        lambda xp, z: xp.where(z > 0, z, slope[0] * z), lambda xp, dh, z, h: xp.where(h > 0, dh, slope[0] * dh)
    )
    monkeypatch.setitem(ACTIVATIONS, "mine", mine)
    net = pm.Network((4, 6, 3), "mine")
    first = trained(net)
    slope[0] = 0.9
    assert trained(net) != first
    assert len(recorded) == 2


def test_the_name_of_an_output_may_get_another_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    net = pm.Network((4, 6, 2), "tanh", output="relu", loss="squared_error")
    first = trained(net)
    monkeypatch.setitem(ELEMENTWISE_OUTPUTS, "relu", ACTIVATIONS["softplus"])
    assert trained(net) != first


def by_value(xp: Any, z: Any) -> Any:
    return z * (2.0 if bool(xp.any(z > 0)) else 3.0)


def by_cube_root(xp: Any, z: Any) -> Any:
    return np.cbrt(np.moveaxis(z, 0, 0))


@pytest.mark.parametrize("formula", [by_value, by_cube_root])
def test_formulas_that_no_tape_can_hold(formula: Any, calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "mine", Activation(formula, activations.d_tanh))
    net = pm.Network((4, 6, 3), "mine")
    runs = [epochs(loop(kind, program(net), "float64"), data_for(net, "float64")) for kind in KINDS]
    assert runs[0] == runs[1]
    assert calls == []


def test_a_formula_of_a_users_own(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "sine", Activation(lambda xp, z: xp.sin(z) - 0.5, lambda xp, dh, z, h: dh * h))
    net = pm.Network((4, 6, 3), "sine")
    assert_same_bits(program(net), data_for(net, "float32"), calls)


def test_an_optimizer_without_a_loop(calls: list[int]) -> None:
    mine = Optimizer(lambda p, g, rate: (p - rate * g * abs(g),), lambda t, rate, sqrt=None: (rate,))
    net = pm.Network((4, 6, 3))
    runs = [epochs(loop(kind, program(net, mine), "float64"), data_for(net, "float64")) for kind in KINDS]
    assert runs[0] == runs[1]
    assert calls == []


def test_every_loop_has_a_code() -> None:
    assert set(LOOPS_OF_UPDATES.values()) <= set(LOOPS)
    # A formula need not have a loop: `test_an_optimizer_without_a_loop`.
    assert set(LOOPS_OF_UPDATES) <= {value for key, value in vars(optimizers).items() if key.endswith("_update")}


def test_whole_trainings(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(203, 5)), rng.integers(0, 3, size=203)
    net = pm.Network((5, 8, 3))
    runs = []
    for kind in KINDS:
        monkeypatch.setattr(type(NUMPY), "runner", lambda self, program, kind=kind: kind(self, program))
        for options in ({"dropout": 0.0}, {"dropout": 0.3}):
            params = pm.init_params(net, random_state=0)
            runs.append(pm.train(net, params, X, y, batch_size=10, epochs=4, validation=(X, y), **options))
    for found, expected in zip(runs[:2], runs[2:], strict=True):
        assert found.history["validation_loss"] == expected.history["validation_loss"]
        assert found.history["loss"] == expected.history["loss"]
    assert calls == 2 * 4 * [21]  # two runs of four epochs, between which there is a validation


def test_calls_are_short_and_end_where_a_state_is_due() -> None:
    def sizes(net: pm.Network, n_samples: int, batch_size: int, every: int | None = None) -> list[int]:
        runner = NativeRunner(NUMPY, program(net))
        runner.start(np.zeros(1), (), np.zeros(()))
        some = spans(n_samples, batch_size)
        divided = list(runner.calls(some, 3, every))
        assert list(itertools.chain.from_iterable(divided)) == list(some)
        return [len(one) for one in divided]

    small = pm.Network((4, 6, 3))
    assert sizes(small, 3003, 10) == [COMPILED_STEPS_A_CALL, 45]
    assert sizes(small, 203, 10, every=8) == [5, 8, 8]
    assert sizes(pm.Network((1000, 3000, 10)), 9000, 3000) == [1, 1, 1]
    assert max(sizes(pm.Network((256, 384, 26)), 51200, 512)) < 10


def test_a_tape_uses_memory_again() -> None:
    def bytes_for(n_layers: int) -> int:
        net = pm.Network((4, *[50] * n_layers, 3), "gelu")
        one = loop(NativeRunner, program(net), "float64")
        epochs(one, data_for(net, "float64"))
        memory, *_ = one._runner._tapes._kept[0].memory  # type: ignore[attr-defined]
        workspace = 10 * (4 + 3 + 3) + n_layers * 2 * 10 * 50 + one.flat.size  # X, Y, logits; h and dh; the gradient
        return int(memory.nbytes) - 8 * workspace

    layer = 10 * 50 * 8
    assert bytes_for(1) < 12 * layer
    assert bytes_for(5) - bytes_for(1) <= 4 * 2 * layer + 1000  # z is kept, and h, which a formula returns anew


def test_a_tape_refuses_what_it_does_not_know() -> None:
    tape = Tape("float64")
    x, labels = tape.of(np.ones((3, 4))), tape.of(np.ones((3, 1), dtype=np.int64))
    column, square = tape.of(np.ones((3, 1))), tape.of(np.ones((3, 3)))
    deep = tape.of(np.ones((2, 3, 4)))
    for use in (
        lambda: float(x),
        lambda: bool(x),
        lambda: np.asarray(x),
        lambda: x.__setitem__(0, 1.0),
        lambda: x[[0, 1]],
        lambda: x[0] if labels else None,
        lambda: x * labels,
        lambda: x @ deep,
        lambda: deep + column,
        lambda: np.sum(x),
        lambda: np.sum(deep, axis=0),
        lambda: np.max(x, axis=0),
        lambda: np.sum(x, axis=1, dtype=np.float32),
        lambda: np.min(x, axis=1),
        lambda: np.add(x, x, out=np.ones((3, 4))),
        lambda: np.add(square, square, out=square.mT),
        lambda: np.add(x, x, where=False),
        lambda: np.add.accumulate(x),
        lambda: np.divmod(x, x),
        lambda: np.sort(x),
        lambda: np.where(x > 0, x, tape.of(np.ones(4))),
        lambda: np.reshape(np.swapaxes(x, 0, 1), (12,)),
        lambda: np.reshape(x.mT, (12,)),
        lambda: tape.loop(len, x),
        lambda: tape.loop(next(iter(LOOPS)), np.ones((3, 4))),
        lambda: tape.take(x.mT, labels, None),
        lambda: tape.scalar(x),
    ):
        with pytest.raises(Untapeable):
            use()


def test_inner_loops_are_looked_up_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    inner_loop.cache_clear()
    with pytest.raises(LookupError, match="no loop gg"):
        inner_loop(np.exp, "gg")
    honest = _ufunc_loops._Ufunc._fields_
    assert [name for name, _ in honest][-1] == "ntypes"

    class Other(_ufunc_loops._Ufunc):
        nin = 7  # type: ignore[assignment]

    monkeypatch.setattr(_ufunc_loops, "_Ufunc", Other)
    with pytest.raises(LookupError, match="not as this NumPy's header says"):
        inner_loop(np.exp, "f->f")
    inner_loop.cache_clear()


@pytest.mark.parametrize("on_disk", [False, True])
def test_code_is_read_soon_and_compiled_late(on_disk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count(0.0, 0.01)
    one, asked, dtype = CompiledSteps(lambda: next(times)), [], np.dtype("float32")
    monkeypatch.setattr(_compiled_steps, "_is_on_disk", lambda dtype: on_disk)
    monkeypatch.setattr(one, "compile", lambda dtype: (asked.append(dtype), one._there.add(dtype)))
    taken = 0
    while not one.may_pay or not one.get(dtype):
        with one.counted():
            taken += 1
    assert taken == (64 if on_disk else pytest.approx(1000, abs=2))
    assert asked == [dtype]
    assert one.is_there(dtype)
    assert not one.is_there(np.dtype("float64"))


def test_threads_train_side_by_side(calls: list[int]) -> None:
    net = pm.Network((4, 6, 3))
    data = data_for(net, "float64")
    expected = epochs(loop(PortableRunner, program(net), "float64"), data)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: epochs(loop(NativeRunner, program(net), "float64"), data), range(8)))
    assert found == [expected] * 8


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Set a clock that sends a Ctrl-C."""
    timers = []

    def after(seconds: float) -> None:
        timers.append(threading.Timer(seconds, signal.raise_signal, [signal.SIGINT]))
        timers[-1].start()

    yield after
    for timer in timers:
        timer.cancel()
        timer.join()


def test_a_ctrl_c_is_heard_between_calls(alarm: Callable[[float], None]) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50_000, 4)), rng.integers(0, 3, size=50_000)
    net = pm.Network((4, 6, 3))
    before = time.perf_counter()
    alarm(0.3)
    result = pm.train(net, pm.init_params(net), X, y, batch_size=10, epochs=10_000)
    assert result.stopped_because == "interrupted"
    assert time.perf_counter() - before < 60.0
    assert all(np.all(np.isfinite(W)) for W, _ in result.params)


ALONE = """
import os, warnings
import numpy as np, portable_mlp as pm
from portable_mlp.backends import _compiled_steps, _patient_runner
_patient_runner.SECONDS_OF_PLAIN_STEPS = 0.0
rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 6)), np.arange(2000) % 3
net = pm.Network((6, 5, 3))

def train():
    return pm.train(net, pm.init_params(net, random_state=0), X, y, epochs=3, batch_size=10).history["loss"]
"""


def in_a_new_python(code: str, before: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", before + ALONE + code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()


def test_what_cannot_be_compiled_is_left_to_numpy() -> None:
    broken = """
import numba.core.dispatcher as dispatcher
honest = dispatcher.Dispatcher.compile
def fail_for_steps(self, signature):
    if self.py_func.__name__ == "_take_steps":
        raise MemoryError("no page may hold code")
    return honest(self, signature)
dispatcher.Dispatcher.compile = fail_for_steps
"""
    code = """
_compiled_steps.SECONDS_BEFORE_COMPILING = 0.0
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(train())
    print(train())
print(*(warning.message for warning in caught))
"""
    first, second, warned = in_a_new_python(code, broken)
    assert first == second == in_a_new_python("print(train())")[0]
    assert warned == (
        "Numba cannot compile here: MemoryError: no page may hold code; plain NumPy gives the same results, more slowly"
    )


def test_a_fork_trains_on() -> None:
    code = """
_compiled_steps.compiled_steps.compile(np.dtype("float64"))
warnings.simplefilter("ignore")
print(train(), flush=True)
if os.fork() == 0:
    print(train(), flush=True)
    os._exit(0)
os.wait()
print(train(), flush=True)
"""
    first, *others = in_a_new_python(code)
    assert others == [first, first]

"""Ctrl-C while libraries are imported or compile: heard, and the next call works as if it had been the first."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from portable_mlp.backends.deferred_interrupts import interrupts_held_back, whole_imports
from tests.selection import rarely


def interrupt(times: int, done: list[str]) -> None:
    """Be interrupted some times in a block."""
    with interrupts_held_back():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")


@pytest.mark.parametrize("times", [1, 2])
def test_the_first_interrupt_is_heard_at_the_end_of_the_block_and_a_second_at_once(times: int) -> None:
    before, done = signal.getsignal(signal.SIGINT), list[str]()
    with pytest.raises(KeyboardInterrupt):
        interrupt(times, done)
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is before


def test_blocks_inside_each_other_pass_it_on() -> None:
    done: list[str] = []

    def outer() -> None:
        with interrupts_held_back():
            interrupt(1, done)
            done.append("of the outer block too")

    with pytest.raises(KeyboardInterrupt):
        outer()
    assert done == ["the rest", "of the outer block too"]


def test_an_ignored_interrupt_stays_ignored_and_threads_change_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held_back():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    found = []

    def in_a_thread() -> None:
        with interrupts_held_back():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_broken_import_leaves_no_module_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("whole", "whole.part", "broken.part", "broken.part.deeper")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)

    def half_an_import() -> None:
        with whole_imports():
            sys.modules.update(dict.fromkeys(names, sys))
            raise ImportError

    with pytest.raises(ImportError):
        half_an_import()
    left = set(names) & set(sys.modules)
    for name in left:
        del sys.modules[name]
    assert left == {"whole", "whole.part"}


INTERRUPTED = """
import os, signal, sys, warnings
import numpy as np, portable_mlp as pm
warnings.simplefilter("error", RuntimeWarning)

class Interrupting:
    left = {left}

    def find_spec(self, name, path=None, target=None):
        self.left -= 1
        if self.left == 0:
            {interrupt}

def numpy():
    pm.get_backend("numpy").load()
    net = pm.Network((3, 4, 2))
    result = pm.train(net, pm.init_params(net), np.ones((9, 3)), np.arange(9) % 2, epochs=1)
    if result.stopped_because == "interrupted":
        raise KeyboardInterrupt
    return type(pm.get_backend("numpy").primitives).__name__

def handover():
    from portable_mlp.backends import _patient_runner
    _patient_runner.SECONDS_OF_PLAIN_STEPS = 1e-9  # the second step is compiled
    net = pm.Network((3, 4, 2))
    result = pm.train(net, pm.init_params(net), np.ones((9, 3)), np.arange(9) % 2, epochs=2, batch_size=3)
    if result.stopped_because == "interrupted":
        raise KeyboardInterrupt
    return type(pm.get_backend("numpy").primitives).__name__

def scipy():
    net = pm.Network((3, 4, 2))
    pm.train(net, pm.init_params(net), np.ones((9, 3)), np.arange(9) % 2, epochs=1, solver="lbfgs")
    return "trained"

def sklearn():
    return pm.MLPClassifier.__name__

def torch():
    return pm.get_backend("torch").name

def jax():
    return pm.get_backend("jax").name

hook = Interrupting()
sys.meta_path.insert(0, hook)
try:
    {what}()
except KeyboardInterrupt:
    print("interrupted,", hook.left < 1, {what}())
"""
CTRL_C, RAISED = "os.kill(os.getpid(), signal.SIGINT)", "raise KeyboardInterrupt"


@pytest.mark.parametrize(
    ("what", "left", "interrupt", "result"),
    [
        ("numpy", 30, CTRL_C, "NumbaPrimitives"),
        ("sklearn", 400, CTRL_C, "MLPClassifier"),
        *rarely(
            ("scipy", 300, RAISED, "trained"),
            ("numpy", 2, RAISED, "NumbaPrimitives"),
            ("numpy", 240, RAISED, "NumbaPrimitives"),
            ("numpy", 120, CTRL_C, "NumbaPrimitives"),
            ("numpy", 180, RAISED, "NumbaPrimitives"),
            ("handover", 30, RAISED, "NumbaPrimitives"),
            ("handover", 240, CTRL_C, "NumbaPrimitives"),
            ("scipy", 30, CTRL_C, "trained"),
            ("sklearn", 400, RAISED, "MLPClassifier"),
            ("torch", 400, CTRL_C, "torch"),
            ("jax", 200, CTRL_C, "jax"),
        ),
    ],
)
def test_the_next_call_is_whole(what: str, left: int, interrupt: str, result: str) -> None:
    code = INTERRUPTED.format(what=what, left=left, interrupt=interrupt)
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True, env=environment
    )
    assert done.stdout.strip() == f"interrupted, True {result}"

"""`parallel`, and what joins processes: the parts by themselves."""

import ast
import os
import pathlib
import sys
import types
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.distributed import communicator, mpi
from portable_mlp.distributed.communicator import Serial
from portable_mlp.distributed.group import Group, current_group
from portable_mlp.distributed.nccl import joined_gpus
from portable_mlp.distributed.ordered_sum import pairwise_sum
from portable_mlp.distributed.supervision.heartbeat import VARIABLE
from portable_mlp.distributed.supervision.mpi_environment import STARTED, started_by_mpi
from portable_mlp.training.agreed_stop import AgreedRequests
from portable_mlp.training.stop_requests import StopAsked
from tests.distributed.fakes import ThreadCommunicator, Threads, on_ranks

X, Y, NET = np.eye(4), np.asarray([0, 1, 0, 1]), pm.Network((4, 2))


def test_a_context_is_left_as_it_was_entered() -> None:
    assert current_group() is None
    with pm.parallel("serial") as group:
        assert (group.rank, group.size, current_group()) == (0, 1, group)
        with pytest.raises(RuntimeError, match="in effect already"), pm.parallel("serial"):
            pass
    assert current_group() is None
    with pytest.raises(KeyError), pm.parallel("serial"):
        raise KeyError
    assert current_group() is None


def test_mpi_alone_is_a_group_of_one() -> None:
    from mpi4py import MPI

    def trained() -> pm.TrainResult:
        return pm.train(NET, pm.init_params(NET), X, Y, epochs=2)

    with pm.parallel("mpi") as group:
        assert (group.rank, group.size) == (0, 1)
        together = trained()
    with pm.parallel(comm=MPI.COMM_SELF, reproducible=True):
        trained()
    np.testing.assert_array_equal(together.params[0].W, trained().params[0].W)
    with pytest.raises(ValueError, match="every value must be finite"), pm.parallel("mpi"):
        pm.train(NET, pm.init_params(NET), X * np.nan, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "dask"}, "engine must be one of 'mpi', 'serial'; got 'dask'"),
        ({"engine": "serial", "samples": "some"}, "samples must be one of 'all', 'own'; got 'some'"),
        ({"engine": "serial", "samples": "own", "reproducible": True}, "needs all samples on every process"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message), pm.parallel(**options):
        pass


def test_communicators_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"rank, size and allreduce.*object has no rank"), pm.parallel(comm=object()):
        pass
    three = types.SimpleNamespace(rank=0, size=1, allreduce=lambda flat: None)
    with pm.parallel(comm=three):
        pm.train(NET, pm.init_params(NET), X, Y, epochs=1)
    with pytest.raises(ValueError, match="SimpleNamespace needs a method exchange"):
        Group(three, reproducible=True)
    with pytest.raises(ValueError, match="1, 2, 4 or 8 processes, got 3"):
        Group(ThreadCommunicator(Threads(3), 0), reproducible=True)


def test_a_missing_mpi_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[mpi\]"'), pm.parallel("mpi"):
        pass


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_order_of_a_sum(size: int) -> None:
    """The tree over eight terms, written out; chosen so that another order gives other bits."""
    terms = np.random.default_rng(3).normal(size=(8, 1000)) * 10.0 ** np.arange(8)[:, None]
    t = terms.astype(np.float32)
    expected = ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]))
    assert (expected != t.sum(axis=0)).any()

    def summed(rank: int) -> np.ndarray:
        group = current_group()
        assert group is not None
        each = 8 // size
        return group.summed(pairwise_sum(list(t[rank * each : (rank + 1) * each].copy())))

    for result in on_ranks(size, summed, reproducible=True):
        np.testing.assert_array_equal(result, expected)


def test_what_travels_arrives() -> None:
    payload, numbers = bytes(range(13)), np.asarray([-0.0, np.nan, 1e-310, np.inf])

    def sent(rank: int) -> Any:
        group = current_group()
        assert group is not None
        first = rank == 0
        return (
            group.broadcast(payload if first else None),
            group.broadcast(b"" if first else None),
            group.broadcast_array(numbers if first else np.ones(4)).tobytes(),
            group.on_root(lambda: [1.5, float("inf"), None, "é"]),
            group.gathered(rank, -(10**18) * rank),
        )

    for outcome in on_ranks(3, sent):
        told = [1.5, float("inf"), None, "é"]
        table = [[0, 0], [1, -(10**18)], [2, -2 * 10**18]]
        assert outcome == (payload, b"", numbers.tobytes(), told, table)


def test_arrays_are_summed_where_they_are(lib: Any) -> None:
    sums = on_ranks(3, lambda rank: current_group().summed(lib.array(np.arange(4.0) + rank)))  # type: ignore[union-attr]
    for result in sums:
        np.testing.assert_array_equal(lib.numpy(result), np.arange(4.0) * 3 + 3)


def test_a_communicator_may_sum_on_the_device() -> None:
    class Device(Serial):
        def takes(self, x: Any) -> bool:
            return isinstance(x, list)

        def allreduce_on_device(self, x: Any) -> None:
            x[0] *= 2

    assert Group(Device()).summed([1.0]) == [2.0]
    assert Group(Device()).summed(np.ones(1)) == np.ones(1)


def test_one_step_is_one_sum() -> None:
    """Beside the gradients' there is little: a constant number of messages an epoch, and the questions to stop."""
    calls = []

    def count(rank: int) -> None:
        group: Any = current_group()
        before = group._comm.n_calls
        pm.train(NET, pm.init_params(NET), np.tile(X, (500, 1)), np.tile(Y, 500), epochs=1, batch_size=1)
        calls.append(group._comm.n_calls - before)

    on_ranks(2, count)
    assert 2000 < calls[0] < 2600


# Requests to stop.


def test_a_request_to_one_rank_stops_all_after_the_same_step() -> None:
    def steps(rank: int) -> tuple[int, int | None]:
        group = current_group()
        assert group is not None
        requests = AgreedRequests(group)
        for step in range(5000):
            if step == 700 and rank == 1:
                requests.received = 15
            try:
                requests.check()
            except StopAsked:
                return step, requests.received
        raise AssertionError("nobody has heard it")

    first, second = on_ranks(2, steps)
    assert first == second
    assert 700 <= first[0] < 1701
    assert first[1] == 15


def test_terminated_is_every_ranks_end() -> None:
    def ended(rank: int) -> None:
        group = current_group()
        assert group is not None
        requests = AgreedRequests(group)
        if rank == 1:
            requests.received = 15
        try:
            requests.check()
        except StopAsked:
            requests.end_if_terminated()

    assert [type(outcome) for outcome in on_ranks(2, ended)] == [SystemExit, SystemExit]


# Signs of life, and where a process comes from.


def test_rank_0_shows_that_it_lives(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    path.touch()
    os.utime(path, (0, 0))
    monkeypatch.setenv(VARIABLE, str(path))
    moments = iter([0.0, 0.0, 0.05, 0.2, 0.2, 0.4, 0.4])
    monkeypatch.setattr("portable_mlp.distributed.supervision.heartbeat.time.monotonic", lambda: next(moments))
    group = Group(Serial())
    times = []
    for _ in range(3):
        group.summed(np.ones(1))
        times.append(path.stat().st_mtime)
        os.utime(path, (0, 0))
    assert times[0] > 0
    assert times[1] == 0
    assert times[2] > 0
    path.unlink()
    group.summed(np.ones(1))
    assert not path.exists()


def test_who_was_started_by_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STARTED:
        monkeypatch.delenv(name, raising=False)
    assert not started_by_mpi()
    monkeypatch.setenv("PMI_RANK", "3")
    assert started_by_mpi()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not started_by_mpi()


def test_what_processes_send_is_never_unpickled() -> None:
    """Those of mpi4py's methods that pickle are written small: ``bcast``, ``allreduce``, ``recv``, ..."""
    tree = ast.parse(pathlib.Path(mpi.__file__).read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "attr", "") in ("_comm", "_end", "_mpi")
    }
    assert {"Allreduce", "Sendrecv", "Ibarrier"} <= used
    assert all(name[0].isupper() for name in used)


def test_processes_that_mpi_does_not_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "64")
    with pytest.raises(ValueError, match="64 processes were started together, but MPI joins none"), pm.parallel("mpi"):
        pass
    with pm.parallel("serial"):
        pass


# NCCL: nobody has run it on a GPU yet. What CuPy is told, is looked at.


class FakeNccl:
    """Records what `cupy.cuda.nccl` would be called with."""

    NCCL_SUM, NCCL_FLOAT32, NCCL_FLOAT64 = 0, 7, 8

    def __init__(self, available: bool = True) -> None:
        self.available = available
        self.calls: list[Any] = []

    def get_unique_id(self) -> tuple[int, ...]:
        self.calls.append("get_unique_id")
        return tuple(range(-64, 64))

    def NcclCommunicator(self, *arguments: Any) -> Any:  # noqa: N802, CuPy's name
        self.calls.append(("NcclCommunicator", *arguments))
        return types.SimpleNamespace(allReduce=lambda *arguments: self.calls.append(("allReduce", *arguments)))


def fake_cupy(nccl: FakeNccl, pci_bus_id: str) -> Any:
    stream = types.SimpleNamespace(ptr=99)
    device = types.SimpleNamespace(pci_bus_id=pci_bus_id)
    cuda = types.SimpleNamespace(nccl=nccl, Device=lambda: device, get_current_stream=lambda: stream)
    return types.SimpleNamespace(cuda=cuda)


def test_gpus_are_joined_and_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    name = tuple(range(-64, 64))
    for rank in (0, 1):
        nccl = FakeNccl()
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(nccl, f"0000:0{rank}:00.0"))
        # What the other rank would have added.
        others = [np.asarray([[0, 0], [1, 7]][:: 1 if rank == 0 else -1]), np.asarray(name) if rank else np.zeros(128)]

        def allreduce(flat: np.ndarray, others: list[Any] = others) -> None:
            flat += others.pop(0).astype(np.int64)

        gpus = joined_gpus(types.SimpleNamespace(rank=rank, size=2, allreduce=allreduce))
        assert gpus is not None
        x = types.SimpleNamespace(data=types.SimpleNamespace(ptr=1234), size=5, dtype=np.dtype("float32"))
        gpus.allreduce(x)
        assert nccl.calls[-2:] == [
            ("NcclCommunicator", 2, name, rank),
            ("allReduce", 1234, 1234, 5, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, 99),
        ]
        assert ("get_unique_id" in nccl.calls) == (rank == 0)


@pytest.mark.parametrize("available", [True, False])
def test_without_nccl_or_with_one_gpu_for_two_sums_go_by_the_host(
    available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nccl = FakeNccl(available)
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(nccl, "0000:01:00.0"))

    def joined(rank: int) -> Any:
        group: Any = current_group()
        return joined_gpus(group._comm)

    assert on_ranks(2, joined) == [None, None]
    assert nccl.calls == []


def test_mpi_asks_for_gpus_once_and_for_cupys_arrays_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    summed: list[Any] = []
    gpus = types.SimpleNamespace(allreduce=summed.append)
    monkeypatch.setattr(mpi, "joined_gpus", lambda comm: asked.append(comm) or gpus)
    comm = mpi.Mpi()
    assert isinstance(comm, communicator.OnDevice)
    assert not comm.takes(np.ones(2))
    assert asked == []
    monkeypatch.setattr("array_api_compat.is_cupy_array", lambda x: True)
    group = Group(comm)
    group.summed("first")
    group.summed("second")
    assert asked == [comm]
    assert summed == ["first", "second"]
    comm.ends(None)

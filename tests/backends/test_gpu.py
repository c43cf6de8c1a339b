"""What is told of GPUs, by a made-up CuPy: no GPU is needed."""

import sys
import types

import pytest

import portable_mlp as pm
from portable_mlp.backends import gpu


def cupy_with(nccl: types.ModuleType | None) -> dict[str, types.ModuleType]:
    """Return the modules of a CuPy with two GPUs."""
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda i: {"name": f"GPU {i}".encode()},
        runtimeGetVersion=lambda: 13010,
        driverGetVersion=lambda: 13020,
    )
    cuda = types.ModuleType("cupy.cuda")
    cupy = types.ModuleType("cupy")
    cuda.__dict__.update(runtime=runtime, **({"nccl": nccl} if nccl else {}))
    cupy.__dict__.update(cuda=cuda, __path__=[])
    return {"cupy": cupy, "cupy.cuda": cuda}


@pytest.mark.parametrize("with_nccl", [True, False])
def test_names_and_versions(with_nccl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    nccl = types.ModuleType("cupy.cuda.nccl")
    nccl.__dict__["get_version"] = lambda: 22708
    for name, module in cupy_with(nccl if with_nccl else None).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gpu, "get_backend", lambda name: None)
    expected = gpu.GpuInfo(("GPU 0", "GPU 1"), cuda="13.1", driver="13.2", nccl="2.27.8" if with_nccl else None)
    assert gpu.gpu_info() == expected


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise pm.BackendUnavailable("no GPU answers")

    monkeypatch.setattr(gpu, "get_backend", missing)
    with pytest.raises(pm.BackendUnavailable, match="no GPU answers"):
        gpu.gpu_info()

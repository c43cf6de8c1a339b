"""Is a library there, and why not; devices; to and from the host; waiting; compiling."""

import importlib.metadata
import sys
import types
from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import _REGISTRY, BACKENDS, _installed_version, backend_of
from portable_mlp.backends._base import INSTALL

from . import paper_cupy

ROWS = [[1.5, -2.0], [0.0, 3.0]]


def test_every_test_library_is_available() -> None:
    """A missing test dependency is a failure, not a skip."""
    infos = {info.name: info for info in pm.backends()}
    assert list(infos) == ["numpy", "cupy", "torch", "jax", "mlx", "dpnp", "strict"]
    for name in ("numpy", "torch", "jax", "strict"):
        assert infos[name].available, infos[name].reason
        assert infos[name].version
        assert infos[name].devices
        assert infos[name].reason is None


def test_the_files_of_all_packages_are_read_for_a_library_alone_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes half a second."""
    assert _installed_version("numpy") == np.__version__

    def refuse() -> Any:
        raise AssertionError("all are read")

    monkeypatch.setattr(importlib.metadata, "packages_distributions", refuse)
    monkeypatch.setitem(_REGISTRY, "mlx", _REGISTRY["mlx"]._replace(module="a_library_that_is_missing"))
    assert _installed_version("mlx") is None


def test_every_backend_has_the_command_that_installs_it() -> None:
    assert list(INSTALL) == list(BACKENDS)


def test_every_listed_device_opens() -> None:
    for info in pm.backends():
        for device in info.devices:
            backend = pm.get_backend(info.name, device=device)
            assert backend.device_name == device
            assert pm.get_backend(info.name, device=backend.device).device == backend.device


def test_there_and_back(lib) -> None:
    x = lib.array(ROWS)
    lib.assert_home(x)
    assert lib.backend.to_numpy(x).tolist() == ROWS
    assert type(lib.backend.to_numpy(x)) is np.ndarray
    lib.backend.synchronize()


@pytest.mark.parametrize(
    "dtype", ["int32", "bool", np.int32, np.dtype("int32")], ids=["int32", "bool", "type", "dtype"]
)
def test_dtypes_by_any_name(lib, dtype: Any) -> None:
    x = lib.backend.asarray([0, 1], dtype=dtype)
    assert lib.backend.to_numpy(x).dtype == np.dtype(dtype)


def test_from_any_library_to_any_other(lib) -> None:
    for name in ("numpy", "torch", "jax", "strict"):
        other = pm.get_backend(name)
        there = lib.backend.asarray(other.asarray(ROWS, dtype="float32"), dtype="float32")
        assert lib.backend.to_numpy(there).tolist() == ROWS


@pytest.mark.parametrize(
    "host",
    [np.asfortranarray(ROWS), np.asarray(ROWS)[::-1][::-1], np.asarray(ROWS, dtype=">f8"), tuple(map(tuple, ROWS))],
    ids=["Fortran", "negative strides", "big-endian", "tuples"],
)
def test_any_memory_layout(lib, host: Any) -> None:
    assert lib.backend.to_numpy(lib.backend.asarray(host, dtype=lib.dtype)).tolist() == ROWS


def test_a_read_only_array_is_taken(lib) -> None:
    host = np.asarray(ROWS)
    host.flags.writeable = False
    assert lib.backend.to_numpy(lib.array(host)).tolist() == ROWS


def test_no_memory_is_shared_with_the_host_but_by_numpy(lib) -> None:
    host = np.asarray(ROWS, dtype=lib.dtype)
    x = lib.array(host)
    host[0, 0] = 99.0
    shared = lib.backend.name == "numpy"
    assert lib.backend.to_numpy(x)[0, 0] == (99.0 if shared else 1.5)


def test_backend_of_an_array(lib) -> None:
    found = backend_of(lib.array(ROWS))
    assert type(found) is type(lib.backend)
    assert found.device == lib.backend.device


def test_compile_and_running_keep_the_numbers(lib) -> None:
    with lib.backend.running():
        doubled = lib.backend.compile(lambda x: x + x)(lib.array(ROWS))
    assert lib.numpy(doubled).tolist() == [[3.0, -4.0], [0.0, 6.0]]


def test_a_library_without_a_file_has_a_plain_backend() -> None:
    strict = pm.get_backend("strict")
    plain = pm.Backend(strict.xp, strict.device)
    there = plain.asarray(np.asarray(ROWS), dtype="float32")
    assert there.dtype == strict.xp.float32
    assert plain.to_numpy(there).tolist() == ROWS
    assert plain.compile(len) is len
    with plain.running():
        plain.synchronize()


class OnADevice:
    """An array of a library whose memory NumPy cannot read, until it asks for a copy in that of the host."""

    def __init__(self, host: np.ndarray) -> None:
        self._host = host

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return pm.get_backend("strict").xp

    def __dlpack_device__(self) -> tuple[int, int]:
        return (14, 0)  # kDLOneAPI

    def __dlpack__(self, *, dl_device: Any = None, **options: Any) -> Any:
        if dl_device != (1, 0):
            raise BufferError("this memory is not the host's")
        return self._host.__dlpack__(**options)


def test_arrays_of_any_device_come_to_the_host() -> None:
    plain = pm.Backend(pm.get_backend("strict").xp, "a GPU")
    host = np.asarray(ROWS)
    with pytest.raises((BufferError, RuntimeError)):
        np.from_dlpack(OnADevice(host))
    np.testing.assert_array_equal(plain.to_numpy(OnADevice(host)), host)


@pytest.mark.parametrize("widens", [True, False])
def test_torch_has_bfloat16_where_its_products_can_be_float32(widens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from portable_mlp.backends import _torch

    assert _torch.widens_bfloat16()  # as of PyTorch 2.8
    monkeypatch.setattr(_torch, "widens_bfloat16", lambda: widens)
    on_cuda = _torch.TorchBackend(_torch.xp, types.SimpleNamespace(type="cuda"))
    assert on_cuda.precisions == ("float32", "tf32", *(["bfloat16"] if widens else []))
    assert pm.get_backend("torch", "cpu").precisions == ("float32",)


def test_auto_is_cupy_where_a_gpu_answers_else_numpy() -> None:
    expected = "cupy" if {i.name: i.available for i in pm.backends()}["cupy"] else "numpy"
    assert pm.get_backend("auto").name == expected
    assert pm.get_backend().name == expected


def test_a_backend_is_returned_as_it_is() -> None:
    backend = pm.get_backend("torch")
    assert pm.get_backend(backend) is backend
    with pytest.raises(ValueError, match=r"device='cpu' was given with .*torch.*, which already has one"):
        pm.get_backend(backend, device="cpu")


def test_unknown_backend_lists_the_choices() -> None:
    with pytest.raises(ValueError, match=r"no backend 'nunpy'; choose one of 'auto', 'numpy', 'cupy', 'torch'"):
        pm.get_backend("nunpy")


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "strict"])
def test_unknown_device_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no device 'abacus'"):
        pm.get_backend(name, device="abacus")


@pytest.mark.parametrize(("name", "device"), [("torch", "cuda:77"), ("jax", "cuda:77"), ("jax", "cpu:77")])
def test_a_device_that_does_not_answer_is_named(name: str, device: str) -> None:
    with pytest.raises(pm.BackendUnavailable, match=f"device '{device}' of {name} does not answer"):
        pm.get_backend(name, device=device)


def test_a_dtype_that_the_device_lacks() -> None:
    backend = pm.get_backend("strict", device="no_float64")
    with pytest.raises(ValueError, match=r"'float64' is not available with strict on no_float64; .*float32"):
        backend.asarray([1.0], dtype="float64")
    with pytest.raises(ValueError, match=r"'float23' is not available with numpy"):
        pm.get_backend("numpy").asarray([1.0], dtype="float23")


def test_jax_says_how_to_turn_64_bits_on() -> None:
    import jax

    with jax.enable_x64(False), pytest.raises(ValueError, match=r"jax.config.update\('jax_enable_x64', True\)"):
        pm.get_backend("jax").asarray([1.0], dtype="float64")


def test_only_numbers_are_taken(lib) -> None:
    with pytest.raises(TypeError, match="an array of real numbers is needed"):
        lib.backend.asarray(["a", "b"])
    with pytest.raises(TypeError, match="an array of real numbers is needed"):
        lib.backend.asarray([1j])


def test_to_numpy_refuses_another_librarys_array() -> None:
    with pytest.raises(TypeError, match=r"to_numpy of the torch backend got numpy.ndarray"):
        pm.get_backend("torch").to_numpy(np.zeros(1))
    with pytest.raises(TypeError, match=r"to_numpy of the numpy backend got builtins.float"):
        pm.get_backend("numpy").to_numpy(1.0)


def test_a_missing_library_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "portable_mlp.backends._torch", raising=False)
    with pytest.raises(pm.BackendUnavailable, match=r'cannot be used here: .*; pip install "\.\[torch\]"'):
        pm.get_backend("torch")
    unavailable = next(info for info in pm.backends() if info.name == "torch")
    assert not unavailable.available
    assert "pip install" in str(unavailable.reason)


def test_a_broken_library_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose parts do not fit raises whatever it likes."""
    import jax

    def broken(*arguments: Any) -> None:
        raise AssertionError("the parts of this installation do not fit\nand more")

    monkeypatch.setattr(jax, "devices", broken)
    with pytest.raises(pm.BackendUnavailable, match=r"'jax' cannot be used here: the parts .* do not fit; pip install"):
        pm.get_backend("jax")
    info = next(info for info in pm.backends() if info.name == "jax")
    assert not info.available
    assert info.version == jax.__version__


def test_a_device_of_torch_that_needs_another_package_is_unavailable() -> None:
    with pytest.raises(pm.BackendUnavailable, match="torch"):
        pm.get_backend("torch", device="hpu")


def test_auto_says_why_a_device_is_not_to_be_had() -> None:
    if pm.get_backend("auto").name == "numpy":
        with pytest.raises(pm.BackendUnavailable, match=r"'auto' finds no device 'cuda:0': numpy has no .*cupy"):
            pm.get_backend("auto", device="cuda:0")


def test_a_masked_array_is_refused(lib) -> None:
    with pytest.raises(TypeError, match="would lose its mask"):
        lib.backend.asarray(np.ma.masked_array([1.0, 2.0], [True, False]))


@pytest.fixture
def fake_cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a CuPy with so many GPUs in the place of any other."""
    cupy = paper_cupy.fake_cupy()
    cupy.is_available = lambda: request.param > 0
    cupy.cuda.runtime.getDeviceCount = lambda: request.param
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", paper_cupy.NAMESPACE)
    monkeypatch.setattr(array_api_compat, "cupy", paper_cupy.NAMESPACE, raising=False)
    paper_cupy.forget()
    yield
    paper_cupy.forget()


@pytest.mark.parametrize("fake_cupy", [0], indirect=True)
@pytest.mark.usefixtures("fake_cupy")
def test_cupy_without_a_gpu_says_why_and_what_to_install() -> None:
    with pytest.raises(pm.BackendUnavailable, match=r"no NVIDIA GPU .* answers .*\[cupy-cuda12x\]"):
        pm.get_backend("cupy")
    with pytest.raises(pm.BackendUnavailable, match="no NVIDIA GPU"):
        pm.get_backend("cupy", device="cuda:0")
    assert pm.get_backend("auto").name == "numpy"


@pytest.mark.parametrize("fake_cupy", [2], indirect=True)
@pytest.mark.usefixtures("fake_cupy")
def test_cupy_devices_by_name() -> None:
    assert pm.get_backend("auto").name == "cupy"
    assert pm.get_backend("auto", device="cpu").name == "numpy"
    assert pm.get_backend("cupy", device="cuda:1").device_name == "cuda:1"
    with pytest.raises(pm.BackendUnavailable, match="device 'cuda:2' of cupy does not answer"):
        pm.get_backend("cupy", device="cuda:2")
    with pytest.raises(ValueError, match="cupy has no device 'cpu'"):
        pm.get_backend("cupy", device="cpu")

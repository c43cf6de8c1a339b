"""Model files: what goes in comes out, on any library; nothing half-written; every defect is named."""

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import portable_mlp as pm
from portable_mlp.storage.models import save_ensemble

NET = pm.Network((3, 4, 2), activation="tanh")
METADATA = {"classes": ["no", "yes"], "input_mean": [0.5, -1.0, 1e-300], "nested": {"a": [1, None, True]}}


@pytest.fixture
def path(tmp_path) -> Any:
    return tmp_path / "model.safetensors"


def saved(path: Any) -> bytes:
    pm.save_model(path, NET, pm.init_params(NET), metadata=METADATA)
    return path.read_bytes()


def test_round_trip_on_every_library(lib, path) -> None:
    params = pm.init_params(NET, random_state=3, backend=lib.backend, dtype=lib.dtype)
    pm.save_model(path, NET, params, metadata=METADATA)
    net, loaded, metadata = pm.load_model(path, backend=lib.backend)
    assert net == NET
    assert metadata == METADATA
    for before, after in zip(params, loaded, strict=True):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_array_equal(lib.numpy(y), lib.numpy(x))


def test_a_model_moves_between_libraries(path) -> None:
    params = pm.init_params(NET, backend="torch")
    pm.save_model(path, NET, params)
    _, loaded, metadata = pm.load_model(path, backend="jax", dtype="float32")
    assert metadata == {}
    np.testing.assert_array_equal(np.asarray(loaded[0].W), params[0].W.numpy().astype(np.float32))


def test_an_ensemble_comes_back_on_every_library(lib, path) -> None:
    several = [pm.init_params(NET, random_state=i, backend=lib.backend, dtype=lib.dtype) for i in range(3)]
    params = tuple(
        pm.Layer(*(lib.xp.stack(parts) for parts in zip(*layers, strict=True))) for layers in zip(*several, strict=True)
    )
    save_ensemble(path, NET, params, METADATA)
    net, loaded, metadata = pm.load_model(path, backend=lib.backend)
    assert (net, metadata) == (NET, METADATA)
    for before, after in zip(params, loaded, strict=True):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_array_equal(lib.numpy(y), lib.numpy(x))
    tensors = safetensors.numpy.load(path.read_bytes())
    assert {name: x.shape for name, x in tensors.items()} == {
        "W1": (3, 3, 4),
        "b1": (3, 4),
        "W2": (3, 4, 2),
        "b2": (3, 2),
    }
    np.testing.assert_array_equal(tensors["W2"][1], lib.numpy(several[1][1].W))


def test_the_networks_of_an_ensemble_are_counted(path) -> None:
    def of(n_networks: int) -> pm.Params:
        return tuple(pm.Layer(*(np.stack([x] * n_networks) for x in layer)) for layer in pm.init_params(NET))

    for n_networks in (1, 1001):
        with pytest.raises(ValueError, match=f"a model file holds 2 to 1000 networks, but params are of {n_networks}"):
            save_ensemble(path, NET, of(n_networks))
    save_ensemble(path, NET, of(1000))
    again = path.read_bytes()
    save_ensemble(path, *pm.load_model(path))
    assert path.read_bytes() == again
    save_ensemble(path, NET, pm.init_params(NET))
    pm.save_model(path.with_name("one"), NET, pm.init_params(NET))
    assert path.read_bytes() == path.with_name("one").read_bytes()


@pytest.mark.parametrize(
    "net",
    [
        pm.Network((2, 3)),
        pm.Network((2, 3, 4, 5), activation=["relu", "gelu"], output="exp"),
        pm.Network((1, 1), output="logistic", loss="squared_error"),
    ],
    ids=repr,
)
def test_every_kind_of_network_survives(path, net: pm.Network) -> None:
    pm.save_model(path, net, pm.init_params(net))
    assert pm.load_model(path)[0] == net


def strided(W: np.ndarray) -> np.ndarray:
    room = np.zeros((2 * W.shape[0], 3 * W.shape[1]))
    room[::2, ::3] = W
    return room[::2, ::3]


@pytest.mark.parametrize(
    "layout",
    [np.asfortranarray, strided, lambda W: W[::-1].copy()[::-1], lambda W: W.astype(">f8")],
    ids=["Fortran", "strided", "negative", "big-endian"],
)
def test_any_memory_layout_is_written_right(path, layout: Any) -> None:
    """Some writers of safetensors write wrong bytes for arrays that are not C-contiguous."""
    params = pm.init_params(NET)
    pm.save_model(path, NET, tuple(pm.Layer(layout(W), b.astype(layout(W).dtype)) for W, b in params))
    for before, after in zip(params, pm.load_model(path)[1], strict=True):
        np.testing.assert_array_equal(after.W, before.W)


def test_the_same_model_gives_the_same_bytes(path, tmp_path) -> None:
    other = tmp_path / "other.safetensors"
    reordered = dict(reversed(METADATA.items()))
    pm.save_model(path, NET, pm.init_params(NET), METADATA)
    pm.save_model(other, NET, pm.init_params(NET, backend="torch"), reordered)
    assert path.read_bytes() == other.read_bytes()


def test_everyone_can_read_the_tensors(path) -> None:
    saved(path)
    tensors = safetensors.numpy.load_file(path)
    assert {name: x.shape for name, x in tensors.items()} == {"W1": (3, 4), "b1": (4,), "W2": (4, 2), "b2": (2,)}
    np.testing.assert_array_equal(tensors["W2"], pm.init_params(NET)[1].W)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved(path)

    def full_disk(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        pm.save_model(path, NET, pm.init_params(NET, random_state=1))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"": ""},
        {"text": "\0\x1b\u2028\uffff\U0001f600 äß", "key ä\n": 1},
        {"numbers": [0.1, 1e22, 1e-7, 1e300, 5e-324, 123456789012345678, 10**400, -(10**400), 2**64 + 1]},
        {"like": [True, 1, 1.0, False, 0, None]},
        {"empty": [[], {}, ""], "deep": {"a": {"b": [{"c": [[[1]]]}]}}},
        {"sha256": "0" * 64, "format_version": 2, "__metadata__": {"portable_mlp": "{}"}},
        {"long": "x" * 2_000_000},
    ],
    ids=["empty", "no text", "texts", "numbers", "alike", "shapes", "our own words", "long"],
)
def test_metadata_come_back_as_they_were(path, metadata: dict[str, Any]) -> None:
    pm.save_model(path, NET, pm.init_params(NET), metadata)
    loaded = pm.load_model(path)[2]
    assert repr(loaded) == repr({key: metadata[key] for key in sorted(metadata)})  # tells True, 1 and 1.0 apart
    assert loaded == metadata


def test_the_sign_of_zero_and_a_float_of_numpy_come_back(path) -> None:
    pm.save_model(path, NET, pm.init_params(NET), {"zero": -0.0, "mean": np.float64(0.1)})
    loaded = pm.load_model(path)[2]
    assert np.signbit(loaded["zero"])
    assert loaded["mean"] == 0.1


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def holding_itself() -> dict[str, Any]:
    value: dict[str, Any] = {"a": []}
    value["a"].append(value)
    return value


NOT_JSON: dict[str, tuple[Any, type[Exception], str]] = {
    "float32": ({"x": np.float32(1)}, TypeError, r"metadata\['x'\] is a float32, but JSON has"),
    "array": ({"x": [np.zeros(2)]}, TypeError, r"metadata\['x'\]\[0\] is a ndarray, but JSON has .*tolist"),
    "tuple": ({"sizes": (1, 2)}, TypeError, r"metadata\['sizes'\] is a tuple, but JSON has"),
    "set": ({"x": {1}}, TypeError, r"is a set, but JSON has"),
    "bytes": ({"x": b"1"}, TypeError, r"is a bytes, but JSON has"),
    "function": ({"x": {"y": len}}, TypeError, r"metadata\['x'\]\['y'\] is a builtin_function"),
    "nan": ({"x": float("nan")}, ValueError, r"metadata\['x'\] is nan, which JSON does not have"),
    "infinity": ({"x": -np.inf}, ValueError, r"metadata\['x'\] is -inf, which JSON does not have"),
    "key": ({1: "x"}, TypeError, "metadata has the key 1, but keys are all texts"),
    "inner key": ({"x": [{None: 3}]}, TypeError, r"metadata\['x'\]\[0\] has the key None, but keys are all texts"),
    "list": (["x"], TypeError, "metadata must be a dict, got list"),
    "text": ("x", TypeError, "metadata must be a dict, got str"),
    "false": (False, TypeError, "metadata must be a dict, got bool"),
    "half a pair": ({"x": "\ud800"}, ValueError, r"metadata\['x'\] has half of a surrogate pair in '\\ud800'"),
    "half a pair as a key": ({"\ud800": 1}, ValueError, "metadata has half of a surrogate pair"),
    "integer": ({"x": 1 << 4096}, ValueError, r"metadata\['x'\] is an integer of more than 4096 bits"),
    "deep": (nested(100), ValueError, "nested more than 100 levels deep, or holds itself"),
    "deeper": (nested(5000), ValueError, "nested more than 100 levels deep, or holds itself"),
    "itself": (holding_itself(), ValueError, "nested more than 100 levels deep, or holds itself"),
    "too long": (
        {"a": [1.5], "x": {"y": "z" * 2**25}},
        ValueError,
        r"the header, .* would have 33,555,\d{3} bytes; .* shorten metadata\['x'\]\['y'\], .* 33,554,434",
    ),
}


@pytest.mark.parametrize(("metadata", "kind", "message"), NOT_JSON.values(), ids=NOT_JSON)
def test_metadata_that_would_not_come_back_are_refused(
    path, metadata: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        pm.save_model(path, NET, pm.init_params(NET), metadata)
    assert list(path.parent.iterdir()) == []


def test_metadata_may_be_nested_99_levels_deep(path) -> None:
    pm.save_model(path, NET, pm.init_params(NET), nested(99))
    assert pm.load_model(path)[2] == nested(99)


def test_parameters_of_another_network_or_many_models_are_refused(path) -> None:
    with pytest.raises(ValueError, match="belong to another network"):
        pm.save_model(path, pm.Network((3, 2)), pm.init_params(NET))
    many = tuple(pm.Layer(np.stack([W, W]), np.stack([b, b])) for W, b in pm.init_params(NET))
    with pytest.raises(ValueError, match="a model file holds one model"):
        pm.save_model(path, NET, many)


def test_models_are_kept_in_float32_or_float64(path) -> None:
    half = tuple(pm.Layer(W.astype(np.float16), b.astype(np.float16)) for W, b in pm.init_params(NET))
    with pytest.raises(TypeError, match="trained and kept in float32 or float64, got float16"):
        pm.save_model(path, NET, half)
    saved(path)
    with pytest.raises(ValueError, match="parameters are float32 or float64, got dtype 'int32'"):
        pm.load_model(path, dtype="int32")


def test_a_missing_file_is_an_os_error(path) -> None:
    with pytest.raises(FileNotFoundError):
        pm.load_model(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_parameters_that_are_not_finite_are_refused(path, backend: str, value: float) -> None:
    params = pm.init_params(NET, backend=backend, dtype="float32")
    before = saved(path)
    params[1].W[2, 1] = value
    with pytest.raises(ValueError, match=rf"params\[1\]\.W\[2, 1\] is {value}; a model file holds finite numbers only"):
        pm.save_model(path, NET, params)
    assert path.read_bytes() == before


def test_a_parameter_that_float32_has_not_is_named(path) -> None:
    params = pm.init_params(NET)
    params[0].b[3] = 1e300
    pm.save_model(path, NET, params)
    with pytest.raises(ValueError, match=r"in float32, params\[0\]\.b\[3\] is inf: load the model in float64"):
        pm.load_model(path, dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_finite_number_comes_back_bit_by_bit(path, dtype: str) -> None:
    net, info = pm.Network((1, 5), output="identity"), np.finfo(dtype)
    W = np.array([[info.max, info.min, info.tiny, info.smallest_subnormal, -0.0]], dtype=dtype)
    params = (pm.Layer(W, np.full(5, np.nextafter(np.array(1, dtype), np.array(2, dtype)))),)
    pm.save_model(path, net, params)
    assert pm.pack(pm.load_model(path)[1]).tobytes() == pm.pack(params).tobytes()


def test_a_thousand_layers(path) -> None:
    net = pm.Network((1,) * 1001)
    pm.save_model(path, net, pm.init_params(net))
    assert pm.load_model(path)[0] == net
    net = pm.Network((1,) * 1002)
    with pytest.raises(ValueError, match="a model file holds 1000 layers at most, but the network has 1001"):
        pm.save_model(path, net, pm.init_params(net))


def test_loaded_parameters_can_be_written_to(path) -> None:
    saved(path)
    _, params, _ = pm.load_model(path)
    params[0].W[0, 0] = 7.0
    assert pm.load_model(path)[1][0].W[0, 0] != 7.0


def test_a_file_says_nothing_of_where_and_when_it_was_written(path, tmp_path) -> None:
    """Another folder, clock, time zone, user, hash seed, number of threads and library: the same bytes."""
    saved(path)
    folder = tmp_path / "somewhere else"
    folder.mkdir()
    code = (
        "import sys, time, portable_mlp as pm; time.time = lambda: 0.0\n"
        "net = pm.Network((3, 4, 2), activation='tanh'); params = pm.init_params(net, backend='strict')\n"
        f"pm.save_model('other.safetensors', net, params, {METADATA!r})"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
        "USER": "somebody",
        "HOME": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
    }
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment, timeout=120)
    assert (folder / "other.safetensors").read_bytes() == path.read_bytes()


def test_resaving_a_loaded_model_changes_nothing(path) -> None:
    before = saved(path)
    for backend in ("numpy", "torch", "jax", "strict"):
        pm.save_model(path, *pm.load_model(path, backend=backend))
        assert path.read_bytes() == before


def test_the_checksum_is_that_of_the_whole_file(path) -> None:
    content = saved(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert list(file.metadata()) == ["portable_mlp"]
        stored = json.loads(file.metadata()["portable_mlp"])["sha256"]
    blank = content.replace(stored.encode(), b"0" * 64)
    assert len(blank) == len(content)
    assert hashlib.sha256(blank).hexdigest() == stored


def test_the_numbers_are_the_flat_vector(path) -> None:
    content, flat = saved(path), pm.pack(pm.init_params(NET)).tobytes()
    assert content.endswith(flat)
    assert (len(content) - len(flat)) % 8 == 0


def test_more_than_nine_layers_stay_in_order(path) -> None:
    """Sorted by name, W10 would come before W2."""
    net = pm.Network(tuple(range(2, 14)))
    params = pm.init_params(net)
    pm.save_model(path, net, params)
    assert path.read_bytes().endswith(pm.pack(params).tobytes())
    tensors = safetensors.numpy.load_file(path)
    assert len(tensors) == 22
    for i, (W, b) in enumerate(params, start=1):
        np.testing.assert_array_equal(tensors[f"W{i}"], W)
        np.testing.assert_array_equal(tensors[f"b{i}"], b)

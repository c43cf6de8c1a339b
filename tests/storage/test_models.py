"""Model files: what goes in comes out, on any library; nothing half-written; every defect is named."""

import hashlib
import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import portable_mlp as pm

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
    """safetensors 0.8 writes wrong bytes for arrays that are not C-contiguous."""
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
    ("metadata", "kind", "message"),
    [
        ({"x": np.float32(1)}, TypeError, "metadata must be a dict of what JSON can say"),
        ({"x": float("nan")}, ValueError, "metadata must be a dict of what JSON can say"),
        ({1: "x"}, TypeError, "keys are all texts"),
        ({"x": [{2: 3}]}, TypeError, "keys are all texts"),
        (["x"], TypeError, "metadata must be a dict"),
    ],
    ids=["numpy", "nan", "key", "inner-key", "list"],
)
def test_metadata_that_json_cannot_say_is_refused(path, metadata: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pm.save_model(path, NET, pm.init_params(NET), metadata)
    assert not path.exists()


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


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"not a model at all, but text", b"PK\x03\x04" + b"\0" * 100])
def test_other_files_are_named(path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(pm.ModelFileError, match=r"model.safetensors: not a safetensors file"):
        pm.load_model(path)


def test_every_truncation_and_every_flipped_bit_is_found(path) -> None:
    content = saved(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(pm.ModelFileError, match=r"model.safetensors: "):
            pm.load_model(path)
    rng = np.random.default_rng(0)
    for position in rng.integers(0, 8 * len(content), 500):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << (position % 8)
        path.write_bytes(bytes(flipped))
        try:
            net, params, metadata = pm.load_model(path)
        except pm.ModelFileError:
            continue
        # What the checksum does not cover is the text around the numbers: there a change must show.
        assert (net, metadata) != (NET, METADATA) or b" " in flipped[:9]
        np.testing.assert_array_equal(pm.pack(params), pm.pack(pm.init_params(NET)))


def rewritten(path: Any, change: Any, tensors: Any = None) -> None:
    """Save a sound model whose description ``change`` has altered."""
    saved(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        described = json.loads(file.metadata()["portable_mlp"])
    text = change(described)
    kept = tensors if tensors is not None else safetensors.numpy.load_file(path)
    metadata = None if text is None else {"portable_mlp": text if isinstance(text, str) else json.dumps(text)}
    path.write_bytes(safetensors.numpy.save(kept, metadata))


def network(**fields: Any) -> Any:
    return lambda described: described | {"network": described["network"] | fields}


CHANGES = {
    "no description": (lambda described: None, "not one that portable_mlp wrote"),
    "no JSON": (lambda described: "{", "the description is not JSON"),
    "deep JSON": (lambda described: "[" * 100_000, "the description is not JSON"),
    "a list": (lambda described: [1], "format version None is not known"),
    "a newer format": (lambda described: described | {"format_version": 99}, "version 99 is not known; .* version 1"),
    "no network": (lambda described: described | {"network": 3}, "description of the network is incomplete"),
    "other fields": (network(extra=1), "description of the network is incomplete"),
    "unknown name": (network(activation="os.system"), "description of the network is wrong: activation must be one of"),
    "other sizes": (network(sizes=[3, 5, 2]), r"needs the tensors .*'W1': \(3, 5\)"),
    "huge sizes": (network(sizes=[10**9, 10**9, 2]), "needs the tensors"),
    "text for sizes": (network(sizes="abc"), "description of the network is wrong"),
    "other checksum": (lambda described: described | {"sha256": "0" * 64}, "checksum differs"),
    "no metadata": (lambda described: described | {"metadata": None}, "the metadata entry is not a dict"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_wrong_description_is_named(path, change: Any, message: str) -> None:
    rewritten(path, change)
    with pytest.raises(pm.ModelFileError, match=rf"model.safetensors: .*{message}"):
        pm.load_model(path)


def test_other_tensors_are_named(path) -> None:
    tensors = {"W1": np.zeros((3, 4)), "b1": np.zeros(4), "W2": np.zeros((4, 2), np.float32), "b2": np.zeros(2)}
    rewritten(path, lambda described: described, tensors)
    with pytest.raises(pm.ModelFileError, match="the tensors must all be float32 or all float64"):
        pm.load_model(path)
    rewritten(path, lambda described: described, tensors | {"W3": np.zeros(1)})
    with pytest.raises(pm.ModelFileError, match=r"the file has .*'W3': \(1,\)"):
        pm.load_model(path)


def test_a_dtype_that_numpy_lacks_is_a_model_file_error(path) -> None:
    header = json.dumps({"W1": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(pm.ModelFileError, match="not a safetensors file that can be read here"):
        pm.load_model(path)


def test_the_checksum_is_the_sha256_of_the_flat_vector(path) -> None:
    saved(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        described = json.loads(file.metadata()["portable_mlp"])
    assert described["sha256"] == hashlib.sha256(pm.pack(pm.init_params(NET)).tobytes()).hexdigest()

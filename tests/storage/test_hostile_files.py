"""Files made to harm: each is refused with its reason, and nothing is run, written or grown for it."""

import contextlib
import errno
import json
import os
import pathlib
import pickle
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st

import portable_mlp as pm
from tests.storage.crafting import METADATA, NET, compact, crafted, description, entries, framed, network, parameters
from tests.storage.hostile_files import HOSTILE, Program

WATCHED = pathlib.Path(__file__).with_name("watched_loads.py")
MEGABYTE = 2**20


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.safetensors"


def test_a_sound_file_made_by_hand_is_the_one_that_is_written(path: pathlib.Path) -> None:
    """What the other tests break is the real thing."""
    pm.save_model(path, NET, parameters(), METADATA)
    assert path.read_bytes() == crafted()


@pytest.mark.parametrize(("content", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_each_is_refused_with_its_reason(path: pathlib.Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(pm.ModelFileError, match=f"^{re.escape(str(path))}: .*{reason}") as caught:
        pm.load_model(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 320


def test_what_pytorch_and_joblib_write_is_known(path: pathlib.Path) -> None:
    import joblib
    import torch

    torch.save({"W1": torch.zeros(3)}, path)
    with pytest.raises(
        pm.ModelFileError, match=r"not a safetensors file but a zip archive, such as those of torch.save"
    ):
        pm.load_model(path)
    torch.save({"W1": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(pm.ModelFileError, match="but a pickle, which can run any program"):
        pm.load_model(path)
    for compress, reason in ((0, "but a pickle"), (3, "but compressed data"), (("bz2", 3), "but compressed data")):
        joblib.dump({"W1": np.zeros(3)}, path, compress=compress)
        with pytest.raises(pm.ModelFileError, match=reason):
            pm.load_model(path)


def test_most_of_them_pass_a_plain_safetensors_reader() -> None:
    """What the strictness is for: the library that everyone uses takes these."""
    taken = 0
    for content, _ in HOSTILE.values():
        with contextlib.suppress(Exception):
            safetensors.numpy.load(content)
            taken += 1
    assert taken > 50


# --- What is done meanwhile


def watched(kind: str, sound: pathlib.Path, broken: pathlib.Path, paths: list[pathlib.Path]) -> dict[str, Any]:
    """Return, for each file, the error, the audit events and the growth of memory in a process that loads it."""
    arguments = [sys.executable, str(WATCHED), kind, *map(str, (sound, broken, *paths))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {pathlib.Path(path).name: what for path, what in found.items()}


def written(folder: pathlib.Path, contents: dict[str, bytes]) -> list[pathlib.Path]:
    paths = [folder / re.sub(r"\W+", "-", f"{i} {name}") for i, name in enumerate(contents)]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def sparse_file(path: pathlib.Path, side: int) -> pathlib.Path:
    """Write a file with a sound header for a network of side x side, and all its numbers, which take no room."""
    said = network(sizes=[side, side], activation="identity")
    content = crafted(said, entries([(side, side), (side,)]), b"")
    path.write_bytes(content)
    os.truncate(path, len(content) + 8 * side * (side + 1))
    return path


def assert_harmless(what: dict[str, Any], size: int, allowed: Iterable[str] = ()) -> None:
    assert what["error"].startswith("ModelFileError: "), what
    assert set(what["events"]) <= {"open to read", *allowed}, what
    assert what["grown"] <= 2 * size + 32 * MEGABYTE, what


def test_nothing_else_is_done_for_them(tmp_path: pathlib.Path) -> None:
    """Python's audit events while they are loaded are the opening of the files themselves, to read, and no other."""
    paths = written(tmp_path, {name: content for name, (content, _) in HOSTILE.items()})
    paths.append(sparse_file(tmp_path / "larger than the memory", 20_000))
    sound = tmp_path / "sound"
    pm.save_model(sound, NET, parameters(), METADATA)
    found = watched("model", sound, paths[0], paths)
    assert len(found) == len(HOSTILE) + 1
    for path in paths:
        assert_harmless(found[path.name], 0 if path.name.startswith("larger") else path.stat().st_size)
    assert "it does not fit into memory" in found["larger than the memory"]["error"]


def test_the_watch_sees_a_pickle_at_work(tmp_path: pathlib.Path) -> None:
    """The negative control: loaded as pickles, two of these files run a program, which is seen."""
    (sound,) = written(tmp_path, {"sound": pickle.dumps([1.0])})
    names = [f"a pickle, protocol {protocol}" for protocol in (0, 5)]
    paths = written(tmp_path, {name: HOSTILE[name][0] for name in names})
    for what in watched("pickle", sound, sound, paths).values():
        assert {"pickle.find_class", "compile", "exec", "os.system"} <= set(what["events"])


def test_the_limit_of_memory_is_felt(path: pathlib.Path) -> None:
    """The negative control: read before it is looked at, the sparse file asks for more than there is."""
    sparse_file(path, 20_000)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        f"try: open({str(path)!r}, 'rb').read()\nexcept MemoryError: print('felt')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "felt\n"


# --- What is no file


@contextlib.contextmanager
def pipe(path: pathlib.Path) -> Iterator[pathlib.Path]:
    os.mkfifo(path)
    yield path


@contextlib.contextmanager
def folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    path.mkdir()
    yield path


@contextlib.contextmanager
def device(path: pathlib.Path) -> Iterator[pathlib.Path]:
    path.symlink_to("/dev/zero")
    yield path


@pytest.fixture
def not_for_ever() -> Iterator[None]:
    """Let a test fail that would wait for a writer or read for ever."""

    def stop(*_: Any) -> None:
        raise TimeoutError("this takes for ever")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("not_for_ever")
@pytest.mark.parametrize("make", [pipe, folder, device])
def test_what_is_no_ordinary_file_is_refused_at_once(path: pathlib.Path, make: Any) -> None:
    with (
        make(path),
        pytest.raises(pm.ModelFileError, match=r"model\.safetensors: not an ordinary file but a folder, a"),
    ):
        pm.load_model(path)


def test_what_the_system_refuses_is_its_own_error_with_the_path(path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"'{path}'")):
        pm.load_model(path)
    path.symlink_to(path)
    with pytest.raises(OSError, match=re.escape(f"'{path}'")):
        pm.load_model(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(OSError, match=re.escape(f"'{path}'")):
            pm.load_model(path)


def test_a_disk_that_cannot_be_read_is_an_os_error_with_the_path(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path.write_bytes(crafted())
    monkeypatch.setattr("portable_mlp.storage.tensor_files._read_head", fail)
    with pytest.raises(OSError, match=re.escape(f"Input/output error: '{path}'")):
        pm.load_model(path)


def test_a_file_that_shrinks_while_it_is_read(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = pm.Network((500, 500))  # more than the buffer of a file
    pm.save_model(path, net, pm.init_params(net))
    empty = np.empty

    def shrink(*arguments: Any, **options: Any) -> np.ndarray:
        os.truncate(path, 1_000_000)
        return empty(*arguments, **options)

    monkeypatch.setattr("portable_mlp.storage.tensor_files.np.empty", shrink)
    with pytest.raises(pm.ModelFileError, match="it became shorter while it was read"):
        pm.load_model(path)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2Jx", "\u202etxt", "a\x9bb", "a\udcffb"])
def test_a_path_is_shown_without_control_characters(tmp_path: pathlib.Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(pm.ModelFileError, match="the file is empty") as caught:
        pm.load_model(path)
    assert str(caught.value).isprintable()
    with pytest.raises(pm.ModelFileError, match="the file is empty"):
        pm.load_model(os.fsencode(path))  # type: ignore[arg-type]


# --- What nobody thought of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.sampled_from([2**31, 2**53 + 1, 2**63, 2**64, 2**80, -(2**70), 1e300, -0.0, 0.5, float("nan"), float("inf")])
    | st.floats()
    | st.sampled_from(["", "F32", "F64", "BF16", "tanh", "softmax", "float32", "\x1b[31m", "\ud800", "\0", "W1", "é"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(way for key, x in inner for way in places(x, (*at, key)))]


def changed(value: Any, way: tuple[Any, ...], change: str, new: Any) -> Any:
    """Return a JSON value with the value at that place replaced, left out, doubled, or put into a list."""
    if not way:
        return {"replace": new, "wrap": [value], "leave out": None, "double": [value, value]}[change]
    copied = value.copy()
    key, *rest = way
    if rest or change in ("replace", "wrap"):
        copied[key] = changed(value[key], tuple(rest), change, new)
    elif change == "leave out":
        del copied[key]
    elif isinstance(copied, list):
        copied.insert(key, copied[key])
    else:
        copied[key + "'"] = copied[key]
    return copied


def outcome(path: pathlib.Path) -> Any:
    """Return the model, or None if it is refused as it should be; any other error goes through."""
    try:
        return pm.load_model(path)
    except pm.ModelFileError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return None


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("fuzz") / "model.safetensors"


@given(data=st.data())
def test_a_changed_structure_is_refused_or_a_model(scratch: pathlib.Path, data: st.DataObject) -> None:
    """The header's structure is changed in one or two places, and the checksum set right."""
    said, tensors = description(), entries()
    for _ in range(data.draw(st.integers(1, 2))):
        change = data.draw(st.sampled_from(["replace", "leave out", "double", "wrap"]))
        if data.draw(st.booleans()):
            said = changed(said, data.draw(st.sampled_from(places(said)[1:] or [()])), change, data.draw(JSON))
        else:
            tensors = changed(tensors, data.draw(st.sampled_from(places(tensors)[1:] or [()])), change, data.draw(JSON))
        if not isinstance(said, dict) or not isinstance(tensors, dict):
            return
    content = crafted(compact(said), tensors)
    scratch.write_bytes(content)
    loaded = outcome(scratch)
    if loaded is not None:  # then it is another model, or other metadata, and what is written for it is what was read
        pm.save_model(scratch, *loaded)
        written, version = scratch.read_bytes(), f'"{pm.__version__}"'.encode()
        if said["library_version"] == pm.__version__:
            assert written == content
        assert version.replace(b'"', b'\\"') in written


@given(data=st.data())
@example(data=None)
def test_changed_bytes_are_refused(scratch: pathlib.Path, data: Any) -> None:
    """Bytes are changed, left out, doubled and swapped, without care for the checksum."""
    content = crafted()
    if data is None:
        scratch.write_bytes(content)
        assert outcome(scratch) is not None
        return
    other = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(other) - 1))
        stop = data.draw(st.integers(start, min(len(other), start + 40)))
        other[start:stop] = data.draw(
            st.binary(max_size=40)
            | st.sampled_from([b"", bytes(other[start:stop]) * 2, b"\xff" * 8, b'"', b"{", b"\0" * 8])
        )
        other = other or bytearray(1)
    scratch.write_bytes(other)
    assert outcome(scratch) is None or bytes(other) == content


@given(header=JSON, payload=st.binary(max_size=64))
def test_any_header_is_refused(scratch: pathlib.Path, header: Any, payload: bytes) -> None:
    text = json.dumps(header)
    scratch.write_bytes(framed(text, payload))
    assert outcome(scratch) is None


def test_a_pickle_would_have_run_a_program() -> None:
    """The negative control of the files themselves."""
    with pytest.MonkeyPatch.context() as patch:
        run: list[str] = []
        patch.setattr(os, "system", run.append)
        pickle.loads(pickle.dumps(Program()))
    assert run == ["exit 0"]

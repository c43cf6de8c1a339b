"""A disk that fails at any call: the older model stays, the error names the file, and nothing else is left behind."""

import errno
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

import portable_mlp as pm
from portable_mlp.storage import atomic

NET = pm.Network((60, 100, 10))
"""More bytes than the buffer of a file, so that several writes are made."""

ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO, "over quota": errno.EDQUOT, "read-only": errno.EROFS}


class Disk:
    """Counts the calls of one kind, and lets one of them fail."""

    def __init__(self, fails_at: int, code: int) -> None:
        self.calls, self.fails_at, self.code = 0, fails_at, code

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.calls += 1
        if self.calls - 1 == self.fails_at:
            raise OSError(self.code, os.strerror(self.code))
        return function(*arguments)


def attach(disk: Disk, function: str, patch: pytest.MonkeyPatch) -> None:
    """Let the calls of ``os.fsync``, ``os.replace``, ``open`` or of a file's own ``write`` go through the disk."""
    if function in ("fsync", "replace", "chmod"):
        real = getattr(os, function)
        patch.setattr(os, function, lambda *arguments: disk.call(real, *arguments))
        return

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            return int(disk.call(super().write, data)) if function == "write" else super().write(data)

        def close(self) -> None:
            open_till_now = not self.closed
            super().close()
            if function == "close" and open_till_now:
                disk.call(lambda: None)

    def opened(path: str, mode: str) -> io.BufferedWriter:
        return io.BufferedWriter(disk.call(Raw, path, mode) if function == "open" else Raw(path, mode))

    patch.setattr(atomic, "open", opened, raising=False)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "model.safetensors"
    pm.save_model(path, NET, pm.init_params(NET))
    return path


def save_another(path: pathlib.Path) -> None:
    pm.save_model(path, NET, pm.init_params(NET, random_state=1))


@pytest.mark.parametrize("function", ["open", "chmod", "write", "close", "replace", "fsync"])
@pytest.mark.parametrize("code", ERRORS.values(), ids=ERRORS)
def test_a_failed_call_leaves_the_old_model(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    before = path.read_bytes()
    failures = 0
    for k in range(100):
        disk = Disk(k, code)
        with monkeypatch.context() as patch:
            attach(disk, function, patch)
            try:
                save_another(path)
            except OSError as error:
                failures, message = failures + 1, str(error)
            else:  # there was no such call, or it was the flush of the folder, without which the new file is there
                break
        assert message == f"[Errno {code}] {os.strerror(code)}: {str(path)!r}"
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]
    assert failures == {"write": 2}.get(function, 1)
    assert path.read_bytes() != before
    assert pm.load_model(path)


def test_a_disk_that_writes_a_little_at_a_time(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data).cast("B")[:1000])

    before = path.read_bytes()
    monkeypatch.setattr(atomic, "open", lambda path, mode: io.BufferedWriter(Slow(path, mode)), raising=False)
    pm.save_model(path, NET, pm.init_params(NET))
    assert path.read_bytes() == before


def test_a_save_in_place_would_lose_the_old_model(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: a file that is written where it stands is gone when the disk is full."""
    disk = Disk(0, errno.ENOSPC)
    attach(disk, "write", monkeypatch)
    content = path.read_bytes()

    def write_in_place() -> None:
        with atomic.open(path, "wb") as file:  # type: ignore[attr-defined]
            file.write(content)

    with pytest.raises(OSError, match="No space left on device"):
        write_in_place()
    with pytest.raises(pm.ModelFileError):
        pm.load_model(path)


# --- The system itself


def run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


SOMEBODY_ELSE = 65534
SAVE = f"""
import os, portable_mlp as pm
net = pm.Network({NET.sizes})
params = pm.init_params(net, random_state=1)
os.seteuid(USER)
try:
    pm.save_model(PATH, net, params)
except OSError as error:
    print(error)
"""


def saving(path: pathlib.Path, user: int) -> str:
    return SAVE.replace("PATH", repr(str(path))).replace("USER", str(user))


def test_a_file_that_the_system_lets_grow_no_further(path: pathlib.Path) -> None:
    """The kernel itself refuses to write more than the first 20,000 of some 57,000 bytes."""
    before = path.read_bytes()
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    assert run(limit + saving(path, os.geteuid())) == f"[Errno 27] File too large: {str(path)!r}\n"
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_device_that_is_full(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself says that there is no space: /dev/full takes the place of the temporary file."""
    path = tmp_path / "model.safetensors"

    def opened(temporary: str, mode: str) -> BinaryIO:
        os.symlink("/dev/full", temporary)
        return open(temporary, "wb")

    monkeypatch.setattr(atomic, "open", opened, raising=False)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: {str(path)!r}")):
        save_another(path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_read_only() -> None:
    """Where the tests run as root, whom no mode stops, the process becomes somebody else before it saves."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        pm.save_model(path, NET, pm.init_params(NET))
        before = path.read_bytes()
        os.chmod(folder, 0o555)
        assert run(saving(path, os.geteuid() or SOMEBODY_ELSE)) == f"[Errno 13] Permission denied: {str(path)!r}\n"
        assert path.read_bytes() == before
        assert os.listdir(folder) == [path.name]


def test_a_folder_that_is_not_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "gone" / "model.safetensors"
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        save_another(path)

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from portable_mlp.storage.atomic import replace_file


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    return path


def test_creates_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new.bin"
    with replace_file(path) as file:
        file.write(b"\x00new\r\n")
    assert path.read_bytes() == b"\x00new\r\n"
    assert os.listdir(tmp_path) == ["new.bin"]


def test_takes_a_relative_path_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replace_file("new.bin") as file:
        file.write(b"new")
    assert (tmp_path / "new.bin").read_bytes() == b"new"


def test_the_old_content_stays_until_the_block_ends(existing: Path) -> None:
    with replace_file(existing) as file:
        file.write(b"new")
        file.flush()
        assert existing.read_bytes() == b"old"
    assert existing.read_bytes() == b"new"


@pytest.mark.parametrize(
    "failure",
    [ValueError("bad value"), KeyboardInterrupt(), OSError(errno.ENOSPC, "Full")],
)
def test_a_failure_in_the_block_leaves_nothing(existing: Path, failure: BaseException) -> None:
    def write() -> None:
        with replace_file(existing) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(type(failure)) as caught:
        write()
    assert caught.value is failure
    assert existing.read_bytes() == b"old"
    assert os.listdir(existing.parent) == [existing.name]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_of_the_system_leaves_nothing(
    existing: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def write() -> None:
        with replace_file(existing) as file:
            file.write(b"new")
            monkeypatch.setattr(os, function, fail)

    with pytest.raises(OSError, match="Input/output error"):
        write()
    assert existing.read_bytes() == b"old"
    assert os.listdir(existing.parent) == [existing.name]


def test_the_content_reaches_the_disk_before_the_name(
    existing: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("fsync directory" if is_directory else f"fsync {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def recorded_replace(source: str, target: str) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    with replace_file(existing) as file:
        file.write(b"new")
    assert calls == ["fsync 3 bytes", "replace", "fsync directory"]


def test_a_directory_that_cannot_be_flushed_is_no_error(
    existing: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with replace_file(existing) as file:
        file.write(b"new")
        monkeypatch.setattr(os, "open", refuse)
    assert existing.read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_keeps_the_mode_bits_of_an_existing_file(existing: Path, mode: int) -> None:
    existing.chmod(mode)
    with replace_file(existing) as file:
        file.write(b"new")
    assert mode_of(existing) == mode


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_honours_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replace_file(tmp_path / "new.bin") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new.bin") == 0o666 & ~umask


def test_a_symbolic_link_stays_a_link(existing: Path) -> None:
    folder = existing.parent / "elsewhere"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(existing)
    with replace_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert existing.read_bytes() == b"new"


def test_a_long_name_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_missing_directory_is_told_by_the_name_of_the_target(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "model.bin"
    with (
        pytest.raises(FileNotFoundError, match=re.escape(f"No such file or directory: '{path}'")),
        replace_file(path),
    ):
        pytest.fail("the block must not be entered")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(IsADirectoryError, match=re.escape(f"Is a directory: '{tmp_path}'")),
        replace_file(tmp_path),
    ):
        pytest.fail("the block must not be entered")


def test_a_pipe_is_refused_rather_than_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=re.escape(f"Not a regular file: '{pipe}'")), replace_file(pipe):
        pytest.fail("the block must not be entered")
    assert stat.S_ISFIFO(pipe.stat().st_mode)

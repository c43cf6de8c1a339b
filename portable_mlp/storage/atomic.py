"""Replacement of a file in one step: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from .paths import FilePath


@contextlib.contextmanager
def replace_file(path: FilePath) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of ``path`` once it is complete.

    The content goes to a temporary file in the same directory. When the block ends without an
    exception, that file is flushed to the disk and renamed to ``path`` in one step, and the directory
    is flushed where the system allows it. After any exception, `KeyboardInterrupt` included, the
    temporary file is removed and ``path`` is what it was before.

    A symbolic link stays a link: the file it points to is replaced. An existing file keeps its mode
    bits; a new file gets those of an ordinary new file under the process's umask.

    Parameters
    ----------
    path : str, bytes or path
        File to create or to replace.

    Yields
    ------
    file : typing.BinaryIO
        File open for writing, to be left open.

    Raises
    ------
    OSError
        If the directory is missing or not writable, if ``path`` is a directory or a device, or if the
        disk is full. The error names ``path``, never the temporary file.
    """
    path = os.fsdecode(path)
    target = os.path.realpath(path)
    mode = _replaceable_mode(target)
    # No part of the target's name: a long name could then exceed the system's limit.
    temporary = os.path.join(os.path.dirname(target), f".portable-mlp-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)  # a full disk is met by a descriptor, which has no name
        raise
    _flush_directory(os.path.dirname(target))


def _replaceable_mode(target: str) -> int | None:
    """Return the mode bits of an existing regular file, None where there is no file yet."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(mode):
        # A rename would put an ordinary file in the place of, say, /dev/null.
        raise OSError(errno.EINVAL, "Not a regular file", target)
    return stat.S_IMODE(mode)


def _flush_directory(directory: str) -> None:
    """Write the directory's new entry to the disk; some systems cannot open or flush a directory."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

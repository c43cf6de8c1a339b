"""Files that a command will write: found out before the work, not after it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable


def check_writable(option: str, path: pathlib.Path, sources: Iterable[str | pathlib.Path] = ()) -> None:
    """Raise ValueError if a file cannot be written, or is one that the command reads.

    Parameters
    ----------
    option : str
        The option that named it, for the message.
    path : path
        What will be written.
    sources : iterable of str or path
        What the command reads.
    """
    for source in sources:
        if os.path.realpath(source) == os.path.realpath(path):
            raise ValueError(f"{option} {path}: this file is read by the same command; name another one to write")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ValueError(f"{option} {path}: the folder {folder} does not exist")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path}: this is not a file; name a file to write")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{option} {path}: the folder {folder} cannot be written to")

"""The files that a command writes: checked before the work, and written in one step after it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

from ..storage.atomic import replace_file
from .terminal import echo

STREAM = "-"
"""The name that means standard input or standard output."""


def check_writable(
    option: str, path: pathlib.Path, sources: Iterable[str | pathlib.Path] = (), suffix: str | None = None
) -> None:
    """Raise ValueError if a file cannot be written, is named like another kind, or is one that the command reads.

    Parameters
    ----------
    option : str
        Option that names the file, for the message.
    path : path
        File that will be written.
    sources : iterable of str or path
        Files that the command reads.
    suffix : str, optional
        Suffix of files of this kind, such as ".png"; a name may have no suffix at all, but not another one.
    """
    if str(path) == STREAM:
        raise ValueError(f"{option} {path}: this is written to a file, not to standard output; name one")
    for source in sources:
        if os.path.realpath(source) == os.path.realpath(path):
            raise ValueError(f"{option} {path}: this file is read by the same command; name another one to write")
    ending = path.suffix.lower()
    # What ends in a number, such as run-0.01, has no suffix.
    if suffix is not None and ending not in ("", suffix) and not ending[1:].isdigit():
        raise ValueError(f"{option} {path}: what is written there is a {suffix} file; use a name ending in {suffix}")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ValueError(f"{option} {path}: the folder {folder} does not exist")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path}: this is not a file; name a file to write")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{option} {path}: the folder {folder} cannot be written to")


def check_folder(option: str, path: pathlib.Path) -> None:
    """Raise ValueError if a path names something else than a folder."""
    if str(path) == STREAM:
        raise ValueError(f"{option} {path}: this takes a folder, not standard output; name one")
    if path.exists() and not path.is_dir():
        raise ValueError(f"{option} {path}: this is not a folder; name one")


def check_reports(json: pathlib.Path | None, plot: pathlib.Path | None, html: pathlib.Path | None = None) -> None:
    """Raise ValueError if a file that was asked for cannot be written."""
    for option, path, suffix in (("--json", json, ".json"), ("--plot", plot, ".png"), ("--html", html, ".html")):
        if path is not None:
            check_writable(option, path, suffix=suffix)


def write_file(path: pathlib.Path | None, content: str | bytes, what: str = "") -> None:
    """Write a file that was asked for, in one step, and report it on stderr as ``what``."""
    if path is None:
        return
    with replace_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
    echo(f"{what} written to {path}".lstrip(), err=True)

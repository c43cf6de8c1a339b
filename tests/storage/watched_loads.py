"""Loads files in a process of its own, with 1 GB of address space, and prints what Python did meanwhile, as JSON.

    python watched_loads.py {model,classifier,pickle} SOUND BROKEN FILE...

SOUND and BROKEN are loaded before the watch begins, so that modules are imported that are imported late.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # each thread takes address space

import json
import pathlib
import pickle
import resource
import sys
from collections.abc import Callable
from typing import Any

import portable_mlp as pm

ADDRESS_SPACE = 2**30
LOADERS: dict[str, Callable[[str], Any]] = {
    "model": lambda path: pm.load_model(path),
    "classifier": lambda path: pm.MLPClassifier.load(path),
    "pickle": lambda path: pickle.loads(pathlib.Path(path).read_bytes()),  # the negative control
}


def refused(load: Callable[[str], Any], path: str) -> str | None:
    """Return the type and the text of the error, None where there is none."""
    try:
        load(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(kind: str, sound: str, broken: str, *paths: str) -> None:
    load = LOADERS[kind]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    load(sound)
    refused(load, broken)
    events: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            reading = mode in ("r", "rb", None) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            event = "open to read" if reading and path in paths else f"open {path} {mode} {flags}"
        events.append(event)

    sys.addaudithook(note)
    found = {}
    for path in paths:
        events.clear()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        error = refused(load, path)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        found[path] = {"error": error, "events": sorted(set(events)), "grown": grown}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

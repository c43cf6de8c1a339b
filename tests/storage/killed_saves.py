"""Saves a model over an older one, and is killed meanwhile, again and again; prints what was left, as JSON.

    python killed_saves.py FOLDER {in one step,in place}

Each time a child process is forked, which saves and is killed by SIGKILL:

* "calls": before the first, the second, ... of all calls of C functions that a save makes (open, write, fsync, replace,
  close and everything between), found by a profiling function, so that the library needs no hook for tests;
* "writes": when half of the first, the second, ... write has reached the file;
* "moments": at random moments.

"in place" is the negative control, which writes into the file itself: fewer kills show it, none of them at random.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads should not be forked

import contextlib
import io
import json
import pathlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import portable_mlp as pm
from portable_mlp.storage import atomic, tensor_files

NET = pm.Network((100, 100, 10))
N_MOMENTS = 20


def model(seed: int) -> pm.Params:
    return pm.init_params(NET, random_state=seed)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def in_place(path: str) -> Iterator[BinaryIO]:
    with atomic.open(path, "wb") as file:  # type: ignore[attr-defined]
        yield file
        file.flush()
        os.fsync(file.fileno())


def killed_before_call(k: int) -> None:
    left = k

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        if event == "c_call":
            left -= 1
            if left < 0:
                die()

    sys.setprofile(profile)


def killed_in_write(k: int) -> None:
    left = k

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            nonlocal left
            left -= 1
            if left < 0:
                super().write(memoryview(data).cast("B")[: len(data) // 2])
                die()
            return super().write(data)

    atomic.open = lambda path, mode: io.BufferedWriter(Raw(path, mode))  # type: ignore[attr-defined]


def survived(prepare: Callable[[], None], save: Callable[[], None], kill_after: float | None = None) -> bool:
    """Fork a child that saves; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        prepare()
        save()
        sys.setprofile(None)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def state(path: pathlib.Path, contents: dict[str, bytes]) -> str:
    """Return which model the file holds, having loaded it; and take away what a killed save left beside it."""
    left = [other for other in path.parent.iterdir() if other != path]
    for other in left:
        other.unlink()
    if len(left) > 1:
        return f"{len(left)} files beside it"
    try:
        pm.load_model(path)
    except (OSError, pm.ModelFileError):
        return "unreadable"
    return next((name for name, content in contents.items() if path.read_bytes() == content), "neither")


def main(folder: str, how: str) -> None:
    path = pathlib.Path(folder) / "model.safetensors"
    contents = {}
    for name, seed in (("old", 0), ("new", 1)):
        pm.save_model(path, NET, model(seed))
        contents[name] = path.read_bytes()
    atomic.open = open  # type: ignore[attr-defined]
    if how == "in place":
        tensor_files.replace_file = in_place  # type: ignore[assignment]
    new = model(1)

    def save() -> None:
        pm.save_model(path, NET, new)

    found: dict[str, Counter[str]] = {"calls": Counter(), "writes": Counter(), "moments": Counter()}
    for kind, killed in (("calls", killed_before_call), ("writes", killed_in_write)):
        for k in range(0, 10_000, 1 if how == "in one step" else 4):
            path.write_bytes(contents["old"])
            done = survived(lambda k=k, killed=killed: killed(k), save)
            found[kind]["survived" if done else state(path, contents)] += 1
            if done:
                break

    def save_for_ever() -> None:
        for i in range(1_000_000):
            pm.save_model(path, NET, (model(0), new)[i % 2])

    rng = random.Random(0)
    for _ in range(N_MOMENTS if how == "in one step" else 0):
        path.write_bytes(contents["old"])
        survived(lambda: None, save_for_ever, kill_after=rng.uniform(0.0, 0.05))
        found["moments"][state(path, contents)] += 1
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

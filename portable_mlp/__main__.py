"""``python -m portable_mlp``: the command line."""

import os
import sys

from ._starting import raise_when_interrupted
from .backends.extras import install
from .exit_codes import INTERRUPTED, USERS_MISTAKE
from .training.best_effort_stream import BestEffortStream


def main() -> int:
    """Run the command line; return the exit code."""
    raise_when_interrupted()
    _open_closed_descriptors()
    try:
        try:
            from .cli.app import run
        except ModuleNotFoundError as error:
            return _without(error)
        return run()
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    finally:
        _give_up_unwritten()


def _without(error: ModuleNotFoundError) -> int:
    """Say what to install for the command line."""
    missing = (error.name or "").partition(".")[0]
    if missing in ("", __package__):
        raise error
    _tell(f"the command line needs {missing}, which is missing: {install('cli')}")
    return USERS_MISTAKE


def _tell(message: str) -> None:
    stream = BestEffortStream(sys.stderr)
    stream.write(f"portable-mlp: {message}\n")
    stream.flush()


def _open_closed_descriptors() -> None:
    """Keep later files from taking the number of a standard stream that is closed: messages would go into them."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _give_up_unwritten() -> None:
    """Drop what a standard stream still holds and cannot write, or Python complains of it at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except ValueError:  # it is closed
            pass


if __name__ == "__main__":
    sys.exit(main())

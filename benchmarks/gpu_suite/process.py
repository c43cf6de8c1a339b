"""A process of its own for each candidate: none has another's memory, options or crash."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

SECONDS_TO_ANSWER = 300.0
"""The longest time of a call; what takes longer hangs."""

ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Variables for the libraries, unless the user has set them: JAX would take three quarters of the GPU's memory."""


class Failed(Exception):
    """The failure of a call in the process, or of the process itself, in one line."""


class Process:
    """A process that calls functions, one at a time; a context."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()

    def call(self, function: Callable[..., Any], *arguments: Any, timeout: float = SECONDS_TO_ANSWER) -> Any:
        """Call a function there and return its result, as `start` and `result` do."""
        self.start(function, *arguments)
        return self.result(timeout)

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function of a module there, without waiting for it."""
        with contextlib.suppress(OSError):  # a dead process is found out by `result`
            self._connection.send((function, arguments))

    def result(self, timeout: float = SECONDS_TO_ANSWER) -> Any:
        """Return what the function returns.

        Raises
        ------
        Failed
            If it raises, if it does not return within ``timeout`` seconds, or if the process is dead, or dies of it.
        """
        try:
            if not self._connection.poll(timeout):
                self._process.kill()
                raise Failed(f"it did not answer within {timeout:g} s")
            returned, value = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise Failed(f"its process ended with exit code {self._process.exitcode}") from None
        if not returned:
            raise Failed(value)
        return value

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection[Any, Any]) -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(EOFError):
        while True:
            function, arguments = connection.recv()
            connection.send(_called(function, arguments))


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*arguments)
    except Exception as error:
        first_line = next(iter(str(error).splitlines()), "")
        return False, f"{type(error).__name__}: {first_line}"

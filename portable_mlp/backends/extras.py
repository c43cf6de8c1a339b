"""The optional parts of the package, which pip calls extras, and the command that installs one."""

from __future__ import annotations

import importlib
from typing import Any

TORCH_FOR_CPU = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
"""PyTorch without CUDA, whose libraries take gigabytes on Linux."""

OPENCL_FOR_CPU = "pip install intel-opencl-rt, with the path of its libintelocl.so in OCL_ICD_FILENAMES"
"""Intel's driver for CPUs, which is not found by itself in a virtual environment."""


def install(extra: str) -> str:
    """Return the command that installs an extra, for messages.

    Parameters
    ----------
    extra : str
        The name of an extra in pyproject.toml.

    Examples
    --------
    >>> print(install("onnx"))
    pip install ".[onnx]" in a clone of portable_mlp
    """
    # From the first release on: the name on the package index, with the extra in brackets.
    return f'pip install ".[{extra}]" in a clone of portable_mlp'


def load(module: str, purpose: str, extra: str) -> Any:
    """Return a module that an extra installs, imported when it is needed.

    Parameters
    ----------
    module : str
        The name, which stands in the source of the caller.
    purpose : str
        The beginning of the error, such as "data frames need {missing}", the name of what is missing.
    extra : str
        The name of an extra in pyproject.toml.

    Raises
    ------
    ImportError
        If it is missing; names the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise ImportError(f"{purpose.format(missing=missing)}: {install(extra)}") from error

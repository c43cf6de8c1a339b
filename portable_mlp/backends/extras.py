"""The optional parts of the package, which pip calls extras, and the command that installs one."""

from __future__ import annotations

TORCH_FOR_CPU = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
"""PyTorch without CUDA, whose libraries take gigabytes on Linux."""


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

"""Files in the safetensors format of which every byte follows from their content; docs/format.md shows one.

A file is written from a description (JSON), the names, dtypes and shapes of its tensors, and the numbers. The reader
builds the header anew from the description and compares it with the file's, byte by byte: whatever the writer would
have written otherwise (a key twice, a field too many, a tensor too many, ``true`` for 1, a space) is refused at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .atomic import replace_file
from .foreign_files import LONGEST_MAGIC, describe_foreign
from .json_values import canonical, check_json
from .model_errors import Defect, refusal
from .paths import FilePath

__all__ = ["STORED", "OpenTensorFile", "Tensor", "checked_header", "open_tensor_file", "write_tensor_file"]

MOST_HEADER_BYTES = 2**25
"""Space for the names of a million columns, or the losses of a million epochs. A header that was made to harm takes 30
times its length while it is parsed: no more than 1 GB, and only of a file as long as that header."""

STORED = {"float32": "<f4", "float64": "<f8"}
"""The layout of the numbers of each dtype in a file: little-endian."""

_METADATA_KEY = "portable_mlp"
_CODES = {"float32": "F32", "float64": "F64"}
_LENGTH_BYTES = 8
_NO_DIGEST = "0" * 64
"""The placeholder of the checksum while it is computed."""


class Tensor(NamedTuple):
    """One tensor's entry in the header; tensors lie in the file one after another, without a gap."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """The size of its numbers in bytes."""
        return math.prod(self.shape) * np.dtype(STORED[self.dtype]).itemsize


def header_bytes(description: dict[str, Any], tensors: Sequence[Tensor], sha256: str = _NO_DIGEST) -> bytes:
    """Return the bytes before the numbers: the length of the header in 8 bytes, little-endian, and the header."""
    entries: dict[str, Any] = {"__metadata__": {_METADATA_KEY: canonical({**description, "sha256": sha256})}}
    stop = 0
    for tensor in tensors:
        start, stop = stop, stop + tensor.n_bytes
        entries[tensor.name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, stop],
        }
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    # The numbers begin at a multiple of 8 bytes, so that a file that is mapped into memory can be used in place.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def checked_header(description: dict[str, Any], tensors: Sequence[Tensor]) -> bytes:
    """Return the header with the placeholder of the checksum.

    Raises
    ------
    ValueError
        If it is longer than readers take.
    """
    head = header_bytes(description, tensors)
    if len(head) > _LENGTH_BYTES + MOST_HEADER_BYTES:
        place, n_bytes = _longest_part(description)
        raise ValueError(
            f"the header, which holds the metadata, would have {len(head) - _LENGTH_BYTES:,} bytes; a model file may "
            f"have {MOST_HEADER_BYTES:,}: shorten {place}, which takes {n_bytes:,} of them"
        )
    return head


def _longest_part(description: dict[str, Any]) -> tuple[str, int]:
    """Return where most of a description's bytes are, and how many."""
    place, value, n_bytes = "", description, 0
    while isinstance(value, dict) and value:
        lengths = {key: len(canonical(inner)) for key, inner in value.items()}
        longest = max(lengths, key=lambda key: lengths[key])
        if lengths[longest] < n_bytes / 2:
            break
        place, value, n_bytes = f"{place}[{longest!r}]" if place else longest, value[longest], lengths[longest]
    return place, n_bytes


def write_tensor_file(
    path: FilePath, description: dict[str, Any], tensors: Sequence[Tensor], payload: np.ndarray
) -> None:
    """Write a file in one step: a crash leaves the old one or the new one.

    Parameters
    ----------
    path : str, bytes or path
        File to create or replace.
    description : dict
        JSON values, as `check_json` takes them.
    tensors : sequence of Tensor
        Names, dtypes and shapes of the tensors, in the order of their numbers.
    payload : ndarray, C-contiguous
        The numbers of all tensors, one after another, in the layout of ``STORED``.

    Raises
    ------
    ValueError
        If the header is too long.
    OSError
        If the file cannot be written; names it.
    """
    numbers = payload.view(np.uint8).data
    digest = _sha256(checked_header(description, tensors), numbers)
    with replace_file(path) as file:
        file.write(header_bytes(description, tensors, digest))
        file.write(numbers)


class OpenTensorFile:
    """An open file: its description has been read, its numbers have not.

    Attributes
    ----------
    described : dict
        The description as it stands in the file, to be trusted once `numbers` has returned.
    sha256 : str
        The checksum of the whole file, likewise.
    n_bytes : int
        The size of the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.n_bytes = os.fstat(file.fileno()).st_size
        self._head = _read_head(file, self.n_bytes)
        self.described = _description(self._head[_LENGTH_BYTES:])
        self.sha256 = self.described.pop("sha256", None)

    def numbers(self, description: dict[str, Any], tensors: Sequence[Tensor]) -> np.ndarray:
        """Return the numbers of all tensors, one after another, as uint8, having verified every byte of the file.

        Parameters
        ----------
        description : dict
            Description that the writer would have been given for what is ``described``.
        tensors : sequence of Tensor
            Tensors that the writer would have been given.

        Raises
        ------
        Defect
            If the file is not, to the last bit, what `write_tensor_file` writes for them.
        """
        expected = len(self._head) + sum(tensor.n_bytes for tensor in tensors)
        if self.n_bytes != expected:
            raise Defect(f"it should have {expected:,} bytes, according to its header, but it has {self.n_bytes:,}")
        if header_bytes(description, tensors, self.sha256) != self._head:
            raise Defect("its header is not, byte by byte, the one that portable_mlp writes for this model")
        payload = np.empty(expected - len(self._head), dtype=np.uint8)
        if self._file.readinto(payload.data) != len(payload):  # type: ignore[attr-defined]
            raise Defect("it became shorter while it was read")
        if _sha256(header_bytes(description, tensors), payload.data) != self.sha256:
            raise Defect("its bytes are not those that were written: the SHA-256 checksum differs")
        return payload


@contextlib.contextmanager
def open_tensor_file(path: FilePath) -> Iterator[OpenTensorFile]:
    """Open a file that `write_tensor_file` wrote; a Defect that is found in the block becomes a ModelFileError.

    Raises
    ------
    ModelFileError
        If it is not such a file.
    OSError
        If it cannot be read; names it.
    """
    path = os.fsdecode(path)
    try:
        with open(path, "rb", opener=_open_ordinary) as file:
            yield OpenTensorFile(file)
    except Defect as defect:
        raise refusal(path, defect) from None
    except MemoryError:
        raise refusal(path, "it does not fit into memory") from None
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise


def _open_ordinary(path: str, flags: int) -> int:
    """Return the descriptor of an ordinary file; a pipe would make us wait, and a device might never end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Defect("not an ordinary file but a folder, a pipe or a device")
    return descriptor


def _read_head(file: BinaryIO, n_bytes: int) -> bytes:
    """Return the length and the header of the file; no more is read than a header may have."""
    head = file.read(LONGEST_MAGIC)
    if head[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        raise Defect(describe_foreign(head))
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    if length > MOST_HEADER_BYTES:
        raise Defect(
            f"its header has {length:,} bytes, according to the first 8; at most {MOST_HEADER_BYTES:,} are read"
        )
    if _LENGTH_BYTES + length > n_bytes:
        raise Defect(f"it ends within its header of {length:,} bytes")
    file.seek(0)
    return file.read(_LENGTH_BYTES + length)


def _description(header: bytes) -> dict[str, Any]:
    """Return our own entry in the header, parsed."""
    # Of the rest nothing is used: `numbers` compares it, as bytes, with what should stand there.
    metadata = _parsed_object(header, "its header").get("__metadata__")
    text = metadata.get(_METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise Defect(
            f"a safetensors file, but not one that portable_mlp wrote: its metadata have no text {_METADATA_KEY!r}; "
            "safetensors.numpy.load_file(path) gives its tensors"
        )
    description = _parsed_object(text.encode("utf-8", "surrogatepass"), "its description")
    try:
        check_json(description, "its description")
    except ValueError as error:
        raise Defect(f"its description is not the JSON that was written: {error}") from None
    return description


def _parsed_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Defect(f"{what} is not the JSON that was written: {error}") from None
    if not isinstance(value, dict):
        raise Defect(f"{what} is not a JSON object")
    return value


def _sha256(head: bytes, numbers: memoryview) -> str:
    digest = hashlib.sha256(head)
    digest.update(numbers)
    return digest.hexdigest()

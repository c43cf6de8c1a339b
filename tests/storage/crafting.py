"""Model files made by hand, without the library: as docs/format.md says, or as an enemy would."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

import portable_mlp as pm

NET = pm.Network((3, 4, 2), activation="tanh")
METADATA = {
    "classes": ["no", "yes"],
    "input_mean": [0.5, -1.0, 1e-300],
    "nested": {"a": [1, None, True], "ä": "\u2028"},
}
NO_DIGEST = "0" * 64


def parameters() -> pm.Params:
    return pm.init_params(NET, random_state=0)


def numbers() -> np.ndarray:
    return pm.pack(parameters())


def description(**changes: Any) -> dict[str, Any]:
    """Return what the file of NET says, with changes; a field that becomes ``...`` is left out."""
    said = {
        "dtype": "float64",
        "format_version": 1,
        "library_version": pm.__version__,
        "metadata": METADATA,
        "network": {"sizes": [3, 4, 2], "activation": "tanh", "output": "softmax", "loss": "cross_entropy"},
        "sha256": NO_DIGEST,
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not ...}


def network(**changes: Any) -> dict[str, Any]:
    """Return a description with another network."""
    fields = {**description()["network"], **changes}
    return description(network={name: value for name, value in fields.items() if value is not ...})


def entries(shapes: list[tuple[int, ...]] | None = None, code: str = "F64", itemsize: int = 8) -> dict[str, Any]:
    """Return the tensors' part of the header, by default NET's."""
    header, stop = {}, 0
    for i, shape in enumerate([(3, 4), (4,), (4, 2), (2,)] if shapes is None else shapes):
        start, stop = stop, stop + int(np.prod(shape, dtype=object)) * itemsize
        header["Wb"[i % 2] + str(i // 2 + 1)] = {"dtype": code, "shape": list(shape), "data_offsets": [start, stop]}
    return header


def compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def framed(header: str | bytes, payload: bytes = b"") -> bytes:
    header = header.encode() if isinstance(header, str) else header
    return len(header).to_bytes(8, "little") + header + payload


def sealed(content: bytes) -> bytes:
    """Put the right checksum in, where the description has 64 zeros: all else is then as its maker wanted it."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(NO_DIGEST.encode(), digest.encode(), 1)


def crafted(
    said: dict[str, Any] | str | None = None,
    tensors: dict[str, Any] | None = None,
    payload: bytes | None = None,
    *,
    edit: Callable[[str], str] = lambda header: header,
) -> bytes:
    """Return a file with a description, tensors and numbers of one's own, and the right checksum.

    ``edit`` changes the text of the header before it is padded.
    """
    said = description() if said is None else said
    header = json.dumps(
        {
            "__metadata__": {"portable_mlp": said if isinstance(said, str) else compact(said)},
            **(entries() if tensors is None else tensors),
        },
        separators=(",", ":"),
    )
    header = edit(header)
    header += " " * (-len(header.encode("utf-8", "surrogatepass")) % 8)
    payload = numbers().tobytes() if payload is None else payload
    return sealed(framed(header.encode("utf-8", "surrogatepass"), payload))

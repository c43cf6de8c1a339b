"""Files that want something else than to be loaded, and what is said to each: ``HOSTILE[name] = (content, reason)``."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
import zlib
from typing import Any

import numpy as np
import safetensors.numpy

from tests.storage.crafting import (
    METADATA,
    NO_DIGEST,
    compact,
    crafted,
    description,
    entries,
    framed,
    network,
    numbers,
)


class Program:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('os').system('exit 0')",)


def without(mapping: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


def with_entry(name: str, **changes: Any) -> dict[str, Any]:
    """Return NET's tensors with one entry changed."""
    header = entries()
    return {**header, name: {**header[name], **changes}}


def replaced(old: str, new: str) -> Any:
    """Return an edit of the header, which must find what it replaces."""

    def edit(header: str) -> str:
        assert old in header
        return header.replace(old, new, 1)

    return edit


def poisoned(value: float, of: np.ndarray | None = None) -> bytes:
    flat = numbers() if of is None else of
    flat[13] = value
    return flat.tobytes()


def ensemble(n_networks: Any) -> dict[str, Any]:
    return description(format_version=2, n_networks=n_networks)


def several(n_networks: int) -> dict[str, Any]:
    """Return NET's tensors with an axis of networks."""
    shapes = [(3, 4), (4,), (4, 2), (2,)]
    return entries([(n_networks, *shape) if n_networks > 1 else shape for shape in shapes])


def numpy_archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, W1=np.zeros((3, 4)))
    return file.getvalue()


def numpy_array(x: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def zip_archive(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


OTHERS_FILES = {
    "empty": (b"", "the file is empty"),
    "seven bytes": (b"\0" * 7, "not a safetensors file$"),
    "zeros": (b"\0" * 4096, "not a safetensors file$"),
    "a table": (b"length,kind\n1.5,rose\n", "not a safetensors file$"),
    "a program": (b"\x7fELF\x02\x01\x01" + b"\0" * 99, "not a safetensors file$"),
    "JSON": (b'{"W1": [1.0, 2.0, 3.0]}', "not a safetensors file$"),
    **{
        f"a pickle, protocol {protocol}": (pickle.dumps(Program(), protocol), "but a pickle, which can run any program")
        for protocol in range(6)
    },
    "a pickled dict, protocol 0": (pickle.dumps({"a": 1}, 0), "but a pickle, which can run any program"),
    "joblib, compressed": (zlib.compress(pickle.dumps(Program())), "but compressed data"),
    "gzip": (gzip.compress(crafted(), mtime=0), "but compressed data"),
    "bzip2": (bz2.compress(crafted()), "but compressed data"),
    "xz": (lzma.compress(crafted()), "but compressed data"),
    "a zip archive like those of torch.save": (
        zip_archive(**{"archive/data.pkl": "cos\nsystem\n"}),
        "but a zip archive, such as those of torch.save",
    ),
    "a zip archive like those of Keras": (
        zip_archive(**{"config.json": '{"module": "builtins", "class_name": "eval"}'}),
        "but a zip archive, such as those of torch.save or Keras",
    ),
    ".npz": (numpy_archive(), r"but an \.npz archive"),
    ".npy": (numpy_array(np.zeros(3)), r"but an \.npy array"),
    ".npy of objects": (numpy_array(np.array([Program()], dtype=object)), r"but an \.npy array"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "but an HDF5 file"),
    "safetensors": (safetensors.numpy.save({"W1": np.zeros((3, 4))}), "not one that portable_mlp wrote"),
    "safetensors, its own metadata": (
        safetensors.numpy.save({"W1": np.zeros((3, 4))}, {"format": "pt"}),
        "not one that portable_mlp wrote",
    ),
}

LENGTHS = {
    "header length 0": (framed("") + numbers().tobytes(), "not a safetensors file$"),
    "header length 1": (framed("{"), "header is not the JSON"),
    "header longer than the file": (
        (2000).to_bytes(8, "little") + crafted()[8:1000],
        "ends within its header of 2,000",
    ),
    "header of 2^63 bytes": ((2**63).to_bytes(8, "little") + b"{}", "header has 9,223,372,036,854,775,808 bytes"),
    "header of 2^64 - 1 bytes": (b"\xff" * 8 + b"{}", "header has 18,446,744,073,709,551,615 bytes"),
    "header of 33,554,440 bytes": ((2**25 + 8).to_bytes(8, "little") + crafted()[8:], "header has 33,554,440 bytes"),
    "trailing byte": (crafted() + b"\0", "should have 880 bytes"),
    "one number missing": (crafted(payload=numbers()[:-1].tobytes()), "should have 880 bytes"),
    "one number more": (crafted(payload=numbers().tobytes() + b"\0" * 8), "should have 880 bytes"),
    "no numbers": (crafted(payload=b""), "should have 880 bytes"),
}

TEXTS = {
    "header not JSON": (framed("{nonsense}"), "header is not the JSON"),
    "header not UTF-8": (crafted(edit=replaced("F64", "F64")).replace(b"F64", b"F\xff4", 1), "header is not the JSON"),
    "header in Latin letters": (crafted(edit=replaced("W1", "Wé")), "header is not the JSON"),
    "byte order mark": (framed(b"\xef\xbb\xbf{}"), "not a safetensors file$"),
    "leading space": (crafted(edit=lambda header: " " + header), "not a safetensors file$"),
    "a list": (framed("[]"), "not a safetensors file$"),
    "deep header": (framed("{" + '"a":{' * 100_000), "header is not the JSON"),
    "deep header that ends": (framed('{"a":' + "[" * 50_000 + "]" * 50_000 + "}"), "header is not the JSON"),
    "deep description": (crafted("[" * 100_000), "description is not the JSON"),
    "deep description that ends": (crafted('{"a":' + "[" * 200 + "]" * 200 + "}"), "nested more than 100 levels"),
    "description not JSON": (crafted("{"), "description is not the JSON"),
    "description a list": (crafted("[]"), "description is not a JSON object"),
    "description a number": (framed('{"__metadata__":{"portable_mlp":1}}'), "not one that portable_mlp wrote"),
    "metadata null": (framed('{"__metadata__":null}'), "not one that portable_mlp wrote"),
    "metadata a list": (framed('{"__metadata__":["portable_mlp"]}'), "not one that portable_mlp wrote"),
    "NaN": (crafted(compact(description()).replace("0.5", "NaN")), "which JSON does not have"),
    "Infinity": (crafted(compact(description()).replace("0.5", "-Infinity")), "which JSON does not have"),
    "1e400": (crafted(compact(description()).replace("0.5", "1e400")), "which JSON does not have"),
    "integer of 5000 digits": (
        crafted(compact(description()).replace("0.5", "9" * 5000)),
        "description is not the JSON",
    ),
    "integer of 2000 digits": (crafted(compact(description()).replace("0.5", "9" * 2000)), "more than 4096 bits"),
    "half a surrogate pair": (crafted(description(metadata={"a": "\ud800"})), "half of a surrogate pair"),
    "half a surrogate pair as a key": (crafted(description(metadata={"\udc00": 1})), "half of a surrogate pair"),
    "half a surrogate pair in the header": (crafted(edit=replaced("W1", "\\ud800")), "byte by byte"),
}

SPELLINGS = {
    "key twice in the description": (
        crafted(compact(description()).replace('"dtype"', '"dtype":"float32","dtype"', 1)),
        "byte by byte",
    ),
    "key twice in the metadata": (
        crafted(compact(description()).replace('"classes"', '"classes":[],"classes"', 1)),
        "byte by byte",
    ),
    "tensor twice": (
        crafted(edit=replaced('"b1":', '"W1":{"dtype":"F64","shape":[3,4],"data_offsets":[0,96]},"b1":')),
        "byte by byte",
    ),
    "metadata twice": (
        crafted(
            edit=replaced('"W1":', '"__metadata__":' + json.dumps({"portable_mlp": compact(description())}) + ',"W1":')
        ),
        "byte by byte",
    ),
    "second metadata entry": (
        crafted(edit=replaced('{"portable_mlp"', '{"format":"pt","portable_mlp"')),
        "byte by byte",
    ),
    "keys in another order": (
        crafted(json.dumps(dict(reversed(description().items())), separators=(",", ":"))),
        "byte by byte",
    ),
    "spaces": (crafted(json.dumps(description(), sort_keys=True)), "byte by byte"),
    "spaces in the header": (crafted(edit=replaced(':{"dtype"', ': {"dtype"')), "byte by byte"),
    "too much padding": (crafted(edit=lambda header: header + " " * 8), "byte by byte"),
    "other padding": (crafted(edit=lambda header: header + "\n" * (-len(header) % 8)), "byte by byte"),
    "unescaped": (
        crafted(json.dumps(description(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)),
        "description is not the JSON",
    ),
    "escaped without need": (crafted(edit=replaced('"W1"', '"\\u0057\\u0031"')), "byte by byte"),
    "number spelt otherwise": (crafted(compact(description()).replace("0.5", "0.50")), "byte by byte"),
    "integer for a float": (crafted(edit=replaced("[0,96]", "[0,96.0]")), "byte by byte"),
}

DESCRIPTIONS = {
    "no version": (crafted(description(format_version=...)), "format version is None"),
    "version 3": (
        crafted(description(format_version=3, news=[1, 2])),
        "format version is 3, but this release of portable_mlp reads versions 1 and 2: a newer release may read it",
    ),
    "version 0": (crafted(description(format_version=0)), "format version is 0, but this .* versions 1 and 2$"),
    "version true": (crafted(description(format_version=True)), "format version is True"),
    "version 1.0": (crafted(description(format_version=1.0)), "format version is 1.0"),
    "version '1'": (crafted(description(format_version="1")), "format version is '1'"),
    "version of 1000 digits": (crafted(description(format_version=int("7" * 1000))), "format version is 777"),
    **{
        f"no {name}": (crafted(description(**{name: ...})), "should have the fields dtype")
        for name in ("dtype", "library_version", "metadata", "network")
    },
    "unknown field": (crafted(description(module="os", function="system")), "should have the fields dtype"),
    "user's name": (crafted(description(user="me")), "should have the fields dtype"),
    "dtype bfloat16": (crafted(description(dtype="bfloat16")), "'bfloat16'; they are float32 or float64"),
    "dtype null": (crafted(description(dtype=None)), "they are float32 or float64"),
    "dtype a list": (crafted(description(dtype=["float64"])), "they are float32 or float64"),
    "another dtype": (crafted(description(dtype="float32")), "it should have"),
    "metadata not there": (crafted(description(metadata=None)), "metadata are not a dict"),
    "metadata in a list": (crafted(description(metadata=[METADATA])), "metadata are not a dict"),
    "library version a number": (crafted(description(library_version=1)), "library version is not one"),
    "library version of control characters": (
        crafted(description(library_version="\x1b[2J\x1b]0;pwned\x07")),
        "library version is not one",
    ),
    "no checksum": (crafted(description(sha256=...)), "byte by byte"),
    "checksum null": (crafted(description(sha256=None)), "SHA-256 checksum differs"),
    "checksum of something else": (crafted(description(sha256="1" * 64)), "SHA-256 checksum differs"),
    "checksum in capitals": (
        (lambda content: content.replace(digest := content[content.index(b"sha256") + 11 :][:64], digest.upper()))(
            crafted()
        ),
        "SHA-256 checksum differs",
    ),
    "checksum of another length": (crafted(description(sha256=NO_DIGEST + "00")), "SHA-256 checksum differs"),
}

ENSEMBLES = {
    "an ensemble of an unknown number": (crafted(description(format_version=2)), "should have the fields dtype"),
    "networks in the first version": (crafted(description(n_networks=2)), "should have the fields dtype"),
    **{
        f"networks {number!r}": (crafted(ensemble(number)), "number of networks is not a whole number from 2 to 1000")
        for number in (None, True, "2", [2], 2.0, -1, 0, 1, 1001, 2**80)
    },
    "fewer networks than numbers": (
        crafted(ensemble(2), several(2), payload=numbers().tobytes() * 3),
        "it should have",
    ),
    "more networks than numbers": (crafted(ensemble(2), several(2)), "it should have"),
    "networks of one network's shape": (
        crafted(ensemble(2), several(1), payload=numbers().tobytes() * 2),
        "byte by byte",
    ),
    "networks as their last axis": (
        crafted(ensemble(2), entries([(3, 4, 2), (4, 2), (4, 2, 2), (2, 2)]), payload=numbers().tobytes() * 2),
        "byte by byte",
    ),
    "NaN in the second network": (
        crafted(ensemble(2), several(2), payload=poisoned(np.nan, of=np.tile(numbers(), 2))),
        r"params\[0\]\.b\[0, 1\] is nan|params\[0\]\.W\[.*\] is nan",
    ),
}

NETWORKS = {
    "network a list": (crafted(description(network=[])), "description of the network is not a dict"),
    "no sizes": (crafted(network(sizes=...)), "description of the network should have the fields"),
    "unknown field of the network": (crafted(network(bias=True)), "description of the network should have the fields"),
    "sizes a number": (crafted(network(sizes=3)), "sizes are not a list"),
    "sizes a text": (crafted(network(sizes="342")), "sizes are not a list"),
    "sizes a dict": (crafted(network(sizes={"3": 4})), "sizes are not a list"),
    "no layer": (crafted(network(sizes=[])), "at least two entries"),
    "one size": (crafted(network(sizes=[3])), "at least two entries"),
    "size of nothing": (crafted(network(sizes=[3, 0, 2])), "at least 1"),
    "negative size": (crafted(network(sizes=[3, -4, 2])), "at least 1"),
    "size 4.0": (crafted(network(sizes=[3, 4.0, 2])), "whole numbers"),
    "size true": (crafted(network(sizes=[3, True, 2])), "whole numbers"),
    "size '4'": (crafted(network(sizes=[3, "4", 2])), "whole numbers"),
    "size null": (crafted(network(sizes=[3, None, 2])), "whole numbers"),
    "constants where there are none": (crafted(network(loss_options={})), "byte by byte"),
    "a constant of another loss": (crafted(network(loss_options={"delta": 1.0})), "has no constants"),
    **{
        f"constants {what}": (crafted(network(output="identity", loss="huber", loss_options=value)), reason)
        for what, value, reason in (
            ("a list", [["delta", 1.0]], "byte by byte"),
            ("a number", 1.0, "loss_options must be a mapping"),
            ("without a name", {}, "byte by byte"),
            ("of another name", {"width": 1.0}, "must be one of 'delta'; got 'width'"),
            ("1", {"delta": 1}, "byte by byte"),
            ("zero", {"delta": 0.0}, "delta must be positive"),
            ("of 1000 digits", {"delta": int("7" * 1000)}, "delta must be positive"),
            ("a text", {"delta": "1.0"}, "delta must be a number"),
            ("of lists", {"delta": [1.0]}, "delta must be a number"),
        )
    },
    "no constants": (crafted(network(output="identity", loss="huber")), "byte by byte"),
    "another size": (crafted(network(sizes=[3, 5, 2])), "it should have"),
    "as many numbers, other sizes": (
        crafted(network(sizes=[24, 1, 1], output="identity", loss="squared_error")),
        "it should have|byte by byte",
    ),
    "sizes of terabytes": (
        crafted(network(sizes=[2**40, 2**40, 2]), entries([(2**40, 2**40), (2**40,), (2**40, 2), (2,)])),
        "it should have 9,671,406,5",
    ),
    "size 2^80": (crafted(network(sizes=[3, 2**80, 2])), "larger than any memory"),
    "size 10^1000": (crafted(network(sizes=[3, int("7" * 1000), 2])), "larger than any memory"),
    "1001 layers": (crafted(network(sizes=[1] * 1002)), "a list of 1001 whole numbers at most"),
    "100,000 layers": (crafted(network(sizes=[1] * 100_001)), "a list of 1001 whole numbers at most"),
    "activation of a module": (crafted(network(activation="os.system")), "activation must be one of"),
    "activation a dict": (
        crafted(network(activation={"module": "builtins", "class_name": "exec"})),
        "activation must be one of",
    ),
    "activation null": (crafted(network(activation=None)), "activation must be one name"),
    "two activations for one layer": (crafted(network(activation=["tanh", "relu"])), "one for each of the 1 hidden"),
    "activation in a list": (crafted(network(activation=["tanh"])), "byte by byte"),
    "activation of control characters": (
        crafted(network(activation="\x1b[31m\r\n\u202e")),
        r"got '\\x1b\[31m\\r\\n\\u202e'",
    ),
    "activation without end": (crafted(network(activation="x" * 500_000)), r"activation must be one of .*\.\.\.$"),
    "output of a module": (crafted(network(output="builtins.eval")), "output must be one of"),
    "loss null": (crafted(network(loss=None)), "byte by byte"),
    "loss of another output": (crafted(network(loss="poisson")), "does not go with output"),
    "loss a list": (crafted(network(loss=["cross_entropy"])), "loss must be one of"),
}

TENSORS = {
    "no tensors": (crafted(tensors={}), "byte by byte"),
    "tensor missing": (crafted(tensors=without(entries(), "b2")), "byte by byte"),
    "tensor too many": (
        crafted(tensors={**entries(), "W3": {"dtype": "F64", "shape": [0], "data_offsets": [208, 208]}}),
        "byte by byte",
    ),
    "tensor in a folder": (
        crafted(tensors={("../../x" if name == "W1" else name): entry for name, entry in entries().items()}),
        "byte by byte",
    ),
    "tensors in another order": (crafted(tensors=dict(reversed(entries().items()))), "byte by byte"),
    "dtype I64": (crafted(tensors=with_entry("b1", dtype="I64")), "byte by byte"),
    "dtype BF16": (crafted(tensors=with_entry("b1", dtype="BF16")), "byte by byte"),
    "dtype of objects": (crafted(tensors=with_entry("b1", dtype="O")), "byte by byte"),
    "other shape, as many numbers": (crafted(tensors=with_entry("W1", shape=[4, 3])), "byte by byte"),
    "shape of floats": (crafted(tensors=with_entry("b1", shape=[4.0])), "byte by byte"),
    "shape of truths": (crafted(tensors=with_entry("b1", shape=[True])), "byte by byte"),
    "negative shape": (crafted(tensors=with_entry("b1", shape=[-4])), "byte by byte"),
    "shape 2^80": (crafted(tensors=with_entry("b1", shape=[2**80])), "byte by byte"),
    "overlap": (crafted(tensors=with_entry("b1", data_offsets=[64, 96])), "byte by byte"),
    "hole": (crafted(tensors=with_entry("b1", data_offsets=[104, 136])), "byte by byte"),
    "offsets reversed": (crafted(tensors=with_entry("b1", data_offsets=[128, 96])), "byte by byte"),
    "offsets beyond the end": (crafted(tensors=with_entry("b2", data_offsets=[192, 2**70])), "byte by byte"),
    "unknown field of a tensor": (crafted(tensors=with_entry("b1", order="F")), "byte by byte"),
    "tensor null": (crafted(tensors={**entries(), "b1": None}), "byte by byte"),
    "tensor a path": (crafted(tensors={**entries(), "b1": "file:///etc/passwd"}), "byte by byte"),
}

NUMBERS = {
    "NaN as a weight": (crafted(payload=poisoned(np.nan)), r"params\[0\]\.b\[1\] is nan"),
    "infinity as a weight": (crafted(payload=poisoned(np.inf)), r"params\[0\]\.b\[1\] is inf"),
    "minus infinity as a weight": (crafted(payload=poisoned(-np.inf)), r"params\[0\]\.b\[1\] is -inf"),
    "numbers of another model": (crafted()[:-208] + (2 * numbers()).tobytes(), "SHA-256 checksum differs"),
}

HOSTILE: dict[str, tuple[bytes, str]] = {
    **OTHERS_FILES,
    **LENGTHS,
    **TEXTS,
    **SPELLINGS,
    **DESCRIPTIONS,
    **ENSEMBLES,
    **NETWORKS,
    **TENSORS,
    **NUMBERS,
}

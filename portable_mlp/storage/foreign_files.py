"""Files of other programs, recognised by their first bytes, and what a user can do with each."""

from __future__ import annotations

import re

__all__ = ["LONGEST_MAGIC", "describe_foreign"]

LONGEST_MAGIC = 256
"""Number of bytes at the start of a file that are compared."""

_PICKLE = (
    "a pickle, which can run any program when it is loaded, so that portable_mlp loads none; load it where you trust "
    "it, and write a model file with save_model, or of a scikit-learn estimator with "
    "MLPClassifier.from_sklearn(estimator).save(path)"
)
_FOREIGN = (
    (rb"\x80[\x02-\x05]|c[A-Za-z_][\w.]*\n\w+\n|\((?:[dl]p|[ci])", _PICKLE),
    (
        rb"PK\x03\x04.{26}[\w/-]+\.npy",
        "an .npz archive of NumPy; numpy.load(path, allow_pickle=False) gives its arrays, of which Layer(W, b) and "
        "save_model make a model file",
    ),
    (
        rb"PK\x03\x04",
        "a zip archive, such as those of torch.save or Keras; load it with that library, and write its weights with "
        "save_model, which takes PyTorch's tensors too (Layer(W, b) has W of shape (inputs, outputs))",
    ),
    (rb"\x93NUMPY", "an .npy array of NumPy; a model file is written by save_model"),
    (
        rb"\x89HDF\r\n",
        "an HDF5 file, such as those of Keras; load it with Keras, and write its weights with save_model",
    ),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x78[\x01\x5e\x9c\xda]", "compressed data, perhaps of joblib; decompress it first"),
)


def describe_foreign(head: bytes) -> str:
    """Return a description of a file that is not ours, with what to do with it.

    Parameters
    ----------
    head : bytes
        First ``LONGEST_MAGIC`` bytes of the file.
    """
    for magic, answer in _FOREIGN:
        if re.match(magic, head, re.DOTALL):
            return f"not a safetensors file but {answer}"
    return "not a safetensors file" if head else "the file is empty"

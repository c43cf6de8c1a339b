"""docs/format.md says what is: its example is a file, byte by byte, and its reader reads every golden file."""

import pathlib
import re
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
GOLDEN = sorted(pathlib.Path(__file__).with_name("golden").glob("*.safetensors"))


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def reader() -> Any:
    namespace: dict[str, Any] = {}
    exec(block("python"), namespace)
    return namespace["read"]


@pytest.fixture
def example(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr("portable_mlp.version.__version__", "0.1.0")
    path = tmp_path / "example.safetensors"
    layer = pm.Layer(np.asarray([[1.0], [-2.0]], dtype="float32"), np.asarray([0.5], dtype="float32"))
    pm.save_model(path, pm.Network((2, 1), output="identity"), (layer,), {"unit": "kg"})
    return path


def test_the_bytes_of_the_example(example: pathlib.Path) -> None:
    content = example.read_bytes()
    shown = 0
    for line in block("text").splitlines():
        if line.strip() == "...":
            continue
        at = int(line[:8], 16)
        expected = content[at : at + 16]
        assert bytes.fromhex(line[10:49]) == expected
        assert line[51:] == "".join(chr(c) if 32 <= c < 127 else "." for c in expected)
        shown = at + len(expected)
    assert shown == len(content)


def test_the_header_of_the_example(example: pathlib.Path) -> None:
    content = example.read_bytes()
    header = block("json").replace("\n", "").encode()
    assert content[8 : 8 + len(header)] == header
    assert content[8 + len(header) : 8 + 0x1C0].strip(b" ") == b""
    assert int.from_bytes(content[:8], "little") == 0x1C0 == 448


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_reader_reads_every_golden_file(path: pathlib.Path) -> None:
    network, tensors, metadata = reader()(path)
    net, params, same_metadata = pm.load_model(path)
    assert metadata == same_metadata
    assert network["sizes"] == list(net.sizes)
    numbers = [tensors[f"{part}{i}"] for i in range(1, len(params) + 1) for part in "Wb"]
    expected = np.concatenate([part.ravel() for layer in params for part in layer])
    np.testing.assert_array_equal(np.concatenate(numbers), expected)


def test_the_reader_finds_a_changed_byte(example: pathlib.Path) -> None:
    content = bytearray(example.read_bytes())
    content[-1] ^= 1
    example.write_bytes(content)
    with pytest.raises(AssertionError):
        reader()(example)

"""Bits that flip, ends that go missing, blocks that change places: all of it is found."""

import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import safetensors.numpy

import portable_mlp as pm

NET = pm.Network((20, 30, 5))
METADATA = {"classes": list("abcde"), "remark": "kept for years"}
N_FLIPS = 2000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("rot") / "model.safetensors"


@pytest.fixture(scope="module")
def content(path: pathlib.Path) -> bytes:
    pm.save_model(path, NET, pm.init_params(NET), METADATA)
    return path.read_bytes()


def missed(path: pathlib.Path, contents: Iterator[bytes], load: Callable[[], object]) -> list[int]:
    """Return which of the contents were loaded; an error other than a refusal goes through."""
    loaded = []
    for i, changed in enumerate(contents):
        path.write_bytes(changed)
        try:
            load()
            loaded.append(i)
        except (pm.ModelFileError, safetensors.SafetensorError) as error:
            message = str(error)
        else:
            continue
        assert load.__name__ != "ours" or message.startswith(f"{path}: ")
    return loaded


def flips(content: bytes) -> Iterator[bytes]:
    for position in np.random.default_rng(0).choice(8 * len(content), N_FLIPS, replace=False):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << (position % 8)
        yield bytes(flipped)


def test_every_flipped_bit_is_found(path: pathlib.Path, content: bytes) -> None:
    def ours() -> object:
        return pm.load_model(path)

    assert missed(path, flips(content), ours) == []
    path.write_bytes(content)
    assert ours()


def test_safetensors_alone_misses_most(path: pathlib.Path, content: bytes) -> None:
    """The negative control: a flipped bit in a number is a number, and a text with one is a text."""

    def theirs() -> object:
        return safetensors.numpy.load_file(path)

    assert len(missed(path, flips(content), theirs)) > 0.9 * N_FLIPS


def test_every_lost_end_is_found(path: pathlib.Path) -> None:
    def ours() -> object:
        return pm.load_model(path)

    net = pm.Network((3, 4, 2))
    pm.save_model(path, net, pm.init_params(net), METADATA)
    content = path.read_bytes()
    assert missed(path, (content[:length] for length in range(len(content))), ours) == []


def test_blocks_that_went_elsewhere_are_found(path: pathlib.Path, content: bytes) -> None:
    """As a disk or a copy that was cut short leaves them: zeros, two that changed places, a longer end."""

    def ours() -> object:
        return pm.load_model(path)

    block = 512
    starts = range(0, len(content) - 2 * block, block)
    zeros = (content[:start] + bytes(block) + content[start + block :] for start in starts)
    swapped = (
        content[:start]
        + content[start + block : start + 2 * block]
        + content[start : start + block]
        + content[start + 2 * block :]
        for start in starts
    )
    longer = (content + content[:length] for length in (1, 8, block, len(content)))
    assert [missed(path, changed, ours) for changed in (zeros, swapped, longer)] == [[], [], []]


def test_two_sound_files_make_no_third(path: pathlib.Path, content: bytes) -> None:
    """The numbers of another model under this one's header are found, by the checksum alone."""
    pm.save_model(path, NET, pm.init_params(NET, random_state=1), METADATA)
    other = path.read_bytes()
    assert len(other) == len(content)
    start = len(content) - 8 * len(pm.pack(pm.init_params(NET)))
    path.write_bytes(content[:start] + other[start:])
    with pytest.raises(pm.ModelFileError, match=r"model\.safetensors: its bytes are not those .* checksum differs"):
        pm.load_model(path)

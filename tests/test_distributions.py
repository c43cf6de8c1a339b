"""The wheel and the source distribution: what is in them, what is not, and that each gives the other.

They are built here; `nox -s build` has those in ``PORTABLE_MLP_DIST`` looked over, which will be published.
"""

import email.parser
import os
import pathlib
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from typing import NamedTuple

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import parse_sdist_filename, parse_wheel_filename

import portable_mlp as pm

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_IN_SDIST = {".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())}
"""What a checkout has beside the files of the source distribution."""


class Distributions(NamedTuple):
    """The files, and where the source distribution is unpacked."""

    sdist: pathlib.Path
    wheel: pathlib.Path
    unpacked: pathlib.Path


def build(target: str, source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Build a distribution without a network; return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("dist")
    if given := os.environ.get("PORTABLE_MLP_DIST"):
        (sdist,), (wheel,) = pathlib.Path(given).glob("*.tar.gz"), pathlib.Path(given).glob("*.whl")
    else:
        sdist, wheel = build("sdist", ROOT, folder / "sdist"), build("wheel", ROOT, folder / "wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return Distributions(sdist, wheel, unpacked)


def files_below(folder: pathlib.Path) -> set[str]:
    """Return the files that are not ignored, by their paths."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not {*path.parts} & NOT_IN_SDIST}


def contents(wheel: pathlib.Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_names_say_the_version(dist: Distributions) -> None:
    name, version = parse_sdist_filename(dist.sdist.name)
    assert (name, str(version)) == ("portable-mlp", pm.__version__)
    name, version, _, tags = parse_wheel_filename(dist.wheel.name)
    assert (name, str(version), {*map(str, tags)}) == ("portable-mlp", pm.__version__, {"py3-none-any"})


def test_the_wheel_has_the_package_alone(dist: Distributions) -> None:
    info = f"portable_mlp-{pm.__version__}.dist-info"
    described = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    package = {name for name in files_below(ROOT) if name.startswith("portable_mlp/")}
    assert {*contents(dist.wheel)} == described | package
    assert {pathlib.PurePath(name).suffix for name in package} == {".py", ".typed"}
    assert "portable_mlp/py.typed" in package
    assert dist.wheel.stat().st_size < 1_000_000


def test_the_source_distribution_has_all_that_the_checkout_has(dist: Distributions) -> None:
    """Its tests need whatever a checkout's do."""
    assert files_below(dist.unpacked) == files_below(ROOT) | {"PKG-INFO"}
    assert dist.sdist.stat().st_size < 10_000_000
    for name in files_below(ROOT):
        assert (dist.unpacked / name).read_bytes() == (ROOT / name).read_bytes()


def test_both_give_the_same_wheel(dist: Distributions, tmp_path: pathlib.Path) -> None:
    """But for the version of hatchling, and the list of sums that has it."""
    from_sdist = contents(build("wheel", dist.unpacked, tmp_path / "a"))
    assert from_sdist == contents(build("wheel", ROOT, tmp_path / "b"))
    given = contents(dist.wheel)
    assert given.keys() == from_sdist.keys()
    different = {pathlib.PurePath(name).name for name in given if given[name] != from_sdist[name]}
    assert different <= {"RECORD", "WHEEL"}


def test_the_metadata_are_valid(dist: Distributions) -> None:
    """As the package index checks them."""
    (name,) = (name for name in contents(dist.wheel) if name.endswith("/METADATA"))
    raw = contents(dist.wheel)[name]
    assert raw == (dist.unpacked / "PKG-INFO").read_bytes()
    metadata = Metadata.from_email(raw, validate=True)
    assert str(metadata.version) == pm.__version__
    assert (metadata.license_expression, metadata.license_files) == ("MIT", ["LICENSE"])
    assert {*metadata.provides_extra} == {*PROJECT["optional-dependencies"]}
    assert str(metadata.requires_python) == PROJECT["requires-python"]
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text(encoding="utf-8")
    # The index refuses requirements that are addresses.
    assert [one for one in metadata.requires_dist if Requirement(str(one)).url] == []
    assert {str(one.name) for one in metadata.requires_dist if one.marker is None} == {"array-api-compat", "numpy"}
    assert email.parser.BytesParser().parsebytes(raw).defects == []

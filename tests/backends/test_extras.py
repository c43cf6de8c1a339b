"""Install commands: they name extras that exist, and are written in one place."""

import re
import tomllib

from portable_mlp.backends._base import INSTALL
from portable_mlp.backends.extras import TORCH_FOR_CPU, install
from tests.pages import PAGES, ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.glob("portable_mlp/**/*.py")
}


def test_every_extra_that_is_named_exists() -> None:
    calls = r"\b(?:install\(|load\([^()]*, )[\"']([^\"']+)[\"']\)"
    named = {extra for text in SOURCES.values() for extra in re.findall(calls, text)}
    assert {"cli", "sklearn", "torch", "cupy", "mpi", "onnx", "parquet"} <= named <= set(EXTRAS)
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for extras in re.findall(r"\"(?:portable-mlp|\.)\[([\w,-]+)\]", page.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= set(EXTRAS), page


def test_the_command_that_installs_an_extra_is_written_once() -> None:
    written = [path for path, text in SOURCES.items() if re.search(r"pip install [\"']*(?:\.|portable-mlp)\[", text)]
    assert written == ["portable_mlp/backends/extras.py"]


def test_pages_name_no_release_while_there_is_none() -> None:
    """The package index has none: what pip finds there by our name would be somebody else's."""
    if "portable-mlp[" not in install("cli"):
        for page in ROOT.glob("**/*.md"):
            if not {".git", ".nox", "node_modules"} & set(page.parts):
                assert '"portable-mlp[' not in page.read_text(encoding="utf-8"), page


def test_who_has_no_gpu_is_told_of_the_small_pytorch() -> None:
    assert INSTALL["torch"].startswith(install("torch"))
    assert TORCH_FOR_CPU in INSTALL["torch"]
    assert TORCH_FOR_CPU in (ROOT / "docs" / "install.md").read_text(encoding="utf-8")

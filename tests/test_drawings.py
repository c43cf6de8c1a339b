"""The figures of the page "How it works" are what their script draws."""

import pathlib
import re
import runpy
import xml.etree.ElementTree as ElementTree

IMAGES = pathlib.Path(__file__).parents[1] / "docs" / "images"
DRAWINGS: dict[str, str] = runpy.run_path(str(IMAGES / "how_it_works.py"))["drawings"]()


def test_the_files_are_what_the_script_draws() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in IMAGES.glob("*.svg")} == DRAWINGS


def test_the_page_shows_each() -> None:
    page = (IMAGES.parent / "how-it-works.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(images/(\w+\.svg)\)", page)) == sorted(DRAWINGS)


def test_each_has_a_description_and_colours_for_dark_pages() -> None:
    for content in DRAWINGS.values():
        title = ElementTree.fromstring(content).find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert title.text
        assert "prefers-color-scheme: dark" in content

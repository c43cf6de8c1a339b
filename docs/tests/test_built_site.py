"""The site as it was built: links and anchors lead somewhere, and it needs no network."""

import json
import pathlib
import urllib.parse
from functools import cache
from html.parser import HTMLParser

import pytest

import portable_mlp as pm

DOCS = pathlib.Path(__file__).parents[1]
SITE = DOCS / "_build" / "html"
PAGES = [page for page in sorted(SITE.rglob("*.html")) if "_static" not in page.parts]  # the theme has templates there


class Page(HTMLParser):
    """What a page contains.

    Attributes
    ----------
    anchors : list of str
        The values of ``id``.
    links : list of str
        Where a reader can go.
    loaded : list of str
        What the browser loads to show the page.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort a tag's addresses."""
        values = {name: value or "" for name, value in attrs}
        self.anchors += [values["id"]] if "id" in values else []
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ("script", "img", "source", "iframe") and "src" in values:
            self.loaded.append(values["src"])
        elif tag == "link" and "stylesheet" in values.get("rel", ""):
            self.loaded.append(values["href"])


page_at = cache(Page)


def named(page: pathlib.Path) -> str:
    return page.relative_to(SITE).as_posix()


def is_external(address: str) -> bool:
    return urllib.parse.urlsplit(address).scheme in ("http", "https", "mailto")


def problem_with(page: pathlib.Path, address: str) -> str | None:
    """Return what is wrong with a relative address on a page."""
    parts = urllib.parse.urlsplit(address)
    target = (page.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return f"{named(page)}: no file {address}"
    if target.suffix == ".html" and parts.fragment not in ("", *page_at(target).anchors):
        return f"{named(page)}: no anchor {address}"
    return None


def test_there_are_pages() -> None:
    assert len(PAGES) > 100
    assert {"index.html", "tutorial.html", "gallery/xor.html", "reference/generated/portable_mlp.train.html"} <= set(
        map(named, PAGES)
    )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_anchors_lead_somewhere(page: pathlib.Path) -> None:
    addresses = [link for link in page_at(page).links if not is_external(link)]
    assert [found for address in addresses if (found := problem_with(page, address))] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_loads_nothing_from_elsewhere(page: pathlib.Path) -> None:
    assert page_at(page).loaded
    assert [found for address in page_at(page).loaded if (found := problem_with(page, address))] == []


def test_external_links_are_those_of_the_list() -> None:
    """A link to elsewhere is added to the list; ``nox -s links`` asks whether they all answer."""
    listed = (DOCS / "external-links.txt").read_text(encoding="utf-8").splitlines()
    found = {link.partition("#")[0] for page in PAGES for link in page_at(page).links if is_external(link)}
    assert sorted(found) == listed


def test_every_public_name_is_on_one_page_of_the_reference() -> None:
    for name in pm.__all__:
        pages = [named(page) for page in PAGES if f"portable_mlp.{name}" in page_at(page).anchors]
        assert len(pages) == 1, (name, pages)
        assert pages[0].startswith("reference/")


def test_the_search_finds_every_public_name_without_a_server() -> None:
    script = (SITE / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(script.removeprefix("Search.setIndex(").removesuffix(")"))
    found = {name: index["docnames"][document] for document, *_, name in index["objects"]["portable_mlp"]}
    assert [name for name in pm.__all__ if not found.get(name, "").startswith("reference/")] == []
    assert "gallery/xor" in index["docnames"]
    assert any(loaded.startswith("searchindex.js") for loaded in page_at(SITE / "search.html").loaded)

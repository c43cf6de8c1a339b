"""What the parsers of Python's library find in HTML."""

import html.parser
import xml.etree.ElementTree

VOID = {"br", "img", "input", "meta"}
"""Elements that are not closed."""


class Page(html.parser.HTMLParser):
    """The elements of a page, their attributes, and the text of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> xml.etree.ElementTree.Element:
    """Return the only element of a text that is well-formed XML, too, without the namespace of SVG."""
    return xml.etree.ElementTree.fromstring(text.replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def rows_of(element: xml.etree.ElementTree.Element) -> list[list[str]]:
    """Return the texts of the cells of an element's tables."""
    return [["".join(cell.itertext()) for cell in row] for row in element.iter("tr")]

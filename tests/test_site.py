"""The site's reference is complete; `nox -s docs` builds the pages, and finds broken links."""

import pathlib
import re

import portable_mlp as pm

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def test_every_public_name_is_on_one_page_of_the_reference() -> None:
    page = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"^   (\w+)$", page, re.MULTILINE) + re.findall(r"^\.\. py:type:: (\w+)$", page, re.MULTILINE)
    assert sorted(names) == pm.__all__

"""Print the section of CHANGELOG.md of a release, having checked that a tag names it: ``release_notes.py v0.1.0``."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def text_of(name: str) -> str:
    """Return the content of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def found(pattern: str, name: str) -> str:
    """Return what a pattern's group matches in a file; "nothing" if nothing does."""
    match = re.search(pattern, text_of(name), re.MULTILINE)
    return match[1] if match else "nothing"


def contradictions(tag: str) -> list[str]:
    """Return what is not ready for a release of this tag, in sentences."""
    version = tag.removeprefix("v")
    heading = rf"^## {re.escape(version)} \((.*)\)$"
    date = found(heading, "CHANGELOG.md")
    stated = {
        "portable_mlp/version.py": found(r'^__version__ = "(.*)"$', "portable_mlp/version.py"),
        "the first section of CHANGELOG.md": found(r"^## (\S+) \(", "CHANGELOG.md"),
        "CITATION.cff": found(r"^version: (\S+)$", "CITATION.cff"),
    }
    sentences = [f"{place} is of {other}, and the tag is {tag}" for place, other in stated.items() if other != version]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        sentences.append(f"the date of {version} in CHANGELOG.md is {date}, and not a day such as 2026-12-31")
    elif date != found(r"^date-released: (\S+)$", "CITATION.cff"):
        sentences.append("date-released in CITATION.cff is another day than in CHANGELOG.md")
    if "in a clone" in text_of("portable_mlp/backends/extras.py"):
        sentences.append("portable_mlp/backends/extras.py names a clone, and not the package index")
    return sentences


def section(version: str) -> str:
    """Return what CHANGELOG.md has below the heading of a version."""
    return re.split(r"^## .*$", text_of("CHANGELOG.md").partition(f"\n## {version} ")[2], flags=re.MULTILINE)[0]


def main(tag: str) -> int:
    """Print the notes; else print on stderr what contradicts the tag, and return 1."""
    sentences = contradictions(tag)
    if sentences:
        print("\n".join(sentences), file=sys.stderr)
        return 1
    print(section(tag.removeprefix("v")).partition("\n")[2].strip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

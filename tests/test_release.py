"""The workflows, the files around a release, and what a tag must agree with."""

import ast
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import portable_mlp as pm
from portable_mlp.cli.commands import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")
}
STEPS = [
    (name, job, step) for name, flow in WORKFLOWS.items() for job in flow["jobs"].values() for step in job["steps"]
]
READY = {
    "CHANGELOG.md": (f"## {pm.__version__} (unreleased)", f"## {pm.__version__} (2026-12-31)"),
    "CITATION.cff": ("license: MIT", "date-released: 2026-12-31\nlicense: MIT"),
    "portable_mlp/backends/extras.py": ("in a clone of portable_mlp", ""),
    "portable_mlp/version.py": ("", ""),
}
"""The files that a release changes, and how."""


def sessions() -> set[str]:
    """Return the names of nox's sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {one.name for one in functions if any("nox.session" in ast.unparse(mark) for mark in one.decorator_list)}


def sessions_of(command: str) -> Iterator[str]:
    """Yield the sessions that a shell command asks nox for."""
    for names in re.findall(r"\bnox[\"']? -s((?: [a-z]\w*)+)", command):
        yield from names.split()


def pythons() -> list[tuple[int, ...]]:
    """Return the versions of Python among the classifiers."""
    found = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    return sorted(tuple(map(int, version.split("."))) for version in found)


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / ".github/workflows").glob("*.yml")), ROOT / ".ci/run"], ids=lambda path: path.name
)
def test_every_session_that_is_named_exists(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = {*sessions_of(text)}
    assert named <= sessions()
    assert named or ".ci/run" in text or "pypi" in text


def test_pythons_are_those_of_the_classifiers() -> None:
    """The oldest and the newest are tested, the oldest is the one that is required, and none is left out between."""
    known = pythons()
    assert known == [(3, minor) for minor in range(known[0][1], known[-1][1] + 1)]
    assert PROJECT["requires-python"] == f">={'.'.join(map(str, known[0]))}"
    matrix = WORKFLOWS["tests"]["jobs"]["cpu"]["strategy"]["matrix"]["python"]
    tested = {tuple(map(int, version.split("."))) for version in matrix}
    assert {known[0], known[-1]} <= tested <= {*known}
    used = {str(step["with"]["python-version"]) for _, _, step in STEPS if "setup-python" in step.get("uses", "")}
    for version in used - {"${{ matrix.python }}"}:
        assert tuple(map(int, version.split("."))) in known


def test_actions_have_a_version_and_one_each() -> None:
    uses = {step["uses"] for _, _, step in STEPS if "uses" in step}
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d[\w.]*|release/v\d+|[0-9a-f]{40})", one) for one in uses)
    assert len({one.partition("@")[0] for one in uses}) == len(uses)


def test_no_job_may_more_than_it_needs() -> None:
    """All may read; those alone may write that publish, each in an environment or with the repository's releases."""
    for flow in WORKFLOWS.values():
        assert flow["permissions"] == {"contents": "read"}
    more = {
        (name, job): permissions
        for name, flow in WORKFLOWS.items()
        for job, described in flow["jobs"].items()
        if (permissions := described.get("permissions"))
    }
    assert more == {
        ("docs", "publish"): {"pages": "write", "id-token": "write"},
        ("release", "publish"): {"id-token": "write"},
        ("release", "announce"): {"contents": "write"},
    }
    # What an event says is text: it reaches a shell as a variable, never as a part of the command.
    assert [step["run"] for _, _, step in STEPS if "${{" in step.get("run", "")] == []


def test_a_tag_is_published_once_it_was_built_and_tested() -> None:
    flow = WORKFLOWS["release"]
    assert flow[True] == {"push": {"tags": ["v*"]}}  # to YAML 1.1 "on" is a truth value
    jobs = flow["jobs"]
    assert (jobs["publish"]["needs"], jobs["announce"]["needs"]) == ("build", "publish")
    assert jobs["publish"]["environment"]["name"] == "pypi"
    steps = [step.get("run", step.get("uses")) for step in jobs["build"]["steps"]]
    order = [next(i for i, step in enumerate(steps) if part in step) for part in ("notes.py", "-s build", "upload")]
    assert order == sorted(order)
    assert any(step.get("uses", "").startswith("pypa/gh-action-pypi-publish@") for step in jobs["publish"]["steps"])
    # Only what was built there is published: the job that may publish does not even have the source.
    assert not any("checkout" in step.get("uses", "") for step in jobs["publish"]["steps"])


def test_the_citation_is_of_this_version() -> None:
    """`nox -s lint` compares it with the schema of the format."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (pm.__version__, PROJECT["license"])
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


@pytest.fixture
def ready(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the files that a release changes, changed for one."""
    for name, (now, then) in READY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / name).read_text(encoding="utf-8")
        assert now in text
        (tmp_path / name).write_text(text.replace(now, then), encoding="utf-8")
    (tmp_path / ".github").mkdir()
    shutil.copy(ROOT / ".github/release_notes.py", tmp_path / ".github")
    return tmp_path


def notes(folder: pathlib.Path, tag: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(folder / ".github/release_notes.py"), tag]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_notes_of_a_release_are_its_section(ready: pathlib.Path) -> None:
    changelog = ready / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8") + "\n## 0.0.9 (2020-01-01)\n\n- Older.\n")
    done = notes(ready, f"v{pm.__version__}")
    assert (done.returncode, done.stderr) == (0, "")
    whole = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert done.stdout.strip() == whole.partition("(unreleased)\n")[2].strip()


@pytest.mark.parametrize(
    ("name", "now", "then", "words"),
    [
        ("portable_mlp/version.py", pm.__version__, "9.9.9", "version.py is of 9.9.9"),
        ("CHANGELOG.md", f"## {pm.__version__} ", "## 9.9.9 ", "CHANGELOG.md is of 9.9.9"),
        ("CHANGELOG.md", "(2026-12-31)", "(unreleased)", "is unreleased, and not a day"),
        ("CITATION.cff", f"version: {pm.__version__}", "version: 9.9.9", "CITATION.cff is of 9.9.9"),
        ("CITATION.cff", "date-released: 2026-12-31", "date-released: 2026-12-30", "another day"),
        ("portable_mlp/backends/extras.py", '"""The optional', '"""in a clone. The optional', "names a clone"),
    ],
)
def test_a_tag_that_something_contradicts(ready: pathlib.Path, name: str, now: str, then: str, words: str) -> None:
    text = (ready / name).read_text(encoding="utf-8")
    assert now in text
    (ready / name).write_text(text.replace(now, then), encoding="utf-8")
    done = notes(ready, f"v{pm.__version__}")
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_a_tag_of_another_version(ready: pathlib.Path) -> None:
    done = notes(ready, "v9.9.9")
    assert done.returncode == 1
    assert done.stderr.count("and the tag is v9.9.9\n") == 3


FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem)
def test_forms_of_issues_ask_for_the_report_of_the_machine(path: pathlib.Path) -> None:
    """`nox -s lint` compares them with the schema of the format."""
    form: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = [field["id"] for field in form["body"] if "id" in field]
    assert len(names) == len(set(names))
    (doctor,) = (field for field in form["body"] if field.get("id") == "doctor")
    assert "`portable-mlp doctor`" in doctor["attributes"]["description"]


def test_what_is_said_of_security_is_tested() -> None:
    """Files, tests and commands that SECURITY.md relies on are there."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)#]+)\)", text):
        assert name.startswith("https://") or (ROOT / name).exists(), name
    assert (ROOT / "tests/test_nothing_is_unpickled.py").exists()


def test_the_changelog_of_the_first_release_names_everything() -> None:
    """Every public name, command and extra, and nothing that is compared with a release before."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = changelog[changelog.index("\n## 0.1.0 ") :]
    quoted = {word for code in re.findall(r"`([^`]+)`", first) for word in re.findall(r"[\w-]+", code)}
    assert {*pm.__all__, *COMMANDS, *PROJECT["optional-dependencies"]} - quoted == set()
    assert re.findall(r"\b(?:no longer|than before|as before)\b", first) == []

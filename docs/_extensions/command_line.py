"""The directive ``command-line``: a section for each command of ``portable-mlp``, read from the commands themselves."""

from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from portable_mlp.cli.app import app as application

PROGRAM = "portable-mlp"


class CommandLine(SphinxDirective):
    """The reference of all commands."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        group: Any = typer.main.get_command(application)
        context = group.make_context(PROGRAM, [], resilient_parsing=True)
        return [section(name, group.get_command(context, name), context) for name in group.list_commands(context)]


def section(name: str, command: Any, parent: Any) -> nodes.section:
    """Return the section of a command: its usage, its purpose, and a table for each group of its parameters."""
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    usage = " ".join([PROGRAM, name, *command.collect_usage_pieces(context)])
    found = nodes.section("", nodes.title(text=name), ids=[name], names=[name])
    found += nodes.literal_block(usage, usage, language="text")
    found += [nodes.paragraph(text=" ".join(one.split())) for one in (command.help or "").split("\n\n")]
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        unnamed = "Arguments" if parameter.param_type_name == "argument" else "Options"
        record = parameter.get_help_record(context)
        if record is not None:  # None of a hidden option
            groups.setdefault(parameter.rich_help_panel or unnamed, []).append(record)
    for title, records in groups.items():
        found += [nodes.rubric(text=title), table(records)]
    return found


def table(records: list[tuple[str, str]]) -> nodes.table:
    """Return a table of parameters: what is typed, and its help."""
    body = [nodes.row("", cell(nodes.literal(text=typed)), cell(nodes.Text(text))) for typed, text in records]
    columns = [nodes.colspec(colwidth=width) for width in (35, 65)]
    return nodes.table("", nodes.tgroup("", *columns, nodes.tbody("", *body), cols=2), classes=["parameters"])


def cell(content: nodes.Node) -> nodes.entry:
    """Return a cell of a table."""
    return nodes.entry("", nodes.paragraph("", "", content))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

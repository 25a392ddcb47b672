"""Printing the JSON Schema of space files."""

from __future__ import annotations

import json

import click

from hebbevo.cli.examples import examples


@click.command(epilog=examples("hebbevo schema > space.schema.json"))
def schema() -> None:
    r"""Print the JSON Schema of space files, for editors.

    An editor with the YAML language server, such as VS Code with the extension YAML, then completes and
    checks a space file that begins with this line:

    \b
    # yaml-language-server: $schema=space.schema.json
    """
    from hebbevo.spec.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))

"""Tables of knobs for the reference pages, made from the registries of the package so that they stay true.

A page has a mark such as ``<!-- knobs: units -->``, or ``<!-- knobs: connections.set -->`` for the table
of one rule, which is replaced when the page is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hebbevo.networks import FAMILIES
from hebbevo.rules import AXES
from hebbevo.samplers import SAMPLERS
from hebbevo.space.knobs import Knob, listed
from hebbevo.training import KNOBS

MARK = re.compile(r"<!-- knobs: (\w+)(?:\.(\w+))? -->")


def filled(page: str) -> str:
    """The Markdown text of a page with a table in the place of each mark.

    Raises:
        KeyError: a mark names something that has no knobs.
    """
    groups: dict[str, Mapping[str, Mapping[str, Knob]]] = {
        **{axis: {name: rule.knobs for name, rule in rules.items()} for axis, rules in AXES.items()},
        "samplers": {name: entry.knobs for name, entry in SAMPLERS.items()},
        "families": {name: family.knobs for name, family in FAMILIES.items()},
        "training": {"Training": KNOBS},
    }

    def tables(mark: re.Match[str]) -> str:
        return table(groups[mark[1]][mark[2]]) if mark[2] else sections(groups[mark[1]])

    return MARK.sub(tables, page)


def sections(group: Mapping[str, Mapping[str, Knob]]) -> str:
    """A heading and a table for each member of a group."""
    return "\n\n".join(f"### {name}\n\n{table(knobs)}" for name, knobs in group.items())


def table(knobs: Mapping[str, Knob]) -> str:
    """The knobs in a Markdown table: name, default, allowed values, values worth searching, meaning."""
    if not knobs:
        return "No knobs."
    header = "| knob | default | allowed | worth searching | meaning |\n| --- | --- | --- | --- | --- |"
    return "\n".join([header, *map(row, knobs.values())])


def row(knob: Knob) -> str:
    """One knob as a row of the table."""
    worth = ""
    if knob.sensible:
        low, high = knob.sensible
        worth = f"{low:g} to {high:g}{', log' if knob.log else ''}"
    cells = [f"`{knob.name}`", f"`{listed([knob.default])}`", knob.range_text(), worth, knob.meaning]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

"""The console for results, and the list of knobs, which needs no study."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from hebbevo.space.knobs import Knob


def output() -> Console:
    """Make the console for results. It takes no text as markup.

    In a file or a pipe no line is cut to the width of a terminal.
    """
    width = None if Console().is_terminal else 10_000
    return Console(width=width, markup=False, emoji=False)


def plus_minus(console: Console) -> str:
    """The sign between a mean and its standard deviation, as far as the console's characters allow."""
    sign = " \N{PLUS-MINUS SIGN} "
    try:
        sign.encode(console.encoding)
    except UnicodeEncodeError:
        return " +- "
    return sign


def print_knobs(knobs: Mapping[str, Knob], console: Console) -> None:
    """Print for every knob its default, allowed values, range worth searching, and meaning."""
    for knob in knobs.values():
        default = str(knob.default).lower() if knob.kind is bool else str(knob.default)
        console.print(f"{knob.name} = {default}", style="bold", highlight=False, soft_wrap=True)
        worth = ""
        if knob.sensible:
            low, high = knob.sensible
            worth = f"; worth searching: {low:g} to {high:g}" + (", log" if knob.log else "")
        console.print(f"    {knob.range_text()}{worth}", highlight=False, soft_wrap=True)
        console.print(f"    {knob.meaning}", highlight=False, soft_wrap=True)

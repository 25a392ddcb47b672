"""The console for results, and lists that need no study."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from hebbevo.space.knobs import Knob


def knob_list(knobs: Mapping[str, Knob], console: Console) -> None:
    """Print every knob: its default, what it may be, what is worth searching, and what it means."""
    for knob in knobs.values():
        default = str(knob.default).lower() if knob.kind is bool else str(knob.default)
        console.print(f"{knob.name} = {default}", style="bold", highlight=False, soft_wrap=True)
        worth = ""
        if knob.sensible:
            low, high = knob.sensible
            worth = f"; worth searching: {low:g} to {high:g}" + (", log" if knob.log else "")
        console.print(f"    {knob.range_text()}{worth}", highlight=False, soft_wrap=True)
        console.print(f"    {knob.meaning}", highlight=False, soft_wrap=True)


def output() -> Console:
    """The console for results; what goes to a file or a pipe is never cut to a width."""
    console = Console()
    return console if console.is_terminal else Console(width=10_000)

"""The model card: what an exported network is, what was measured of it, and how to make it again."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from hebbevo.deploy.export.interface import Interface
from hebbevo.deploy.origin import Figures, Origin
from hebbevo.messages import listed, printable

MADE_BY = "Made by hebbevo"
"""The begin of a line by which a card is known as one."""

_LIBRARIES = ("torch", "numpy")
_MOST_SHOWN = 30  # classes or categories; the file has all
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is said of an exported network.

    Attributes:
        file: name of the file.
        interface: what the network takes and gives.
        origin: where it comes from; ``None`` for a module that is no network of a study.
        left: what could not be cut out of it, by layer.
        parameters: number of its parameters.
        multiply_adds: for one row.
        license: as the user says.
    """

    file: str
    interface: Interface
    origin: Origin | None
    left: Mapping[str, str]
    parameters: int
    multiply_adds: int
    license: str

    @property
    def title(self) -> str:
        """What it is, in one line."""
        if self.origin is None:
            return f"A network of {self.parameters:,} parameters"
        found = self.origin.figures["found"].survivors
        alive = f"{found:g} of {self.origin.neurons:,} {self.origin.count} alive"
        return printable(f"{self.origin.name}, trial {self.origin.trial}: {alive}")

    def texts(self) -> dict[str, str]:
        """The texts that are kept in the file, by name."""
        return {
            "title": self.title,
            "interface": self.interface.to_json(),
            "facts": self.facts(),
            "license": self.license,
            "card": self.markdown(),
        }

    def facts(self) -> str:
        """The facts of the card as JSON; ``null`` for what was not measured."""
        plain: dict[str, Any] = {"parameters": self.parameters, "multiply_adds": self.multiply_adds}
        plain["not_cut"] = dict(self.left)
        plain["exported_with"] = _versions()
        if self.origin is not None:
            origin = dataclasses.asdict(self.origin)
            del origin["options"], origin["findings"]  # in the interface
            plain |= origin
        return json.dumps(_without_nan(plain), default=str)

    def markdown(self) -> str:
        """The card as a page."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        origin, interface = self.origin, self.interface
        yield f"# {self.title}"
        yield ""
        made = f"{MADE_BY} {version('hebbevo')}. File: `{printable(self.file)}`."
        yield f"{made} License: {printable(self.license)}."
        yield ""
        yield f"{self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds for one row."
        yield from (f"Not cut: {name}: {why}." for name, why in self.left.items())
        yield ""
        yield "## Rows and answers"
        yield ""
        shape = ", ".join(["rows", *map(str, interface.shape)])
        yield f"- `rows`: shape ({shape}), {interface.dtype}, as the data have them"
        outputs = len(interface.classes) or (1 if origin else "outputs")
        yield f"- `{interface.output}`: shape (rows, {outputs})" + self._what()
        if origin:
            yield "- A row with a missing value or an unknown category gives not a number."
        if interface.classes:
            yield f"- classes: {_some(interface.classes)}"
        for column in interface.columns:
            coded = ", ".join(
                f"{place} = {printable(name)}" for place, name in enumerate(column.categories[:_MOST_SHOWN])
            )
            more = ", ..." if len(column.categories) > _MOST_SHOWN else ""
            yield f"- column `{printable(column.name)}`: {coded + more if coded else 'a number'}"
        if origin is not None:
            yield from self._origin_lines(origin)
        yield ""
        yield "## Versions"
        yield ""
        yield f"Exported with {_joined(_versions())}."

    def _what(self) -> str:
        if self.interface.target is None:
            return ""
        of = "of each class of" if self.interface.classes else "in the unit of"
        return f", {of} `{printable(self.interface.target)}`"

    def _origin_lines(self, origin: Origin) -> Iterator[str]:
        yield ""
        yield "## Measured"
        yield ""
        yield f"| | {printable(origin.score)} | sd | {origin.count} |"
        yield "| --- | --- | --- | --- |"
        for name, figures in origin.figures.items():
            yield f"| {name} | {' | '.join(_shown(figures))} |"
        yield ""
        yield "Found is the best of many noisy trials, on validation rows. Confirmed networks were trained"
        yield "again under fresh seeds. The dense control has the same widths, and no pruning."
        yield ""
        yield "## Data"
        yield ""
        rows = ", ".join(f"{number:,} {part}" for part, number in origin.rows.items())
        yield f"`{printable(origin.dataset)}`, {origin.kind}; rows: {rows or 'not recorded'}."
        yield f"SHA-256 of the data: `{origin.fingerprint or 'not recorded'}`."
        yield ""
        yield "## Genome"
        yield ""
        yield from (f"- `{printable(name)}`: {printable(value)}" for name, value in origin.genome.items())
        yield ""
        yield "## Make it again"
        yield ""
        what = f"trial {origin.trial}, epoch {origin.epoch}, seed of the search {origin.seed}"
        yield f"With the study and its data ({what}):"
        yield ""
        yield f"    hebbevo export {printable(origin.study)} --trial {origin.trial} -o {printable(self.file)}"
        yield ""
        yield f"The study was made with {_joined(origin.versions)}."


def _shown(figures: Figures) -> list[str]:
    values = (figures.score, figures.sd)
    texts = [NOT_MEASURED if math.isnan(value) else f"{value:.4f}" for value in values]
    return [*texts, NOT_MEASURED if math.isnan(figures.survivors) else f"{figures.survivors:g}"]


def _some(values: tuple[Any, ...]) -> str:
    more = ", ..." if len(values) > _MOST_SHOWN else ""
    return printable(listed(values[:_MOST_SHOWN])) + more


def _versions() -> dict[str, str]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"hebbevo": version("hebbevo"), "python": python} | {name: version(name) for name in _LIBRARIES}


def _joined(versions: Mapping[str, str]) -> str:
    return printable(", ".join(f"{name} {number}" for name, number in versions.items())) or "unknown versions"


def _without_nan(plain: Any) -> Any:
    if isinstance(plain, Mapping):
        return {str(key): _without_nan(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_without_nan(each) for each in plain]
    return None if isinstance(plain, float) and math.isnan(plain) else plain

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
from hebbevo.deploy.network_figures import NetworkFigures, Origin
from hebbevo.deploy.provenance import Figures, Provenance
from hebbevo.messages import listed, printable

MADE_BY = "Made by hebbevo"
"""The begin of a line by which a card is known as one."""

_LIBRARIES = ("torch", "numpy")
_MOST_SHOWN = 30  # classes or categories; the file has all
NOT_MEASURED = "not measured"
_ORIGINS = {
    Origin.KEPT: "The weights are those of the search.",
    Origin.REPRODUCED: "The network was trained again from the record, and reached exactly what is recorded.",
    Origin.RETRAINED: "The network was trained again, and reached other figures than those recorded.\n"
    "The figures of this network are its own; the others are of other weights.",
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is said of an exported network.

    Attributes:
        file: name of the file.
        interface: what the network takes and gives.
        provenance: where it comes from; ``None`` for a module that is no network of a study.
        figures: what this very network reaches; ``None`` if that is not known.
        left: what could not be cut out of it, by layer.
        parameters: number of its parameters.
        multiply_adds: for one row.
        license: as the user says.
    """

    file: str
    interface: Interface
    provenance: Provenance | None
    figures: NetworkFigures | None
    left: Mapping[str, str]
    parameters: int
    multiply_adds: int
    license: str

    @property
    def title(self) -> str:
        """What it is, in one line."""
        if self.provenance is None:
            return f"A network of {self.parameters:,} parameters"
        origin, found = self.provenance, self.provenance.figures["found"].survivors
        alive = self.figures.survivors if self.figures else found
        of = f"{alive:g} of {origin.neurons:,} {origin.count} alive"
        return printable(f"{origin.name}, trial {origin.trial}: {of}")

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
        if self.figures is not None:
            plain["network"] = dataclasses.asdict(self.figures)
        if self.provenance is not None:
            provenance = dataclasses.asdict(self.provenance)
            del provenance["options"], provenance["findings"]  # in the interface
            plain |= provenance
        return json.dumps(_without_nan(plain), default=str)

    def markdown(self) -> str:
        """The card as a page."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        provenance, interface = self.provenance, self.interface
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
        outputs = len(interface.classes) or (1 if provenance else "outputs")
        yield f"- `{interface.output}`: shape (rows, {outputs})" + self._what()
        if provenance:
            yield "- A row with a missing value or an unknown category gives not a number."
        if interface.classes:
            yield f"- classes: {_some(interface.classes)}"
        for column in interface.columns:
            coded = ", ".join(
                f"{place} = {printable(name)}" for place, name in enumerate(column.categories[:_MOST_SHOWN])
            )
            more = ", ..." if len(column.categories) > _MOST_SHOWN else ""
            yield f"- column `{printable(column.name)}`: {coded + more if coded else 'a number'}"
        if provenance is not None:
            yield from self._provenance_lines(provenance)
        yield ""
        yield "## Versions"
        yield ""
        yield f"Exported with {_joined(_versions())}."

    def _what(self) -> str:
        if self.interface.target is None:
            return ""
        of = "of each class of" if self.interface.classes else "in the unit of"
        return f", {of} `{printable(self.interface.target)}`"

    def _provenance_lines(self, provenance: Provenance) -> Iterator[str]:
        yield ""
        yield "## Measured"
        yield ""
        figures = self.figures
        if figures is not None:
            yield from _ORIGINS[figures.origin].splitlines()
            yield ""
        yield f"| | {printable(provenance.score)} | sd | {provenance.count} |"
        yield "| --- | --- | --- | --- |"
        measured = dict(provenance.figures)
        if figures is not None:
            own = Figures(score=figures.accuracy, survivors=figures.survivors)
            measured = {"this network": own, **measured}
        for name, each in measured.items():
            yield f"| {name} | {' | '.join(_shown(each))} |"
        yield ""
        yield "Found is the best of many noisy trials, on validation rows. Confirmed networks were trained"
        yield "again under fresh seeds. The dense control has the same size, and no pruning."
        yield ""
        yield "## Data"
        yield ""
        rows = ", ".join(f"{number:,} {part}" for part, number in provenance.rows.items())
        yield f"`{printable(provenance.dataset)}`, {provenance.kind}; rows: {rows or 'not recorded'}."
        yield f"SHA-256 of the data: `{provenance.fingerprint or 'not recorded'}`."
        yield ""
        yield "## Genome"
        yield ""
        yield from (f"- `{printable(name)}`: {printable(value)}" for name, value in provenance.genome.items())
        yield ""
        yield "## Make it again"
        yield ""
        which = f"trial={provenance.trial}, epoch={provenance.epoch}"
        if figures is not None:
            which += f", replicate={figures.replicate}"
        yield f"With the study (seed {provenance.seed}) and its data:"
        yield ""
        yield f"    net = hebbevo.network({printable(repr(provenance.study))}, {which})"
        yield f"    hebbevo.export(net, {printable(repr(self.file))})"
        yield ""
        yield f"The study was made with {_joined(provenance.versions)}."


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

"""The front of an earlier study, as the genomes with which another search begins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hebbevo.errors import StudyError
from hebbevo.messages import listed
from hebbevo.space import ChoiceGene, FloatGene, Gene, Genome, canonical
from hebbevo.space.knobs import Value
from hebbevo.spec import Spec
from hebbevo.spec.starting_points import as_value, value_for, without_genes
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import Store
from hebbevo.study.view import Study


def front_of(store: Store, spec: Spec) -> tuple[list[Genome], list[str]]:
    """Carry the front of a study over to the space of another search.

    A gene that the study does not have gets the value that its networks had. A number outside the space moves
    to the nearest value. A genome with a choice that the space lacks is left out.

    Args:
        store: the earlier study.
        spec: the search that begins.

    Returns:
        The genomes, by survivors ascending, each once; and lines that say what was changed.

    Raises:
        StudyError: the study cannot be read, has no front, or none of its genomes can be carried over.
    """
    with Ledger.open(store) as ledger:
        numbers = Study(ledger).front()["trial"].tolist()
        records = [record for generation in ledger.generations() for record in generation.records]
        genomes = {record.number: record.genome for record in records}
        earlier = ledger.spec
    if not numbers:
        raise StudyError(
            f"{store}: has no front to start from; write a study with a network that beats chance"
        )
    usual = without_genes(earlier)
    found: dict[str, Genome] = {}
    left_out: dict[str, int] = {}  # how many genomes each gene has kept out
    moved: set[str] = set()
    for number in dict.fromkeys(numbers):
        genome, changed, lacking = _carried_over(spec, genomes[number], usual)
        if lacking:
            left_out[lacking] = left_out.get(lacking, 0) + 1
            continue
        moved |= changed
        found.setdefault(canonical(genome), genome)
    if not found:
        what = f"none of its genomes lies in this space (see {listed(left_out)})"
        raise StudyError(f"{store}: {what}; widen the space, or write another --start")
    lines = [f"starts with {len(found)} genomes from the front of {store}"]
    if moved:
        lines.append(f"values outside this space were moved to the nearest value: {listed(sorted(moved))}")
    if left_out:
        count = sum(left_out.values())
        lines.append(f"left out {count} genomes without a value for {listed(left_out)} in this space")
    return list(found.values()), lines


def _carried_over(
    spec: Spec, genome: Genome, usual: Mapping[str, Value]
) -> tuple[Genome, set[str], str | None]:
    """The genome in the space, the genes whose values were moved, and the first gene without a value."""
    values: Genome = {}
    moved: set[str] = set()
    for gene in spec.space.parents_first:
        if gene.name not in spec.space.active(values):
            continue
        own = value_for(gene, genome, usual)
        value = None if own is None else as_value(gene, own)
        if value is None and own is not None:
            value = _nearest(gene, own)
            moved.add(gene.name)
        if value is None:
            return {}, set(), gene.name
        values[gene.name] = value
    return {name: values[name] for name in spec.space.active(values)}, moved, None


def _nearest(gene: Gene, value: Value) -> Value | None:
    """The value of a numeric gene that is nearest to a number; ``None`` where there is none."""
    if isinstance(gene, ChoiceGene) or isinstance(value, bool | str | list):
        return None
    number = float(np.clip(value, gene.low, gene.high))
    if isinstance(gene, FloatGene):
        return number if gene.step is None else gene.nearest(number)
    steps = round((number - gene.low) / gene.step)
    return gene.values[min(steps, len(gene.values) - 1)]

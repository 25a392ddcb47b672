"""Which studies the native engine computes: this is chosen when they begin, and is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hebbevo import native
from hebbevo.errors import StudyError, UsageError
from hebbevo.networks import Architecture
from hebbevo.space import ChoiceGene, Gene, Genome, Space
from hebbevo.spec import Spec
from hebbevo.spec.schema import AUTO
from hebbevo.study.ledger import Ledger
from hebbevo.training.recipe import NATIVE, PYTORCH

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.training import Recipe


def check_native(ledger: Ledger) -> None:
    """Check that trainings of a study can be computed here by the engine that has begun it.

    Raises:
        StudyError: it is one of the native engine, which is not compiled here or is of another version.
    """
    version = ledger.facts.native
    if not version:
        return
    if version != native.VERSION:
        what = f"was begun by version {version} of the native engine, and here is version {native.VERSION}"
        raise StudyError(f"{ledger.store}: {what}; use the hebbevo that began it, or write another --study")
    if not native.is_built():
        what = "was begun by the native engine, which is not compiled here"
        raise StudyError(f"{ledger.store}: {what}; install a C compiler, and run {native.COMMAND}")


def refuse_missing(spec: Spec) -> None:
    """Check that the native engine is there if it is asked for by name.

    Raises:
        UsageError: it is not.
    """
    if spec.search.engine == NATIVE and not native.is_built():
        raise UsageError(f"search.engine: {native.why_missing()}")


def may_be_native(spec: Spec) -> bool:
    """Guess, without PyTorch, whether `chosen_engine` is the native one where that is compiled."""
    if spec.search.engine != AUTO:
        return spec.search.engine == NATIVE
    network = spec.network
    return not network.module and network.family == "mlp" and network.credit == "backprop"


def chosen_engine(spec: Spec, plan: Recipe, nets: Sequence[nn.Module], device: str) -> str:
    """What computes the trainings of a new study: what it asks for, or the native engine wherever it can.

    The native engine is not chosen where it lacks what a single choice, or the upper end of a gene, asks for.

    Args:
        spec: the search.
        plan: what its trainings share.
        nets: networks of the space.
        device: ``cpu`` or ``cuda``, where the whole study will be trained.

    Raises:
        UsageError: the native engine is asked for by name, and lacks something.
    """
    import torch

    from hebbevo.training.native_service import why_not_served

    def why_not(nets: Iterator[nn.Module]) -> str:
        reasons = (why_not_served(plan, net, torch.device(device)) for net in nets)
        return next(filter(None, reasons), "")

    asked = spec.search.engine
    if asked == NATIVE:
        if reason := why_not(iter(nets)):
            raise UsageError(f"search.engine: {reason}")
        return NATIVE
    if asked == PYTORCH or not native.is_built() or why_not(iter(nets)):
        return PYTORCH
    assert isinstance(plan.network, Architecture), "networks of the user are not served"
    network = plan.network
    corners = (network.build(plan.settings_for(genome), seed=0) for genome in _corners(spec.space))
    return PYTORCH if why_not(corners) else NATIVE


def _corners(space: Space) -> Iterator[Genome]:
    """Genomes that have each choice, and the upper end of each number, at least once."""
    axis = {gene.name: number for number, gene in enumerate(space.genes)}
    by_name = {gene.name: gene for gene in space.genes}

    def make_active(gene: Gene, point: np.ndarray) -> None:
        for name, values in gene.when:
            point[axis[name]] = by_name[name].to_unit(values[0])
            make_active(by_name[name], point)

    for gene in space.genes:
        for place in map(gene.to_unit, gene.choices) if isinstance(gene, ChoiceGene) else (1.0,):
            point = np.ones(space.dimension)
            make_active(gene, point)
            point[axis[gene.name]] = place
            yield space.from_unit(point)

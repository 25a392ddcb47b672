"""The parts of a cohort: nets that are computed together, for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hebbevo.nn.wiring import Wiring
from hebbevo.training import cuda_graphs
from hebbevo.training.compact import CompactStack
from hebbevo.training.optimizers import StackedOptimizer
from hebbevo.training.stack import ModuleStack, NetStack


@dataclass(frozen=True, eq=False)
class SubCohort:
    """Nets that are computed together.

    Attributes:
        rows: their places in the cohort, (k,) int64.
    """

    rows: Tensor
    nets: NetStack
    optimizer: StackedOptimizer

    def without(self, rows: Tensor) -> SubCohort | None:
        """The same without the nets at ``rows`` of the cohort; ``None`` if none is left."""
        kept = (~torch.isin(self.rows, rows)).nonzero().flatten()
        if len(kept) == len(self.rows):
            return self
        if not len(kept):
            return None
        self.nets.keep(kept)
        self.optimizer.keep(kept)
        return SubCohort(self.rows[kept], self.nets, self.optimizer)


def restructured(parts: Sequence[SubCohort], wiring: Wiring, loss: Tensor) -> Sequence[SubCohort]:
    """Prune and regrow; gives the parts in which nets then belong together.

    ``loss`` is a running mean of every net of the cohort. Where the host runs ahead of the device the parts
    stay as they are, and only `fitted` between epochs finds others.
    """
    for part in parts:
        if isinstance(part.nets, CompactStack):
            part.nets.prune(loss[part.rows], *part.optimizer.moments.values())
        elif isinstance(part.nets, ModuleStack):
            look = not cuda_graphs.runs_ahead(loss)
            moments = part.nets.under_all_names(part.optimizer.moments)
            wiring.restructure(part.nets.tensors, moments, loss[part.rows], look=look)
    if not cuda_graphs.runs_ahead(loss):
        parts = fitted(parts)
    for part in parts:
        if isinstance(part.nets, CompactStack):
            part.nets.regrow(*part.optimizer.moments.values())
    return parts


@torch.no_grad()
def fitted(parts: Sequence[SubCohort]) -> Sequence[SubCohort]:
    """The same nets, those together that need equally many slots: the same parts where nothing has changed.

    What a net needs depends on that net alone.
    """
    chains = [(part, part.nets) for part in parts if isinstance(part.nets, CompactStack)]
    levels = [nets.fitting() for _, nets in chains]
    if all((wanted == nets.level).all() for (_, nets), wanted in zip(chains, levels, strict=True)):
        return parts
    others = [part for part in parts if not isinstance(part.nets, CompactStack)]
    return [*others, *(part for part, _ in _by_level(chains, levels))]


def _by_level(
    chains: Sequence[tuple[SubCohort, CompactStack]], levels: Sequence[Tensor]
) -> list[tuple[SubCohort, CompactStack]]:
    """Nets of one level together, whatever part they were in."""
    pieces: dict[int, list[tuple[SubCohort, CompactStack]]] = {}
    for (part, nets), wanted in zip(chains, levels, strict=True):
        for level in sorted({*wanted.tolist()}):
            rows = (wanted == level).nonzero().flatten()
            piece = part, nets
            if level != nets.level or len(rows) < len(part.rows):
                [(name, moments)] = part.optimizer.moments.items()
                own, moved = nets.at_level(level, rows, moments)
                piece = SubCohort(part.rows[rows], own, part.optimizer.of(rows, {name: tuple(moved)})), own
            pieces.setdefault(level, []).append(piece)
    return [_joined(pieces[level]) for level in sorted(pieces)]


def _joined(pieces: Sequence[tuple[SubCohort, CompactStack]]) -> tuple[SubCohort, CompactStack]:
    if len(pieces) == 1:
        return pieces[0]
    nets = CompactStack.joined([nets for _, nets in pieces])
    optimizers = [part.optimizer for part, _ in pieces]
    rows = torch.cat([part.rows for part, _ in pieces])
    return SubCohort(rows, nets, type(optimizers[0]).joined(optimizers)), nets

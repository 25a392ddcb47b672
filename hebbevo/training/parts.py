"""The parts of a cohort: nets that are computed together, for a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hebbevo.nn import Neighbours, plastic_units
from hebbevo.nn.neighbours import Moments
from hebbevo.training.chain import Chain
from hebbevo.training.optimizers import StackedOptimizer
from hebbevo.training.stack import Called, Nets


@dataclass(frozen=True, eq=False)
class Part:
    """Nets that are computed together.

    Attributes:
        rows: their places in the cohort, (k,) int64.
    """

    rows: Tensor
    nets: Nets
    optimizer: StackedOptimizer

    def without(self, rows: Tensor) -> Part | None:
        """The same without the nets at ``rows`` of the cohort; ``None`` if nobody is left."""
        kept = (~torch.isin(self.rows, rows)).nonzero().flatten()
        if len(kept) == len(self.rows):
            return self
        if not len(kept):
            return None
        self.nets.keep(kept)
        self.optimizer.keep(kept)
        return Part(self.rows[kept], self.nets, self.optimizer)


def restructured(parts: Sequence[Part], neighbours: Mapping[str, Neighbours], loss: Tensor) -> list[Part]:
    """Let neurons die and return; gives the parts in which nets then belong together.

    ``loss`` is a running mean of every net of the cohort. A net's level depends on that net alone.
    """
    chains = [part for part in parts if isinstance(part.nets, Chain) and part.nets.eventful]
    others = [part for part in parts if part not in chains]
    for part in parts:
        if isinstance(part.nets, Called):
            part.nets.call(
                lambda net, moments, loss: _restructure(net, neighbours, moments, loss),
                part.optimizer.moments,
                loss[part.rows],
                stacked=True,
            )
    if not chains:
        return list(parts)
    levels = [part.nets.die(loss[part.rows], *part.optimizer.moments.values()) for part in chains]
    if any((level != part.nets.level).any() for part, level in zip(chains, levels, strict=True)):
        chains = _by_level(chains, levels)
    for part in chains:
        [moments] = part.optimizer.moments.values()
        part.nets.live(moments)
    return [*others, *chains]


def _restructure(
    net: nn.Module, neighbours: Mapping[str, Neighbours], moments: Moments, loss: Tensor
) -> Tensor:
    for name, units in plastic_units(net).items():
        units.restructure(neighbours[name].around(net, len(units.alive), moments, loss))
    return loss  # `vmap` wants a result


def _by_level(parts: Sequence[Part], levels: Sequence[Tensor]) -> list[Part]:
    """Nets of one level together, whatever part they were in."""
    pieces: dict[int, list[Part]] = {}
    for part, wanted in zip(parts, levels, strict=True):
        for level in wanted.unique().tolist():
            rows = (wanted == level).nonzero().flatten()
            if level == part.nets.level and len(rows) == len(part.rows):
                pieces.setdefault(level, []).append(part)
                continue
            [(name, moments)] = part.optimizer.moments.items()
            nets, moments = part.nets.at_level(level, rows, moments)
            optimizer = part.optimizer.of(rows, {name: tuple(moments)})
            pieces.setdefault(level, []).append(Part(part.rows[rows], nets, optimizer))
    return [_joined(pieces[level]) for level in sorted(pieces)]


def _joined(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    nets = Chain.joined([part.nets for part in parts])
    optimizer = type(parts[0].optimizer).joined([part.optimizer for part in parts])
    return Part(torch.cat([part.rows for part in parts]), nets, optimizer)

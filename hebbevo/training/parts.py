"""The parts of a cohort: nets that are computed together, for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    quiet: list[Part] = []
    chains: list[tuple[Part, Chain]] = []
    for part in parts:
        if isinstance(part.nets, Chain) and part.nets.eventful:
            chains.append((part, part.nets))
            continue
        quiet.append(part)
        if isinstance(part.nets, Called):
            part.nets.call(
                lambda net, moments, loss: _restructure(net, neighbours, moments, loss),
                part.optimizer.moments,
                loss[part.rows],
                stacked=True,
            )
    levels = [nets.die(loss[part.rows], *part.optimizer.moments.values()) for part, nets in chains]
    if any((wanted != nets.level).any() for (_, nets), wanted in zip(chains, levels, strict=True)):
        chains = _by_level(chains, levels)
    for part, nets in chains:
        nets.live(*part.optimizer.moments.values())
    return [*quiet, *(part for part, _ in chains)]


def _restructure(
    net: nn.Module, neighbours: Mapping[str, Neighbours], moments: Moments, loss: Tensor
) -> Tensor:
    for name, units in plastic_units(net).items():
        units.restructure(neighbours[name].around(net, len(units.alive), moments, loss))
    return loss  # `vmap` wants a result


def _by_level(chains: Sequence[tuple[Part, Chain]], levels: Sequence[Tensor]) -> list[tuple[Part, Chain]]:
    """Nets of one level together, whatever part they were in."""
    pieces: dict[int, list[tuple[Part, Chain]]] = {}
    for (part, nets), wanted in zip(chains, levels, strict=True):
        for level in sorted({*wanted.tolist()}):
            rows = (wanted == level).nonzero().flatten()
            piece = part, nets
            if level != nets.level or len(rows) < len(part.rows):
                [(name, moments)] = part.optimizer.moments.items()
                own, moved = nets.at_level(level, rows, moments)
                piece = Part(part.rows[rows], own, part.optimizer.of(rows, {name: tuple(moved)})), own
            pieces.setdefault(level, []).append(piece)
    return [_joined(pieces[level]) for level in sorted(pieces)]


def _joined(pieces: Sequence[tuple[Part, Chain]]) -> tuple[Part, Chain]:
    if len(pieces) == 1:
        return pieces[0]
    nets = Chain.joined([nets for _, nets in pieces])
    optimizers = [part.optimizer for part, _ in pieces]
    rows = torch.cat([part.rows for part, _ in pieces])
    return Part(rows, nets, type(optimizers[0]).joined(optimizers)), nets

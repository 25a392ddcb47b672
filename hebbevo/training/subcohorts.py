"""Sub-cohorts: the groups in which the nets of a cohort are computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hebbevo.nn import plastic
from hebbevo.nn.wiring import Wiring
from hebbevo.training.compact import CompactStack
from hebbevo.training.living_net import LivingNet
from hebbevo.training.optimizers import StackedOptimizer
from hebbevo.training.stack import ModuleStack, NetStack


@dataclass(frozen=True, eq=False)
class SubCohort:
    """Nets of a cohort that are computed together.

    Attributes:
        rows: their row numbers in the cohort, (k,) int64.
        nets: the nets.
        optimizer: their optimiser.
    """

    rows: Tensor
    nets: NetStack
    optimizer: StackedOptimizer

    def without(self, rows: Tensor) -> SubCohort | None:
        """Drop the nets at ``rows`` of the cohort, in place; ``None`` if none is left."""
        kept = (~torch.isin(self.rows, rows)).nonzero().flatten()
        if len(kept) == len(self.rows):
            return self
        if not len(kept):
            return None
        self.nets.keep(kept)
        self.optimizer.keep(kept)
        return SubCohort(self.rows[kept], self.nets, self.optimizer)


@torch.no_grad()
def observe_gradients(nets: NetStack, wiring: Wiring, gradients: Sequence[Tensor]) -> None:
    """Gather the statistics of gradients that rules need, after the backward pass of a minibatch.

    Args:
        nets: the nets.
        wiring: see `restructured`.
        gradients: what `NetStack.losses` gave.
    """
    if isinstance(nets, CompactStack):
        nets.observe_gradients()
    elif isinstance(nets, LivingNet):
        nets.observe_gradients(gradients)
    elif isinstance(nets, ModuleStack):
        wiring.observe_gradients(nets.tensors, nets.under_all_names(nets.by_parameter(gradients)))


@torch.no_grad()
def perturb(nets: NetStack, wiring: Wiring) -> None:
    """Decay weights and add noise to them as rules say, after a step of the optimiser.

    Args:
        nets: the nets.
        wiring: see `restructured`.
    """
    if isinstance(nets, CompactStack):
        nets.perturb()
    elif isinstance(nets, ModuleStack):
        tensors = nets.tensors
        may_sync = not any(map(plastic.runs_ahead, tensors.values()))
        wiring.perturb(tensors, may_sync=may_sync)


def restructured(
    sub_cohorts: Sequence[SubCohort],
    wiring: Wiring,
    loss: Tensor,
    gradients: Sequence[Sequence[Tensor]],
) -> Sequence[SubCohort]:
    """Prune and regrow units and connections, and regroup the nets.

    On a GPU the groups stay as they are, since finding others would wait for values; `regrouped` is then
    called between epochs.

    Args:
        sub_cohorts: all nets of a cohort that are still training; changed in place.
        wiring: the plastic modules of nets outside a compact stack, and the layers around them.
        loss: running mean of each net's loss, (size,).
        gradients: the last ones of each sub-cohort, as `NetStack.losses` gave them.

    Returns:
        The same nets in the groups in which they now belong together.
    """
    for each, last in zip(sub_cohorts, gradients, strict=True):
        if isinstance(each.nets, CompactStack):
            each.nets.prune(loss[each.rows], *each.optimizer.moments.values())
        elif isinstance(each.nets, LivingNet):
            each.nets.restructure(each.optimizer, loss[each.rows], last)
        elif isinstance(each.nets, ModuleStack):
            may_sync = not plastic.runs_ahead(loss)
            moments = each.nets.under_all_names(each.optimizer.moments)
            named = each.nets.under_all_names(each.nets.by_parameter(last))
            wiring.restructure(
                each.nets.tensors, moments, loss[each.rows], gradients=named, may_sync=may_sync
            )
    if not plastic.runs_ahead(loss):
        # between pruning and regrowing: pruned units give up their slots, regrown ones need some
        sub_cohorts = regrouped(sub_cohorts)
    for each in sub_cohorts:
        if isinstance(each.nets, CompactStack):
            each.nets.regrow(*each.optimizer.moments.values())
    return sub_cohorts


@torch.no_grad()
def regrouped(sub_cohorts: Sequence[SubCohort]) -> Sequence[SubCohort]:
    """Group the nets of compact stacks by the number of slots they need, which depends on each net alone.

    Returns:
        ``sub_cohorts`` itself if every net is in the right group.
    """
    compact = [(each, each.nets) for each in sub_cohorts if isinstance(each.nets, CompactStack)]
    levels = [nets.needed_levels() for _, nets in compact]
    if all((needed == nets.level).all() for (_, nets), needed in zip(compact, levels, strict=True)):
        return sub_cohorts
    groups: dict[int, list[tuple[SubCohort, CompactStack]]] = {}
    for (each, nets), needed in zip(compact, levels, strict=True):
        for level in sorted({*needed.tolist()}):
            rows = (needed == level).nonzero().flatten()
            if level == nets.level and len(rows) == len(each.rows):
                groups.setdefault(level, []).append((each, nets))
                continue
            [(name, moments)] = each.optimizer.moments.items()
            own, moved = nets.at_level(level, rows, moments)
            optimizer = each.optimizer.of(rows, {name: tuple(moved)})
            groups.setdefault(level, []).append((SubCohort(each.rows[rows], own, optimizer), own))
    others = [each for each in sub_cohorts if not isinstance(each.nets, CompactStack)]
    return [*others, *(_joined(groups[level]) for level in sorted(groups))]


def _joined(group: Sequence[tuple[SubCohort, CompactStack]]) -> SubCohort:
    """Make one sub-cohort of several whose nets have equally many slots."""
    if len(group) == 1:
        return group[0][0]
    nets = CompactStack.joined([nets for _, nets in group])
    optimizers = [each.optimizer for each, _ in group]
    rows = torch.cat([each.rows for each, _ in group])
    return SubCohort(rows, nets, type(optimizers[0]).joined(optimizers))

"""Units that are all alive, as a net has them that computes no others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn.plastic import TensorNamespace, encoded
from hebbevo.nn.statistics import LazySelector, StatisticsWindow, statistics_for
from hebbevo.nn.units import PlasticUnits
from hebbevo.rules.units.statistics import Minibatch


class LivingUnits(nn.Module):
    """The ReLU units of a layer under a rule without those that are out: nothing is masked.

    They gather the statistics that their rule reads, and the engine prunes and regrows them elsewhere. If no
    unit of the layer is alive, one is here all the same, and it is masked.

    Attributes:
        gathers_statistics: whether the rule will still read any.

    Args:
        units: the layer, whose buffers are read and changed here. They may be replaced by those of other
            units of the layer; `renew` then has to be called.
    """

    def __init__(self, units: PlasticUnits) -> None:
        super().__init__()
        self.gathers_statistics = True
        self._rule, self._dim = units.rule, units.dim
        self._tensors: dict[str, Tensor] = units._buffers  # type: ignore[assignment]
        self.renew()

    def renew(self) -> None:
        """Take up units that have been pruned or regrown."""
        per_unit = [name for name, knob in self._rule.knobs.items() if knob.per_unit]
        k, s = TensorNamespace(self._tensors, 1, per_unit), TensorNamespace(self._tensors)
        self._window = StatisticsWindow(statistics_for(self._rule, self._has), k, s, LazySelector)
        alive = self._tensors["alive"]
        self._mask = None if alive.all() else alive

    def forward(self, x: Tensor) -> Tensor:
        """Apply the ReLU in place; in training mode, gather statistics.

        Args:
            x: (rows, units), or feature maps (rows, units, ...), which are fastest in the memory format
                ``channels_last``.
        """
        y = F.relu(x, inplace=True)
        if self._mask is not None:
            y = y * self._mask.reshape(-1, *(1,) * (x.dim() - 2 if self._dim == 1 else 0))
        if self.training and y.numel():
            with torch.no_grad():
                self._observe(y.detach())
        return y

    def _observe(self, y: Tensor) -> None:
        self._tensors["steps"].add_(1)
        if not self.gathers_statistics:
            return
        rows = y.movedim(self._dim, -1).reshape(-1, y.shape[self._dim]).to(self._dtype)
        self._window.add(Minibatch(rows, rows))
        self._tensors["age"].add_(1)

    @property
    def _dtype(self) -> torch.dtype:
        found = (each.dtype for each in self._tensors.values() if each.is_floating_point())
        return next(found, torch.float32)

    def _has(self, knob: str, value: object) -> bool:
        """Whether a knob has this value, or for ``None`` any value but zero."""
        own = self._tensors[knob]
        if value is None:
            return bool((own != 0).any())
        return bool((own == encoded(self._rule.knobs[knob], value)).any())

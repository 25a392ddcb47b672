"""What the callbacks for other training loops share: attach, count survivors, notice that nothing is left."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn import Attachment, attach, plastic_connections, plastic_modules, plastic_units
from hebbevo.nn.liveness.counting import count
from hebbevo.nn.wiring import Example
from hebbevo.rules.rule import Need

_REGROWTH = ("regrowth_rate", "growth_rate", "grow")


class WatchedTraining:
    """A training of plastic modules that another library runs.

    Attributes:
        attachment: what `hebbevo.nn.attach` returned.

    Args:
        model: the module that `hebbevo.nn.attach` follows.
        optimizer: the optimiser that trains it.
        length: forward steps that are still to come; 0: not known.
        example: as for `hebbevo.nn.attach`.

    Raises:
        UsageError: as by `hebbevo.nn.attach`, or a rule needs the training's length, which is not known.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, length: int, example: Example | None
    ) -> None:
        reasons = (module.reason_for(Need.LENGTH) for module in plastic_modules(model).values())
        if (reason := next(filter(None, reasons), "")) and not length:
            raise UsageError(
                f"Plasticity: {reason} needs the training's length, which is not known; "
                "give Plasticity(total_steps=N)"
            )
        total_steps = self._steps(model) + length if length else 0
        self.attachment: Attachment = attach(model, optimizer, total_steps=total_steps, example=example)
        self._model = model
        self._example = example[0] if isinstance(example, tuple) and len(example) == 1 else example
        self._counted: tuple[int, Mapping[str, int]] = (-1, {})
        self._is_followed = True

    @property
    def needs_loss(self) -> bool:
        """Whether a rule needs the training loss, step by step."""
        return any(module.reason_for(Need.LOSS) for module in plastic_modules(self._model).values())

    def survivors(self) -> Mapping[str, int]:
        """Count what is alive, as `hebbevo.count` does: neurons, and connections where some are masked."""
        steps = self._steps(self._model)
        if steps != self._counted[0]:
            self._counted = (steps, self._count())
        return self._counted[1]

    def is_over(self, epoch: int) -> bool:
        """Whether no neuron is left and none can return; a warning then says so.

        Args:
            epoch: number of epochs so far, for the warning.
        """
        if self.survivors()["neurons_alive"] or plastic_connections(self._model):
            return False
        if any(self._may_return(units) for units in plastic_units(self._model).values()):
            return False
        warnings.warn(
            f"Plasticity: no neuron is left after epoch {epoch} and none can return; the training stops",
            stacklevel=3,
        )
        return True

    def _count(self) -> Mapping[str, int]:
        masked = plastic_connections(self._model)
        if self._is_followed:
            try:
                # a tuple of several inputs cannot be counted, which the error says
                total: Any = count(self._model, self._example).loc["total"]  # type: ignore[arg-type]
                names = ["neurons_alive", *(["connections_alive"] if masked else [])]
                return {name: int(total[name]) for name in names}
            except UsageError as error:
                self._is_followed = False
                warnings.warn(f"Plasticity: {error}; survivors are what is not pruned", stacklevel=4)
        alive = sum(int(units.alive.sum()) for units in plastic_units(self._model).values())
        found = {"neurons_alive": alive}
        if masked:
            masks = [mask for module in masked.values() for mask in module.masks().values()]
            found["connections_alive"] = sum(int(mask.sum()) for mask in masks)
        return found

    @staticmethod
    def _steps(model: nn.Module) -> int:
        """Forward steps in training mode that the model has taken, in this training and earlier ones."""
        return max((int(module.steps) for module in plastic_modules(model).values()), default=0)

    @staticmethod
    def _may_return(units: nn.Module) -> bool:
        rates = (getattr(units, name, None) for name in _REGROWTH)
        return any(bool(rate.any()) for rate in rates if isinstance(rate, Tensor))

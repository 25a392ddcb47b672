"""`attach`: the one line that a PyTorch training of one's own needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.neighbours import connect, find_neighbours
from hebbevo.nn.plastic import plastic_modules

_LOSS_RATE = 0.1


class Attachment:
    """Plastic modules wired to their neighbours and to an optimiser; made by `attach`."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int) -> None:
        self._model = model
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._modules = plastic_modules(model)
        self._neighbours = find_neighbours(model)
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self._loss: Tensor | None = None
        self._full_rates: list[float] = []
        settles = [float(getattr(module, "settle", 0)) for module in self._modules.values()]
        self._settle = max(settles, default=0.0)
        if self._settle and not total_steps:
            raise UsageError("attach: settle needs the training's length; give attach(..., total_steps=N)")
        connect(model, self._neighbours, total_steps)
        self._hooks = (
            optimizer.register_step_pre_hook(self._slow_down),
            optimizer.register_step_post_hook(self._restructure),
        )

    def observe(self, loss: Tensor | float) -> None:
        """Report a training loss, which growth waits for to stall."""
        loss = torch.as_tensor(loss, dtype=torch.float32).detach()
        self._loss = loss if self._loss is None else self._loss.lerp(loss, _LOSS_RATE)

    def detach(self) -> None:
        """Take the hooks off; the modules keep their masks and stop changing."""
        for hook in self._hooks:
            hook.remove()

    def _slow_down(self, *_: object) -> None:
        self._full_rates = [group["lr"] for group in self._optimizer.param_groups]
        if self._settle:
            step = max(int(module.steps) for module in self._modules.values())
            factor = settling_factor(step, self._total_steps, self._settle)
            for group, rate in zip(self._optimizer.param_groups, self._full_rates, strict=True):
                group["lr"] = rate * factor

    @torch.no_grad()
    def _restructure(self, *_: object) -> None:
        for group, rate in zip(self._optimizer.param_groups, self._full_rates, strict=True):
            group["lr"] = rate
        moments = {
            self._names[parameter]: tuple(
                entry
                for entry in state.values()
                if isinstance(entry, Tensor) and entry.shape == parameter.shape
            )
            for parameter, state in self._optimizer.state.items()
            if parameter in self._names
        }
        for name, module in self._modules.items():
            if self._loss is None and float(getattr(module, "growth_rate", 0)):
                raise UsageError(
                    f"{name}: growth_rate needs the training loss; call observe(loss) of what attach returned"
                )
            if module.due(module.steps):
                module.restructure(self._neighbours[name].around(self._model, moments, self._loss))


def attach(model: nn.Module, optimizer: torch.optim.Optimizer, *, total_steps: int = 0) -> Attachment:
    """Give every plastic module in ``model`` its neighbours, and restructure after each optimiser step.

    Args:
        model: its plastic modules stand between ``nn.Linear`` layers.
        optimizer: any PyTorch optimiser over the model's parameters; moments of returning neurons are reset.
        total_steps: forward steps in training mode of the whole training; needed by ``settle``, which also
            brings the learning rate to zero over its stretch.

    Raises:
        UsageError: a plastic module's neighbours cannot be found, or ``settle`` without ``total_steps``.
    """
    return Attachment(model, optimizer, total_steps)


def settling_factor(step: int, total_steps: int, settle: float) -> float:
    """Learning-rate factor of forward step ``step`` (1 is the first): one, then linearly to zero."""
    left = (total_steps - step + 1) / max(total_steps * settle, 1)
    return min(1.0, max(0.0, left))

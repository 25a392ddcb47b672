"""`attach`: the one line that a PyTorch training of one's own needs."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.plastic import plastic_modules
from hebbevo.nn.surgery import Moments
from hebbevo.nn.wiring import Example, Wiring, mark_attached, tensors_of
from hebbevo.rules.rule import Need

_LOSS_RATE = 0.1
_FULL_RATE = "full_lr"  # in a parameter group, while a step of the optimiser goes more slowly


class Attachment:
    """Plastic modules wired to the layers around them and to an optimiser; made by `attach`."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, example: Example | None
    ) -> None:
        model = _unwrapped(model)
        self._model = model
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._modules = plastic_modules(model)
        if not self._modules:
            raise UsageError("attach: the model has no plastic module; put a Stamina or a HebbMask into it")
        self._wiring = Wiring(model, example)
        if self._wiring.note:
            warnings.warn(f"attach: {self._wiring.note}; until then its units work alone", stacklevel=3)
        self._names: dict[Tensor, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            self._names.setdefault(parameter, []).append(name)
        self._loss: Tensor | None = None
        if not any(each in self._names for group in optimizer.param_groups for each in group["params"]):
            raise UsageError(
                "attach: the optimizer has none of the model's parameters; make it of model.parameters()"
            )
        self._seen = self._step()
        self._settle = max(float(getattr(module, "settle", 0)) for module in self._modules.values())
        asking = next(filter(None, (module.asks(Need.LENGTH) for module in self._modules.values())), "")
        if asking and not total_steps:
            raise UsageError(f"attach: {asking} needs the training's length; give attach(..., total_steps=N)")
        if self._settle and self._seen >= total_steps:
            raise UsageError(
                f"attach: total_steps={total_steps} is over, the model has taken {self._seen} forward steps; "
                "give the steps of all its trainings"
            )
        for attachment in _attached(optimizer):
            if attachment._model is model:
                attachment.detach()
        for module in self._modules.values():
            module.begin(total_steps)
        self._wiring.connect(tensors_of(model))
        mark_attached(model)
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

    def _step(self) -> int:
        """Forward steps so far."""
        return max(int(module.steps) for module in self._modules.values())

    def _slow_down(
        self, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not self._settle:
            return None
        # the forward step of a closure, as Lightning and skorch give one, is still to come
        step = self._step() + any(map(callable, (*args[1:], *kwargs.values())))
        if self._seen <= self._total_steps < step:
            warnings.warn(
                f"attach: total_steps={self._total_steps} is over and the learning rate is zero from now on; "
                "give the steps of the whole training",
                stacklevel=3,
            )
        factor = settling_factor(step, self._total_steps, self._settle)
        for group in self._optimizer.param_groups:
            # another attachment, or a step that has failed, may have slowed it down
            full = group.setdefault(_FULL_RATE, group["lr"])
            group["lr"] = min(group["lr"], full * factor)
        guarded = {name: self._guarded(each) for name, each in kwargs.items()}
        return (args[0], *map(self._guarded, args[1:])), guarded

    def _guarded(self, argument: Any) -> Any:
        """A closure that gives the learning rate back if it fails; all else as it is."""
        if not callable(argument):
            return argument

        def closure(*args: Any, **kwargs: Any) -> Any:
            try:
                return argument(*args, **kwargs)
            except BaseException:
                self._give_back()
                raise

        return closure

    def _give_back(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = group.pop(_FULL_RATE, group["lr"])

    @torch.no_grad()
    def _restructure(self, *_: object) -> None:
        self._give_back()
        for name, module in self._modules.items():
            if self._loss is None and (asking := module.asks(Need.LOSS)):
                raise UsageError(
                    f"{name}: {asking} needs the training loss; call observe(loss) of what attach returned"
                )
        steps = self._new_steps()
        due = {
            name: module.due(steps.to(module.steps.device)).any() for name, module in self._modules.items()
        }
        if any(due.values()):
            self._wiring.restructure(tensors_of(self._model), self._moments(), self._loss, due)

    def _new_steps(self) -> Tensor:
        """Forward steps since the last step of the optimiser.

        They are several where gradients are accumulated, or a scaler has left out a step of the optimiser.
        Only the last one is new where a checkpoint may have been loaded since, as it is often after `attach`.
        """
        passed, now = self._seen, self._step()
        self._seen = now
        return torch.arange(passed + 1 if 0 < passed <= now else now, now + 1)

    def _moments(self) -> Moments:
        return {
            name: tuple(
                entry
                for entry in state.values()
                if isinstance(entry, Tensor) and entry.shape == parameter.shape
            )
            for parameter, state in self._optimizer.state.items()
            for name in self._names.get(parameter, ())
        }


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int = 0,
    example: Example | None = None,
) -> Attachment:
    """Find the layers around every plastic module in ``model``; prune and regrow after the optimiser's steps.

    The layers are found by running ``model`` once, in evaluation mode and without a trace. Where it cannot be
    followed, this warns and the modules work as they do alone.
    Attaching the same model and optimiser again replaces the first attachment. ``DistributedDataParallel`` is
    not supported: every rank would rewire from its own statistics.

    Args:
        model: any module with plastic modules in it.
        optimizer: any PyTorch optimiser over the model's parameters; moments of what returns are reset.
        total_steps: forward steps in training mode of the whole training; needed by ``settle``, which also
            brings the learning rate to zero over its stretch.
        example: an input of the model, or a tuple of inputs, of which only shapes and types count; by default
            what the first layer suggests.

    Raises:
        UsageError: the model has no plastic module or is distributed, the optimiser is another model's, a
            knob needs neighbours that are not found, or ``settle`` is given without ``total_steps`` or with
            those that are over.
    """
    return Attachment(model, optimizer, total_steps, example)


def _unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module in what `torch.compile`, Fabric or ``DataParallel`` makes of it."""
    if any(isinstance(module, nn.parallel.DistributedDataParallel) for module in model.modules()):
        raise UsageError(
            "attach: DistributedDataParallel is not supported, every rank would rewire from its own "
            "statistics; train in one process"
        )
    for name in ("_orig_mod", "_original_module"):
        model = getattr(model, name, model)
    return _unwrapped(model.module) if isinstance(model, nn.DataParallel) else model


def _attached(optimizer: torch.optim.Optimizer) -> list[Attachment]:
    owners = [getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_post_hooks.values()]
    return [owner for owner in owners if isinstance(owner, Attachment)]


def settling_factor(step: int, total_steps: int, settle: float) -> float:
    """Learning-rate factor of forward step ``step`` (1 is the first): one, then linearly to zero."""
    left = (total_steps - step + 1) / max(total_steps * settle, 1)
    return min(1.0, max(0.0, left))

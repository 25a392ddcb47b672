"""`attach`: prune and regrow in a PyTorch training of one's own, by one line."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.plastic import longest_settling, plastic_modules
from hebbevo.nn.surgery import Moments
from hebbevo.nn.wiring import Example, Wiring, named_tensors, set_attached
from hebbevo.rules.rule import Need
from hebbevo.rules.settling import settling_factor

_LOSS_RATE = 0.1  # weight of the newest loss in the running mean
_FULL_RATE = "full_lr"  # entry of a parameter group that keeps its learning rate while a step has a lower one


class Attachment:
    """The plastic modules of a model and an optimiser, after whose steps they are pruned and regrown.

    `attach` makes it.
    """

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
        self._wiring.refuse_unmet(model)
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
        self._last_step = self._current_step()
        self._settle = float(longest_settling(model))
        reasons = (module.reason_for(Need.LENGTH) for module in self._modules.values())
        if (reason := next(filter(None, reasons), "")) and not total_steps:
            raise UsageError(f"attach: {reason} needs the training's length; give attach(..., total_steps=N)")
        if self._settle and self._last_step >= total_steps:
            raise UsageError(
                f"attach: total_steps={total_steps} is over, the model has taken {self._last_step} forward "
                "steps; give the steps of all its trainings"
            )
        for attachment in _attachments(optimizer):
            if attachment._model is model:
                attachment.detach()
        for module in self._modules.values():
            module.begin(total_steps)
        self._wiring.prepare(named_tensors(model))
        set_attached(model)
        self._hooks = (
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._restructure),
        )

    def observe(self, loss: Tensor | float) -> None:
        """Report the training loss of a step; its running mean decides on growth.

        Args:
            loss: a number, or a tensor of one.
        """
        loss = torch.as_tensor(loss, dtype=torch.float32).detach()
        self._loss = loss if self._loss is None else self._loss.lerp(loss, _LOSS_RATE)

    def detach(self) -> None:
        """Remove the hooks from the optimiser; the modules keep their masks and stop changing."""
        for hook in self._hooks:
            hook.remove()

    def _current_step(self) -> int:
        """Forward steps in training mode so far."""
        return max(int(module.steps) for module in self._modules.values())

    def _before_step(
        self, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Before a step of the optimiser: set its learning rate, and gather statistics of gradients."""
        # in a closure, as Lightning and skorch give one, the forward step is still to come
        has_closure = any(map(callable, (*args[1:], *kwargs.values())))
        if self._settle:
            self._lower_learning_rate(self._current_step() + has_closure)
        if not has_closure:
            self._observe_gradients()
            return None
        guarded = {name: self._guarded(each) for name, each in kwargs.items()}
        return (args[0], *map(self._guarded, args[1:])), guarded

    @torch.no_grad()
    def _observe_gradients(self) -> None:
        """Gather the statistics of gradients that rules need, between a backward pass and its step."""
        if not self._wiring.observes_gradients:
            return
        gradients = self._gradients()
        # a gradient scaler leaves it to a fused optimiser to unscale gradients, and to skip infinite ones
        found_inf = getattr(self._optimizer, "found_inf", None)
        if found_inf is not None and found_inf.any():
            return
        scale = getattr(self._optimizer, "grad_scale", None)
        if scale is not None:
            gradients = {name: gradient / scale for name, gradient in gradients.items()}
        self._wiring.observe_gradients(named_tensors(self._model), gradients)

    def _lower_learning_rate(self, step: int) -> None:
        """Set the learning rate of a step in the settling phase."""
        if self._last_step <= self._total_steps < step:
            warnings.warn(
                f"attach: total_steps={self._total_steps} is over and the learning rate is zero from now on; "
                "give the steps of the whole training",
                stacklevel=4,
            )
        factor = float(settling_factor(step, self._total_steps, self._settle))
        for group in self._optimizer.param_groups:
            # another attachment, or a step that failed, may have lowered it already
            full = group.setdefault(_FULL_RATE, group["lr"])
            group["lr"] = min(group["lr"], full * factor)

    def _guarded(self, argument: Any) -> Any:
        """A closure that gathers gradients, and restores the learning rate if it raises; else unchanged."""
        if not callable(argument):
            return argument

        def closure(*args: Any, **kwargs: Any) -> Any:
            try:
                loss = argument(*args, **kwargs)
            except BaseException:  # PyTorch then does not call the hook that follows the step
                self._restore_learning_rate()
                raise
            self._observe_gradients()
            return loss

        return closure

    def _restore_learning_rate(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = group.pop(_FULL_RATE, group["lr"])

    @torch.no_grad()
    def _restructure(self, *_: object) -> None:
        """After a step of the optimiser: perturb weights, and prune and regrow where there is an event."""
        self._restore_learning_rate()
        if self._wiring.perturbs:
            self._wiring.perturb(named_tensors(self._model))
        for name, module in self._modules.items():
            if self._loss is None and (reason := module.reason_for(Need.LOSS)):
                raise UsageError(
                    f"{name}: {reason} needs the training loss; call observe(loss) of what attach returned"
                )
        steps = self._new_steps()
        events = {
            name: module.is_event(steps.to(module.steps.device)).any()
            for name, module in self._modules.items()
        }
        if any(events.values()):
            self._wiring.restructure(
                named_tensors(self._model),
                self._moments(),
                self._loss,
                events,
                self._gradients(),
                self._step_counts(),
            )

    def _new_steps(self) -> Tensor:
        """The forward steps since the last step of the optimiser, (steps,) int64.

        They are several where gradients are accumulated, or where a gradient scaler skips a step of the
        optimiser. After a checkpoint was loaded, as it often is after `attach`, only the last one is new.
        """
        last, current = self._last_step, self._current_step()
        self._last_step = current
        return torch.arange(last + 1 if 0 < last <= current else current, current + 1)

    def _gradients(self) -> dict[str, Tensor]:
        """The gradients that parameters have, by each of their names."""
        return {
            name: parameter.grad
            for parameter, names in self._names.items()
            for name in names
            if parameter.grad is not None
        }

    def _moments(self) -> Moments:
        """The optimiser's state by the parameter's name: the entries of the parameter's shape."""
        return {
            name: tuple(
                entry
                for entry in state.values()
                if isinstance(entry, Tensor) and entry.shape == parameter.shape
            )
            for parameter, state in self._optimizer.state.items()
            for name in self._names.get(parameter, ())
        }

    def _step_counts(self) -> dict[str, Tensor]:
        """The steps that the optimiser has counted, () each, by the parameter's name, if a rule needs it."""
        if not any(module.reason_for(Need.OWN_STEPS) for module in self._modules.values()):
            return {}
        return {
            name: state["step"]
            for parameter, state in self._optimizer.state.items()
            for name in self._names.get(parameter, ())
            if isinstance(state.get("step"), Tensor)
        }


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int = 0,
    example: Example | None = None,
) -> Attachment:
    """Find the layers around every plastic module of a model; prune and regrow after the optimiser's steps.

    The layers are found by running ``model`` once, in evaluation mode, which leaves it exactly as it was.
    Where its forward cannot be followed, this warns, and the modules work without the layers around them.
    Attaching the same model and optimiser again replaces the first attachment. ``DistributedDataParallel`` is
    not supported: every rank would prune and regrow from its own statistics.

    Args:
        model: any module with plastic modules in it.
        optimizer: any PyTorch optimiser over the model's parameters. Its state is set to zero for weights
            that are pruned or regrown. Under the rule ``redo`` its count of steps also starts anew, for all
            weights of the layers around units that are regrown.
        total_steps: forward steps in training mode of the whole training. The knob ``settle`` needs it; in
            the settling phase the learning rate falls to zero.
        example: an input of the model, or a tuple of inputs, of which only shapes and types count; by default
            one that the first layer suggests.

    Returns:
        The attachment, to which the training loss is reported where the knob ``growth_rate`` is set.

    Raises:
        UsageError: the model has no plastic module or is distributed; the optimiser is another model's; a
            knob needs layers around the units that are not found, or ``settle`` is given without
            ``total_steps`` or with a ``total_steps`` that is over.

    >>> import torch
    >>> from torch import nn
    >>> from hebbevo.nn import Stamina, attach
    >>> units = Stamina(8, seed=1, unactivation_penalty=2.0, warmup=10, regrowth_rate=0.1)
    >>> model = nn.Sequential(nn.Linear(4, 8), units, nn.Linear(8, 3))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> attachment = attach(model, optimizer)
    >>> for _ in range(20):
    ...     optimizer.zero_grad()
    ...     model(torch.randn(16, 4)).square().mean().backward()
    ...     optimizer.step()
    >>> bool((model[0].weight[~units.alive] == 0).all())
    True
    """
    return Attachment(model, optimizer, total_steps, example)


def _unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module inside the wrapper of `torch.compile`, Fabric or ``DataParallel``.

    Raises:
        UsageError: it is distributed.
    """
    if any(isinstance(module, nn.parallel.DistributedDataParallel) for module in model.modules()):
        raise UsageError(
            "attach: DistributedDataParallel is not supported, every rank would rewire from its own "
            "statistics; train in one process"
        )
    for name in ("_orig_mod", "_original_module"):
        model = getattr(model, name, model)
    return _unwrapped(model.module) if isinstance(model, nn.DataParallel) else model


def _attachments(optimizer: torch.optim.Optimizer) -> list[Attachment]:
    """The attachments that have hooks on an optimiser."""
    owners = [getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_post_hooks.values()]
    return [owner for owner in owners if isinstance(owner, Attachment)]

"""Plastic modules: a rule's knobs and state as tensor buffers, so that networks can be stacked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.rules.rule import Need, Rule
from hebbevo.space.knobs import Knob, Value, listed, unknown

_DTYPES: dict[type, torch.dtype] = {
    float: torch.float32,
    int: torch.int64,
    bool: torch.bool,
    str: torch.int64,  # index of the choice
}


class Named:
    """Tensors as attributes, each with trailing axes of size 1 appended.

    Args:
        tensors: by name.
        axes: how many axes are appended.
        whole: names of those to which none is appended.
    """

    def __init__(self, tensors: Mapping[str, Any], axes: int = 0, whole: Collection[str] = ()) -> None:
        self._tensors = tensors
        self._axes = axes
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        tensor = self._tensors[name]
        if not self._axes or name in self._whole:
            return tensor
        return tensor.reshape(*tensor.shape, *(1,) * self._axes)


class Plastic(nn.Module):
    """A module some of whose units or connections a rule prunes, for a while or for good.

    Knobs and state are tensor buffers, updated in place, so that many networks can be stacked; attributes
    whose names begin with an underscore may differ from network to network of a stack. ``forward`` gathers
    statistics in training mode only.

    Attributes:
        rule: the science.
        attached: whether an engine prunes and regrows after steps of the optimiser; else the module does what
            it can by itself in its forward pass.

    Args:
        rule: one of `hebbevo.rules`, or of the user's own.
        seed: of the random events; by default drawn from PyTorch's generator.
    """

    steps: Tensor  # () int64, forward steps in training mode so far
    total_steps: Tensor  # () int64, of the whole training; 0: not known
    seed: Tensor  # () int64

    def __init__(self, rule: Rule, seed: int | None) -> None:
        super().__init__()
        if alien := rule.all_needs().keys() - rule.can_need:
            what = listed(sorted(need.name for need in alien))
            raise UsageError(f"{rule.name}: needs {what}, which rules of its kind cannot have")
        self.rule = rule
        self.attached = False
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("total_steps", torch.tensor(0))
        self.register_buffer("seed", torch.randint(2**62, ()) if seed is None else torch.tensor(seed))
        for knob in self.knobs.values():
            default = torch.tensor(number(knob, knob.default), dtype=_DTYPES[knob.kind])
            self.register_buffer(knob.name, default)
        self._given: Mapping[str, object] = {}
        self._asking: Mapping[Need, str] = self._asked()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.attached = False  # a copy has no optimiser after whose steps it would be pruned

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What can be set."""
        return self.rule.knobs

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        for key, value in knobs.items():
            if key not in self.knobs:
                raise UsageError(f"{self._title}: unknown knob {unknown(key, self.knobs)}")
            self._check(key, value)
        for key, value in knobs.items():
            self._set(key, value)
        self._given = {**self._given, **knobs}
        self._configured()

    def begin(self, total_steps: int) -> None:
        """Take the length of the training, in forward steps (0: not known), before the first of them."""
        self.total_steps.fill_(total_steps)

    def due(self, step: Tensor) -> Tensor:
        """Tell whether anything may be pruned or return after forward step ``step`` (1 is the first)."""
        found: Tensor = self.rule.is_event(Named(self._buffers), step, self.total_steps)  # type: ignore[attr-defined]
        return found

    def asks(self, need: Need) -> str:
        """What asks for a need as it is configured, ``handover`` or ``activity=contribution``; or nothing."""
        return self._asking.get(need, "")

    def unmet(self, met: Collection[Need]) -> str:
        """Say what it asks for beyond ``met`` that the layers around it cannot give, or nothing."""
        lacking = [(text, need) for need, text in self._asking.items() if need in _AROUND and need not in met]
        return ", ".join(f"{text} needs {need.value}, and none is found" for text, need in lacking)

    def _refuse_alone(self) -> None:
        """Refuse to train unattached if the knobs ask for more than the module has.

        Raises:
            UsageError: it needs an optimiser, a loss, a length or the layers around it.
        """
        wanted = [text for need, text in self._asking.items() if need in _OUTSIDE]
        if wanted and not self.attached:
            how = "call hebbevo.nn.attachment(model, optimizer, total_steps=N)"
            what = f"{listed(list(dict.fromkeys(wanted)))} needs more than the module alone; {how}"
            raise UsageError(f"{self._title}: {what}")

    def _refuse_recomputation(self) -> None:
        """Refuse to be run by a backward pass, which would count the same rows again.

        Raises:
            UsageError: this is the second forward pass of gradient checkpointing.
        """
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            raise UsageError(f"{self._title}: cannot be recomputed; leave it out of gradient checkpointing")

    def _configured(self) -> None:
        """Take note of what the knobs now say."""
        self._asking = self._asked()

    @property
    def _title(self) -> str:
        """What it is called in messages."""
        return type(self).__name__

    def _asked(self) -> dict[Need, str]:
        """Needs that the knobs ask for, each with the text that names what asks."""
        asked = {}
        for need, askers in self.rule.all_needs().items():
            asking = [str(each) for each in askers if each.by(self._value(each.knob))]
            if asking or not askers:
                asked[need] = listed(asking) or self.rule.name
        return asked

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take over a state, and with it what its knobs ask for."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        values = {name: getattr(self, name) for name in self.knobs}
        self._given = {
            name: self.knobs[name].choices[int(value)] if self.knobs[name].kind is str else value.item()
            for name, value in values.items()
            if value.numel() == 1
        }
        self._configured()

    def _value(self, knob: str) -> Any:
        """What a knob was set to."""
        return self._given.get(knob, self.knobs[knob].default)

    def _check(self, key: str, value: object) -> None:
        if problem := self.knobs[key].problem(value):
            raise UsageError(f"{self._title}: {key}: {problem}")

    def _set(self, key: str, value: object) -> None:
        getattr(self, key).fill_(number(self.knobs[key], value))


_AROUND = frozenset({Need.OUTGOING, Need.INCOMING, Need.FOLDABLE, Need.EXCLUSIVE})
_OUTSIDE = _AROUND | {Need.LOSS, Need.LENGTH}


def number(knob: Knob, value: object) -> float:
    """The number that stands for a value of ``knob`` in a tensor."""
    return knob.choices.index(value) if knob.kind is str else value  # type: ignore[return-value]


def plastic_modules(model: nn.Module) -> dict[str, Plastic]:
    """Find every plastic module in ``model``, by its dotted name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Plastic)}


class InjectedLoss(torch.autograd.Function):
    """Identity on ``output`` whose backward pass adds the gradient of a loss that need not be summed up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(output: Tensor, loss: Tensor) -> Tensor:
        """Return ``output`` unchanged; ``loss`` is a scalar."""
        return output.clone()

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Nothing to keep: both gradients are known in advance."""

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the gradient on, and give the loss a gradient of one."""
        return grad, grad.new_ones(())


def is_stacked(tensor: Tensor) -> bool:
    """Tell whether a tensor is one network's share of a stack, inside `torch.func.vmap`."""
    return not torch.compiler.is_compiling() and torch._C._functorch.is_batchedtensor(tensor)

"""Plastic modules: a rule's knobs and state as tensor buffers, so that networks can be stacked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.messages import listed, unknown
from hebbevo.rules.rule import Need, Rule
from hebbevo.rules.settling import SETTLE
from hebbevo.space.knobs import Knob, Value

_DTYPES: dict[type, torch.dtype] = {
    float: torch.float32,
    int: torch.int64,
    bool: torch.bool,
    str: torch.int64,  # the number of the choice
}
_MET_BY_CONTEXT = frozenset({Need.OUTGOING, Need.INCOMING, Need.FOLDABLE, Need.EXCLUSIVE})
_MET_BY_ATTACHING = _MET_BY_CONTEXT | {Need.LOSS, Need.LENGTH, Need.OPTIMIZER}


class TensorNamespace:
    """Tensors as attributes, each with axes of size 1 appended: the arguments ``k`` and ``s`` of rules.

    Args:
        tensors: by name.
        axes: how many axes are appended.
        whole: names of the tensors to which none is appended.
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

    Knobs and state are tensor buffers, updated in place, so that many networks can be stacked. Attributes
    whose names begin with an underscore may differ from network to network of a stack. ``forward`` gathers
    statistics in training mode only.

    Attributes:
        rule: its scores, statistics and events.
        attached: whether the engine prunes and regrows after steps of the optimiser. If not, the module does
            in its forward pass what it can do without the layers around it.
        steps: () int64, forward steps in training mode so far.
        total_steps: () int64, forward steps of the whole training; 0: not known.
        seed: () int64, of the random events.

    Args:
        rule: one of `hebbevo.rules`, or of the user's own.
        seed: of the random events; by default drawn from PyTorch's generator.

    Raises:
        UsageError: the rule needs what rules of its kind cannot have, or the seed is no whole number.
    """

    steps: Tensor
    total_steps: Tensor
    seed: Tensor

    def __init__(self, rule: Rule, seed: int | None) -> None:
        super().__init__()
        if foreign := rule.all_needs().keys() - rule.can_need:
            what = listed(sorted(need.name for need in foreign))
            raise UsageError(f"{rule.name}: needs {what}, which rules of its kind cannot have")
        if seed is not None and not isinstance(seed, Integral | Tensor):
            raise UsageError(f"{rule.name}: seed is {seed!r}; give a whole number")
        self.rule = rule
        self.attached = False
        # torch.full takes a third of the time of torch.tensor, and a module has dozens of these
        self.register_buffer("steps", torch.full((), 0))
        self.register_buffer("total_steps", torch.full((), 0))
        self.register_buffer("seed", torch.randint(2**62, ()) if seed is None else torch.tensor(seed))
        for knob in self.knobs.values():
            default = torch.full((), encoded(knob, knob.default), dtype=_DTYPES[knob.kind])
            self.register_buffer(knob.name, default)
        self._given: Mapping[str, object] = {}
        self._reasons = self._find_reasons()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.attached = False  # a copy has no optimiser after whose steps it would be pruned

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What can be set, by name."""
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
        self._follow_knobs()

    def begin(self, total_steps: int) -> None:
        """Set the length of the training, in forward steps (0: not known), before the first of them."""
        self.total_steps.fill_(total_steps)

    def is_event(self, step: Tensor, stacked: Mapping[str, Tensor] | None = None) -> Tensor:
        """Whether anything may be pruned or regrown after forward step ``step``, of its shape, bool.

        Args:
            step: forward steps.
            stacked: the buffers of this module in many networks by name, (networks, ...) each; ``step`` then
                goes with (networks, 1). By default this network alone counts.
        """
        k = TensorNamespace(self._buffers if stacked is None else stacked, 0 if stacked is None else 1)
        found: Tensor = self.rule.is_event(k, step, k.total_steps)  # type: ignore[attr-defined]
        return found

    def reason_for(self, need: Need) -> str:
        """The knobs that ask for a need as they are set, such as ``activity=contribution``; none: empty.

        Where the rule always has the need this is the rule's name.
        """
        return self._reasons.get(need, "")

    def unmet(self, met: Collection[Need]) -> str:
        """Describe the needs that the layers around the module do not meet; empty if there are none.

        Args:
            met: the needs that they meet.
        """
        lacking = [
            (reason, need)
            for need, reason in self._reasons.items()
            if need in _MET_BY_CONTEXT and need not in met
        ]
        return ", ".join(f"{reason} needs {need.value}, and none is found" for reason, need in lacking)

    def refuse_to_train_alone(self) -> None:
        """Check in an unattached module that the knobs ask for nothing that `hebbevo.nn.attach` has to give.

        Raises:
            UsageError: it needs an optimiser, a loss, a length or the layers around it.
        """
        if self.attached:
            return
        if wanted := [reason for need, reason in self._reasons.items() if need in _MET_BY_ATTACHING]:
            how = "call hebbevo.nn.attach(model, optimizer, total_steps=N)"
            what = f"{listed(list(dict.fromkeys(wanted)))} needs more than the module alone; {how}"
            raise UsageError(f"{self._title}: {what}")

    def refuse_recomputation(self) -> None:
        """Check that no backward pass runs this module: it would count the same rows again.

        Raises:
            UsageError: this is the second forward pass of gradient checkpointing.
        """
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            raise UsageError(f"{self._title}: cannot be recomputed; leave it out of gradient checkpointing")

    def _follow_knobs(self) -> None:
        """Update all that depends on which values the knobs have."""
        self._reasons = self._find_reasons()

    @property
    def _title(self) -> str:
        """The name of the module in messages."""
        return type(self).__name__

    def _find_reasons(self) -> dict[Need, str]:
        """The needs that the knobs have as they are set, each with the text that names what asks for it."""
        reasons = {}
        for need, settings in self.rule.all_needs().items():
            asking = [str(each) for each in settings if each.is_met_by(self._value(each.knob))]
            if asking or not settings:
                reasons[need] = listed(asking) or self.rule.name
        return reasons

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Load a state, and follow the knobs that come with it."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        values = {name: getattr(self, name) for name in self.knobs}
        self._given = {
            name: self.knobs[name].choices[int(value)] if self.knobs[name].kind is str else value.item()
            for name, value in values.items()
            if value.numel() == 1
        }
        self._follow_knobs()

    def _value(self, knob: str) -> Any:
        """The value that a knob was set to, or its default."""
        return self._given.get(knob, self.knobs[knob].default)

    def _check(self, key: str, value: object) -> None:
        if problem := self.knobs[key].problem(value):
            raise UsageError(f"{self._title}: {key}: {problem}")

    def _set(self, key: str, value: object) -> None:
        getattr(self, key).fill_(encoded(self.knobs[key], value))


def encoded(knob: Knob, value: object) -> float:
    """The number that stands for a value of ``knob`` in a tensor: of a text, the number of the choice."""
    return knob.choices.index(value) if knob.kind is str else value  # type: ignore[return-value]


def plastic_modules(model: nn.Module) -> dict[str, Plastic]:
    """Find every plastic module in ``model``, by its dotted name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Plastic)}


def longest_settling(model: nn.Module, stacked: Mapping[str, Tensor] | None = None) -> Tensor:
    """The longest settling phase of the plastic modules of a network, a fraction of the training.

    All modules share one learning rate, so this phase counts for it
    (`hebbevo.rules.settling.settling_factor`).

    Args:
        model: the network.
        stacked: buffers of many networks of its structure by dotted name, (networks, ...) each; by default
            the network alone counts.
    """
    found = [
        getattr(module, SETTLE.name)
        if stacked is None
        else stacked[f"{name}.{SETTLE.name}".removeprefix(".")]
        for name, module in plastic_modules(model).items()
        if SETTLE.name in module.knobs
    ]
    if not found:
        return torch.zeros(())
    return torch.stack([settle.to(found[0].device) for settle in found]).amax(0)


class InjectedLoss(torch.autograd.Function):
    """Identity on an output; in the backward pass a loss acts as if it were added to that of the task."""

    generate_vmap_rule = True

    @staticmethod
    def forward(output: Tensor, loss: Tensor) -> Tensor:
        """Return ``output`` unchanged; ``loss`` is a scalar."""
        return output.clone()

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Save nothing: both gradients are known in advance."""

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the gradient on, and give the loss a gradient of one."""
        return grad, grad.new_ones(())


def runs_ahead(tensor: Tensor) -> bool:
    """Whether the host runs ahead of the tensor's device, so that it has to wait before it reads a value."""
    return not tensor.is_cpu


def known_on_host(tensor: Tensor) -> bool:
    """Whether values of a tensor can be read here and now, without waiting for a device."""
    return not (runs_ahead(tensor) or torch.compiler.is_compiling() or is_stacked(tensor))


def is_stacked(tensor: Tensor) -> bool:
    """Whether a tensor is one network's share of a stack, inside `torch.func.vmap`."""
    return not torch.compiler.is_compiling() and torch._C._functorch.is_batchedtensor(tensor)

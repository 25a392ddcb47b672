"""HebbMask: connections whose ends disagree go out and may return (ShayanPersonal/hebbian-masks).

Every connection has a weight, trained as ever, and a permanence, moved by a Hebbian rule; it is in while its
permanence is above a threshold. Changes against the original: the mean over a batch in place of its sum,
evaluation changes nothing, convolutions are masked too, the threshold of the return may be another, and a
returning connection has its old weight whatever the optimiser has done meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812
from torch.nn.grad import conv1d_weight, conv2d_weight, conv3d_weight

from hebbevo.errors import UsageError
from hebbevo.knobs import Knob, Value, unknown
from hebbevo.nn.plastic import Plastic

_WEIGHTED, _AGREEMENT = UPDATE_FORMS = ("weighted", "agreement")
_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d

KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob(
            "update_form", str, _WEIGHTED,
            "what moves a permanence: output x input x weight, or sign of the output x sign of the input",
            choices=UPDATE_FORMS,
        ),
        Knob(
            "permanence_rate", float, 0.1, "how far an update moves a permanence",
            low=0.0, sensible=(1e-5, 1.0), log=True,
        ),
        Knob(
            "permanence_decay", float, 0.0, "fraction of its permanence that a connection loses at an update",
            low=0.0, high=1.0, sensible=(0.0, 0.01),
        ),
        Knob(
            "permanence_bound", float, 1.0, "permanences stay between this and its negative",
            low=0.0, sensible=(0.5, 2.0),
        ),
        Knob("initial_permanence", float, 1.0, "permanence at the start", sensible=(0.1, 1.0)),
        Knob(
            "prune_threshold", float, 0.0, "a connection goes out when its permanence is not above this",
            sensible=(-0.5, 0.5),
        ),
        Knob(
            "hysteresis", float, 0.0,
            "a connection returns when its permanence is above the prune threshold by more than this",
            low=0.0, sensible=(0.0, 0.5),
        ),
        Knob(
            "update_interval", int, 1, "forward steps between updates of the permanences",
            low=1, sensible=(1, 1000), log=True,
        ),
        Knob(
            "warmup", int, 0, "forward steps before the first connection goes out",
            low=0, sensible=(0, 1000),
        ),
        Knob(
            "settle", float, 0.0,
            "last fraction of training in which permanences rest, the learning rate falling to zero",
            low=0.0, high=0.95, sensible=(0.0, 0.5),
        ),
    )
}  # fmt: skip


class HebbMask(Plastic):
    """A module some of whose connections a Hebbian rule masks: ``HebbMask(nn.Linear(128, 10), ["weight"])``.

    Takes and gives what the module takes and gives; works alone in any PyTorch training, with any optimiser.
    After every ``update_interval``-th forward step in training mode the permanence of the connection from
    input i to output j moves,

        P_ji <- clip((1 - permanence_decay) P_ji + permanence_rate H_ji, -permanence_bound, permanence_bound)

    where H_ji is the mean over the batch (and over positions, time steps and calls) of y_j x_i W_ji, bias
    included in y, or of sign(y_j) sign(x_i). A connection that is out is a zero in the next forward, has no
    gradient and keeps its weight; its permanence still moves.

    Args:
        module: any module, found again as ``.module``.
        names: the parameters to mask, each the weight of a linear layer or a convolution of any groups:
            ``["weight"]`` of the module itself, or for example ``["conv1.weight", "fc.weight"]``.
        knobs: see ``HebbMask.knobs``.

    Raises:
        UsageError: a parameter that cannot be masked, an unknown knob, or a value outside its range.
    """

    knobs: ClassVar[Mapping[str, Knob]] = KNOBS

    update_form: Tensor
    permanence_rate: Tensor
    permanence_decay: Tensor
    permanence_bound: Tensor
    initial_permanence: Tensor
    prune_threshold: Tensor
    hysteresis: Tensor
    update_interval: Tensor
    warmup: Tensor
    settle: Tensor

    def __init__(self, module: nn.Module, names: Sequence[str], **knobs: Value) -> None:
        super().__init__()
        layers = _layers(module, names)
        self.names = tuple(names)
        self.connections = nn.ModuleList(_Connections(layer.weight) for layer in layers)
        self.to(layers[0].weight.device)
        self._settles = self._knows_length = False
        self._heard: list[list[_Coactivity]] | None = None  # by parameter, of every call in this forward
        self.configure(**{"initial_permanence": KNOBS["initial_permanence"].default} | knobs)
        self.module = module
        self._places = [
            (name, f"{owner}.{key}".removeprefix("."))
            for name, layer in zip(self.names, layers, strict=True)
            for owner, each in module.named_modules()  # each module once, whatever names it has
            for key, parameter in each._parameters.items()
            if parameter is layer.weight
        ]
        for place, layer in enumerate(layers):
            layer.register_forward_pre_hook(self._expect)
            layer.register_forward_hook(partial(self._hear, place), with_kwargs=True)

    def permanences(self) -> dict[str, Tensor]:
        """The permanence of every connection, by parameter, each of the parameter's shape."""
        return {name: connections.permanence for name, connections, _ in self._masked()}

    def masks(self) -> dict[str, Tensor]:
        """Which connections are in, by parameter, each bool of the parameter's shape."""
        return {name: connections.connected for name, connections, _ in self._masked()}

    def weights(self) -> dict[str, Tensor]:
        """What the module computes with, by parameter: its weights, zero where a connection is out."""
        return {
            name: connections.mask(connections.undisturbed(layer.weight))
            for name, connections, layer in self._masked()
        }

    def sparsity(self) -> Tensor:
        """The fraction of connections that are out, scalar."""
        return 1 - torch.cat([mask.flatten() for mask in self.masks().values()]).float().mean()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module with its masked weights; in training mode, then let connections go and return.

        Raises:
            UsageError: ``settle`` was set and the length of the training is not known.
        """
        if not self.training:
            return self._called(self.weights(), args, kwargs)
        self._refuse_recomputation()
        if self._settles and not self._knows_length:
            raise UsageError(
                "HebbMask: settle needs the length of the training; "
                "call hebbevo.nn.attach(model, optimizer, total_steps=N)"
            )
        weights = {}
        for name, connections, layer in self._masked():
            connections.restore(layer.weight)
            weights[name] = connections.mask(layer.weight)
        heard = self._heard = [[] for _ in self.names]
        try:
            output = self._called(weights, args, kwargs)
        finally:
            self._heard = None
        self._learn(heard)
        return output

    def begin(self, total_steps: int) -> None:
        """Learn that the training has ``total_steps`` forward steps (0: not known), before the first."""
        super().begin(total_steps)
        self._knows_length = total_steps > 0

    def due(self, step: Tensor) -> Tensor:
        """Tell whether connections may go out or return after ``step``: an update, and warmed up."""
        return self._updates(step) & (step >= self.warmup)

    def extra_repr(self) -> str:
        """Name the masked parameters."""
        return ", ".join(self.names)

    def _set(self, key: str, value: object) -> None:
        super()._set(key, value)
        if key == "settle":
            self._settles = cast(float, value) > 0
        if key == "initial_permanence":
            for connections in self.connections:
                cast(_Connections, connections).permanence.fill_(cast(float, value))

    def _called(self, weights: Mapping[str, Tensor], args: Any, kwargs: Any) -> Any:
        """What the module gives with these weights in every place where it has them."""
        places = {place: weights[name] for name, place in self._places}
        # a module of two names would be put back in the wrong order, were its weights taken for tied ones
        return functional_call(self.module, places, args, kwargs, tie_weights=False)

    def _masked(self) -> Iterator[tuple[str, _Connections, _Layer]]:
        for name, connections in zip(self.names, self.connections, strict=True):
            yield name, cast(_Connections, connections), _owner(self.module, name)

    def _updates(self, step: Tensor) -> Tensor:
        settling = (self.total_steps > 0) & (step > self.total_steps * (1 - self.settle))
        return (step > 0) & (step % self.update_interval == 0) & ~settling

    def _by_sign(self) -> Tensor:
        return self.update_form == UPDATE_FORMS.index(_AGREEMENT)

    def _expect(self, *call: object) -> None:
        """See that a masked layer is called in a forward pass of this module, which gives it its weights."""
        if self._heard is None and self.training:
            self._refuse_recomputation()

    @torch.no_grad()
    def _hear(
        self, place: int, layer: _Layer, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], y: Tensor
    ) -> None:
        """Take in a call of a masked layer, at once: what follows may change its x and y in place."""
        if self._heard is None:
            return
        x = (*args, *kwargs.values())[0]
        permanence = cast(_Connections, self.connections[place]).permanence
        with torch.autocast(y.device.type, enabled=False):
            by_sign = self._by_sign().to(permanence.dtype)
            x, y = (values.lerp(values.sign(), by_sign) for values in (x.to(permanence), y.to(permanence)))
            self._heard[place].append(_coactivity(layer, x, y))

    @torch.no_grad()
    def _learn(self, heard: Sequence[Sequence[_Coactivity]]) -> None:
        """Move the permanences, then see who is connected in the next forward."""
        self.steps.add_(1)
        updates, due = self._updates(self.steps), self.due(self.steps)
        rate, kept = self.permanence_rate * updates, 1 - self.permanence_decay * updates
        stays = torch.where(due, self.prune_threshold, -torch.inf)
        returns = torch.where(due, self.prune_threshold + self.hysteresis, torch.inf)
        for (_, connections, layer), calls in zip(self._masked(), heard, strict=True):
            if not calls:
                continue
            (first, *others), numbers = zip(*calls, strict=True)
            moves = sum(others, first).mul_(torch.where(self._by_sign(), 1, layer.weight))
            # with nothing but its biases left, a net that has diverged would look sound: NaN moves nothing
            moves.mul_(rate / sum(numbers)).nan_to_num_(0, 0, 0)
            P = connections.permanence.mul_(kept).add_(moves)
            P.copy_(P.clamp(-self.permanence_bound, self.permanence_bound))
            connections.connected.bitwise_and_(stays < P).bitwise_or_(returns < P)


class _Connections(nn.Module):
    """The connections of one masked parameter; every tensor has its shape."""

    permanence: Tensor
    connected: Tensor  # bool, in at the next forward
    frozen: Tensor  # bool, out at the last forward step
    held: Tensor  # the weights at the last forward step

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach()
        at_least_single = torch.promote_types(weight.dtype, torch.float32)
        self.register_buffer("permanence", torch.zeros_like(weight, dtype=at_least_single))
        self.register_buffer("connected", torch.ones_like(weight, dtype=torch.bool))
        self.register_buffer("frozen", torch.zeros_like(weight, dtype=torch.bool))
        self.register_buffer("held", weight.clone())

    def undisturbed(self, weight: Tensor) -> Tensor:
        """Without what momentum and weight decay have done to weights that were out."""
        return torch.where(self.frozen, self.held, weight)

    @torch.no_grad()
    def restore(self, weight: Tensor) -> None:
        """Undo in place what the optimiser has done to weights that were out; remember those that are."""
        self.held.copy_(self.undisturbed(weight))
        weight.copy_(self.held)
        self.frozen.copy_(self.connected.logical_not())

    def mask(self, weight: Tensor) -> Tensor:
        """Zero where out, whatever the weight, inf and NaN included."""
        return torch.where(_snapshot(self.connected), weight, 0)

    def extra_repr(self) -> str:
        return f"{self.connected.numel()}"


def _snapshot(mask: Tensor) -> Tensor:
    """The mask of this forward, for the backward pass, when the next one has taken its place."""
    return _opaque_clone(mask) if torch.compiler.is_compiling() else mask.clone()


# torch.compile would clone again in the backward pass, too late: https://github.com/pytorch/pytorch/pull/197039
@torch.library.custom_op("hebbevo::opaque_clone", mutates_args=(), schema="(Tensor values) -> Tensor")
def _opaque_clone(values: Tensor) -> Tensor:
    return values.clone()


_opaque_clone.register_fake(torch.empty_like)


class _Coactivity(NamedTuple):
    """The sum of y_j x_i over the rows of a call, of the shape of the weight, and the number of rows."""

    total: Tensor
    number: int


def _coactivity(layer: _Layer, x: Tensor, y: Tensor) -> _Coactivity:
    if isinstance(layer, nn.Linear):
        x, y = x.reshape(-1, layer.in_features), y.reshape(-1, layer.out_features)
        return _Coactivity(y.T @ x, len(y))
    if y.dim() < layer.weight.dim():
        x, y = x.unsqueeze(0), y.unsqueeze(0)
    padding: Any = layer.padding
    if isinstance(padding, str) or layer.padding_mode != "zeros":
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x, padding = F.pad(x, layer._reversed_padding_repeated_twice, mode), 0
    # the sum over positions of what y has to do with x is what the gradient of the weight would be
    total = _WEIGHT_GRADIENTS[len(layer.kernel_size)](
        x, layer.weight.shape, y, layer.stride, padding, layer.dilation, layer.groups
    )
    return _Coactivity(total, y.numel() // layer.out_channels)


_WEIGHT_GRADIENTS: dict[int, Callable[..., Tensor]] = {
    1: conv1d_weight,
    2: conv2d_weight,
    3: conv3d_weight,
}


def _owner(module: nn.Module, name: str) -> _Layer:
    return cast(_Layer, module.get_submodule(name.rpartition(".")[0]))


def _layers(module: nn.Module, names: Sequence[str]) -> list[_Layer]:
    """The layers whose weights are named.

    Raises:
        UsageError: a name that is no such weight or is given twice, or none at all.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"HebbMask: {type(module).__name__} is no nn.Module; give it one to mask")
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError('HebbMask: name the parameters to mask in a list, for example ["weight"]')
    parameters = dict(module.named_parameters(remove_duplicate=False))
    seen: dict[int, str] = {}
    for name in names:
        if name not in parameters:
            raise UsageError(f"HebbMask: unknown parameter {unknown(name, parameters)}")
        owner, weight = _owner(module, name), parameters[name]
        if name.rpartition(".")[2] != "weight" or not isinstance(owner, _Layer) or type(owner) is _UNCALLED:
            raise UsageError(
                f"HebbMask: cannot mask {name!r} of {type(owner).__name__}; "
                "name the weight of an nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d that is called"
            )
        if nn.parameter.is_lazy(weight):
            raise UsageError(f"HebbMask: {name!r} has no shape yet; call the module once before masking it")
        if id(weight) in seen:
            raise UsageError(f"HebbMask: {seen[id(weight)]!r} and {name!r} are one parameter; name it once")
        seen[id(weight)] = name
    return [_owner(module, name) for name in names]


# attention has one, and takes its weight without calling it
_UNCALLED = nn.modules.linear.NonDynamicallyQuantizableLinear

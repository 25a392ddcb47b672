"""Which units stand behind every element: forward passes on values with labels beside them.

A source is one call of a layer, of a batch norm or of plastic units. Every tensor that derives from it has a
tensor of codes of the same shape, which say for each element from which unit of the source it comes. What a
function does to codes follows from its kind in the table of `hebbevo.nn.liveness.patterns`; what is in no table mixes.
A layer ends all labels at its input and begins its own; units end those of layers and norms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.liveness import patterns
from hebbevo.nn.liveness.flow import Follower, held, watching
from hebbevo.nn.liveness.patterns import LIKE, PASSED, RULES, Applied, NotFollowed, tensors_in
from hebbevo.nn.units import PlasticUnits

LAYER, NORM, UNITS = "layer", "norm", "units"
"""Kinds of sources."""

_FUNCTIONS: dict[str, tuple[type[nn.Module], int]] = {
    # the class whose forward calls it, and the axis of its units
    "linear": (nn.Linear, -1),
    "conv1d": (nn.Conv1d, -2),
    "conv2d": (nn.Conv2d, -3),
    "conv3d": (nn.Conv3d, -4),
}
LAYERS = tuple(kind for kind, _ in _FUNCTIONS.values())
"""Classes of layers that can be sources, their subclasses included."""

# codes: unit n is n + 1. Zero is what functions fill up with by themselves
_ZERO, _OTHER, _MIXED = 0, -1, -2
_INDEXED = frozenset(
    """getitem gather take_along_dim index_select masked_select index_copy repeat_interleave
    tensor_split""".split()  # noqa: SIM905
)
_SUMS = frozenset({"add", "radd"})
_SHIFTS = _SUMS | {"sub", "subtract", "rsub"}
_MEANS = frozenset({"mean", "max", "amax"})
_TURNS = frozenset({"T", "mT", "H", "mH"})


@dataclass
class Way:
    """What lies between a source and a tensor.

    Attributes:
        plain: nothing but sums, batch norms, means, pools and dropouts.
        direct: a mean output passes unchanged, or nearly so through pools of maxima.
        alone: an element is zero where its unit is, whatever else there is.
        norms: the batch norms on it.
    """

    plain: bool = True
    direct: bool = True
    alone: bool = True
    norms: frozenset[Source] = frozenset()

    def meet(self, *others: Way) -> Way:
        """Take in what lies on other ways."""
        for other in others:
            self.plain &= other.plain
            self.direct &= other.direct
            self.alone &= other.alone
            self.norms |= other.norms
        return self


@dataclass
class Track:
    """A source in a tensor; views of one tensor share the way, and the memory of the codes."""

    codes: Tensor
    way: Way


@dataclass(frozen=True)
class Read:
    """A place where units of a source arrive.

    Attributes:
        way: from the source to there.
        layer: the layer that reads them, empty where none does.
        columns: unit by input column of that layer, -1 where it is none of these; ``None``: mixed.
        groups: of the layer.
        whole: nothing else comes in the columns of a unit.
        own: the layer ran with weights of its own.
        has_bias: the layer has one.
        units: the units that they enter, unit n as unit n; empty where they do not.
    """

    way: Way
    layer: str = ""
    columns: tuple[int, ...] | None = None
    groups: int = 1
    whole: bool = False
    own: bool = False
    has_bias: bool = False
    units: str = ""


@dataclass(eq=False)
class Source:
    """One call of a layer, a norm or units, and where their units arrive.

    Attributes:
        kind: one of `LAYER`, `NORM` and `UNITS`.
        name: of the module, dotted.
        size: number of its units.
        own: whether it ran with weights of its own.
    """

    kind: str
    name: str
    size: int
    own: bool = True
    reads: list[Read] = field(default_factory=list)


_Tracks = Mapping[Source, Track]


class Labels(Follower):
    """Runs a net on values and labels what derives from layers, norms and units.

    Attributes:
        sources: in the order of their calls.
        used: identities of all tensors that functions were given, but for the weights of a layer by itself.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.sources: list[Source] = []
        self.used: set[int] = set()
        self._net = net
        self._modules = dict(net.named_modules())
        self._own = {
            name: (module._parameters.get("weight"), module._parameters.get("bias"))
            for name, module in self._modules.items()
        }
        self._frames = [""]
        self._units_inside = 0
        self._entering: Tensor | None = None
        self._tracks: dict[int, dict[Source, Track]] = {}
        # what forward or a constant may be computed from: anything else with a past came unseen
        self._known = {id(tensor): tensor for tensor in held(net)}
        # sources that came into memory in place, by its address: views made before do not know
        self._written: dict[int, set[Source]] = {}

    def run(self, inputs: Sequence[Tensor]) -> None:
        """Run the net on ``inputs``, which it may change.

        Raises:
            NotFollowed: its path depends on values, or part of it cannot be looked into.
        """
        for tensor in inputs:
            self.also(tensor)
        with watching(self._net, self._enter, self._leave), self:
            outputs = self._net(*inputs)
        self._use([outputs], {})
        # what the net keeps may be used later
        kept = (tensor for tensor in held(self._net) if self.follows(tensor))
        for tensor in (*tensors_in(outputs), *kept):
            self.look([tensor])
            self._arrive(tensor)

    def follows(self, value: object) -> bool:
        """Tell whether ``value`` derives from the input."""
        if id(value) in self._followed:
            return True
        return bool(self._written) and isinstance(value, Tensor) and _memory(value) in self._written

    def look(self, operands: list[Tensor]) -> None:
        """See what a function is given: nothing must have come by a way that cannot be followed."""
        for tensor in operands:
            if id(tensor) in self._known or id(tensor) in self._followed:
                continue
            made = tensor.grad_fn
            if made is not None or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
                what = made.name() if made is not None else "a transform of torch.func"
                raise NotFollowed(f"{what} in {self._place} cannot be looked into")

    def constant(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str
    ) -> Any:
        """Run a function whose result is not followed."""
        result = func(*args, **kwargs)
        found = [*tensors_in(result)]
        self._known |= {id(tensor): tensor for tensor in found}
        if found and name not in PASSED:
            self._use(args, kwargs)
        return result

    def apply(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function, and label its results."""
        if self._units_inside:
            return self.constant(func, args, kwargs, name)
        op = Applied(self, func, args, kwargs)
        rule = RULES.get(func) or RULES.get(name, patterns.unknown)
        if rule is patterns.controls or (rule is patterns.where and len(op.values) == 1):
            raise NotFollowed(f"its path depends on values ({name.strip('_')})")
        # before it runs: what works in place has other inputs afterwards
        begun = self._layer(op, name) if name in _FUNCTIONS else None
        result = func(*args, **kwargs)
        outputs = [args[0]] if rule is patterns.assigned else [*tensors_in(result)]
        if not outputs:
            return result
        if begun:
            source, axis = begun
            self._begin(outputs[0], source, axis, {})
            return result
        step = _Step(self, op, name, in_place, outputs)
        norm = self._norm(step) if func is F.batch_norm else None
        if norm is None:
            self._use(args, kwargs)
            transformed = _TRANSFORMED.get(rule, _mixed)
            tracks = {source: _tried(transformed, step, source) for source in step.sources}
        else:
            tracks = norm
        writes = in_place or rule is patterns.assigned or "out" in kwargs
        for number, output in enumerate(outputs):
            labelled = {}
            for source, each in tracks.items():
                track = each[min(number, len(each) - 1)]
                labelled[source] = track if track.codes.shape == output.shape else _lost(output)
            self._label(output, labelled, writes, step.clears)
        return result

    def carried(self, tensor: Tensor) -> _Tracks:
        """Sources in ``tensor``."""
        tracks = self._tracks.get(id(tensor), {})
        if self._written and (lacking := self._written.get(_memory(tensor), set()) - tracks.keys()):
            return tracks | {source: _lost(tensor) for source in lacking}
        return tracks

    @property
    def _place(self) -> str:
        return self._frames[-1] or type(self._net).__name__

    def _use(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if isinstance(self._modules[self._frames[-1]], PlasticConnections):
            return  # a mask looks at the weights of its own layers
        self.used.update(map(id, tensors_in(args)), map(id, tensors_in(kwargs)))

    def _enter(self, name: str, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._frames.append(name)
        if not isinstance(module, PlasticUnits):
            return
        self._units_inside += 1
        if self._units_inside > 1:
            return
        with torch._C.DisableTorchFunction():
            given = [*tensors_in(args), *tensors_in(kwargs)]
            self.look(given)
            self._entering = given[0] if given else None
            for tensor in given[:1]:
                self._arrive_at_units(name, module, tensor)
            for tensor in given[1:]:
                self._arrive(tensor)

    def _leave(self, name: str, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        self._frames.pop()
        if not isinstance(module, PlasticUnits):
            return
        self._units_inside -= 1
        if self._units_inside or not isinstance(output, Tensor):
            return
        with torch._C.DisableTorchFunction():
            before = {} if self._entering is None else self.carried(self._entering)
            earlier = {
                source: Track(track.codes.clone(), replace(track.way, direct=False))
                if track.codes.shape == output.shape
                else _lost(output)
                for source, track in before.items()
                if source.kind == UNITS
            }
            dim = module.dim % output.dim() - output.dim() if output.dim() else -1
            size = output.shape[dim] if output.dim() else 0
            self._begin(output, Source(UNITS, name, size), dim, earlier)

    def _begin(self, output: Tensor, source: Source, axis: int, others: _Tracks) -> None:
        """Label the output of a layer or of units."""
        self.sources.append(source)
        self.also(output)
        self._tracks[id(output)] = {**others, source: Track(_numbered(output, axis), Way())}

    def _layer(self, op: Applied, name: str) -> tuple[Source, int] | None:
        """The source that a layer begins, and the axis of its units, if it is a layer that calls this."""
        kind, axis = _FUNCTIONS[name]
        place = self._frames[-1]
        module = self._modules[place]
        given = {**dict(zip(("input", "weight", "bias"), op.args, strict=False)), **op.kwargs}
        x, weight, bias = given["input"], given["weight"], given.get("bias")
        if not isinstance(module, kind) or op.follows(weight, bias) or weight.shape != module.weight.shape:
            return None
        own = self._own[place]
        mask = self._modules.get(place.rpartition(".")[0]) if place.endswith("module") else None
        is_own = (weight is own[0] or isinstance(mask, PlasticConnections)) and bias is own[1]
        groups = 1 if name == "linear" else int(getattr(module, "groups", 1))
        for source, track in self.carried(x).items():
            columns, whole = _columns(track.codes.movedim(axis, -1).flatten(0, -2))
            if columns is None or any(unit >= 0 for unit in columns):
                read = Read(track.way, place, columns, groups, whole, is_own, bias is not None)
                source.reads.append(replace(read, way=replace(track.way)))
        if not is_own:
            self._use(op.args, op.kwargs)
        return Source(LAYER, place, len(weight), is_own), axis

    def _norm(self, step: _Step) -> dict[Source, list[Track]] | None:
        """Labels behind a batch norm that a module calls, which is a source itself."""
        place = self._frames[-1]
        module = self._modules[place]
        given = _given(step, ("input", "running_mean", "running_var", "weight", "bias"))
        weights = given.get("weight"), given.get("bias")
        if not isinstance(module, _BatchNorm) or step.op.follows(*weights):
            return None
        own = all(one is other for one, other in zip(weights, self._own[place], strict=True))
        if not own:
            self._use(step.op.args, step.op.kwargs)
        (output,) = step.outputs
        norm = Source(NORM, place, output.shape[1], own)
        self.sources.append(norm)
        tracks = {}
        for source in step.sources:
            track = step.joined(source)
            track.way.direct = track.way.alone = False
            track.way.norms |= {norm}
            tracks[source] = [track]
        return tracks | {norm: [Track(_numbered(output, 1), Way())]}

    def _label(self, tensor: Tensor, tracks: _Tracks, writes: bool, clears: int) -> None:
        before = self._tracks.get(id(tensor))
        self.also(tensor)
        if before is None:
            self._tracks[id(tensor)] = dict(tracks)
            came = set(tracks)
        else:
            came = tracks.keys() - before.keys()
            for source, track in before.items():
                now = tracks.get(source)
                if now is None:
                    track.codes.fill_(clears)
                elif now is not track:
                    if now.codes.shape != track.codes.shape:
                        track.codes = now.codes
                    elif now.codes is not track.codes:
                        track.codes.copy_(now.codes)
                    track.way.meet(now.way)
            before |= {source: tracks[source] for source in came}
        if came and writes:
            self._written.setdefault(_memory(tensor), set()).update(came)

    def _arrive(self, tensor: Tensor) -> None:
        """Units that are in ``tensor`` leave what is followed."""
        for source, track in self.carried(tensor).items():
            if bool(((track.codes > _ZERO) | (track.codes == _MIXED)).any()):
                source.reads.append(Read(replace(track.way)))

    def _arrive_at_units(self, name: str, units: PlasticUnits, tensor: Tensor) -> None:
        for source, track in self.carried(tensor).items():
            if source.kind != UNITS:
                same = source.size == units.num_neurons and torch.equal(
                    track.codes, _numbered(tensor, units.dim)
                )
                source.reads.append(Read(replace(track.way), units=name if same else ""))


class _Step:
    """A function that was run, and the sources in what it was given."""

    def __init__(
        self, labels: Labels, op: Applied, name: str, in_place: bool, outputs: Sequence[Tensor]
    ) -> None:
        self.op = op
        self.name = name
        self.in_place = in_place
        self.outputs = outputs
        operands = [op.tensors[0]] if name in LIKE else op.patterns
        self.operands: list[tuple[Tensor, _Tracks]] = [(each, labels.carried(each)) for each in operands]
        self.sources = [*dict.fromkeys(source for _, tracks in self.operands for source in tracks)]
        self._carried = {id(tensor): tracks for tensor, tracks in self.operands}

    @property
    def clears(self) -> int:
        """The code of what is written over all sources that are not in what is written."""
        zero = self.name == "zero" or (self.name == "fill" and _code(self.op.values[1]) == _ZERO)
        return _ZERO if zero else _OTHER

    @cached_property
    def keeps_zero(self) -> bool:
        """Whether the results are zero where all that is followed is zero."""

        def changed(tensor: Tensor) -> Tensor:
            if self.op.follows(tensor):
                return torch.zeros_like(tensor)
            return tensor.clone() if self.in_place else tensor

        return all(bool((each == 0).all()) for each in tensors_in(self.op.run(changed)))

    def tracks(self, source: Source) -> list[Track]:
        """Those of a source among the operands."""
        return [tracks[source] for _, tracks in self.operands if source in tracks]

    def codes(self, value: object, source: Source) -> Tensor:
        """Of an operand, or of a constant."""
        tracks = self._carried.get(id(value), {})
        if source in tracks:
            return tracks[source].codes
        device = self.outputs[0].device
        if isinstance(value, Tensor):
            return torch.full(value.shape, float(_OTHER), device=value.device)
        return torch.tensor(float(_code(value)), device=device)

    def way(self, source: Source) -> Way:
        """Of all operands together."""
        return Way().meet(*(track.way for track in self.tracks(source)))

    def joined(self, source: Source) -> Track:
        """Operands laid one upon the other."""
        shape = self.outputs[0].shape
        first, *others = [track.codes.expand(shape) for track in self.tracks(source)]
        for other in others:
            first = _joined(first, other)
        return Track(first.clone() if not others else first, self.way(source))

    def pure(self, source: Source) -> bool:
        """Whether an element derives from its unit of ``source`` alone, if from any."""
        first, *others = self.operands
        shape = self.outputs[0].shape
        return all(
            tracks.keys() == first[1].keys()
            and all(
                torch.equal(track.codes.expand(shape), first[1][source].codes.expand(shape))
                for source, track in tracks.items()
            )
            for _, tracks in others
        )


# what a kind of function makes of the codes of one source: a track for every result, or one for all

_Transformed = Callable[[_Step, Source], list[Track]]


def _tried(transformed: _Transformed, step: _Step, source: Source) -> list[Track]:
    try:
        return transformed(step, source) or _mixed(step, source)
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError):
        return _mixed(step, source)  # arguments that are not known here


def _mixed(step: _Step, source: Source) -> list[Track]:
    return [_lost(output) for output in step.outputs]


def _kept(step: _Step, source: Source) -> list[Track]:
    return [step.joined(source)] if len(step.operands) == 1 else _mixed(step, source)


def _elementwise(step: _Step, source: Source) -> list[Track]:
    track = step.joined(source)
    _changed(track.way, step, source)
    return [track]


def _changed(way: Way, step: _Step, source: Source) -> None:
    """What a function of elements that is no identity does to a way."""
    way.direct = False
    way.plain &= step.name in _SUMS
    way.alone = way.alone and step.name not in _SHIFTS and step.pure(source) and step.keeps_zero


def _itself(step: _Step, source: Source) -> list[Track]:
    tensor, tracks = step.operands[0]
    track = tracks[source]
    if _memory(step.outputs[0]) == _memory(tensor):
        return [track]
    return [Track(track.codes.clone(), replace(track.way))]


def _attribute(step: _Step, source: Source) -> list[Track]:
    attribute = getattr(getattr(step.op.func, "__self__", None), "__name__", "")
    if attribute == "data":
        return _itself(step, source)
    return _moved(step, source) if attribute in _TURNS else _mixed(step, source)


def _cast(step: _Step, source: Source) -> list[Track]:
    tensor, tracks = step.operands[0]
    output, track = step.outputs[0], tracks[source]
    if output is tensor:
        return [track]
    way = replace(track.way)
    if not output.is_floating_point():
        _changed(way, step, source)
    return [Track(track.codes.to(output.device, copy=True), way)]


def _moved(step: _Step, source: Source) -> list[Track]:
    first = step.op.tensors[0]
    if any(isinstance(value, torch.dtype) for value in step.op.values):
        return _mixed(step, source)

    def changed(tensor: Tensor) -> Tensor:
        if step.name in LIKE and tensor is not first:
            return tensor
        is_index = step.name in _INDEXED and tensor is not first and not tensor.is_floating_point()
        if is_index and step.op.follows(tensor):
            raise ValueError("a place depends on values")
        return tensor if is_index else step.codes(tensor, source)

    results = [*tensors_in(step.op.run(changed))]
    return [_viewed(step, source, output, codes) for output, codes in zip(step.outputs, results, strict=True)]


def _viewed(step: _Step, source: Source, output: Tensor, codes: Tensor) -> Track:
    memory = _memory(output)
    for tensor, tracks in step.operands:
        if source in tracks and _memory(tensor) == memory:
            return Track(codes, tracks[source].way)
    return Track(codes.clone() if codes._base is not None else codes, step.way(source))


def _padded(step: _Step, source: Source) -> list[Track]:
    given = _given(step, ("input", "pad", "mode", "value"))
    (track,) = step.tracks(source)
    mode = given.get("mode", "constant")
    value = {"value": float(_code(given.get("value") or 0))} if mode == "constant" else {}
    return [Track(F.pad(track.codes, given["pad"], mode, **value), replace(track.way))]


def _assigned(step: _Step, source: Source) -> list[Track]:
    target, place, value = step.op.args
    if step.op.follows(*tensors_in([place])):
        return _mixed(step, source)
    codes = step.codes(target, source).clone()
    codes[place] = step.codes(value, source)
    return [Track(codes, step.way(source))]


def _overwritten(step: _Step, source: Source) -> list[Track]:
    value = step.op.args[1]
    codes = step.codes(value, source).expand(step.outputs[0].shape)
    return [Track(codes.to(step.outputs[0].device, copy=True), step.way(source))]


def _cleared(step: _Step, source: Source) -> list[Track]:
    if step.op.follows(*step.op.values[1:]):
        return _mixed(step, source)
    output = step.outputs[0]
    return [Track(torch.full(output.shape, float(step.clears), device=output.device), step.way(source))]


def _where(step: _Step, source: Source) -> list[Track]:
    condition, one, other = step.op.values
    if step.name == "masked_fill":
        condition, one, other = one, other, condition
    if step.op.follows(condition):
        return _elementwise(step, source)
    chosen = torch.where(condition != 0, step.codes(one, source), step.codes(other, source))
    way = step.way(source)
    _changed(way, step, source)
    return [Track(chosen.expand(step.outputs[0].shape).clone(), way)]


def _pooled(step: _Step, source: Source) -> list[Track]:
    (track,) = step.tracks(source)
    way = _averaged(step, track)
    name = step.name.replace("avg", "max").removesuffix("_with_indices")
    if step.name == "fold":
        return _mixed(step, source)
    if step.name == "cumsum":
        dim = _given(step, ("input", "dim"))["dim"]
        way.plain = way.direct = False
        low, high = _bounds(track.codes)
        return [Track(_alike(low.cummin(dim).values, high.cummax(dim).values), way)]
    if step.name.startswith("adaptive"):
        size = _given(step, ("input", "output_size"))["output_size"]
        pool = getattr(F, name)
        low, high = _bounds(track.codes)
        return [Track(_alike(-pool(-low, size), pool(high, size)), way)]
    given = _given(
        step,
        ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
        if "max" in step.name
        else ("input", "kernel_size", "stride", "padding", "ceil_mode"),
    )
    kept = {
        name: given[name]
        for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        if name in given
    }
    pool = getattr(F, name)
    low, high = _bounds(track.codes)
    return [Track(_alike(-pool(-low, **kept), pool(high, **kept)), way)]


def _resized(step: _Step, source: Source) -> list[Track]:
    (track,) = step.tracks(source)
    if "nearest" in _given(step, ("input", "size", "scale_factor", "mode")).get("mode", "nearest"):
        return [Track(step.op.run(lambda tensor: step.codes(tensor, source)), replace(track.way))]
    low, high = _bounds(track.codes)
    places = tuple(range(2, low.dim()))
    codes = _alike(low.amin(places, keepdim=True), high.amax(places, keepdim=True))
    return [Track(codes.expand(step.outputs[0].shape).clone(), _averaged(step, track))]


def _reduced(step: _Step, source: Source) -> list[Track]:
    if len(step.op.tensors) > 1:  # the larger of two
        return _elementwise(step, source)
    (track,) = step.tracks(source)
    axes, keepdim = patterns.axes_of(step.op), step.outputs[0].dim() == track.codes.dim()
    low, high = _bounds(track.codes)
    codes = _alike(low.amin(axes, keepdim=keepdim), high.amax(axes, keepdim=keepdim))
    way = _averaged(step, track)
    if step.name not in _MEANS:
        _changed(way, step, source)
    return [Track(codes, way)]


def _averaged(step: _Step, track: Track) -> Way:
    """The way on through a mean over a window: among zeros it is a part of the mean output."""
    parted = "max" not in step.name and bool((track.codes == _ZERO).any())
    return replace(track.way, direct=track.way.direct and not parted)


def _gated(step: _Step, source: Source) -> list[Track]:
    (track,) = step.tracks(source)
    dim = _given(step, ("input", "dim")).get("dim", -1)
    way = replace(track.way, plain=False, direct=False, alone=False)
    return [Track(_joined(*track.codes.chunk(2, dim)), way)]


_TRANSFORMED: dict[object, _Transformed] = {
    patterns.kept: _kept,
    patterns.pointwise: _elementwise,
    patterns.gate: _elementwise,
    patterns.union: _elementwise,
    patterns.product: _elementwise,
    patterns.quotient: _elementwise,
    patterns.itself: _itself,
    patterns.attribute: _attribute,
    patterns.cast: _cast,
    patterns.moved: _moved,
    patterns.padded: _padded,
    patterns.assigned: _assigned,
    patterns.overwritten: _overwritten,
    patterns.cleared: _cleared,
    patterns.where: _where,
    patterns.masked: _where,
    patterns.pooled: _pooled,
    patterns.max_pooled: _pooled,
    patterns.max_pooled_from: _pooled,
    patterns.adaptive_max_pooled: _pooled,
    patterns.resized: _resized,
    patterns.reduced: _reduced,
    patterns.gated: _gated,
    # outside of a module a norm has statistics that are not known to be those of units
    RULES[F.batch_norm]: _elementwise,
}


def _given(step: _Step, names: Iterable[str]) -> dict[str, Any]:
    """Arguments by name, the first ones in the order of ``names``."""
    return {**dict(zip(names, step.op.args, strict=False)), **step.op.kwargs}


def _code(value: object) -> int:
    return _ZERO if isinstance(value, int | float) and value == 0 else _OTHER


def _lost(tensor: Tensor) -> Track:
    """Everything mixed."""
    codes = torch.full(tensor.shape, float(_MIXED), device=tensor.device)
    return Track(codes, Way(plain=False, direct=False, alone=False))


def _numbered(tensor: Tensor, axis: int) -> Tensor:
    """Codes of units in their order along an axis."""
    size, behind = tensor.shape[axis], tensor.dim() - 1 - axis % tensor.dim()
    numbers = torch.arange(1.0, size + 1, device=tensor.device).view(-1, *(1,) * behind)
    return numbers.expand(tensor.shape).clone()


def _joined(one: Tensor, other: Tensor) -> Tensor:
    """Codes of two elements that become one: constants give way."""
    open_one, open_other = ((codes <= _ZERO) & (codes != _MIXED) for codes in (one, other))
    both = torch.where(one == other, one, float(_MIXED))
    return torch.where(open_one, other, torch.where(open_other, one, both))


def _bounds(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Codes whose least and whose largest over a window `_alike` takes."""
    return torch.where(codes == _ZERO, torch.inf, codes), codes


def _alike(least: Tensor, largest: Tensor) -> Tensor:
    """The code that all elements of a window have, zeros aside; else mixed."""
    codes = torch.where(least == largest, largest, float(_MIXED))
    codes = torch.where(least == torch.inf, float(_ZERO), codes)
    return torch.where((least == _OTHER) & (largest <= _ZERO), float(_OTHER), codes)


def _columns(codes: Tensor) -> tuple[tuple[int, ...] | None, bool]:
    """Unit by column, from codes of (rows, columns), or ``None``; and whether nothing else is in theirs."""
    if not codes.numel():
        return None, False
    is_unit = codes > _ZERO
    least = torch.where(is_unit, codes, torch.inf).amin(0)
    largest = codes.amax(0)
    occupied = largest > _ZERO
    if bool((codes == _MIXED).any()) or bool((occupied & (least != largest)).any()):
        return None, False
    partly = bool(((codes == _OTHER) & occupied).any())
    units = torch.where(occupied, largest - 1, -1.0).to(torch.int64)
    return tuple(units.tolist()), not partly


def _memory(tensor: Tensor) -> int:
    """The address of what a tensor is a view of."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, for example
        return id(tensor)

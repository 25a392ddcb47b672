"""What each kind of PyTorch function does to labels.

The kinds are the rules of `hebbevo.nn.liveness.patterns`: the function is looked up in the table there, and
the rule that is found is looked up here. A function whose rule is not here mixes: its results may hold any
units, in any way.

A label rule takes a call and one source. It returns the source's label of every result, or one for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn.forward_pass.following import FIRST_ARGUMENT_ONLY, FunctionCall, tensors_in
from hebbevo.nn.liveness import patterns
from hebbevo.nn.unit_labels.codes import (
    OTHER,
    ZERO,
    bounds,
    code_of_constant,
    common_code,
    filled,
    merged,
)
from hebbevo.nn.unit_labels.labels import Label, Labels, PathProperties, Source, memory_of

_BY_INDEX = frozenset(
    """getitem gather take_along_dim index_select masked_select index_copy repeat_interleave
    tensor_split""".split()  # noqa: SIM905
)
_SUMS = frozenset({"add", "radd"})
_SHIFTS = _SUMS | {"sub", "subtract", "rsub"}
_MEANS = frozenset({"mean", "max", "amax"})  # a maximum passes a mean on nearly
_TRANSPOSED = frozenset({"T", "mT", "H", "mH"})


class LabelledCall:
    """A function that was run, and the labels of its operands.

    Attributes:
        call: the function and its arguments.
        name: of the function, without the marks of operators and in-place forms.
        in_place: whether it changed its first argument.
        outputs: the tensors among its results.
        operands: the followed tensors from which it takes values, with their labels.
        sources: all sources of its operands.
    """

    def __init__(
        self,
        call: FunctionCall,
        name: str,
        in_place: bool,
        outputs: Sequence[Tensor],
        labels_of: Callable[[Tensor], Labels],
    ) -> None:
        self.call = call
        self.name = name
        self.in_place = in_place
        self.outputs = outputs
        operands = [call.tensors[0]] if name in FIRST_ARGUMENT_ONLY else call.followed
        self.operands: list[tuple[Tensor, Labels]] = [(each, labels_of(each)) for each in operands]
        self.sources = [*dict.fromkeys(source for _, labels in self.operands for source in labels)]
        self._labels = {id(tensor): labels for tensor, labels in self.operands}

    @property
    def code_left_behind(self) -> int:
        """The code of what the call leaves of a source that is in its target but in none of its results."""
        writes_zero = self.name == "zero" or (
            self.name == "fill" and code_of_constant(self.call.values[1]) == ZERO
        )
        return ZERO if writes_zero else OTHER

    @cached_property
    def keeps_zero(self) -> bool:
        """Whether the results are zero where all followed operands are: it is tried, by a second run."""

        def zeros(tensor: Tensor) -> Tensor:
            if self.call.any_followed(tensor):
                return torch.zeros_like(tensor)
            return tensor.clone() if self.in_place else tensor

        return all(bool((each == 0).all()) for each in tensors_in(self.call.run(zeros)))

    @cached_property
    def keeps_ones(self) -> bool:
        """Whether the results are one where all followed operands are: it is tried, by a second run."""

        def ones(tensor: Tensor) -> Tensor:
            return torch.ones_like(tensor) if self.call.any_followed(tensor) else tensor

        # others, such as the indices of a max pool, are no values
        values = (each for each in tensors_in(self.call.run(ones)) if each.is_floating_point())
        return all(bool((each == 1).all()) for each in values)

    def labels(self, source: Source) -> list[Label]:
        """The labels of a source among the operands."""
        return [labels[source] for _, labels in self.operands if source in labels]

    def codes(self, value: object, source: Source) -> Tensor:
        """The codes of an operand, or of a constant."""
        labels = self._labels.get(id(value), {})
        if source in labels:
            return labels[source].codes
        if isinstance(value, Tensor):
            return filled(value, OTHER)
        return torch.tensor(float(code_of_constant(value)), device=self.outputs[0].device)

    def path(self, source: Source) -> PathProperties:
        """The path of a source through all operands together."""
        return PathProperties().merge(*(label.path for label in self.labels(source)))

    def merged(self, source: Source) -> Label:
        """The label of a result whose every element is computed from the elements of all operands there."""
        shape = self.outputs[0].shape
        first, *others = [label.codes.expand(shape) for label in self.labels(source)]
        for other in others:
            first = merged(first, other)
        return Label(first.clone() if not others else first, self.path(source))

    def is_of_one_unit(self, source: Source) -> bool:
        """Whether every element derives from its unit of ``source`` alone, if from any."""
        (_, first), *others = self.operands
        shape = self.outputs[0].shape
        return all(
            labels.keys() == first.keys()
            and all(
                torch.equal(label.codes.expand(shape), first[source].codes.expand(shape))
                for source, label in labels.items()
            )
            for _, labels in others
        )


LabelRule = Callable[[LabelledCall, Source], list[Label]]


def labels_of_results(rule: object, call: LabelledCall) -> dict[Source, list[Label]]:
    """What a function does to the labels of its operands.

    Args:
        rule: of the function, in the table of `hebbevo.nn.liveness.patterns`.
        call: the function as it was run.

    Returns:
        By source, a label for every result, or one for all of them.
    """
    label_rule = _LABEL_RULES.get(rule, mixed)
    return {source: _safely(label_rule, call, source) for source in call.sources}


def _safely(rule: LabelRule, call: LabelledCall, source: Source) -> list[Label]:
    try:
        return rule(call, source) or mixed(call, source)
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError):
        return mixed(call, source)  # a form of the function that the rule does not know


def mixed(call: LabelledCall, source: Source) -> list[Label]:
    """Nothing is known of any result."""
    return [Label.mixed(output) for output in call.outputs]


# every element by itself


def identity(call: LabelledCall, source: Source) -> list[Label]:
    """Every element as it is."""
    return [call.merged(source)] if len(call.operands) == 1 else mixed(call, source)


def elementwise(call: LabelledCall, source: Source) -> list[Label]:
    """Every element is computed from the elements of all operands in the same place."""
    label = call.merged(source)
    _change_values(label.path, call, source)
    return [label]


def _change_values(path: PathProperties, call: LabelledCall, source: Source) -> None:
    """Add a function of elements that is not the identity to a path, in place."""
    path.keeps_mean = False
    path.is_additive &= call.name in _SUMS
    # a constant that is added keeps no zero, and neither does a function with f(0) != 0 such as a sigmoid
    path.keeps_zero = (
        path.keeps_zero and call.name not in _SHIFTS and call.is_of_one_unit(source) and call.keeps_zero
    )


def same_tensor(call: LabelledCall, source: Source) -> list[Label]:
    """The argument itself, or a copy."""
    tensor, labels = call.operands[0]
    label = labels[source]
    if memory_of(call.outputs[0]) == memory_of(tensor):
        return [label]  # a later change in place is one of both
    return [Label(label.codes.clone(), replace(label.path))]


def attribute(call: LabelledCall, source: Source) -> list[Label]:
    """An attribute: the tensor itself, or a transposed view."""
    name = getattr(getattr(call.call.func, "__self__", None), "__name__", "")
    if name == "data":
        return same_tensor(call, source)
    return rearranged(call, source) if name in _TRANSPOSED else mixed(call, source)


def converted(call: LabelledCall, source: Source) -> list[Label]:
    """Another type or device; integers are rounded values."""
    tensor, labels = call.operands[0]
    output, label = call.outputs[0], labels[source]
    if output is tensor:
        return [label]
    path = replace(label.path)
    if not output.is_floating_point():
        _change_values(path, call, source)
    return [Label(label.codes.to(output.device, copy=True), path)]


# elements in other places


def rearranged(call: LabelledCall, source: Source) -> list[Label]:
    """Elements move to other places: the function itself moves their codes."""
    first = call.call.tensors[0]
    if any(isinstance(value, torch.dtype) for value in call.call.values):
        return mixed(call, source)  # it converts as well

    def codes(tensor: Tensor) -> Tensor:
        if call.name in FIRST_ARGUMENT_ONLY and tensor is not first:
            return tensor
        is_index = call.name in _BY_INDEX and tensor is not first and not tensor.is_floating_point()
        # where an element goes must not depend on values: other inputs would have other columns
        if is_index and call.call.any_followed(tensor):
            raise ValueError("a place depends on values")
        return tensor if is_index else call.codes(tensor, source)

    results = [*tensors_in(call.call.run(codes))]
    return [
        _of_view(call, source, output, codes) for output, codes in zip(call.outputs, results, strict=True)
    ]


def _of_view(call: LabelledCall, source: Source, output: Tensor, codes: Tensor) -> Label:
    """A label that shares its path, and the memory of its codes, with the tensor that ``output`` views."""
    memory = memory_of(output)
    for tensor, labels in call.operands:
        if source in labels and memory_of(tensor) == memory:
            return Label(codes, labels[source].path)
    return Label(codes.clone() if codes._base is not None else codes, call.path(source))


def padded(call: LabelledCall, source: Source) -> list[Label]:
    """Elements with constants around them, or with copies of some of them."""
    given = call.call.by_name("input", "pad", "mode", "value")
    (label,) = call.labels(source)
    mode = given.get("mode", "constant")
    value = {"value": float(code_of_constant(given.get("value") or 0))} if mode == "constant" else {}
    return [Label(F.pad(label.codes, given["pad"], mode, **value), replace(label.path))]


def assigned(call: LabelledCall, source: Source) -> list[Label]:
    """Elements overwrite a part of a tensor."""
    target, place, value = call.call.args
    if call.call.any_followed(*tensors_in([place])):
        return mixed(call, source)
    codes = call.codes(target, source).clone()
    # a constant value overwrites units with its own code
    codes[place] = call.codes(value, source)
    return [Label(codes, call.path(source))]


def copied(call: LabelledCall, source: Source) -> list[Label]:
    """Elements of another tensor overwrite all of this one."""
    value = call.call.args[1]
    codes = call.codes(value, source).expand(call.outputs[0].shape)
    return [Label(codes.to(call.outputs[0].device, copy=True), call.path(source))]


def constants(call: LabelledCall, source: Source) -> list[Label]:
    """Constants overwrite all of a tensor."""
    if call.call.any_followed(*call.call.values[1:]):
        return mixed(call, source)
    return [Label(filled(call.outputs[0], call.code_left_behind), call.path(source))]


def where(call: LabelledCall, source: Source) -> list[Label]:
    """A constant condition chooses between two sides, or an element and a masked value."""
    condition, one, other = call.call.values
    if call.name == "masked_fill":
        condition, one, other = one, other, condition
    if call.call.any_followed(condition):
        return elementwise(call, source)
    chosen = torch.where(condition != 0, call.codes(one, source), call.codes(other, source))
    path = call.path(source)
    _change_values(path, call, source)
    return [Label(chosen.expand(call.outputs[0].shape).clone(), path)]


# windows and reductions: a result has a unit's code if all of its window has


def pooled(call: LabelledCall, source: Source) -> list[Label]:
    """Windows. Max pools find the least and the largest code, whatever the pool does to values."""
    (label,) = call.labels(source)
    path = _path_of_mean(call, label)
    # a pool may count zeros around its input, or have a divisor of its own
    path.keeps_mean &= call.keeps_ones
    name = call.name.replace("avg", "max").removesuffix("_with_indices")
    if call.name == "fold":
        return mixed(call, source)
    low, high = bounds(label.codes)
    # PyTorch has no min pool: the minimum is the negative of the maximum of the negatives
    if call.name == "cumsum":
        dim = call.call.by_name("input", "dim")["dim"]
        path.is_additive = False
        return [Label(common_code(low.cummin(dim).values, high.cummax(dim).values), path)]
    pool = getattr(F, name)
    if call.name.startswith("adaptive"):
        size = call.call.by_name("input", "output_size")["output_size"]
        return [Label(common_code(-pool(-low, size), pool(high, size)), path)]
    dilation = ("dilation",) if "max" in call.name else ()  # a mean pool has none
    given = call.call.by_name("input", "kernel_size", "stride", "padding", *dilation, "ceil_mode")
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    window = {name: given[name] for name in names if name in given}
    return [Label(common_code(-pool(-low, **window), pool(high, **window)), path)]


def resized(call: LabelledCall, source: Source) -> list[Label]:
    """Copies of the nearest element, or means of the nearest ones."""
    (label,) = call.labels(source)
    given = call.call.by_name("input", "size", "scale_factor", "mode")
    if "nearest" in given.get("mode", "nearest"):
        codes = call.call.run(lambda tensor: call.codes(tensor, source))
        return [Label(codes, replace(label.path))]
    # which elements are near enough is left open: all positions of a channel must agree
    low, high = bounds(label.codes)
    positions = tuple(range(2, low.dim()))
    codes = common_code(low.amin(positions, keepdim=True), high.amax(positions, keepdim=True))
    return [Label(codes.expand(call.outputs[0].shape).clone(), _path_of_mean(call, label))]


def reduced(call: LabelledCall, source: Source) -> list[Label]:
    """A number for all elements along some axes."""
    if len(call.call.tensors) > 1:  # `max` of two tensors
        return elementwise(call, source)
    (label,) = call.labels(source)
    axes, keepdim = patterns.reduced_axes(call.call), call.outputs[0].dim() == label.codes.dim()
    low, high = bounds(label.codes)
    codes = common_code(low.amin(axes, keepdim=keepdim), high.amax(axes, keepdim=keepdim))
    path = _path_of_mean(call, label)
    if call.name not in _MEANS:
        _change_values(path, call, source)
    return [Label(codes, path)]


def _path_of_mean(call: LabelledCall, label: Label) -> PathProperties:
    """A path that goes on through a window: the mean of a unit's output and zeros is only a part of it."""
    has_zeros = "max" not in call.name and bool((label.codes == ZERO).any())
    return replace(label.path, keeps_mean=label.path.keeps_mean and not has_zeros)


def gated(call: LabelledCall, source: Source) -> list[Label]:
    """Elements of the first half, each times a gate from the second half."""
    (label,) = call.labels(source)
    dim = call.call.by_name("input", "dim").get("dim", -1)
    path = replace(label.path, is_additive=False, keeps_mean=False, keeps_zero=False)
    return [Label(merged(*label.codes.chunk(2, dim)), path)]


_LABEL_RULES: Mapping[object, LabelRule] = {
    patterns.identity: identity,
    patterns.pointwise: elementwise,
    patterns.any_operand: elementwise,
    patterns.product: elementwise,
    patterns.quotient: elementwise,
    patterns.power: elementwise,
    patterns.interpolated: elementwise,
    patterns.same_tensor: same_tensor,
    patterns.attribute: attribute,
    patterns.converted: converted,
    patterns.rearranged: rearranged,
    patterns.padded: padded,
    patterns.assigned: assigned,
    patterns.copied: copied,
    patterns.filled: constants,
    patterns.where: where,
    patterns.masked: where,
    patterns.pooled: pooled,
    patterns.max_pooled: pooled,
    patterns.max_pooled_with_indices: pooled,
    patterns.adaptive_max_pooled: pooled,
    patterns.resized: resized,
    patterns.reduced: reduced,
    patterns.gated: gated,
    # a batch norm that no module calls: its statistics are not known to be those of units
    patterns.RULES[F.batch_norm]: elementwise,
}

"""The table of PyTorch functions that a network may call, and what each does to patterns.

A *pattern* stands for a tensor of the forward pass and has its shape. An element is 0 where no live path
from the inputs leads to it, and otherwise about 1 or more (see `hebbevo.nn.liveness.paths`).

`RULES` has one rule for each *kind* of function, such as "every element by itself" or "a sum of products". A
rule is a function below; the names in its decorator are the functions of that kind. So the table reads:

    @_rule_for("relu sigmoid tanh exp ...")     the functions, by name
    def pointwise(call): ...                    what they do to patterns

To let networks call one more function, add its name to the decorator of the rule for its kind. The name is
that in ``torch``, ``torch.nn.functional`` or ``torch.Tensor``, without the underscores of operators and
in-place forms. So ``add`` stands for ``torch.add``, ``x.add_`` and ``x + y``. That one entry serves the count
and the layer graph, since `hebbevo.nn.unit_labels` looks up the same rule.

Where no live path leads, a tensor holds a constant, and a constant need not be zero. So the network runs on
values too, beside the patterns. Rules for products ask `RuleContext.factor` whether an element may differ
from zero: it may where a path leads to it, and where its constant value is not zero.

A function that is in no decorator is `unknown`. The count is then an upper bound: if anything that enters
the function is alive, all its results count as reached, and a note names the function.

For example, the input (1, 1) of a layer with weights ((2, 0), (0, 0)) gives the pattern (1, 0): a weight of
zero ends a path, so nothing leads to the second unit.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._pytree import tree_map

from hebbevo.nn.forward_pass.following import Follower, FunctionCall, Item, tensors_in, value_decides


class RuleContext(Follower):
    """What rules may ask of the run that they are part of."""

    @abstractmethod
    def value(self, tensor: Tensor) -> Tensor:
        """The value that a pattern stands for; it is exact where no path leads to. Constants are their own.

        A constant that cannot be computed is NaN, and so is not zero.
        """

    @abstractmethod
    def may_be(self, tensor: Tensor, is_so: Callable[[Tensor], Tensor]) -> Tensor:
        """Where a path leads to ``tensor`` or ``is_so`` holds of its constant value: a float mask."""

    def factor(self, tensor: Tensor) -> Tensor:
        """What a factor does to paths through other factors: 0 where it is zero for all inputs, else 1."""
        return self.may_be(tensor, lambda value: value != 0)

    @abstractmethod
    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; its bias begins no path and has none."""

    @abstractmethod
    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Record the call of a layer or norm.

        Args:
            pattern: of its output.
            weight: pattern of its weights.
            axes: of the output, counted from the end, along which its units lie.
            positions: how often one row of inputs uses each weight; 0 for norms.

        Returns:
            The pattern with which the forward pass goes on: 0 or 1.
        """

    @abstractmethod
    def note_unknown(self, function: str) -> None:
        """Note that a function is in no table."""

    @abstractmethod
    def operand(self, tensor: Tensor) -> Tensor:
        """What stands for an operand beside patterns.

        Patterns stand for themselves. Constants become zeros, since they begin no path. Integers stay, since
        they are indices.
        """


class Binary(torch.autograd.Function):
    """Sets a pattern, and in the backward pass its gradient, to 1 above one half and to 0 elsewhere.

    Without it, the numbers would grow or vanish along a deep network.
    """

    @staticmethod
    def forward(pattern: Tensor) -> Tensor:
        """Cut a pattern at one half."""
        return (pattern > 0.5).to(pattern.dtype)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Keep nothing: the backward pass needs only the gradient."""

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        """Cut the gradient at one half."""
        return (grad > 0.5).to(grad.dtype)

    @staticmethod
    def vmap(info: object, in_dims: tuple[int | None, ...], pattern: Tensor) -> tuple[Tensor, int | None]:
        """Cut the patterns of many networks at once: every element is by itself."""
        return binary(pattern), in_dims[0]


def binary(pattern: Tensor) -> Tensor:
    """1 where ``pattern`` is above one half and 0 elsewhere; the same for its gradient."""
    cut: Tensor = Binary.apply(pattern)  # type: ignore[no-untyped-call]
    return cut


@dataclass(frozen=True)
class PatternCall(FunctionCall):
    """A function that is given patterns."""

    follower: RuleContext
    values_of_results: Any = None
    """What the function gives on values, in place of patterns; ``None`` where that is not known."""

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call another function in place of this one, by its own rule."""
        return self.follower.__torch_function__(func, (), args, kwargs)


Rule = Callable[[PatternCall], Any]
"""Gives the patterns of a function's results."""

RULES: dict[object, Rule] = {}
"""The table: rules by the name of a function, or by the function itself."""


def _rule_for(*functions: str) -> Callable[[Rule], Rule]:
    """Enter a rule in the table under the names of functions, which are separated by spaces."""

    def register(rule: Rule) -> Rule:
        for names in functions:
            RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return register


# layers and norms

_UNIT_AXES = {
    "linear": -1,
    "conv1d": -2,
    "conv2d": -3,
    "conv3d": -4,
    "conv_transpose1d": -2,
    "conv_transpose2d": -3,
    "conv_transpose3d": -4,
}


@_rule_for(*_UNIT_AXES)
def layer(call: PatternCall) -> Any:
    """A path through every weight that is not zero; the bias begins none."""
    given = call.by_name("input", "weight", "bias")
    x, weight, bias = (given.pop(name, None) for name in ("input", "weight", "bias"))
    # weights that are computed from the inputs, as in a hypernetwork, have no pattern of their own
    if call.name == "linear" and call.any_followed(weight):
        path = call.apply(torch.matmul, x, call.apply(torch.Tensor.t, weight))
        return path if bias is None else call.apply(torch.add, path, bias)
    if not call.any_followed(x) or call.any_followed(weight, bias):
        return unknown(call)
    x, weight, axis = x.float(), call.follower.weight(weight, bias), _UNIT_AXES[call.name]
    # the layer itself, on patterns: an output is the number of live inputs with a weight that is not zero
    pattern = call.func(x, weight, None, *call.args[3:], **given)
    # a transposed convolution uses its weights once for every position of its input
    counted = x if "transpose" in call.name else pattern
    return call.follower.record(pattern, weight, (axis,), counted.numel() // counted.shape[axis])


Mixing = Callable[[PatternCall, Tensor], Tensor]
"""Gives, of a norm and the pattern of its input, where any element leads to an element's statistics."""


def _of_fixed_statistics(call: PatternCall, x: Tensor) -> Tensor:
    return x


def _of_channels(call: PatternCall, x: Tensor) -> Tensor:
    return x.sum([*range(2, x.dim())], keepdim=True).expand_as(x)


def _of_groups(call: PatternCall, x: Tensor) -> Tensor:
    groups = call.by_name("input", "num_groups")["num_groups"]
    by_group = x.reshape(len(x), groups, -1)
    return by_group.sum(2, keepdim=True).expand_as(by_group).reshape(x.shape)


def _of_last_axes(call: PatternCall, x: Tensor) -> Tensor:
    shape = call.by_name("input", "normalized_shape")["normalized_shape"]
    return x.sum([*range(-len(shape), 0)], keepdim=True).expand_as(x)


def norm(
    call: PatternCall, weight_position: int, by_channel: bool, mixing: Mixing, centred: bool = True
) -> Any:
    """Every unit depends on all that its statistics are made of, through a scale that is not zero.

    Args:
        call: of a norm.
        weight_position: of the scale among the arguments.
        by_channel: whether the scale has a number for each channel, not for each element of the last axes.
        mixing: of the statistics.
        centred: whether a mean is subtracted; otherwise what is zero stays zero.
    """
    names = ["input", *[""] * (weight_position - 1), "weight", "bias"]
    given = call.by_name(*names)
    x, weight, bias = given["input"], given.get("weight"), given.get("bias")
    if not call.any_followed(x) or call.any_followed(weight):
        return unknown(call)
    mixed = mixing(call, x)
    if not centred:
        mixed = x + mixed * call.follower.factor(x)
    x = binary(mixed)
    if weight is None:
        return x  # no scale can be zero
    weight = call.follower.weight(weight, bias)
    # norms have no connections: each unit reads itself alone, at no position
    if by_channel:
        pattern = x * weight.view(-1, *(1,) * (x.dim() - 2))
        return call.follower.record(pattern, weight, (1 - x.dim(),), 0)
    return call.follower.record(x * weight, weight, tuple(range(-weight.dim(), 0)), 0)


RULES |= {
    # in evaluation mode, a batch norm has fixed statistics
    F.batch_norm: partial(norm, weight_position=3, by_channel=True, mixing=_of_fixed_statistics),
    F.instance_norm: partial(norm, weight_position=3, by_channel=True, mixing=_of_channels),
    F.group_norm: partial(norm, weight_position=2, by_channel=True, mixing=_of_groups),
    F.layer_norm: partial(norm, weight_position=2, by_channel=False, mixing=_of_last_axes),
    F.rms_norm: partial(norm, weight_position=2, by_channel=False, mixing=_of_last_axes, centred=False),
}


# every element by itself


@_rule_for(
    """clone positive dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
    feature_dropout"""
)
def identity(call: PatternCall) -> Any:
    """Every element as it is; dropout is the identity in evaluation mode."""
    return call.followed[0].clone()


@_rule_for(
    """relu relu6 leaky_relu rrelu prelu elu selu celu gelu silu mish hardtanh hardswish hardshrink softshrink
    tanhshrink softsign tanh threshold _threshold""",
    """abs absolute neg negative square sqrt rsqrt reciprocal log log10 log1p log2 expm1 sin tan sinh
    asin atan asinh erf erfinv conj deg2rad rad2deg""",
    """sigmoid hardsigmoid expit special_expit logsigmoid softplus exp exp2 cos cosh erfc""",
    """sign sgn floor ceil round trunc frac nan_to_num
    logical_not bitwise_not invert isnan isinf isposinf isneginf isfinite""",
)
def pointwise(call: PatternCall) -> Any:
    """Every element by itself: a path to it leads on."""
    if len(call.followed) > 1 or not call.any_followed(*call.values[:1]):
        return unknown(call)  # its slope or threshold is computed from the inputs
    return call.followed[0].clone()


@_rule_for("softmax softmin log_softmax gumbel_softmax")
def softmax(call: PatternCall) -> Any:
    """Every result depends on all elements along the axis, but for those that are minus infinity.

    A choice among one is a constant.
    """
    (x,) = call.followed
    position = 4 if call.name == "gumbel_softmax" else 1
    dim = call.kwargs.get("dim", call.args[position] if len(call.args) > position else None)
    if call.name == "gumbel_softmax" and dim is None:
        dim = -1
    axes = [*range(x.dim())] if dim is None else [dim]  # without an axis, PyTorch finds one
    end = torch.inf if call.name == "softmin" else -torch.inf
    possible = call.follower.may_be(x, lambda value: value != end)
    is_choice = call.follower.may_be(possible.sum(axes, keepdim=True), lambda number: number > 1)
    return binary((x * possible).sum(axes, keepdim=True) * possible * is_choice)


@_rule_for("normalize")
def normalized(call: PatternCall) -> Any:
    """What is not zero is divided by the norm of all elements along an axis."""
    given = call.by_name("input", "p", "dim")
    x = given["input"]
    sums = x.sum(given.get("dim", 1), keepdim=True)
    return binary(x + sums * call.follower.factor(x))


@_rule_for("local_response_norm")
def normalized_by_neighbours(call: PatternCall) -> Any:
    """What is not zero is divided by a number that other channels enter."""
    x = call.followed[0]
    return binary(x + x.sum(1, keepdim=True) * call.follower.factor(x))


@_rule_for("detach contiguous requires_grad")
def same_tensor(call: PatternCall) -> Any:
    """The argument itself, in the same memory; a detached tensor still derives from the inputs."""
    return call.args[0]


@_rule_for("__get__")
def attribute(call: PatternCall) -> Any:
    """An attribute of a tensor: a view such as ``.T``, or something that is no tensor such as ``.shape``."""
    attribute = getattr(call.func, "__self__", None)
    # `x.data` shares memory with x, but autograd would lose the path
    return call.args[0] if getattr(attribute, "__name__", "") == "data" else call.run()


@_rule_for("to type type_as float double half bfloat16 bool int long short char byte cpu cuda")
def converted(call: PatternCall) -> Any:
    """Another type or device. A pattern stays float: integers made of the inputs derive from them as well."""
    result = call.run()
    if not isinstance(result, Tensor):
        return result
    x = call.args[0]
    if call.values_of_results is call.follower.value(x):
        return x  # nothing to convert: the same memory
    return (result.float() if result.is_floating_point() else x.to(result.device)).clone()


# elements of several operands


@_rule_for(
    """add sub subtract radd rsub maximum minimum fmax fmin atan2 hypot logaddexp
    fmod remainder mod floor_divide floordiv clamp clip clamp_min clamp_max""",
    """eq ne lt le gt ge not_equal less less_equal greater greater_equal isclose
    logical_or logical_xor bitwise_or bitwise_xor or xor ror rxor""",
)
def any_operand(call: PatternCall) -> Any:
    """A path through any operand; constants begin none."""
    return _broadcast(reduce(add, call.followed), call)


@_rule_for("mul multiply rmul logical_and bitwise_and and rand")
def product(call: PatternCall) -> Any:
    """A path through a factor where no other factor is zero for all inputs.

    Another factor to which no path leads is a constant. It ends the path only if that constant is zero.
    """
    device = call.followed[0].device
    one, other = (torch.as_tensor(each, device=device) for each in call.values[:2])
    paths = [
        path * call.follower.factor(factor)
        for path, factor in ((one, other), (other, one))
        if call.any_followed(path)
    ]
    return _broadcast(reduce(add, paths), call)


@_rule_for("div divide true_divide truediv rtruediv rdiv")
def quotient(call: PatternCall) -> Any:
    """A path through the numerator, or through the denominator where the numerator is not zero."""
    numerator, denominator = call.values[:2]
    if call.name.strip("_") in ("rdiv", "rtruediv"):
        numerator, denominator = denominator, numerator
    paths = [numerator] if call.any_followed(numerator) else []
    if call.any_followed(denominator):
        device = denominator.device
        paths.append(denominator * call.follower.factor(torch.as_tensor(numerator, device=device)))
    return _broadcast(reduce(add, paths), call)


@_rule_for("pow rpow float_power")
def power(call: PatternCall) -> Any:
    """A path through the base if the exponent is not 0, and through the exponent if the base is not 1."""
    base, exponent = call.values[:2]
    if call.name.strip("_") == "rpow":
        base, exponent = exponent, base
    device, paths = call.followed[0].device, []
    if call.any_followed(base):
        paths.append(base * call.follower.factor(torch.as_tensor(exponent, device=device)))
    if call.any_followed(exponent):
        base = torch.as_tensor(base, device=device)
        paths.append(exponent * call.follower.may_be(base, lambda value: value != 1))
    return _broadcast(reduce(add, paths), call)


@_rule_for("glu")
def gated(call: PatternCall) -> Any:
    """Elements of the first half, each times a gate from the second half."""
    given = call.by_name("input", "dim")
    values, gates = call.apply(torch.chunk, given["input"], 2, given.get("dim", -1))
    return call.apply(torch.mul, values, call.apply(torch.sigmoid, gates))


@_rule_for("lerp")
def interpolated(call: PatternCall) -> Any:
    """Two operands, each times its share."""
    start, end, share = call.values
    rest = call.apply(torch.rsub, share, 1) if isinstance(share, Tensor) else 1 - share
    return call.apply(torch.add, call.apply(torch.mul, start, rest), call.apply(torch.mul, end, share))


@_rule_for("addcmul addcdiv")
def added_product(call: PatternCall) -> Any:
    """A product, or a quotient, of two operands, to which the first is added."""
    start, one, other = call.values[:3]
    func = torch.mul if "mul" in call.name else torch.div
    return call.apply(torch.add, start, call.apply(func, one, other))


@_rule_for("where")
def where(call: PatternCall) -> Any:
    """A condition chooses between two sides, and is a path itself where it derives from the inputs."""
    condition, *sides = call.values
    context = call.follower
    chosen = (context.factor(condition), context.may_be(condition, lambda value: value == 0))
    # each side is live only in the places where it may be chosen
    paths = [side * where for side, where in zip(sides, chosen, strict=True) if call.any_followed(side)]
    if call.any_followed(condition):
        paths.append(condition)
    return _broadcast(reduce(add, paths), call)


@_rule_for("masked_fill")
def masked(call: PatternCall) -> Any:
    """A constant in the masked places, and the elements themselves elsewhere."""
    x, mask, value = call.values
    return where(PatternCall(call.follower, torch.where, (mask, value, x), {}))


# sums of products


@_rule_for(
    """matmul rmatmul mm bmm mv dot inner outer einsum tensordot kron chain_matmul linalg_vecdot
    linalg_multi_dot"""
)
def contraction(call: PatternCall) -> Any:
    """A path through a factor wherever the product of the other factors with it is not zero."""
    places = [place for place, each in enumerate(call.tensors) if call.any_followed(each)]
    return binary(reduce(add, (_through(call, place) for place in places)))


def _through(call: PatternCall, place: int) -> Tensor:
    """The paths of a contraction through one tensor among its arguments."""
    number = itertools.count()  # not by identity: a tensor may be multiplied with itself

    def pattern(each: Tensor) -> Tensor:
        return each.float() if next(number) == place else call.follower.factor(each)

    path: Tensor = call.run(pattern)
    return path


@_rule_for("bilinear")
def bilinear(call: PatternCall) -> Any:
    """A contraction of two operands with a weight for every pair of their elements."""
    given = call.by_name("input1", "input2", "weight", "bias")
    path = call.apply(torch.einsum, "...i,oij,...j->...o", given["input1"], given["weight"], given["input2"])
    return path if given.get("bias") is None else call.apply(torch.add, path, given["bias"])


@_rule_for("scaled_dot_product_attention")
def attention(call: PatternCall) -> Any:
    """Values, each times a softmax over products of queries and keys."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    given = call.by_name(*names)
    query, key, value, mask = (given.get(name) for name in names[:4])
    if given.get("enable_gqa"):
        return unknown(call)
    scores = call.apply(torch.matmul, query, call.apply(torch.transpose, key, -2, -1))
    if given.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        is_bool = call.follower.value(mask).dtype is torch.bool
        scores = (
            call.apply(torch.where, mask, scores, torch.tensor(-torch.inf, device=scores.device))
            if is_bool
            else call.apply(torch.add, scores, mask)
        )
    return call.apply(torch.matmul, call.apply(torch.softmax, scores, -1), value)


@_rule_for("addmm addmv baddbmm")
def contraction_and_bias(call: PatternCall) -> Any:
    """A contraction of the last two arguments, to which the first is added."""
    bias, *factors = call.args[:3]
    return call.apply(torch.add, bias, call.apply(torch.matmul, *factors))


# elements in other places


@_rule_for(
    """reshape reshape_as view view_as flatten unflatten ravel squeeze unsqueeze expand expand_as broadcast_to
    permute transpose t swapaxes swapdims movedim moveaxis adjoint atleast_1d atleast_2d atleast_3d""",
    """cat concat concatenate stack hstack vstack dstack column_stack block_diag
    chunk split split_with_sizes tensor_split hsplit vsplit dsplit unbind""",
    """getitem select narrow index_select gather take_along_dim masked_select diagonal diag diag_embed
    tril triu repeat tile repeat_interleave roll flip fliplr flipud rot90 unfold
    index_copy select_scatter slice_scatter diagonal_scatter
    pixel_shuffle pixel_unshuffle channel_shuffle""",
)
def rearranged(call: PatternCall) -> Any:
    """Elements move to other places, beside constants that begin no path."""
    if _is_by_index(call):
        return _chosen(call)
    return call.run(call.follower.operand)


@_rule_for("scatter_add index_add")
def added_into(call: PatternCall) -> Any:
    """Elements are added to those of another tensor."""
    if _is_by_index(call):
        return _chosen(call)
    return call.run(call.follower.operand)


_BY_INDEX = frozenset(
    """getitem gather take_along_dim index_select masked_select index_copy repeat_interleave
    scatter_add index_add""".split()  # noqa: SIM905
)


def _is_by_index(call: PatternCall) -> bool:
    """Whether places among the arguments are computed from the inputs."""
    indices = (each for each in call.followed if each is not call.tensors[0])
    return call.name.strip("_") in _BY_INDEX and any(
        not call.follower.value(each).is_floating_point() for each in indices
    )


def _chosen(call: PatternCall) -> Any:
    """Elements from places that are computed from the inputs: any may be there."""
    sizes_depend = any(
        call.follower.value(each).dtype is torch.bool for each in call.followed if each is not call.tensors[0]
    )
    if sizes_depend or not isinstance(call.values_of_results, Tensor):
        raise value_decides(call.name)
    path = binary(reduce(add, (each.sum() for each in call.followed)))
    return path.expand(call.values_of_results.shape).clone()


@_rule_for("pad")
def padded(call: PatternCall) -> Any:
    """Elements with constants around them, or with copies of some of them."""
    x, pad, mode = (*call.args, call.kwargs.get("mode", "constant"))[:3]
    return call.func(x, pad, mode)


@_rule_for("setitem")
def assigned(call: PatternCall) -> Any:
    """Elements overwrite a part of a tensor."""
    target, place, value = call.args
    if call.any_followed(*tensors_in(place)):
        if isinstance(place, Tensor) and place.shape == target.shape and not call.any_followed(value):
            path = place  # a mask, by which elements become constants
        else:
            operands = (each for each in call.followed if each is not target)
            path = binary(reduce(add, (each.sum() for each in operands)))
        before = target.clone() if call.any_followed(target) else torch.zeros_like(target)
        call.follower.follow(target.copy_(before + path))
        return
    if not call.any_followed(target):
        # a constant becomes a pattern: none of its elements is reached so far
        call.follower.follow(target.zero_())
    target[place] = value if call.any_followed(value) else 0.0


@_rule_for("copy")
def copied(call: PatternCall) -> Any:
    """Elements of another tensor overwrite all of this one."""
    return call.follower.operand(call.args[1]).expand_as(call.args[0])


@_rule_for("fill zero normal uniform bernoulli exponential")
def filled(call: PatternCall) -> Any:
    """Constants overwrite all of a tensor."""
    return torch.zeros_like(call.args[0])


# windows and reductions


@_rule_for(
    """avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    fold cumsum"""
)
def pooled(call: PatternCall) -> Any:
    """A path through any element of a window.

    The mean of a window with one live element is at least one over the number of elements, so it is scaled
    up by that number before it is cut at one half.
    """
    return binary(call.run() * call.followed[0].numel())


@_rule_for("interpolate upsample")
def resized(call: PatternCall) -> Any:
    """Means of the nearest elements."""
    # bicubic weights may be negative, and paths would cancel out; bilinear ones never are
    positive = {**call.kwargs, "mode": "bilinear"} if call.kwargs.get("mode") == "bicubic" else call.kwargs
    return pooled(PatternCall(call.follower, call.func, call.args, positive))


@_rule_for("max_pool1d max_pool2d max_pool3d")
def max_pooled(call: PatternCall) -> Any:
    """As a mean: any element of a window may be the largest, but a maximum passes gradients to one only."""
    given = call.by_name("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given.pop("return_indices", None)
    if bool(torch.tensor(given.pop("dilation", 1)).ne(1).any()):
        return binary(call.run())  # a mean over windows with gaps does not exist
    given["stride"] = given.get("stride") or given["kernel_size"]
    return pooled(PatternCall(call.follower, getattr(F, call.name.replace("max", "avg")), (), given))


@_rule_for(
    """max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices"""
)
def max_pooled_with_indices(call: PatternCall) -> Any:
    """As without indices, which derive from the same elements."""
    pool = getattr(F, call.name.removesuffix("_with_indices"))
    given = {name: value for name, value in call.kwargs.items() if name != "return_indices"}
    rule = adaptive_max_pooled if "adaptive" in call.name else max_pooled
    path = rule(PatternCall(call.follower, pool, call.args, given))
    return path, path.clone()


@_rule_for("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d")
def adaptive_max_pooled(call: PatternCall) -> Any:
    """As a mean, for the reason given at `max_pooled`."""
    mean = getattr(F, call.name.replace("max", "avg"))
    return pooled(PatternCall(call.follower, mean, call.args[:2], {}))


@_rule_for(
    """sum mean nansum nanmean prod amax amin max min median logsumexp any all std var std_mean var_mean
    norm linalg_vector_norm argmax argmin"""
)
def reduced(call: PatternCall) -> Any:
    """A path through any element of the axes that are reduced, to indices among the results too."""
    if len(call.tensors) > 1:  # `max` of two tensors
        return any_operand(call)
    with torch.no_grad():
        results = call.run()
    (x,) = call.tensors
    axes = reduced_axes(call)
    if call.name == "prod":  # a constant of zero among the factors makes all the others count for nothing
        zeros = 1 - call.follower.factor(x)
        x = x * (zeros.sum(axes, keepdim=True) - zeros < 0.5)
    # a sum stands for every other reduction: it is zero only where no element is reached
    path = binary(x.sum(axes, keepdim=next(tensors_in(results)).dim() == x.dim()))
    return tree_map(lambda result: path.clone(), results)


@_rule_for("sort argsort msort topk cummax cummin cumprod logcumsumexp kthvalue mode")
def along_axis(call: PatternCall) -> Any:
    """Every result depends on all elements along an axis, and so do indices among the results."""
    (x,) = call.tensors
    position = 2 if call.name in ("topk", "kthvalue") else 1
    given = call.args[position] if len(call.args) > position else -1
    dim = call.kwargs.get("dim", 0 if call.name == "msort" else given)
    if isinstance(dim, bool):
        dim = -1
    with torch.no_grad():
        results = call.run()
    keepdim = next(tensors_in(results)).dim() == x.dim()
    path = binary(x.sum(dim, keepdim=keepdim))
    return tree_map(lambda result: path.expand(result.shape).clone(), results)


def reduced_axes(call: FunctionCall) -> tuple[int, ...]:
    """The axes over which a function of the kind `reduced` works."""
    position = 2 if "norm" in call.name else 1
    dim = call.kwargs.get("dim", call.args[position] if len(call.args) > position else None)
    if dim is None or isinstance(dim, bool) or dim == ():
        return tuple(range(call.tensors[0].dim()))
    return tuple(dim) if isinstance(dim, list | tuple) else (dim,)


# everything else


@_rule_for("embedding")
def embedding(call: PatternCall) -> Any:
    """Where the inputs are indices, they may choose any row of the table."""
    index, weight = call.values[:2]
    if call.any_followed(weight):
        return unknown(call)
    # an element of a row can be live if it is not zero in any row
    return index[..., None] * call.follower.factor(weight).amax(0)


@_rule_for("item")
def item(call: PatternCall) -> Any:
    """A number, which may be kept and printed but decides nothing."""
    value = call.values_of_results
    return Item(None if isinstance(value, Tensor) else value)


@_rule_for(
    """__bool__ __int__ __float__ __index__ __complex__ __contains__ __array__ tolist numpy equal
    allclose is_nonzero nonzero argwhere unique unique_consecutive"""
)
def control_flow(call: PatternCall) -> Any:
    """Values leave the tensors, and may decide which functions run."""
    raise value_decides(call.name)


def unknown(call: PatternCall) -> Any:
    """Any function that is in no decorator: a path from every element to all results."""
    call.follower.note_unknown(call.name)
    results = call.values_of_results
    if results is None:  # run on patterns for the shapes of the results alone
        constants = [
            each for each in call.tensors if each.is_floating_point() and not call.any_followed(each)
        ]
        dtype = constants[0].dtype if constants else torch.float32
        with torch.no_grad():
            results = call.run(
                lambda each: each.detach().to(dtype) if call.any_followed(each) else each.detach()
            )
    path = binary(reduce(add, (each.sum() for each in call.followed)))
    # indices among the results derive from the inputs as well
    return tree_map(
        lambda result: path.expand(result.shape).clone() if isinstance(result, Tensor) else result, results
    )


def _broadcast(path: Tensor, call: PatternCall) -> Tensor:
    """Expand a pattern to the shape to which the operands are broadcast.

    It has memory of its own, since later functions may work in place.
    """
    # by NumPy: that of PyTorch first imports a computer algebra system, for half a second
    shape = np.broadcast_shapes(*(each.shape for each in call.tensors))
    return path.expand(shape).clone()

"""The table of PyTorch functions that a network may call, and what each does to patterns.

A *pattern* stands for a tensor of the forward pass and has its shape. An element is 0 where no live path
from the inputs leads to it, and otherwise about 1 or more (see `hebbevo.nn.liveness.paths`).

`RULES` has one rule for each *kind* of function, such as "every element by itself" or "a sum of products". A
rule is a function below; the names in its decorator are the functions of that kind. So the table reads:

    @_rule_for("sigmoid softplus exp ...")      the functions, by name
    def gate(call): ...                         what they do to patterns

To let networks call one more function, add its name to the decorator of the rule for its kind. The name is
that in ``torch``, ``torch.nn.functional`` or ``torch.Tensor``, without the underscores of operators and
in-place forms. So ``add`` stands for ``torch.add``, ``x.add_`` and ``x + y``. A function of
each element by itself belongs to ``gate`` if its value at 0 is finite and not 0, and to ``pointwise``
otherwise. That one entry serves the count
and the layer graph, since `hebbevo.nn.unit_labels` looks up the same rule.

A function that is in no decorator is `unknown`. The count is then an upper bound: if anything that enters
the function is alive, all its results count as reached, and a note names the function.

For example, the input (1, 1) of a layer with weights ((2, 0), (0, 0)) gives the pattern (1, 0): a weight of
zero ends a path, so nothing leads to the second unit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from operator import add, mul
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._pytree import tree_map

from hebbevo.nn.forward_pass.following import Follower, FunctionCall, NotFollowed, tensors_in


class RuleContext(Follower):
    """What rules may ask of the run that they are part of."""

    @abstractmethod
    def is_nonzero(self, pattern: Tensor) -> bool:
        """Whether no value that ``pattern`` stands for is zero, even where no path leads to it."""

    @abstractmethod
    def factor(self, constant: Tensor) -> Tensor:
        """The pattern of a constant factor: 0 where it ends a path, since it is zero."""

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
    if not call.any_followed(x) or call.any_followed(weight, bias):
        return unknown(call)
    x, weight, axis = x.float(), call.follower.weight(weight, bias), _UNIT_AXES[call.name]
    # the layer itself, on patterns: an output is the number of live inputs with a weight that is not zero
    pattern = call.func(x, weight, None, *call.args[3:], **given)
    # a transposed convolution uses its weights once for every position of its input
    counted = x if "transpose" in call.name else pattern
    return call.follower.record(pattern, weight, (axis,), counted.numel() // counted.shape[axis])


def norm(call: PatternCall, weight_position: int, by_channel: bool) -> Any:
    """Every unit by itself, through a scale that is not zero; the statistics are no path.

    Args:
        call: of a norm.
        weight_position: of the scale among the arguments.
        by_channel: whether the scale has a number for each channel, not for each element of the last axes.
    """
    names = ["input", *[""] * (weight_position - 1), "weight", "bias"]
    given = call.by_name(*names)
    x, weight, bias = given["input"], given.get("weight"), given.get("bias")
    if weight is None:
        return x.clone()  # no scale can be zero
    if not call.any_followed(x) or call.any_followed(weight):
        return unknown(call)
    weight = call.follower.weight(weight, bias)
    # norms have no connections: each unit reads itself alone, at no position
    if by_channel:
        pattern = x * weight.view(-1, *(1,) * (x.dim() - 2))
        return call.follower.record(pattern, weight, (1 - x.dim(),), 0)
    return call.follower.record(x * weight, weight, tuple(range(-weight.dim(), 0)), 0)


RULES |= {
    F.batch_norm: partial(norm, weight_position=3, by_channel=True),
    F.instance_norm: partial(norm, weight_position=3, by_channel=True),
    F.group_norm: partial(norm, weight_position=2, by_channel=True),
    F.layer_norm: partial(norm, weight_position=2, by_channel=False),
    F.rms_norm: partial(norm, weight_position=2, by_channel=False),
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
    """sign sgn floor ceil round trunc frac clamp clip clamp_min clamp_max nan_to_num
    logical_not bitwise_not invert isnan isinf isfinite""",
)
def pointwise(call: PatternCall) -> Any:
    """Every element by itself: a path to it leads on."""
    return call.followed[0].clone()


@_rule_for("""sigmoid hardsigmoid expit special_expit logsigmoid softplus exp exp2 cos cosh erfc""")
def gate(call: PatternCall) -> Any:
    """Every element by itself; where no path leads to it, it is a constant that is not zero."""
    return call.followed[0].clone()


@_rule_for("softmax softmin log_softmax gumbel_softmax")
def softmax(call: PatternCall) -> Any:
    """As a gate; that the size of an element depends on all others is no path."""
    return call.followed[0].clone()


@_rule_for("normalize local_response_norm")
def normalized(call: PatternCall) -> Any:
    """Every element by itself; that its size depends on the others is no path."""
    return call.followed[0].clone()


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
    return result.float() if result.is_floating_point() else call.args[0].to(result.device).clone()


# elements of several operands


@_rule_for(
    """add sub subtract radd rsub maximum minimum fmax fmin atan2 hypot lerp logaddexp
    pow rpow float_power fmod remainder mod floor_divide floordiv""",
    """eq ne lt le gt ge not_equal less less_equal greater greater_equal isclose
    logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor and or xor rand ror rxor""",
)
def any_operand(call: PatternCall) -> Any:
    """A path through any operand; constants begin none."""
    return _broadcast(reduce(add, call.followed), call)


@_rule_for("mul multiply rmul")
def product(call: PatternCall) -> Any:
    """A path through a factor where no other factor is zero.

    A gate is never zero: it lets the others through even where no path leads to the gate itself.
    """
    # 1 + gate is never zero, and still passes a gradient on to the gate
    may_be_zero = [each for each in call.followed if not call.follower.is_nonzero(each)]
    gates = [1 + each for each in call.followed if call.follower.is_nonzero(each)]
    # of gates alone, any that is reached makes the product depend on the inputs
    path = reduce(mul, [*may_be_zero, *gates]) if may_be_zero else reduce(add, call.followed)
    for constant in call.values:
        if not call.any_followed(constant):
            path = path * call.follower.factor(torch.as_tensor(constant, device=path.device))
    return path


@_rule_for("div divide true_divide truediv rtruediv rdiv")
def quotient(call: PatternCall) -> Any:
    """A path through the numerator, or through the denominator where the numerator is a constant."""
    # what divides cannot be zero, so it ends no path; a dead numerator gives zero whatever divides it
    return _broadcast(call.followed[0], call)


@_rule_for("glu")
def gated(call: PatternCall) -> Any:
    """Elements of the first half, each times a gate from the second half."""
    x, dim = (*call.values, -1)[:2]
    values, gates = x.chunk(2, dim)
    return values * (1 + gates)  # as in `product`: a dead gate is not zero


@_rule_for("where")
def where(call: PatternCall) -> Any:
    """A constant condition chooses between two sides; one that derives from the inputs is a path itself."""
    condition, *sides = call.values
    if call.any_followed(condition):
        return any_operand(call)
    chosen = zip(sides, (condition != 0, condition == 0), strict=True)
    # each side is live only in the places where it is chosen
    paths = [side * call.follower.factor(where) for side, where in chosen if call.any_followed(side)]
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
    """A path through every product without a factor of zero."""
    return binary(
        call.run(lambda each: each.float() if call.any_followed(each) else call.follower.factor(each))
    )


@_rule_for("addmm addmv baddbmm")
def contraction_and_bias(call: PatternCall) -> Any:
    """A contraction of the last two arguments, to which the first is added."""
    bias, *factors = call.args
    factors_call = PatternCall(call.follower, torch.matmul, factors, {})
    path = contraction(factors_call) if call.any_followed(*factors) else 0
    return bias + path if call.any_followed(bias) else path


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
    return call.run(call.follower.operand)


@_rule_for("scatter_add index_add")
def added_into(call: PatternCall) -> Any:
    """Elements are added to those of another tensor."""
    return call.run(call.follower.operand)


@_rule_for("pad")
def padded(call: PatternCall) -> Any:
    """Elements with constants around them, or with copies of some of them."""
    x, pad, mode = (*call.args, call.kwargs.get("mode", "constant"))[:3]
    return call.func(x, pad, mode)


@_rule_for("setitem")
def assigned(call: PatternCall) -> Any:
    """Elements overwrite a part of a tensor."""
    target, place, value = call.args
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
    """As without indices, which are constants."""
    with torch.no_grad():
        _, indices = call.run()
    pool = getattr(F, call.name.removesuffix("_with_indices"))
    given = {name: value for name, value in call.kwargs.items() if name != "return_indices"}
    rule = adaptive_max_pooled if "adaptive" in call.name else max_pooled
    return rule(PatternCall(call.follower, pool, call.args, given)), indices


@_rule_for("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d")
def adaptive_max_pooled(call: PatternCall) -> Any:
    """As a mean, for the reason given at `max_pooled`."""
    mean = getattr(F, call.name.replace("max", "avg"))
    return pooled(PatternCall(call.follower, mean, call.args[:2], {}))


@_rule_for(
    """sum mean nansum nanmean prod amax amin max min median logsumexp any all std var std_mean var_mean
    norm linalg_vector_norm"""
)
def reduced(call: PatternCall) -> Any:
    """A path through any element of the axes that are reduced; indices among the results are constants."""
    if len(call.tensors) > 1:  # `max` of two tensors
        return any_operand(call)
    with torch.no_grad():
        results = call.run()
    (x,) = call.tensors
    # a sum stands for every reduction: it is zero only where no element is reached
    path = binary(x.sum(reduced_axes(call), keepdim=next(tensors_in(results)).dim() == x.dim()))
    return tree_map(lambda result: result if result.dtype is torch.int64 else path.clone(), results)


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


@_rule_for(
    """__bool__ __int__ __float__ __index__ __complex__ __contains__ __array__ item tolist numpy equal
    allclose is_nonzero nonzero argwhere unique unique_consecutive"""
)
def control_flow(call: PatternCall) -> Any:
    """Values leave the tensors, and may decide which functions run."""
    raise NotFollowed(f"its path depends on values ({call.name.strip('_')})")


def unknown(call: PatternCall) -> Any:
    """Any function that is in no decorator: a path from every element to all results."""
    call.follower.note_unknown(call.name)
    constants = [each for each in call.tensors if each.is_floating_point() and not call.any_followed(each)]
    dtype = constants[0].dtype if constants else torch.float32
    # run on patterns for the shapes of the results alone
    with torch.no_grad():
        results = call.run(lambda each: each.detach().to(dtype) if call.any_followed(each) else each.detach())
    path = binary(reduce(add, (each.sum() for each in call.followed)))

    def pattern(result: Any) -> Any:
        computed = isinstance(result, Tensor) and (result.is_floating_point() or result.is_complex())
        return path.expand(result.shape).clone() if computed else result

    return tree_map(pattern, results)


def _broadcast(path: Tensor, call: PatternCall) -> Tensor:
    """Expand a pattern to the shape to which the operands are broadcast.

    It has memory of its own, since later functions may work in place.
    """
    shape = torch.broadcast_shapes(*(each.shape for each in call.tensors))  # type: ignore[no-untyped-call]
    return path.expand(shape).clone()


GATES: frozenset[Rule] = frozenset({gate, softmax})
"""Rules whose results are never zero."""

NONZERO_IF_ARGUMENTS_ARE: frozenset[Rule] = frozenset(
    {
        identity,
        normalized,
        added_into,
        pointwise,
        same_tensor,
        attribute,
        converted,
        any_operand,
        rearranged,
        padded,
        pooled,
        resized,
        max_pooled,
    }
)
"""Rules whose results are never zero where no followed argument is."""

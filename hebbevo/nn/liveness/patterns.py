"""The table of PyTorch's functions by what they do with elements, and what each makes of live and dead.

A rule stands for a kind of function: here it says what becomes of patterns of live and dead (see
`hebbevo.nn.liveness.paths`); `hebbevo.nn.unit_labels` looks the same rule up and says what becomes of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import lru_cache, partial, reduce
from operator import add, mul
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._pytree import tree_map

from hebbevo.errors import HebbevoError


class NotFollowed(HebbevoError):
    """A network that cannot be followed, because its path depends on values or because it fails."""


class Follows(Protocol):
    """A run that knows which tensors derive from its inputs."""

    def follows(self, value: object) -> bool:
        """Tell whether ``value`` is a tensor that derives from the inputs."""


class Paths(Follows, Protocol):
    """What the rules ask of a run on patterns."""

    def also(self, tensor: Tensor) -> Tensor:
        """Follow ``tensor`` from now on."""

    def is_open(self, pattern: Tensor) -> bool:
        """Tell whether the values that ``pattern`` stands for are never zero, though they may be constant."""

    def factor(self, constant: Tensor) -> Tensor:
        """The pattern of a constant that patterns are multiplied with."""

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; its bias is no path."""

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Keep what a layer did, and return what goes on."""

    def lose(self, function: str) -> None:
        """Note that a function is not followed."""

    def no_path(self, tensor: Tensor) -> Tensor:
        """What is laid beside patterns: they themselves, zero for constants; integers stay, as indices."""


class Boolean(torch.autograd.Function):
    """One where there is a path and zero elsewhere, for patterns and for gradients."""

    @staticmethod
    def forward(pattern: Tensor) -> Tensor:
        """Cut a pattern at one half."""
        return (pattern > 0.5).to(pattern.dtype)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        """Cut the gradient at one half."""
        return (grad > 0.5).to(grad.dtype)

    @staticmethod
    def vmap(info: object, in_dims: tuple[int | None, ...], pattern: Tensor) -> tuple[Tensor, int | None]:
        """The same for many."""
        return boolean(pattern), in_dims[0]


def boolean(pattern: Tensor) -> Tensor:
    """One where there is a path and zero elsewhere."""
    boolean: Tensor = Boolean.apply(pattern)  # type: ignore[no-untyped-call]
    return boolean


@dataclass(frozen=True)
class Applied:
    """A function and what it is given, some of which is followed."""

    flow: Follows
    func: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the function."""
        return self.func.__name__

    @property
    def values(self) -> list[Any]:
        """All arguments."""
        return [*self.args, *self.kwargs.values()]

    @property
    def tensors(self) -> list[Tensor]:
        """Among the arguments."""
        return [*tensors_in(self.args), *tensors_in(self.kwargs)]

    @property
    def patterns(self) -> list[Tensor]:
        """The tensors among the arguments that are followed."""
        return [each for each in self.tensors if self.flow.follows(each)]

    def run(self, change: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> Any:
        """Run the function on its arguments, every tensor of which may be changed."""
        return self.func(*_mapped(change, self.args), **_mapped(change, self.kwargs))

    def follows(self, *values: object) -> bool:
        """Tell whether any of ``values`` is followed."""
        return any(self.flow.follows(each) for each in values)


@dataclass(frozen=True)
class Op(Applied):
    """A function that is given patterns."""

    flow: Paths


Rule = Callable[[Op], Any]
RULES: dict[object, Rule] = {}


def _for(names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return register


_AUGMENTED = frozenset(
    {"iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor"}
)

# functions that tell about tensors, not about values
PASSED = frozenset(
    """dim ndimension size numel nelement len stride storage_offset element_size get_device is_contiguous
    is_floating_point is_complex is_signed is_same_size repr format
    zeros_like ones_like empty_like full_like rand_like randn_like randint_like
    new_zeros new_ones new_empty new_full new_tensor""".split()  # noqa: SIM905
)

# functions to whose first argument alone this applies unless it is a pattern
LIKE = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as"})


@lru_cache(maxsize=1024)
def named(func: Callable[..., Any]) -> tuple[str, bool]:
    """The name of a function without what marks operators and what works in place, and whether it does."""
    name = getattr(func, "__name__", str(func))
    if name.startswith("__") and name not in RULES:  # __bool__ is something else than bool
        name = name[2:-2]
        return (name[1:], True) if name in _AUGMENTED else (name, False)
    return (name, False) if name.endswith("__") else (name.rstrip("_"), name.endswith("_"))


_AXES = {
    "linear": -1,
    "conv1d": -2,
    "conv2d": -3,
    "conv3d": -4,
    "conv_transpose1d": -2,
    "conv_transpose2d": -3,
    "conv_transpose3d": -4,
}


@_for(" ".join(_AXES))
def layer(op: Op) -> Any:
    """A weight of zero cuts, and a bias is no path."""
    given = {**dict(zip(("input", "weight", "bias"), op.args, strict=False)), **op.kwargs}
    x, weight, bias = (given.pop(name, None) for name in ("input", "weight", "bias"))
    if not op.follows(x) or op.follows(weight, bias):
        return unknown(op)
    x, weight, axis = x.float(), op.flow.weight(weight, bias), _AXES[op.name]
    pattern = op.func(x, weight, None, *op.args[3:], **given)
    counted = x if "transpose" in op.name else pattern
    return op.flow.record(pattern, weight, (axis,), counted.numel() // counted.shape[axis])


def norm(op: Op, place: int, channels: bool) -> Any:
    """Every unit by itself, cut by a weight of zero; what it is divided by is no path."""
    names = ["input", *[""] * (place - 1), "weight", "bias"]
    given: dict[str, Any] = {**dict(zip(names, op.args, strict=False)), **op.kwargs}
    x, weight, bias = given["input"], given.get("weight"), given.get("bias")
    if weight is None:
        return x.clone()
    if not op.follows(x) or op.follows(weight):
        return unknown(op)
    weight = op.flow.weight(weight, bias)
    if channels:
        pattern = x * weight.view(-1, *(1,) * (x.dim() - 2))
        return op.flow.record(pattern, weight, (1 - x.dim(),), 0)
    return op.flow.record(x * weight, weight, tuple(range(-weight.dim(), 0)), 0)


RULES |= {
    F.batch_norm: partial(norm, place=3, channels=True),
    F.instance_norm: partial(norm, place=3, channels=True),
    F.group_norm: partial(norm, place=2, channels=True),
    F.layer_norm: partial(norm, place=2, channels=False),
    F.rms_norm: partial(norm, place=2, channels=False),
}


@_for(
    """clone positive dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
    feature_dropout"""
)
def kept(op: Op) -> Any:
    """Every element as it is, outside of training."""
    return op.patterns[0].clone()


@_for(
    """relu relu6 leaky_relu rrelu prelu elu selu celu gelu silu mish hardtanh hardswish hardshrink softshrink
    tanhshrink softsign tanh threshold _threshold
    abs absolute neg negative square sqrt rsqrt reciprocal log log10 log1p log2 expm1 sin tan sinh
    asin atan asinh erf erfinv sign sgn floor ceil round trunc frac clamp clip clamp_min clamp_max nan_to_num
    logical_not bitwise_not invert isnan isinf isfinite conj deg2rad rad2deg"""
)
def pointwise(op: Op) -> Any:
    """Every element by itself."""
    return op.patterns[0].clone()


@_for("""sigmoid hardsigmoid expit special_expit logsigmoid softplus exp exp2 cos cosh erfc""")
def gate(op: Op) -> Any:
    """Every element by itself; a dead one is a constant that is not zero."""
    return op.patterns[0].clone()


@_for("softmax softmin log_softmax gumbel_softmax")
def share(op: Op) -> Any:
    """As a gate; how large elements are depends on all."""
    return op.patterns[0].clone()


@_for("normalize local_response_norm")
def scaled(op: Op) -> Any:
    """Every element by itself; how large they are depends on all."""
    return op.patterns[0].clone()


@_for("detach contiguous requires_grad")
def itself(op: Op) -> Any:
    """The same tensor."""
    return op.args[0]


@_for("__get__")
def attribute(op: Op) -> Any:
    """A view such as ``.T``, or what is no tensor."""
    attribute = getattr(op.func, "__self__", None)
    return op.args[0] if getattr(attribute, "__name__", "") == "data" else op.run()


@_for("to type type_as float double half bfloat16 bool int long short char byte cpu cuda")
def cast(op: Op) -> Any:
    """Other devices but no other types: integers and truth values derive from the input as much."""
    result = op.run()
    if not isinstance(result, Tensor):
        return result
    return result.float() if result.is_floating_point() else op.args[0].to(result.device).clone()


@_for(
    """add sub subtract radd rsub maximum minimum fmax fmin atan2 hypot lerp logaddexp
    pow rpow float_power fmod remainder mod floor_divide floordiv
    eq ne lt le gt ge not_equal less less_equal greater greater_equal isclose
    logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor and or xor rand ror rxor"""
)
def union(op: Op) -> Any:
    """A path through any operand; constants are none."""
    return _spread(reduce(add, op.patterns), op)


@_for("mul multiply rmul")
def product(op: Op) -> Any:
    """A path through a factor that the others let through, as a gate does even if it is dead itself."""
    through = [each for each in op.patterns if not op.flow.is_open(each)]
    gates = [1 + each for each in op.patterns if op.flow.is_open(each)]
    path = reduce(mul, [*through, *gates]) if through else reduce(add, op.patterns)
    for constant in op.values:
        if not op.follows(constant):
            path = path * op.flow.factor(torch.as_tensor(constant, device=path.device))
    return path


@_for("div divide true_divide truediv rtruediv rdiv")
def quotient(op: Op) -> Any:
    """A path through the numerator; through the denominator only of a constant."""
    return _spread(op.patterns[0], op)


@_for("glu")
def gated(op: Op) -> Any:
    """Elements of the first half, each with a gate from the second."""
    x, dim = (*op.values, -1)[:2]
    through, gate = x.chunk(2, dim)
    return through * (1 + gate)


@_for("where")
def where(op: Op) -> Any:
    """A constant condition chooses; one that derives from the input is a path itself."""
    condition, *sides = op.values
    if op.follows(condition):
        return union(op)
    chosen = zip(sides, (condition != 0, condition == 0), strict=True)
    paths = [side * op.flow.factor(where) for side, where in chosen if op.follows(side)]
    return _spread(reduce(add, paths), op)


@_for("masked_fill")
def masked(op: Op) -> Any:
    """Constants in some places."""
    x, mask, value = op.values
    return where(Op(op.flow, torch.where, (mask, value, x), {}))


@_for(
    """matmul rmatmul mm bmm mv dot inner outer einsum tensordot kron chain_matmul linalg_vecdot
    linalg_multi_dot"""
)
def contraction(op: Op) -> Any:
    """Sums of products: a factor of zero cuts."""
    return boolean(op.run(lambda each: each.float() if op.follows(each) else op.flow.factor(each)))


@_for("addmm addmv baddbmm")
def biased(op: Op) -> Any:
    """A contraction and what is added to it."""
    bias, *factors = op.args
    path = contraction(Op(op.flow, torch.matmul, factors, {})) if op.follows(*factors) else 0
    return bias + path if op.follows(bias) else path


@_for(
    """reshape reshape_as view view_as flatten unflatten ravel squeeze unsqueeze expand expand_as broadcast_to
    permute transpose t swapaxes swapdims movedim moveaxis adjoint
    cat concat concatenate stack hstack vstack dstack column_stack block_diag
    chunk split split_with_sizes tensor_split hsplit vsplit dsplit unbind
    getitem select narrow index_select gather take_along_dim masked_select diagonal diag diag_embed tril triu
    repeat tile repeat_interleave roll flip fliplr flipud rot90 unfold
    index_copy select_scatter slice_scatter diagonal_scatter
    pixel_shuffle pixel_unshuffle channel_shuffle atleast_1d atleast_2d atleast_3d"""
)
def moved(op: Op) -> Any:
    """Elements go to other places, beside constants that are no path."""
    return op.run(op.flow.no_path)


@_for("scatter_add index_add")
def added_into(op: Op) -> Any:
    """Elements go to places where others are."""
    return op.run(op.flow.no_path)


@_for("pad")
def padded(op: Op) -> Any:
    """Elements amid constants, or amid others of theirs."""
    x, pad, mode = (*op.args, op.kwargs.get("mode", "constant"))[:3]
    return op.func(x, pad, mode)


@_for("setitem")
def assigned(op: Op) -> Any:
    """Elements come into a part of a tensor."""
    target, place, value = op.args
    if not op.follows(target):
        op.flow.also(target.zero_())
    target[place] = value if op.follows(value) else 0.0


@_for("copy")
def overwritten(op: Op) -> Any:
    """Elements of another tensor."""
    return op.flow.no_path(op.args[1]).expand_as(op.args[0])


@_for("fill zero normal uniform bernoulli exponential")
def cleared(op: Op) -> Any:
    """Constants."""
    return torch.zeros_like(op.args[0])


@_for(
    """avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    fold cumsum"""
)
def pooled(op: Op) -> Any:
    """A path through any element of a window; a mean is no less than one in as many as there are."""
    return boolean(op.run() * op.patterns[0].numel())


@_for("interpolate upsample")
def resized(op: Op) -> Any:
    """Elements between others."""
    positive = {**op.kwargs, "mode": "bilinear"} if op.kwargs.get("mode") == "bicubic" else op.kwargs
    return pooled(Op(op.flow, op.func, op.args, positive))


@_for("max_pool1d max_pool2d max_pool3d")
def max_pooled(op: Op) -> Any:
    """As a mean, since a maximum passes its gradient to one element only."""
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = {**dict(zip(names, op.args, strict=False)), **op.kwargs}
    given.pop("return_indices", None)
    if bool(torch.tensor(given.pop("dilation", 1)).ne(1).any()):
        return boolean(op.run())
    given["stride"] = given.get("stride") or given["kernel_size"]
    return pooled(Op(op.flow, getattr(F, op.name.replace("max", "avg")), (), given))


@_for(
    """max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices"""
)
def max_pooled_from(op: Op) -> Any:
    """As without indices, which are constants."""
    with torch.no_grad():
        _, places = op.run()
    pool = getattr(F, op.name.removesuffix("_with_indices"))
    given = {name: value for name, value in op.kwargs.items() if name != "return_indices"}
    rule = adaptive_max_pooled if "adaptive" in op.name else max_pooled
    return rule(Op(op.flow, pool, op.args, given)), places


@_for("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d")
def adaptive_max_pooled(op: Op) -> Any:
    """As a mean."""
    return pooled(Op(op.flow, getattr(F, op.name.replace("max", "avg")), op.args[:2], {}))


@_for(
    """sum mean nansum nanmean prod amax amin max min median logsumexp any all std var std_mean var_mean
    norm linalg_vector_norm"""
)
def reduced(op: Op) -> Any:
    """A path through any element; where indices come along, they are constants."""
    if len(op.tensors) > 1:  # the larger of two
        return union(op)
    with torch.no_grad():
        results = op.run()
    (x,) = op.tensors
    path = boolean(x.sum(axes_of(op), keepdim=next(tensors_in(results)).dim() == x.dim()))
    return tree_map(lambda result: result if result.dtype is torch.int64 else path.clone(), results)


def axes_of(op: Applied) -> tuple[int, ...]:
    """The axes over which a function reduces."""
    place = 2 if "norm" in op.name else 1
    dim = op.kwargs.get("dim", op.args[place] if len(op.args) > place else None)
    if dim is None or isinstance(dim, bool) or dim == ():
        return tuple(range(op.tensors[0].dim()))
    return tuple(dim) if isinstance(dim, list | tuple) else (dim,)


@_for("embedding")
def looked_up(op: Op) -> Any:
    """Where inputs are indices, any row may be meant."""
    index, weight = op.values[:2]
    return unknown(op) if op.follows(weight) else index[..., None] * op.flow.factor(weight).amax(0)


@_for(
    """__bool__ __int__ __float__ __index__ __complex__ __contains__ __array__ item tolist numpy equal
    allclose is_nonzero nonzero argwhere unique unique_consecutive"""
)
def controls(op: Op) -> Any:
    """Values decide what runs."""
    raise NotFollowed(f"its path depends on values ({op.name.strip('_')})")


def unknown(op: Op) -> Any:
    """All that leaves lives if anything that enters does."""
    op.flow.lose(op.name)
    constants = [each for each in op.tensors if each.is_floating_point() and not op.follows(each)]
    dtype = constants[0].dtype if constants else torch.float32
    with torch.no_grad():
        results = op.run(lambda each: each.detach().to(dtype) if op.follows(each) else each.detach())
    path = boolean(reduce(add, (each.sum() for each in op.patterns)))

    def alive(result: Any) -> Any:
        computed = isinstance(result, Tensor) and (result.is_floating_point() or result.is_complex())
        return path.expand(result.shape).clone() if computed else result

    return tree_map(alive, results)


def _spread(path: Tensor, op: Op) -> Tensor:
    """Lay a pattern out as operands are broadcast, in memory of its own, for operations in place."""
    shape = torch.broadcast_shapes(*(each.shape for each in op.tensors))  # type: ignore[no-untyped-call]
    return path.expand(shape).clone()


GATES: frozenset[Rule] = frozenset({gate, share})
KEEPING: frozenset[Rule] = frozenset(
    {
        kept,
        scaled,
        added_into,
        pointwise,
        itself,
        attribute,
        cast,
        union,
        moved,
        padded,
        pooled,
        resized,
        max_pooled,
    }
)


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from tensors_in(each)
    elif is_dataclass(value):
        yield from tensors_in(vars(value))


def _mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same containers with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(change, each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_mapped(change, each) for each in value)
    return value

"""Following a forward pass: every PyTorch function is intercepted as it runs.

A tensor is *followed* if it was computed from the inputs of the network. In ``y = x @ w + 1`` the tensors
``x``, ``x @ w`` and ``y`` are followed, ``w`` is not. `Follower` keeps the set of followed tensors and calls
`Follower.run_followed` for every function that is given one of them. Its subclasses decide there what runs
in place of the function, or beside it.

Running the code, instead of reading it, needs no compiler and copes with any Python in ``forward``. The one
thing that it cannot follow is a decision that depends on values, such as ``if x.sum() > 0``. A question
whether values are finite is answered with yes, as in ``assert not x.isnan().any()``.
"""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, is_dataclass
from functools import lru_cache, partial
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hebbevo.errors import HebbevoError
from hebbevo.nn.connections import PlasticConnections

LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""Classes of modules whose weights are connections."""

# functions that ask for a shape or a type, not for values: their results are not followed
WITHOUT_VALUES = frozenset(
    """dim ndimension size numel nelement len stride storage_offset element_size get_device is_contiguous
    is_floating_point is_complex is_signed is_same_size repr format
    zeros_like ones_like empty_like full_like rand_like randn_like randint_like
    new_zeros new_ones new_empty new_full new_tensor""".split()  # noqa: SIM905
)

# functions that take values from their first argument alone: others only give a shape or a type
FIRST_ARGUMENT_ONLY = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as"})

_AUGMENTED = frozenset(
    {"iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor"}
)
# dunder names that differ from the plain name: `bool(x)` decides what runs, `x.bool()` converts
_DUNDERS = frozenset(
    """__get__ __bool__ __int__ __float__ __index__ __complex__ __contains__ __array__""".split()  # noqa: SIM905
)


# functions that ask whether values are finite, and the answer for finite ones
_FINITE_ANSWERS = {"isnan": False, "isinf": False, "isposinf": False, "isneginf": False, "isfinite": True}
# what combines such answers, in tensors and at the end in Python
_COMBINED_ANSWERS: dict[str, Callable[[Sequence[bool]], bool]] = {
    **dict.fromkeys(("any", "all", "__bool__", "item"), any),
    **dict.fromkeys(("logical_or", "bitwise_or", "or"), any),
    **dict.fromkeys(("logical_and", "bitwise_and", "and"), all),
    **dict.fromkeys(("logical_not", "bitwise_not", "invert"), lambda answers: not answers[0]),
}


class NotFollowed(HebbevoError):
    """A network that cannot be followed, because its path depends on values or because it fails."""


def value_decides(function: str) -> NotFollowed:
    """The error for a network in which values leave the tensors by ``function`` and may decide what runs."""
    return NotFollowed(f"its path depends on values ({function.strip('_')})")


class Item:
    """What ``tensor.item()`` gives while a forward pass is followed: a number to keep and to print.

    Numbers made of it are items too. To compare it, to convert it, or to compute a tensor with it raises
    `NotFollowed`, since its value would then decide what is computed.

    Args:
        value: the number, to print; ``None`` where it is not known.

    >>> mean = Item(0.25)
    >>> f"{0.5 * mean + 1:.2f}"
    '1.12'
    """

    def __init__(self, value: float | None) -> None:
        self._value = math.nan if value is None else value

    def __repr__(self) -> str:
        return repr(self._value)

    def __format__(self, spec: str) -> str:
        return format(self._value, spec)

    def _computed(self, func: Callable[..., Any], *others: object) -> Item:
        if any(isinstance(each, Tensor) for each in others):
            raise value_decides("item")
        numbers = [each._value if isinstance(each, Item) else each for each in others]
        try:
            return Item(func(self._value, *numbers))
        except ArithmeticError:  # such as a division by the zero of an example
            return Item(None)

    def _refuse(self, *_: object) -> Any:
        raise value_decides("item")

    def __neg__(self) -> Item:
        return self._computed(operator.neg)

    def __abs__(self) -> Item:
        return self._computed(operator.abs)

    def __round__(self, digits: int | None = None) -> Item:
        return self._computed(lambda value: round(value, digits) if math.isfinite(value) else value)

    def __add__(self, other: object) -> Item:
        return self._computed(operator.add, other)

    def __sub__(self, other: object) -> Item:
        return self._computed(operator.sub, other)

    def __rsub__(self, other: object) -> Item:
        return self._computed(lambda value, number: number - value, other)

    def __mul__(self, other: object) -> Item:
        return self._computed(operator.mul, other)

    def __truediv__(self, other: object) -> Item:
        return self._computed(operator.truediv, other)

    def __rtruediv__(self, other: object) -> Item:
        return self._computed(lambda value, number: number / value, other)

    def __pow__(self, other: object) -> Item:
        return self._computed(operator.pow, other)

    __radd__, __rmul__ = __add__, __mul__
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __bool__ = __int__ = __float__ = __index__ = __complex__ = __trunc__ = __hash__ = _refuse

    @classmethod
    def __torch_function__(cls, *_: object, **__: object) -> Any:
        """Refuse to be given to a function of PyTorch."""
        raise value_decides("item")


class Follower(TorchFunctionMode):
    """Follows what is computed from the inputs of a forward pass, function by function."""

    def __init__(self) -> None:
        super().__init__()
        # by identity, since a computed tensor inside vmap does not know that it requires gradients
        self._followed: dict[int, Tensor] = {}
        # followed tensors of one answer to whether values are finite
        self._finite_answers: dict[int, bool] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        operands = [*tensors_in(args), *tensors_in(kwargs)]
        self.check(operands)
        name, in_place = function_name(func)
        for each in (*args, *kwargs.values()):
            if any(isinstance(one, Item) for one in (each if isinstance(each, list | tuple) else [each])):
                raise value_decides("item")
        if (
            name in WITHOUT_VALUES
            or not any(map(self.is_followed, operands))
            or (name in FIRST_ARGUMENT_ONLY and not self.is_followed(args[0]))
        ):
            return self.run_constant(func, args, kwargs, name)
        answer = self._finite_answer(name, operands)
        if answer is not None and name in ("__bool__", "item"):
            return answer
        result = self.run_followed(func, args, kwargs, name, in_place)
        if in_place or name == "setitem":
            self._finite_answers.pop(id(args[0]), None)
        elif answer is not None:
            self._finite_answers[id(result)] = answer
        return result

    def _finite_answer(self, name: str, operands: Sequence[Tensor]) -> bool | None:
        """The answer to whether values are finite, if the function asks that; otherwise ``None``."""
        if name in _FINITE_ANSWERS:
            return _FINITE_ANSWERS[name]
        answers = [self._finite_answers.get(id(each)) for each in operands]
        known = [each for each in answers if each is not None]
        if name not in _COMBINED_ANSWERS or len(known) < len(answers):
            return None
        return _COMBINED_ANSWERS[name](known)

    @abstractmethod
    def run_followed(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function that is given at least one followed tensor.

        Args:
            func: the function, as PyTorch calls it.
            args: its positional arguments.
            kwargs: its keyword arguments.
            name: its name as `function_name` gives it.
            in_place: whether it changes its first argument.

        Returns:
            What the network receives as the result of the function.
        """

    def run_constant(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str
    ) -> Any:
        """Run a function whose result is a constant: it is not followed."""
        return func(*args, **kwargs)

    def check(self, operands: list[Tensor]) -> None:
        """Check the tensors that a function is given, before it runs.

        Raises:
            NotFollowed: one of them was computed where the follower could not see it.
        """

    def is_followed(self, value: object) -> bool:
        """Whether ``value`` is a tensor that was computed from the inputs."""
        return id(value) in self._followed

    def follow(self, tensor: Tensor) -> Tensor:
        """Follow ``tensor`` from now on, and return it."""
        self._followed[id(tensor)] = tensor
        return tensor


@dataclass(frozen=True)
class FunctionCall:
    """A function and its arguments, at least one of which is followed.

    Attributes:
        follower: knows which tensors are followed.
        func: the function.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """

    follower: Follower
    func: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the function, with all underscores."""
        return self.func.__name__

    @property
    def values(self) -> list[Any]:
        """All arguments, those by keyword last."""
        return [*self.args, *self.kwargs.values()]

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments."""
        return [*tensors_in(self.args), *tensors_in(self.kwargs)]

    @property
    def followed(self) -> list[Tensor]:
        """The followed tensors among the arguments."""
        return [each for each in self.tensors if self.follower.is_followed(each)]

    def run(self, replace: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> Any:
        """Run the function, with every tensor argument replaced by ``replace(tensor)``."""
        return self.func(*_mapped(replace, self.args), **_mapped(replace, self.kwargs))

    def any_followed(self, *values: object) -> bool:
        """Whether any of ``values`` is a followed tensor."""
        return any(self.follower.is_followed(each) for each in values)

    def by_name(self, *names: str) -> dict[str, Any]:
        """Arguments by name, the positional ones in the order of ``names``."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}


@lru_cache(maxsize=1024)
def function_name(func: Callable[..., Any]) -> tuple[str, bool]:
    """The name of a function without the marks of operators and in-place forms, and whether it is in place.

    >>> import torch
    >>> function_name(torch.Tensor.add_), function_name(torch.Tensor.__iadd__), function_name(torch.add)
    (('add', True), ('add', True), ('add', False))
    """
    name = getattr(func, "__name__", str(func))
    if name.startswith("__") and name not in _DUNDERS:
        name = name[2:-2]
        return (name[1:], True) if name in _AUGMENTED else (name, False)
    return (name, False) if name.endswith("__") else (name.rstrip("_"), name.endswith("_"))


@contextmanager
def module_hooks(net: nn.Module, enter: Callable[..., None], leave: Callable[..., None]) -> Iterator[None]:
    """Call ``enter`` before, and ``leave`` after, the forward of every module of ``net``.

    Args:
        net: the network; it has the hooks only while the context is open.
        enter: takes (name, module, args, kwargs).
        leave: takes (name, module, args, kwargs, output); the output is ``None`` where the forward failed.
    """
    with ExitStack() as hooks:
        for name, module in net.named_modules():
            before = module.register_forward_pre_hook(partial(enter, name), with_kwargs=True)
            hooks.callback(before.remove)
            # first in the row, so that it receives the module's output before other hooks change it
            after = module.register_forward_hook(
                partial(leave, name), prepend=True, with_kwargs=True, always_call=True
            )
            hooks.callback(after.remove)
        yield


def layer_name(net: nn.Module, name: str) -> str:
    """The name under which a layer is reported.

    It is the dotted name of the module, or that of the mask around it. Where the layer is ``net`` itself, it
    is the name of its class.
    """
    parent, _, last = name.rpartition(".")
    if last == "module" and isinstance(net.get_submodule(parent), PlasticConnections):
        name = parent
    return name or type(net).__name__


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor in nested mappings, lists, tuples, sets and dataclasses, in order."""
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


def _mapped(replace: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same containers with every tensor replaced."""
    if isinstance(value, Tensor):
        return replace(value)
    if isinstance(value, Mapping):
        return {key: _mapped(replace, each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_mapped(replace, each) for each in value)
    return value

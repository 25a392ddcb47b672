"""A small network from one with dead units: what is dead is cut out, and plain layers of PyTorch are left."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from hebbevo.errors import HebbevoError, UsageError
from hebbevo.messages import describe
from hebbevo.networks.chain import Chain
from hebbevo.nn import PlasticUnits
from hebbevo.nn.cutting.cut import Cut, Findings, axes_of_units
from hebbevo.nn.cutting.plain_modules import (
    inner_layer,
    plain_units,
    replaced,
    select,
    without_masks,
    without_plastic_units,
    without_traceable,
)
from hebbevo.nn.forward_pass.following import tensors_in
from hebbevo.nn.forward_pass.side_effects import tensors_held_by, without_side_effects
from hebbevo.nn.forward_pass.snapshot import FUNCTIONS, reachable
from hebbevo.rules import UNITS


class NotEqual(HebbevoError):
    """The small network has other outputs than the network that it was made from."""


def compact(net: nn.Module, example: Tensor) -> nn.Module:
    """Cut what is dead out of a network: the same outputs from smaller layers of PyTorch alone.

    Dead are units, channels and inputs that are on no live path, as `hebbevo.count` counts them. They leave
    together with the weights around them; what they still add, such as a bias, goes into biases behind them.
    Plastic modules become ReLUs or nothing, and masked weights zeros, so no code of hebbevo is needed to load
    the result. A network of a search becomes an ``nn.Sequential``. A module of the user's own becomes a copy
    with smaller layers, and its forward stays the user's.

    A dead unit stays, as it is, where it cannot leave alone, as in a residual sum with a living one. Then a
    warning names the layers; `Compaction` has the details.

    Args:
        net: any module of one input tensor, also while it is attached; left exactly as it was.
        example: real rows, (rows, ...), the more the better: on them the outputs are compared. For a network
            that `hebbevo.network` returns, rows as the data set has them.

    Returns:
        The small network, in evaluation mode, on the device of ``net``. It can be trained further.

    Raises:
        UsageError: the network does not run on the example, or has parts that only hebbevo can run.
        NotEqual: the outputs on the example differ by more than the square root of the precision (3e-4 in
            single precision) times the largest output.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> import hebbevo
        >>> from hebbevo.nn import Stamina
        >>> net = nn.Sequential(nn.Linear(4, 8), Stamina(8), nn.Linear(8, 3))
        >>> net[1].alive[2:] = False
        >>> hebbevo.compact(net, torch.randn(10, 4))
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
          (1): ReLU()
          (2): Linear(in_features=2, out_features=3, bias=True)
        )
    """
    compaction = Compaction.of(net, example)
    if compaction.left:
        first, *others = compaction.left
        more = f", and {len(others)} more layers" if others else ""
        left = f"{compaction.left[first]}{more}"
        warnings.warn(f"compact: {first}: {left}; the rest was cut", stacklevel=2)
    return compaction.module


@dataclass(frozen=True)
class Compaction:
    """A small network, and what could not be cut out of it.

    Attributes:
        module: the small network.
        left: by the name of a layer, how many dead units it still has, and why.
        difference: largest difference of outputs on the example, as a share of the largest output.
    """

    module: nn.Module
    left: Mapping[str, str] = field(default_factory=dict)
    difference: float = 0.0

    @classmethod
    def of(cls, net: nn.Module, example: Tensor) -> Compaction:
        """Cut what is dead out of a network; see `compact`.

        >>> from hebbevo.nn import Stamina
        >>> net = nn.Sequential(nn.Linear(4, 8), Stamina(8), nn.LayerNorm(8), nn.Linear(8, 3))
        >>> net[1].alive[0] = False
        >>> Compaction.of(net, torch.randn(10, 4)).left
        {'0': '1 dead unit stays (an output, or a function that mixes units, takes it)'}
        """
        net = getattr(net, "_orig_mod", net)  # what `torch.compile` wraps
        if not isinstance(net, nn.Module) or not isinstance(example, Tensor):
            kinds = f"{type(net).__name__} and {type(example).__name__}"
            raise UsageError(f"compact: given {kinds}; give a module and a tensor of rows that it takes")
        device = next((parameter.device for parameter in net.parameters()), example.device)
        example = example.detach().to(device)
        expected = _outputs(net, example)
        plain, chains = _plain_copy(net)
        try:
            findings = Findings.of(plain, example)
        except HebbevoError as error:
            whole = without_plastic_units(plain, partial(_whole_units, axes_of_units(plain, example)))
            left = {type(net).__name__: f"nothing is cut ({error})"}
            return cls(_without_hebbevo(whole, chains), left, _difference(whole, expected, example))
        make_cut = partial(Cut, plain, findings)
        cut, (module, difference) = _smallest(plain, make_cut, expected, example)
        left = {name: _left(reasons) for name, reasons in cut.dead_that_stay().items()}
        return cls(_without_hebbevo(module, chains), left, difference)


def _left(reasons: Mapping[str, int]) -> str:
    """How many dead units a layer still has, and why."""
    parts = [
        f"{number} dead {'unit stays' if number == 1 else 'units stay'} ({reason})"
        for reason, number in reasons.items()
    ]
    return ", ".join(parts)


def _whole_units(axes: Mapping[str, int], name: str, units: PlasticUnits) -> nn.Module:
    return plain_units(units, torch.ones_like(units.alive), axes.get(name, 2), selects=False)


Attempt = tuple[nn.Module, float]
"""A small network, and by how much its outputs differ."""


def _smallest(
    plain: nn.Module, make_cut: Callable[[], Cut], expected: Sequence[Tensor], example: Tensor
) -> tuple[Cut, Attempt]:
    """Cut as much as runs and has the same outputs.

    If the whole cut fails, each part of the network is tried by itself, first to the last unit, then with at
    least one left. A part is cut if the network still runs: code of the user may count on sizes.
    """
    whole = make_cut()
    parts = [part for part in whole.bundles.parts() if whole.leaving[part].any()]

    def attempt(held: Mapping[int, str], with_one: Sequence[int]) -> tuple[Cut, Attempt]:
        cut = make_cut()
        for number, reason in held.items():
            cut.hold(parts[number], reason)
        for number in with_one:
            cut.hold_one(parts[number])
        module = cut.apply(copy.deepcopy(plain))
        return cut, (module, _difference(module, expected, example))

    try:
        return attempt({}, ())
    except Exception as error:  # a forward of the user may raise any exception
        held = dict.fromkeys(range(len(parts)), _why(error))
    with_one: list[int] = []
    for number in range(len(parts)):
        others = {other: reason for other, reason in held.items() if other != number}
        for tried in (with_one, [*with_one, number]):
            try:
                attempt(others, tried)
            except Exception as error:
                held[number] = _why(error)
            else:
                held, with_one = others, tried
                break
    return attempt(held, with_one)


def _why(error: Exception) -> str:
    return (
        "the outputs would change" if isinstance(error, NotEqual) else f"it does not run: {describe(error)}"
    )


def _without_hebbevo(net: nn.Module, chains: Sequence[str]) -> nn.Module:
    """Tidy up sequences that were networks of hebbevo, in place, and check that no module of hebbevo is left.

    Raises:
        UsageError: one is.
    """
    for name in chains:  # outer ones come last
        chain = cast(nn.Sequential, net.get_submodule(name))
        net = replaced(net, chain, _tidy(chain))
    net = without_traceable(net)
    for module in reachable(net, without=FUNCTIONS):
        if isinstance(module, nn.Module) and any(
            kind.__module__.partition(".")[0] == "hebbevo" for kind in type(module).__mro__
        ):
            what = f"a {type(module).__name__} is left, which only hebbevo can run"
            raise UsageError(f"compact: {what}; call it as a submodule, and keep it in no list")
    return net.eval()


def _tidy(chain: nn.Sequential) -> nn.Sequential:
    """The same sequence without modules that do nothing, and without what leads to no unit at all."""
    inner = [[*each] if type(each) is nn.Sequential else [each] for each in chain]
    modules = [each for several in inner for each in several if not isinstance(each, nn.Identity)]
    empty = [
        place for place, each in enumerate(modules) if isinstance(each, nn.Linear) and each.in_features == 0
    ]
    if empty:
        nothing = torch.zeros(0, dtype=torch.int64, device=cast(Tensor, modules[empty[-1]].weight).device)
        modules = [nn.Flatten(), select(nothing, -1), *modules[empty[-1] :]]
    tidied = nn.Sequential(*modules)
    tidied.input_shape = chain.input_shape  # by which `hebbevo.count` knows what it takes
    return tidied


def _plain_copy(net: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy in evaluation mode without masks, in which networks of hebbevo are sequences.

    Returns:
        The copy, and the names of these sequences, inner ones first.
    """
    # PyTorch copies no tensor that was computed, as a module may keep one from its last forward pass
    computed = [each for each in tensors_held_by(net) if not each.is_leaf]
    try:
        plain = copy.deepcopy(net, {id(each): each.detach().clone() for each in computed})
    except Exception as error:  # what the user keeps in it may be of any kind
        raise UsageError(
            f"compact: {type(net).__name__} cannot be copied ({describe(error)}); let copy.deepcopy copy it"
        ) from error
    while (chain := next((each for each in plain.modules() if isinstance(each, Chain)), None)) is not None:
        modules = chain.in_order()
        for place, (module, behind) in enumerate(pairwise(modules)):
            if isinstance(module, nn.Identity) and isinstance(inner_layer(behind), nn.Linear):
                # where inputs can be selected
                inputs = cast(nn.Linear, inner_layer(behind)).in_features
                modules[place] = PlasticUnits(UNITS["dense"], inputs, inputs=True)
        sequence = nn.Sequential(*modules)
        sequence.input_shape = chain.input_shape
        plain = replaced(plain, chain, sequence)
    sequences = [
        name
        for name, each in plain.named_modules()
        if hasattr(each, "input_shape") and type(each) is nn.Sequential
    ]
    return without_masks(plain.eval()), sequences[::-1]


def _outputs(net: nn.Module, example: Tensor) -> list[Tensor]:
    """All outputs of a network in evaluation mode; it is left as it was.

    Raises:
        UsageError: it does not run.
    """
    try:
        with torch.no_grad(), without_side_effects(net):
            return [each.clone() for each in tensors_in(net(example.clone()))]
    except HebbevoError:
        raise
    except Exception as error:  # a forward of the user may raise any exception
        what = f"does not run on the example ({describe(error)})"
        raise UsageError(f"compact: {type(net).__name__}: {what}; give rows that it takes") from error


def _difference(module: nn.Module, expected: Sequence[Tensor], example: Tensor) -> float:
    """The largest difference of outputs, as a share of the largest output.

    Raises:
        NotEqual: it is above the square root of the precision, or there are other outputs.
    """
    with torch.no_grad(), without_side_effects(module):
        found = [*tensors_in(module(example.clone()))]
    largest = 0.0
    floats = [each.dtype for each in (*expected, *module.parameters()) if each.is_floating_point()]
    precision = max((torch.finfo(dtype).eps for dtype in floats), default=0.0)
    if [each.shape for each in found] != [each.shape for each in expected]:
        raise NotEqual("compact: the outputs have other shapes; please report this")
    for one, other in zip(found, expected, strict=True):
        # equal infinities and NaN have no difference
        differs = ((one != other) & ~((one != one) & (other != other))).nonzero(as_tuple=True)
        if not len(differs[0]):
            continue
        size = max(float(other.abs().max()), torch.finfo(torch.float32).tiny) if other.numel() else 1.0
        share = float((one[differs].double() - other[differs].double()).abs().max()) / size
        if not other.is_floating_point():
            share = float("inf")
        if not share <= precision**0.5:
            raise NotEqual(
                f"compact: outputs on the example differ by {share:.2g} of the largest; "
                "let forward depend on its inputs alone"
            )
        largest = max(largest, share)
    return largest

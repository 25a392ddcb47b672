"""Which members of a cohort are stacked, and which train alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hebbevo.messages import describe
from hebbevo.nn.units import plastic_units
from hebbevo.space.knobs import Value
from hebbevo.training.cohort import Rows
from hebbevo.training.member import Member, cohort_of, drawing_from
from hebbevo.training.out_of_memory import raise_unless_failure
from hebbevo.training.recipe import FIRST_CHECK, Recipe
from hebbevo.training.stack import CHECKED_STEPS
from hebbevo.training.structure import difference

_TOLERANCE = 1e-2  # relative: above any rounding, and far below the error of a net that is computed wrong
# A gradient whose terms cancel is nothing but rounding, as that of a bias before a norm. So much of the norm
# of all gradients of a net may be rounding.
_CANCELLED = 1e-3
# Adam would make a whole step of such rounding; these steps stay as small as it.
_PLAIN_STEPS: dict[str, Value] = {
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "learning_rate_warmup": 0,
}
_AFTERWARDS = "{} afterwards"


@dataclass(frozen=True)
class Group:
    """Members that train together.

    Attributes:
        rows: the numbers of their candidates.
        note: why a net, or the nets of a trial, train alone that should have been stacked, or empty.
    """

    rows: Sequence[int]
    note: str = ""


def groups_of(recipe: Recipe, members: Mapping[int, Member], rows: Rows) -> Iterator[Group]:
    """Divide the members of a cohort into groups, each of one kind.

    Nets with code of the user are stacked only if two steps of training give the same in the stack as alone.

    Raises:
        MemoryError: or another error that says that memory ran out (`ran_out_of_memory`).
    """
    by_kind: dict[object, list[int]] = {}
    for row, member in members.items():
        by_kind.setdefault(member.kind, []).append(row)
    for group in by_kind.values():
        if recipe.stacked and recipe.has_user_code and len(group) > 1:
            yield from _checked(recipe, members, group, rows)
            continue
        note = ""
        if recipe.stacked and recipe.has_user_code and len(members) > 1:
            other = next(member for row, member in members.items() if row != group[0])
            where = difference(members[group[0]].net, other.net)
            note = f"trained alone: its {where} is another than the other nets'" if where else ""
        if recipe.stacked and not note:
            yield Group(group)
        else:
            yield from (Group([row], note) for row in group)


def apart(recipe: Recipe, members: Mapping[int, Member], group: Sequence[int]) -> list[list[int]]:
    """Divide the numbers of members that cannot be one stack.

    The replicates of a trial stay together at first, whatever trains beside them: they are stopped early by
    their means. If they are alone already, or in older studies, each net is by itself.

    Args:
        recipe: what the trainings share.
        members: all members.
        group: the numbers to divide, at least two.
    """
    by_trial: dict[str, list[int]] = {}
    for row in group:
        by_trial.setdefault(members[row].genome, []).append(row)
    if recipe.stack_check == FIRST_CHECK or len(by_trial) == 1:
        return [[row] for row in group]
    return [*by_trial.values()]


def _checked(
    recipe: Recipe, members: Mapping[int, Member], group: Sequence[int], rows: Rows, note: str = ""
) -> Iterator[Group]:
    """Groups of members of one kind, each of which is known to compute the same in a stack as alone."""
    why = _why_alone(recipe, [members[row] for row in group], rows) if len(group) > 1 else ""
    if not why:
        yield Group(group, note)
        return
    for own in apart(recipe, members, group):
        yield from _checked(recipe, members, own, rows, why)


def _why_alone(recipe: Recipe, members: Sequence[Member], rows: Rows) -> str:
    """Train two steps in a stack and alone; say why the nets cannot be stacked, or nothing.

    `torch.func` takes everything but tensors from the first net without an error, and it cannot stack all of
    PyTorch's operations. What the user's code computes is compared, not what the optimiser makes of it.
    """
    is_first = recipe.stack_check == FIRST_CHECK
    try:
        stacked = _first_steps(recipe, [_anew(each, is_first) for each in members], rows)
        for number, member in enumerate(members):
            alone = _first_steps(recipe, [_anew(member, is_first)], rows)
            unread = set() if is_first else _unread(member.net)
            noise = 0.0 if is_first else _CANCELLED * alone.gradient_norm
            for name in stacked.values | alone.values:
                floor = noise if name in alone.of_gradients else 0.0
                if name not in unread and not (
                    name in stacked.values
                    and name in alone.values
                    and _close(stacked.values[name][number], alone.values[name][0], floor)
                ):
                    return f"trained alone: in a stack its {name} would be wrong"
    except BaseException as error:  # perhaps only because the nets cannot be stacked
        raise_unless_failure(error)
        return f"trained alone: cannot be stacked ({describe(error)})"
    return ""


def _anew(member: Member, is_first: bool) -> Member:
    """A member with a new net, for the check; its steps are plain ones, but in the first check."""
    anew = member.built_anew()
    return anew if is_first else replace(anew, knobs={**anew.knobs, **_PLAIN_STEPS})


def _unread(net: nn.Module) -> set[str]:
    """The names of what no rule reads of the final state, so that a stack need not gather it."""
    return {
        _AFTERWARDS.format(f"{name}.{buffer}".removeprefix("."))
        for name, units in plastic_units(net).items()
        for buffer in units.unread_buffers
    }


@dataclass(frozen=True)
class _FirstSteps:
    """What nets reach in two steps of training.

    Attributes:
        values: losses, gradients, outputs and the final state by name, (size, *shape).
        of_gradients: the names of gradients, and of parameters that have moved along them.
        gradient_norm: the norm of all gradients of the first net, in the step where it is largest.
    """

    values: dict[str, Tensor]
    of_gradients: Set[str]
    gradient_norm: float


def _first_steps(recipe: Recipe, members: Sequence[Member], rows: Rows) -> _FirstSteps:
    found: dict[str, Tensor] = {}
    of_gradients: set[str] = set()
    norms = [0.0]
    with drawing_from(recipe, members, rows.x.device):
        cohort = cohort_of(recipe, members, rows)
        minibatches = cohort.minibatches(epoch=0)
        for step, minibatch in zip(range(1, CHECKED_STEPS + 1), minibatches, strict=False):
            [(nets, gradients)] = cohort.train_step(minibatch)
            found[f"loss at step {step}"] = cohort.losses[step - 1]
            of_first = [gradient[0].double().norm() for gradient in gradients]
            norms.append(float(torch.stack(of_first).norm()))
            for name, gradient in nets.by_parameter(gradients).items():
                own = f"gradient of {name} at step {step}"
                found[own] = gradient.clone()
                of_gradients |= {own, _AFTERWARDS.format(name)}
            found[f"output after step {step}"] = cohort.outputs(rows.x[minibatch])
        found |= {_AFTERWARDS.format(name): value.clone() for name, value in cohort.state.items()}
    return _FirstSteps(found, of_gradients, max(norms))


def _close(one: Tensor, other: Tensor, floor: float) -> bool:
    """Whether two tensors are equal up to rounding, in values that are not finite too."""
    if one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    if not torch.equal(one.isfinite(), other.isfinite()):
        return False
    one, other = (each[each.isfinite()].double() for each in (one, other))
    # the constant is for tensors that are zero, such as gradients of a pruned net
    return bool((one - other).norm() <= _TOLERANCE * (other.norm() + 1e-4 + floor))

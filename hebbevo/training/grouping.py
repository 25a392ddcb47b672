"""Which members of a cohort are stacked, and which train alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hebbevo.messages import describe
from hebbevo.training.cohort import Rows
from hebbevo.training.member import Member, cohort_of, drawing_from
from hebbevo.training.out_of_memory import raise_if_out_of_memory
from hebbevo.training.recipe import Recipe
from hebbevo.training.stack import CHECKED_STEPS
from hebbevo.training.structure import difference

_TOLERANCE = 1e-2  # relative: above any rounding, and far below the error of a net that is computed wrong


@dataclass(frozen=True)
class Group:
    """Members that train together.

    Attributes:
        rows: the numbers of their candidates.
        note: why a net trains alone that should have been stacked, or empty.
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
        note = ""
        if recipe.stacked and recipe.has_user_code and len(group) > 1:
            note = _why_alone(recipe, [members[row] for row in group], rows)
        elif recipe.stacked and recipe.has_user_code and len(members) > 1:
            other = next(member for row, member in members.items() if row != group[0])
            where = difference(members[group[0]].net, other.net)
            note = f"trained alone: its {where} is another than the other nets'" if where else ""
        if recipe.stacked and not note:
            yield Group(group)
        else:
            yield from (Group([row], note) for row in group)


def _why_alone(recipe: Recipe, members: Sequence[Member], rows: Rows) -> str:
    """Train two steps in a stack and alone; say why the nets cannot be stacked, or nothing.

    `torch.func` takes everything but tensors from the first net without an error, and it cannot stack all of
    PyTorch's operations.
    """
    try:
        stacked = _first_steps(recipe, [each.built_anew() for each in members], rows)
        for number, member in enumerate(members):
            alone = _first_steps(recipe, [member.built_anew()], rows)
            for name in stacked | alone:
                if not (name in stacked and name in alone and _close(stacked[name][number], alone[name][0])):
                    return f"trained alone: in a stack its {name} would be wrong"
    except (Exception, SystemExit) as error:  # perhaps only because the nets cannot be stacked
        raise_if_out_of_memory(error)
        return f"trained alone: cannot be stacked ({describe(error)})"
    return ""


def _first_steps(recipe: Recipe, members: Sequence[Member], rows: Rows) -> dict[str, Tensor]:
    """Losses, gradients, outputs and the final state of two steps of training, by name, (size, *shape)."""
    found: dict[str, Tensor] = {}
    with drawing_from(members[0].seed, rows.x.device):
        cohort = cohort_of(recipe, members, rows)
        minibatches = cohort.minibatches(epoch=0)
        for step, minibatch in zip(range(1, CHECKED_STEPS + 1), minibatches, strict=False):
            [(nets, gradients)] = cohort.train_step(minibatch)
            found[f"loss at step {step}"] = cohort.losses[step - 1]
            for name, gradient in nets.by_parameter(gradients).items():
                found[f"gradient of {name} at step {step}"] = gradient.clone()
            found[f"output after step {step}"] = cohort.outputs(rows.x[minibatch])
        found |= {f"{name} afterwards": value.clone() for name, value in cohort.state.items()}
    return found


def _close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, in values that are not finite too."""
    if one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    if not torch.equal(one.isfinite(), other.isfinite()):
        return False
    one, other = (each[each.isfinite()].double() for each in (one, other))
    # the constant is for tensors that are zero, such as gradients of a pruned net
    return bool((one - other).norm() <= _TOLERANCE * (other.norm() + 1e-4))

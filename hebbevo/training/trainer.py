"""The inner loop: candidates into stacks, or alone where they cannot be stacked."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from hebbevo.data import Split
from hebbevo.space.genes import canonical
from hebbevo.space.knobs import Value
from hebbevo.training.cohort import CohortTraining, Rows
from hebbevo.training.early_stopping import EarlyStopper
from hebbevo.training.recipe import Candidate, Measurement, Recipe
from hebbevo.training.stack import CHECKED_STEPS, ModuleStack, SingleNet, VmapStack, difference, structure

_NO_MEMORY = (  # as PyTorch, oneDNN, C++, CUDA and the loader of libraries say it
    "DefaultCPUAllocator",
    "could not create a primitive",
    "could not create a memory",
    "bad_alloc",
    "CUDA error: out of memory",
    "_STATUS_ALLOC_FAILED",
    "cannot allocate memory",
    "failed to map segment",
)
_TOLERANCE = 1e-2  # of rounding; a wrong net is off by about as much as it is large


@dataclass(frozen=True)
class _Member:
    """A net to train, the values of its training's knobs, and its seed.

    ``kind`` says who goes with whom, ``genome`` whose it is, of which so many ``replicates`` are trained.
    """

    build: Callable[[], nn.Module]
    net: nn.Module
    values: Mapping[str, Value]
    seed: int
    kind: object
    genome: str
    replicates: int

    @classmethod
    def of(cls, recipe: Recipe, candidate: Candidate, replicates: int) -> _Member:
        """Build the net of a candidate."""
        seed, values = candidate.seed(recipe.seed), recipe.training_knobs(candidate.genome)
        build = partial(recipe.network.build, recipe.settings_for(candidate.genome), seed)
        net = build()
        kind = values["optimizer"], structure(net)
        return cls(build, net, values, seed, kind, canonical(candidate.genome), replicates)

    def again(self) -> _Member:
        """The same with the net built anew: a forward pass may leave traces in what is no tensor."""
        return replace(self, net=self.build())


def train(
    recipe: Recipe,
    candidates: Sequence[Candidate],
    split: Split,
    device: torch.device,
    standard: EarlyStopper | None = None,
) -> list[Measurement]:
    """Train every candidate; what each reaches does not depend on the others, up to float rounding.

    A ``standard`` stops candidates on the way whose genomes are not worth to go on with.

    Nets of one structure are stacked, unless a trial of two steps shows that a net in a stack is not what it
    is alone. A training that diverges is a measurement with a ``failure``, and so is one that raises.

    Raises:
        MemoryError: or what PyTorch raises in its place (`ran_out_of_memory`), for that is not about a
            training but about all that are here at once.
    """
    members, measured = _built(recipe, candidates)
    rows = Rows.of(split, recipe.network.shape, device)
    for group, note in list(_groups(recipe, members, rows)):  # all before any net is trained
        measured.update(
            zip(group, _measured(recipe, [members[row] for row in group], rows, note, standard), strict=True)
        )
    return [measured[row] for row in range(len(candidates))]


def _built(
    recipe: Recipe, candidates: Sequence[Candidate]
) -> tuple[dict[int, _Member], dict[int, Measurement]]:
    """The members by row, and a failed training in the place of each that cannot be built."""
    members: dict[int, _Member] = {}
    failed: dict[int, Measurement] = {}
    genomes = Counter(canonical(candidate.genome) for candidate in candidates)
    for row, candidate in enumerate(candidates):
        try:
            members[row] = _Member.of(recipe, candidate, genomes[canonical(candidate.genome)])
        except (Exception, SystemExit) as error:  # a failed training is a recorded value
            _raise_if_out_of_memory(error)
            failed[row] = Measurement.failed(told(error))
    return members, failed


def networks_of(
    recipe: Recipe,
    candidates: Sequence[Candidate],
    split: Split,
    device: torch.device,
    wanted: Sequence[int],
    epoch: int,
    stops: Sequence[int | None],
) -> list[tuple[nn.Module, Measurement]]:
    """Train a cohort again and give networks of it as they were after ``epoch``.

    Args:
        recipe: what the trainings share; this, the cohort, the data and the device must be those of then.
        candidates: of the cohort.
        split: the data.
        device: what to train on.
        wanted: places of the candidates whose networks are given.
        epoch: 1 is the first.
        stops: after how many epochs each candidate was stopped, or ``None``.

    Returns:
        Each wanted network, in evaluation mode, and what was measured of it up to that epoch.
    """
    members, _ = _built(recipe, candidates)
    rows = Rows.of(split, recipe.network.shape, device)
    found: dict[int, tuple[nn.Module, Measurement]] = {}
    for group, _ in list(_groups(recipe, members, rows)):
        asked = [row for row in group if row in wanted]
        if not asked:
            continue
        try:
            cohort = _trained_to(
                recipe, [members[row] for row in group], rows, epoch, [stops[i] for i in group]
            )
            parts = {row: (cohort, group.index(row)) for row in asked}
        except (Exception, SystemExit) as error:  # then each of them was trained alone, too
            _raise_if_out_of_memory(error)
            parts = {
                row: (_trained_to(recipe, [members[row].again()], rows, epoch, [None]), 0) for row in asked
            }
        for row, (cohort, place) in parts.items():
            found[row] = cohort.network(place, members[row].build()), cohort.measurements()[place]
    return [found[row] for row in wanted]


def _trained_to(
    recipe: Recipe, members: Sequence[_Member], rows: Rows, epoch: int, stops: Sequence[int | None]
) -> CohortTraining:
    with _drawing_from(members[0].seed, rows.x.device):
        cohort = _cohort(recipe, members, rows)
        for done in range(1, epoch + 1):
            cohort.train_epoch()
            stopped = [place for place, stop in enumerate(stops) if stop == done < epoch]
            cohort.stop(torch.tensor(stopped, dtype=torch.int64, device=rows.x.device))
    return cohort


def _groups(recipe: Recipe, members: Mapping[int, _Member], rows: Rows) -> Iterator[tuple[list[int], str]]:
    """Who trains together; and of nets that train alone although they should not, why."""
    alike: dict[object, list[int]] = {}
    for row, member in members.items():
        alike.setdefault(member.kind, []).append(row)
    for group in alike.values():
        note = ""
        if recipe.stacked and recipe.has_user_code and len(group) > 1:
            note = _why_alone(recipe, [members[row] for row in group], rows)
        elif recipe.stacked and recipe.has_user_code and len(members) > 1:
            other = next(member for row, member in members.items() if row != group[0])
            where = difference(members[group[0]].net, other.net)
            note = f"trained alone: its {where} is another than the other nets'" if where else ""
        if recipe.stacked and not note:
            yield group, ""
        else:
            yield from (([row], note) for row in group)


def _measured(
    recipe: Recipe, members: Sequence[_Member], rows: Rows, note: str, standard: EarlyStopper | None
) -> list[Measurement]:
    try:
        with _drawing_from(members[0].seed, rows.x.device):
            trials = [each.genome for each in members]
            # replicates that train alone would be judged by their luck
            whole = all(trials.count(each.genome) == each.replicates for each in members)
            measured = _cohort(recipe, members, rows).train(standard if whole else None, trials)
    except (Exception, SystemExit) as error:  # a failed training is a recorded value
        _raise_if_out_of_memory(error)
        if len(members) == 1:
            return [Measurement.failed(told(error))]
        why = f"trained alone: its stack failed ({told(error)})"  # perhaps only one net in it did
        return [own for each in members for own in _measured(recipe, [each], rows, why, standard)]
    return [replace(each, notes=(*each.notes, note)) for each in measured] if note else measured


def _cohort(recipe: Recipe, members: Sequence[_Member], rows: Rows) -> CohortTraining:
    modules, device = [each.net for each in members], rows.x.device
    nets: ModuleStack = VmapStack(modules, device) if len(members) > 1 else SingleNet(modules[0], device)
    return CohortTraining(recipe, nets, [each.values for each in members], members[0].build(), rows)


def _why_alone(recipe: Recipe, members: Sequence[_Member], rows: Rows) -> str:
    """Train for two steps in a stack and alone; say where it is not the same, or nothing.

    `torch.func` takes everything but tensors from the first net and says nothing, and not all of PyTorch can
    be stacked.
    """
    try:
        stacked = _first_steps(recipe, [each.again() for each in members], rows)
        for number, member in enumerate(members):
            alone = _first_steps(recipe, [member.again()], rows)
            for name in stacked | alone:
                if not (name in stacked and name in alone and _close(stacked[name][number], alone[name][0])):
                    return f"trained alone: in a stack its {name} would be wrong"
    except (Exception, SystemExit) as error:  # which may say only that it cannot be stacked
        _raise_if_out_of_memory(error)
        return f"trained alone: cannot be stacked ({told(error)})"
    return ""


def _first_steps(recipe: Recipe, members: Sequence[_Member], rows: Rows) -> dict[str, Tensor]:
    """Everything by which two steps of training can be told from two others, net by net."""
    seen: dict[str, Tensor] = {}
    with _drawing_from(members[0].seed, rows.x.device):
        cohort = _cohort(recipe, members, rows)
        batches = cohort.minibatches(epoch=0)
        for step, batch in zip(range(1, CHECKED_STEPS + 1), batches, strict=False):
            [(nets, gradients)] = cohort.train_step(batch)
            seen[f"loss at step {step}"] = cohort.losses[step - 1]
            for name, gradient in nets.named(gradients).items():
                seen[f"gradient of {name} at step {step}"] = gradient.clone()
            seen[f"output after step {step}"] = cohort.outputs(rows.x[batch])
        seen |= {f"{name} afterwards": value.clone() for name, value in cohort.state.items()}
    return seen


def _close(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    if not torch.equal(one.isfinite(), other.isfinite()):
        return False
    one, other = (each[each.isfinite()].double() for each in (one, other))
    return bool((one - other).norm() <= _TOLERANCE * (other.norm() + 1e-4))


@contextmanager
def _drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Let PyTorch's generators draw from ``seed``, then bring them back to where they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed + 1)  # the weights were drawn from the seed itself
        if device.type == "cuda":
            torch.cuda.manual_seed(seed + 1)
        yield


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that there was not enough memory, of a GPU or of the machine."""
    if error.__cause__ and ran_out_of_memory(error.__cause__):  # of the user's code, told as a usage error
        return True
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError) and any(sign in str(error) for sign in _NO_MEMORY)


def _raise_if_out_of_memory(error: BaseException) -> None:
    if ran_out_of_memory(error):
        raise error


def told(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    first_line, *_ = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {first_line}"

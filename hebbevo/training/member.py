"""The members of a cohort: each candidate with its net, before the nets are trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.exclusive import PROCESS
from hebbevo.messages import describe
from hebbevo.networks import Settings
from hebbevo.networks.seeding import global_generators
from hebbevo.nn.wiring import Wiring, needs_layers
from hebbevo.space import canonical
from hebbevo.space.knobs import Value
from hebbevo.training.cohort import CohortTraining, Rows
from hebbevo.training.native_service import why_not_served
from hebbevo.training.native_training import NativeTraining
from hebbevo.training.out_of_memory import raise_unless_failure
from hebbevo.training.per_structure import wiring_of
from hebbevo.training.recipe import NATIVE, Candidate, Measurement, Recipe
from hebbevo.training.stack import ModuleStack, SingleNet, VmapStack
from hebbevo.training.structure import Structure, structure
from hebbevo.training.whitening import fit_whitening


@dataclass(frozen=True)
class Member:
    """A candidate with its net.

    Attributes:
        build: builds the net.
        net: the net.
        knobs: values of the training's knobs.
        seed: seed of the net.
        structure: of the net.
        genome: the canonical text of its genome.
        replicates: how many candidates of the cohort have this genome.
    """

    build: Callable[[], nn.Module]
    net: nn.Module
    knobs: Mapping[str, Value]
    seed: int
    structure: Structure
    genome: str
    replicates: int

    @property
    def kind(self) -> object:
        """Members of equal kind may be stacked: they have one structure and one optimiser."""
        return self.knobs["optimizer"], self.structure

    def built_anew(self) -> Member:
        """The same member with a new net: a forward pass may have changed attributes of the old one."""
        return replace(self, net=self.build())


def build_members(
    recipe: Recipe, candidates: Sequence[Candidate], rows: Rows
) -> tuple[dict[int, Member], dict[int, Measurement]]:
    """Build the nets of a cohort.

    Returns:
        Members by the number of their candidate, and a failed measurement for each that cannot be trained:
        it cannot be built, its knobs need layers that it has not, or the native engine does not serve it.

    Raises:
        MemoryError: or another error that says that memory ran out (`ran_out_of_memory`).
    """
    members: dict[int, Member] = {}
    failed: dict[int, Measurement] = {}
    replicates = Counter(canonical(candidate.genome) for candidate in candidates)
    with PROCESS:  # as threads that train take turns to build
        for row, candidate in enumerate(candidates):
            try:
                seed, knobs = candidate.seed(recipe.seed), recipe.training_knobs(candidate.genome)
                build = partial(_built, recipe, recipe.settings_for(candidate.genome), seed, rows.x)
                net = build()
                of = structure(net)
                if recipe.engine == NATIVE and (reason := why_not_served(recipe, net, rows.x.device, of)):
                    raise UsageError(reason)
                genome = canonical(candidate.genome)
                members[row] = Member(build, net, knobs, seed, of, genome, replicates[genome])
            except BaseException as error:  # a failed training is a recorded value
                raise_unless_failure(error)
                failed[row] = Measurement.failed(describe(error))
    refused = {row: Measurement.failed(why) for row, why in _unmet(recipe, members, rows).items()}
    return {row: member for row, member in members.items() if row not in refused}, failed | refused


def _built(recipe: Recipe, settings: Settings, seed: int, x: Tensor) -> nn.Module:
    """Build a net; what it fits to the training rows ``x`` before the training is fitted."""
    return fit_whitening(recipe.network.build(settings, seed), x)


def _unmet(recipe: Recipe, members: Mapping[int, Member], rows: Rows) -> dict[int, str]:
    """Why members are refused whose knobs need layers that their nets have not, by number.

    Each is judged by its own knobs, whatever trains beside it. The layers are found once for each structure.
    """
    found: dict[object, Wiring] = {}
    refused: dict[int, str] = {}
    for row, member in members.items():
        if not needs_layers(member.net):
            continue
        try:
            if member.kind not in found:
                with drawing_from(recipe, [member], rows.x.device):
                    found[member.kind] = (
                        Wiring(member.build(), rows.x[:2].clone())
                        if recipe.has_user_code
                        else wiring_of(member.net, rows.x[:2].clone(), of=member.structure)
                    )
            found[member.kind].refuse_unmet(member.net)
        except BaseException as error:
            raise_unless_failure(error)
            refused[row] = describe(error)
    return refused


def cohort_of(recipe: Recipe, members: Sequence[Member], rows: Rows) -> CohortTraining:
    """Make the training of these members, as a stack if there are several."""
    with PROCESS:
        nets, device = [each.net for each in members], rows.x.device
        stack: ModuleStack = VmapStack(nets, device) if len(nets) > 1 else SingleNet(nets[0], device)
        knobs = [each.knobs for each in members]
        if recipe.engine == NATIVE:  # which copies the nets, so that they stay as they are
            return NativeTraining(recipe, stack, knobs, members[0].net, rows)
        return CohortTraining(recipe, stack, knobs, members[0].build(), rows)


@contextmanager
def drawing_from(recipe: Recipe, members: Sequence[Member], device: torch.device) -> Iterator[None]:
    """Let global generators draw from the seed of the first net, and restore their states afterwards.

    Only code of the user draws from them; built-in rules draw stateless random numbers. Without such code
    nothing is changed, and trainings in several threads need not wait for each other.

    Raises:
        RuntimeError: something was drawn that several nets would share.
    """
    if not recipe.code:
        yield
        return
    seed, gpus = members[0].seed, [device] if device.type == "cuda" else []
    with (
        PROCESS,
        torch.random.fork_rng(devices=gpus),
        global_generators(seed + 1, drawn_by=len(members)),
    ):
        torch.default_generator.manual_seed(seed + 1)  # the weights were drawn from the seed itself
        if device.type == "cuda":
            torch.cuda.manual_seed(seed + 1)
        yield

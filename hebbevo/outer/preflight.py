"""What is found out about a search before it begins, and fixed for the study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hebbevo.data import Split
from hebbevo.errors import UsageError
from hebbevo.space.genes import Genome, Space
from hebbevo.space.knobs import unknown
from hebbevo.spec.schema import Spec

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.networks import Architecture, Blueprint
    from hebbevo.training import Recipe

# bytes of weights, gradients and moments: a CPU's should lie near its cache; a GPU wants much to do at once,
# but has to hold what a step makes of them, too
_STACK_BYTES = {"cpu": 48 * 2**20, "cuda": 2 * 2**30}
_WIDEST_COHORT = {"cpu": 32, "cuda": 1024}
_SAMPLE = 16
_SMALL_MAP = 100  # pixels up to which stacked convolutions are the faster ones on a CPU


def recipe(spec: Spec, shape: Sequence[int], classes: int, alone: str) -> Recipe:
    """What all trainings of a search share, on data of such rows."""
    from hebbevo.training import Recipe

    return Recipe(
        network=_blueprint(spec, tuple(shape), classes),
        settings=dict(spec.network.settings),
        epochs=spec.task.epochs,
        batch_size=spec.task.batch_size,
        seed=spec.search.seed,
        stacked=not alone,
        count=spec.network.count,
        loss=spec.task.loss,
        score=spec.task.score,
        precision=spec.task.precision,
    )


def _blueprint(spec: Spec, shape: tuple[int, ...], classes: int) -> Blueprint:
    from hebbevo.networks import UserNetwork

    network = spec.network
    if network.module:
        return UserNetwork(network.module, shape, classes)
    return network.architecture(shape, classes)


def sample(space: Space) -> list[Genome]:
    """The smallest, the largest and a few other genomes of a space, always the same."""
    low, high = (space.from_unit(np.full(space.dimension, end)) for end in (0.0, 1.0))
    return [low, high, *space.sample(_SAMPLE, np.random.default_rng(0))]


def rehearse(spec: Spec, split: Split, shape: Sequence[int], device: str) -> dict[str, Any]:
    """Build networks of the space, let one of the user's own take a step, and say what the study is fixed to.

    Returns:
        ``neurons``, or connections, of the largest network (of those that were built), the score by
        ``chance``, why nets train ``alone`` (empty: they are stacked where they can be), the
        ``cohort_width``, and whether trainings are too ``short`` for anybody to die.

    Raises:
        UsageError: the network does not go with the data or with the genes.
    """
    plan = recipe(spec, shape, len(split.classes), alone="")
    genomes = sample(spec.space)
    if spec.network.module:
        nets = _own_nets(spec, plan, genomes)
        _try(spec, plan, genomes[1], split)
    else:
        bound = _largest(spec, plan)
        nets = [bound.build({}, seed=0), *(plan.network.build(plan.settings_for(genome), 0) for genome in genomes)]
    whole = max(_whole(net, shape, plan.count) for net in nets)
    if not whole:
        hidden = " that another listens to" if plan.count == "neurons" else ""
        what = f"has no {plan.count} to count: no linear layer or convolution{hidden}"
        raise UsageError(f"{spec.network.module}: {what}")
    alone = _why_alone(nets, shape, device)
    trainings = spec.search.population * spec.search.replicates
    width = spec.search.cohort_width
    cohorts = -(-trainings // (1 if alone else _widest(nets, device)))
    return {
        "neurons": whole,
        "chance": _chance(plan, split),
        "alone": alone,
        "cohort_width": width or -(-trainings // cohorts),  # cohorts of equal size
        "short": _too_short(plan, genomes, nets[-len(genomes) :], len(split.y_train)),
    }


def _largest(spec: Spec, plan: Recipe) -> Architecture:
    from hebbevo.networks import Architecture, largest

    network = plan.network
    assert isinstance(network, Architecture)
    if network.family == "conv" and len(network.shape) != 3:
        what = f"{spec.task.dataset} has rows of shape {network.shape}, which are no images"
        raise UsageError(f"network.family: {what}; write family: mlp")
    return largest(network, spec.space)


def _why_alone(nets: Sequence[nn.Module], shape: Sequence[int], device: str) -> str:
    """Say why nets like these had better train one by one, or nothing."""
    from torch.nn.modules.conv import _ConvNd

    from hebbevo.training.stack import difference, structure

    if 2 * len({structure(net) for net in nets}) > len(nets):
        where = next(filter(None, (difference(nets[-1], net) for net in nets)))
        return f"hardly two have the same structure (they differ in {where})"
    convolves = any(isinstance(module, _ConvNd) for net in nets for module in net.modules())
    if convolves and device == "cpu" and math.prod(shape[1:]) > _SMALL_MAP:
        return "a CPU is faster so with convolutions over maps of this size"
    return ""


def _too_short(plan: Recipe, genomes: Sequence[Genome], nets: Sequence[nn.Module], rows: int) -> bool:
    """Say whether trainings end before anything is pruned in those of these nets whose rules may prune."""
    from hebbevo.nn import plastic_modules
    from hebbevo.training import has_events

    mortal = [
        net for genome, net in zip(genomes, nets, strict=True) if plan.network.prunes(plan.settings_for(genome))
    ]
    return any(map(plastic_modules, mortal)) and not has_events(plan, mortal, rows)


def _own_nets(spec: Spec, plan: Recipe, genomes: Sequence[Genome]) -> list[nn.Module]:
    """Networks of the user's own; every gene and setting is for something in one of them."""
    from hebbevo.networks import UserNetwork
    from hebbevo.training import KNOBS

    network = plan.network
    assert isinstance(network, UserNetwork)
    nets = [network.build(plan.settings_for(genome), seed=0) for genome in genomes]
    known = set(KNOBS).union(*(network.knobs(net) for net in nets))
    for part, names in (("genome", spec.genome), ("network.settings", spec.network.settings)):
        for name in names:
            if name not in known and not network.has_argument(name):
                what = f"neither {network.module} nor a module in its network takes {unknown(name, known)}"
                raise UsageError(f"{part}.{name}: {what}")
    return nets


def _try(spec: Spec, plan: Recipe, genome: Genome, split: Split) -> None:
    """Let a network of the user's own take a step of training and be scored."""
    import torch

    from hebbevo.networks import seeded
    from hebbevo.training import CohortTraining, Rows, told
    from hebbevo.training.stack import SingleNet

    net = plan.network.build(plan.settings_for(genome), seed=0)
    rows = Rows.of(split, plan.network.shape, torch.device("cpu"))
    try:
        with seeded(0):
            cohort = CohortTraining(
                plan, SingleNet(net, torch.device("cpu")), [plan.training_knobs(genome)], net, rows
            )
            batch = next(cohort.minibatches(epoch=0))
            cohort.train_step(batch)
            given = cohort.outputs(rows.x_val[:1]).shape[-1]
            if given != len(split.classes):
                raise ValueError(f"it gives {given} numbers a row for {len(split.classes)} classes")
            cohort.measure()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # of the user's code, or because of it
        what = f"a network of it cannot be trained on rows of shape {plan.network.shape}"
        raise UsageError(f"{spec.network.module}: {what}: {told(error)}") from error


def _whole(net: nn.Module, shape: Sequence[int], count: str) -> int:
    """Neurons or connections of a network, the dead included."""
    import torch

    from hebbevo.nn.liveness.paths import COUNTS, survivors

    return sum(survivors(net, torch.zeros(1, *shape), COUNTS[count]).neurons)


def _chance(plan: Recipe, split: Split) -> float:
    """The score of who always answers the most frequent class of the validation rows."""
    import torch

    from hebbevo import user_code
    from hebbevo.training import accuracy

    labels = torch.from_numpy(split.y_val)
    always = torch.zeros(len(labels), len(split.classes))
    always[:, int(np.bincount(split.y_val).argmax())] = 1.0
    if plan.score is None:
        return accuracy(always, labels)
    with user_code.calling(plan.score):
        chance = float(user_code.resolve(plan.score)(always, labels))
    return min(max(chance, 0.0), 0.99) if chance == chance else 0.0


def _widest(nets: Sequence[nn.Module], device: str) -> int:
    """Nets of the widest cohort that is still fast: weights, gradients and two moments each.

    A function of the networks and the kind of device, never of what is free at the moment.
    """
    weights = max(sum(parameter.numel() for parameter in net.parameters()) for net in nets)
    return max(1, min(_WIDEST_COHORT[device], _STACK_BYTES[device] // (16 * max(weights, 1))))

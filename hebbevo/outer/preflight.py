"""Checks of a new study, and what is found out before its first training and then fixed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hebbevo import data, native, user_code
from hebbevo.data import Label, Split
from hebbevo.errors import UsageError, UserCodeError
from hebbevo.execution.config import available_cores
from hebbevo.messages import describe, listed, unknown
from hebbevo.networks import seeded
from hebbevo.outer import sizes
from hebbevo.outer.native_studies import chosen_engine, refuse_missing
from hebbevo.outer.packing import NARROWEST, default_width
from hebbevo.outer.training_inputs import load, recipe
from hebbevo.rules.rule import Need
from hebbevo.samplers import VERSION
from hebbevo.space import ChoiceGene, Genome, Space
from hebbevo.space.genome import same
from hebbevo.spec import Spec
from hebbevo.study.facts import ENGINE, StudyFacts, library_versions
from hebbevo.training.recipe import NATIVE, PYTORCH

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hebbevo.networks import Architecture
    from hebbevo.training import CohortTraining, Recipe

WIDEST_COHORT = {"cpu": 32, "cuda": 1024}
"""Most networks in a cohort, by device."""

# bytes of weights, gradients and moments: those of a CPU should lie near its cache; a GPU needs much work at
# once, but must also hold the activations of a step
_STACK_BYTES = {"cpu": 48 * 2**20, "cuda": 2 * 2**30}
_SAMPLE = 16
_SMALL_MAP = 100  # pixels up to which stacked convolutions are faster on a CPU


def prepare(spec: Spec, device: str, workers: int) -> tuple[Split, StudyFacts]:
    """Load the data of a new study, check them with its networks, and find out what its results depend on.

    Networks of the space are built, and one of the user's own is trained for a step.

    Args:
        spec: the search.
        device: ``cpu`` or ``cuda``, where the whole study will be trained.
        workers: cohorts that can be trained at the same time here; the default cohort width depends on it.

    Raises:
        UsageError: the data cannot be read, or the network does not go with the data or with the genes.
    """
    task = spec.task
    refuse_missing(spec)
    sizes.check_search(spec, available_cores())
    sizes.check_data(task.dataset)
    dataset = load(task)
    split = data.split(dataset, spec.search.seed, task.batch_size, standardize=task.standardize)
    shape = data.input_shape(split.shape)
    class_weights = _class_weights(spec, split)
    plan = recipe(spec, shape, split.outputs, PYTORCH, alone="", class_weights=class_weights)
    for name in plan.code:
        if name.startswith("__main__:"):
            what = "a script that is running cannot be imported by workers, nor by 'hebbevo resume'"
            raise UsageError(f"{name}: {what}; move it into a module, and name mine:{name.partition(':')[2]}")
    genomes = sample(spec.space)
    invalid, is_repeatable = "", True
    if spec.network.module:
        genomes, nets, invalid = _user_networks(spec, plan, genomes)
        sizes.check_networks("network.module", max(map(_weights, nets)), spec)
        is_repeatable, untrainable = _try_any(spec, plan, genomes, split)
        invalid = invalid or untrainable
    else:
        most = _largest(spec, plan)
        where = "network.channels" if most.channels else "network.hidden"
        sizes.check_networks(where, sizes.count_weights(most), spec)
        keep = _Keeper()
        nets = [keep(most.build({}, seed=0))]
        nets += [keep(plan.network.build(plan.settings_for(genome), seed=0)) for genome in genomes]
    sampled, counted = nets[-len(genomes) :], nets
    if not spec.network.module:  # networks of a family with equal tensors have as many neurons
        counted = [*{_shapes(net): net for net in nets}.values()]
    _try_shortest(spec, plan, genomes, sampled, split)
    _refuse_unmet(spec, genomes, sampled, split, shape)
    _refuse_single_rows(spec, sampled)
    uses_native = chosen_engine(spec, plan, nets, device) == NATIVE
    neurons = max(_neurons(net, shape, plan.count) for net in counted)
    if not neurons:
        used = " whose outputs another layer uses" if plan.count == "neurons" else ""
        what = f"has no {plan.count} to count: no linear layer or convolution{used}"
        raise UsageError(f"{spec.network.module}: {what}")
    further = {name: max(_neurons(net, shape, name) for net in nets) for name in plan.further}
    # the native engine stacks nothing; its cohorts only share what Python does for each
    alone = "" if uses_native else _why_alone(nets, shape, device)
    search, widest = spec.search, 1 if alone else _widest(nets, device)
    narrowest = 1 if uses_native else NARROWEST
    return (
        split,
        StudyFacts(
            versions=library_versions(),
            engine=ENGINE,
            rows={"train": len(split.y_train), "validation": len(split.y_val), "test": len(split.y_test)},
            features=split.x_train.shape[1],
            shape=shape,
            classes=split.classes,
            class_weights=class_weights,
            target_mean=split.target_mean,
            target_scale=split.target_scale,
            mean=tuple(split.mean.tolist()),
            scale=tuple(split.scale.tolist()),
            fingerprint=dataset.fingerprint,
            findings=replace(
                dataset.findings, remarks=(*dataset.findings.remarks, *data.rounded_away(dataset, split))
            ),
            exact=True,
            # at the end, when all code that the study needs is loaded
            code={name: user_code.source_digest(name) for name in spec.code},
            modules=user_code.source_digests(spec.code),
            device=device,
            threads=spec.search.threads,
            neurons=neurons,
            chance=_chance(plan, split),
            alone=alone,
            cohort_width=search.cohort_width
            or default_width(search.population, search.replicates, widest, workers, narrowest),
            stack_check=plan.stack_check,
            cuts_channels=plan.cuts_channels,
            invalid=invalid,
            repeatable=is_repeatable,
            sampling=VERSION,
            short=_too_short(plan, genomes, sampled, len(split.y_train)),
            further=further,
            native=native.VERSION if uses_native else 0,
        ),
    )


def sample(space: Space) -> list[Genome]:
    """Give the smallest, the largest and 16 random genomes of a space, always the same."""
    low, high = (space.from_unit(np.full(space.dimension, end)) for end in (0.0, 1.0))
    return [low, high, *space.sample(_SAMPLE, np.random.default_rng(0))]


def _largest(spec: Spec, plan: Recipe) -> Architecture:
    """The widest and deepest architecture of the space.

    Raises:
        UsageError: the architecture needs images, and the rows are none.
    """
    from hebbevo.networks import CONVOLUTIONAL, Architecture, largest

    network = plan.network
    assert isinstance(network, Architecture)
    if network.family in CONVOLUTIONAL and len(network.shape) != 3:
        what = f"{spec.task.dataset} has rows of shape {network.shape}, which are no images"
        raise UsageError(f"network.family: {what}; write family: mlp")
    return largest(network, spec.space).with_reserves(plan.settings)


def _why_alone(nets: Sequence[nn.Module], shape: Sequence[int], device: str) -> str:
    """Say why nets like these train better one by one; empty if they do not."""
    from torch.nn.modules.conv import _ConvNd

    from hebbevo.training.structure import difference, structure

    # structures seen once estimate the chance of one that no other net has (Good, 1953, Biometrika 40, 237)
    lonely = Counter(Counter(structure(net) for net in nets).values())[1]
    if 2 * lonely > len(nets):
        where = next(filter(None, (difference(nets[-1], net) for net in nets)))
        return f"hardly two have the same structure (they differ in {where})"
    convolves = any(isinstance(module, _ConvNd) for net in nets for module in net.modules())
    if convolves and device == "cpu" and math.prod(shape[1:]) > _SMALL_MAP:
        return "a CPU is faster so with convolutions over maps of this size"
    return ""


def _too_short(plan: Recipe, genomes: Sequence[Genome], nets: Sequence[nn.Module], rows: int) -> bool:
    """Whether trainings end before anything is pruned. Nets whose rules never prune are left out."""
    from hebbevo.nn import plastic_modules
    from hebbevo.training import has_events

    prunable = [
        net
        for genome, net in zip(genomes, nets, strict=True)
        if plan.network.prunes(plan.settings_for(genome))
    ]
    return any(map(plastic_modules, prunable)) and not has_events(plan, prunable, rows)


class _Keeper:
    """Keeps networks that are only looked at, with one copy of the weights that several of them have."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], list[torch.Tensor]] = {}

    def __call__(self, net: nn.Module) -> nn.Module:
        """Give a network whose weights are those of an earlier one where they are equal."""
        import torch

        for name, parameter in net.named_parameters():
            known = self._known.setdefault((name, parameter.dtype, parameter.shape), [])
            equal = next((each for each in known if torch.equal(each, parameter.data)), None)
            if equal is None:
                known.append(parameter.data)
            else:
                parameter.data = equal
        return net


def _user_networks(
    spec: Spec, plan: Recipe, genomes: Sequence[Genome]
) -> tuple[list[Genome], list[nn.Module], str]:
    """Build the user's network for every genome.

    Returns:
        The genomes that have a network, their networks, and why another has none; empty if all have one.

    Raises:
        UsageError: no genome has a network, or none has anything that takes one of the genes or settings.
    """
    from hebbevo.networks import UserNetwork
    from hebbevo.training import KNOBS

    network = plan.network
    assert isinstance(network, UserNetwork)
    keep = _Keeper()
    built: list[Genome] = []
    nets: list[nn.Module] = []
    refused: list[UserCodeError] = []
    for genome in genomes:
        try:
            nets.append(keep(network.build(plan.settings_for(genome), seed=0)))
            built.append(genome)
        except UserCodeError as error:  # perhaps of this genome only, whose trial would be recorded as failed
            refused.append(error)
    if not nets:
        raise refused[0]
    known = set(KNOBS).union(*(network.knobs(net) for net in nets))
    for part, names in (("genome", spec.genome), ("network.settings", spec.network.settings)):
        for name in names:
            if name not in known and not network.has_argument(name):
                what = f"neither {network.module} nor a module in its network takes {unknown(name, known)}"
                raise UsageError(f"{part}.{name}: {what}")
    return built, nets, str(refused[0]) if refused else ""


def _try_any(spec: Spec, plan: Recipe, genomes: Sequence[Genome], split: Split) -> tuple[bool, str]:
    """Train a network of the user for one step and score it; if that fails, try those of other genomes.

    Returns:
        Whether the same step comes out the same again, and why a network before failed; empty if none did.

    Raises:
        UsageError: no network can be trained on these data.
    """
    failed: list[UsageError] = []
    for genome in [*genomes[1:2], *genomes[:1], *genomes[2:]]:  # the second is the largest
        try:
            is_repeatable = _try(spec, plan, genome, split)
        except UsageError as error:  # perhaps of this genome only, whose trial would be recorded as failed
            failed.append(error)
        else:
            return is_repeatable, str(failed[0]) if failed else ""
    raise failed[0]


def _try(spec: Spec, plan: Recipe, genome: Genome, split: Split) -> bool:
    """Train the user's network for one step, score it, and train it for the same step again.

    Returns:
        Whether both steps have come out the same.

    Raises:
        UsageError: it cannot be trained on these data.
    """
    import torch

    try:
        cohort, found = _step(plan, genome, split)
        given = cohort.outputs(torch.from_numpy(split.x_val[:1]).reshape(-1, *plan.network.shape)).shape[-1]
        if given != split.outputs:
            wanted = f"{len(split.classes)} classes" if split.classes else "one target"
            raise ValueError(f"it gives {given} numbers a row for {wanted}")
        with seeded(0):
            cohort.measure()
        _, again = _step(plan, genome, split)
    except UsageError:
        raise
    except BaseException as error:  # of the user's code, or because of it
        user_code.raise_if_interrupted(error)
        what = f"a network of it cannot be trained on rows of shape {plan.network.shape}"
        raise UsageError(f"{spec.network.module}: {what}: {describe(error)}") from error
    return torch.allclose(found, again, rtol=1e-4, atol=1e-6, equal_nan=True)


def _step(
    plan: Recipe, genome: Genome, split: Split, minibatch: int = 0
) -> tuple[CohortTraining, torch.Tensor]:
    """Train the network of a genome for one step on the CPU.

    Args:
        plan: what all trainings share.
        genome: the genome.
        split: the data.
        minibatch: the place of the minibatch in the first epoch; -1 is the last, which may be shorter.

    Returns:
        The training, and its loss and outputs.
    """
    import torch

    from hebbevo.training import CohortTraining, Rows
    from hebbevo.training.stack import SingleNet

    cpu = torch.device("cpu")
    with seeded(0):
        net, model = (plan.network.build(plan.settings_for(genome), seed=0) for _ in range(2))
        rows = Rows.of(split, plan.network.shape, cpu)
        cohort = CohortTraining(plan, SingleNet(net, cpu), [plan.training_knobs(genome)], model, rows)
        batch = [*cohort.minibatches(epoch=0)][minibatch]
        cohort.train_step(batch)
        found = torch.cat([cohort.losses[0], cohort.outputs(rows.x[batch]).flatten().to(cohort.losses)])
    return cohort, found


def _try_shortest(
    spec: Spec, plan: Recipe, genomes: Sequence[Genome], nets: Sequence[nn.Module], split: Split
) -> None:
    """Train a network of each structure for a step on the last minibatch of an epoch, where it is shorter.

    Raises:
        UsageError: one cannot be trained on it, though it can on a whole minibatch.
    """
    from torch.nn.modules.batchnorm import _NormBase

    from hebbevo.training.structure import structure

    rows, size = len(split.y_train), spec.task.batch_size
    # the families are known to train on two rows, and without a norm on one
    if not rows % size or (rows % size > 1 and not plan.has_user_code):
        return
    by_structure = dict(zip(map(structure, nets), zip(genomes, nets, strict=True), strict=True))
    for genome, net in by_structure.values():
        if not plan.has_user_code and not any(isinstance(module, _NormBase) for module in net.modules()):
            continue
        if (problem := _problem(plan, genome, split, -1)) and not _problem(plan, genome, split, 0):
            named = spec.network.module or spec.network.family
            what = f"the last minibatch has {rows % size} of {rows} rows, on which {named} fails ({problem})"
            raise UsageError(f"task.batch_size: {what}; write {_longer_last(rows, size)}")


def _problem(plan: Recipe, genome: Genome, split: Split, minibatch: int) -> str:
    """Why a step on a minibatch fails; empty if it does not."""
    try:
        _, found = _step(plan, genome, split, minibatch)
    except BaseException as error:  # of the user's code, or because of it
        user_code.raise_if_interrupted(error)
        return describe(error)
    loss = float(found[0])
    if not math.isfinite(loss):
        return f"its loss is {loss}"
    return "" if found.isfinite().all() else "its outputs after the step are not finite"


def _longer_last(rows: int, size: int) -> int:
    """The batch size closest to ``size`` whose last minibatch is whole, or more than half of it.

    >>> _longer_last(65, 32), _longer_last(33, 32)
    (33, 33)
    """
    fitting = [each for each in range(2, rows + 1) if not 0 < rows % each <= each // 2]
    return min(fitting, key=lambda each: (abs(each - size), -each), default=rows)


def _refuse_unmet(
    spec: Spec, genomes: Sequence[Genome], nets: Sequence[nn.Module], split: Split, shape: tuple[int, ...]
) -> None:
    """Check that no setting and no choice asks every network for layers around its units that it has not.

    A genome that asks for them only together with other genes is recorded as failed when its turn comes.

    Raises:
        UsageError: no sampled network meets its needs, or exactly those with one choice do not.
    """
    problems = [_unmet(net, split, shape) for net in nets]
    for problem in dict.fromkeys(filter(None, problems)):
        having = [each == problem for each in problems]
        if all(having):
            raise UsageError(f"network: {problem}; or leave out what asks for it")
        for gene in spec.space.genes:
            for choice in gene.choices if isinstance(gene, ChoiceGene) else ():
                chosen = [gene.name in each and same(each[gene.name], choice) for each in genomes]
                if chosen == having and sum(chosen) > 1:  # of one genome it could be chance
                    what = f"{listed([choice])} is never possible: {problem}"
                    raise UsageError(f"genome.{gene.name}: {what}; or leave this choice out")


def _refuse_single_rows(spec: Spec, nets: Sequence[nn.Module]) -> None:
    """Check that minibatches have several rows where a rule needs variances, which are those within one.

    Raises:
        UsageError: they have one row, and the units of a network are not channels, whose places are rows too.
    """
    from hebbevo.nn.units import plastic_units

    layers = (layer for net in nets for layer in plastic_units(net).values() if layer.dim == -1)
    for layer in layers if spec.task.batch_size == 1 else ():
        if reason := layer.reason_for(Need.VARIANCE) or layer.reason_for(Need.CORRELATION):
            what = f"{reason} needs the variance of outputs, which a minibatch of one row has not"
            raise UsageError(f"task.batch_size: {what}; write 2 or more")


def _unmet(net: nn.Module, split: Split, shape: tuple[int, ...]) -> str:
    """Why layers around the units of a network do not meet the needs of its knobs; empty if they do."""
    import torch

    from hebbevo.nn.wiring import Wiring, needs_layers

    if not needs_layers(net):
        return ""
    try:
        with seeded(0):
            Wiring(net, torch.from_numpy(split.x_train[:2].copy()).reshape(-1, *shape)).refuse_unmet(net)
    except UsageError as error:
        return str(error)
    return ""


def _shapes(net: nn.Module) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The names and shapes of all tensors of a network."""
    return tuple((name, tuple(tensor.shape)) for name, tensor in net.state_dict().items())


def _neurons(net: nn.Module, shape: Sequence[int], count: str) -> int:
    """Number of neurons, or connections, of a network, pruned ones included."""
    import torch

    from hebbevo.nn.liveness.paths import COUNTS, survivors

    return sum(survivors(net, torch.zeros(1, *shape), COUNTS[count]).neurons)


def _chance(plan: Recipe, split: Split) -> float:
    """The score of always answering the most frequent class of the validation rows, or the mean target."""
    import torch

    from hebbevo.training import SCORES

    labels = torch.from_numpy(split.y_val)
    always = torch.zeros(len(labels), split.outputs)  # zero is the mean of standardised targets
    if split.classes:
        always[:, int(np.bincount(split.y_val).argmax())] = 1.0
    if built_in := SCORES.get(plan.score_name):
        return float(built_in.of(always, labels))
    with seeded(0), user_code.calling(plan.score_name):
        chance = float(user_code.resolve(plan.score_name)(always, labels.clone()))
    return min(max(chance, 0.0), 0.99) if chance == chance else 0.0


def _class_weights(spec: Spec, split: Split) -> tuple[float, ...]:
    """The weight of each class in the loss; none where each has 1.

    Balanced weights are rows / (classes * rows of the class), over the training rows.

    Raises:
        UsageError: the mapping lacks a class, or names another.
    """
    given = spec.task.class_weight
    if given is None:
        return ()
    if isinstance(given, str):  # balanced
        counts = np.bincount(split.y_train.astype(np.int64), minlength=len(split.classes))
        present = np.count_nonzero(counts)
        weights = len(split.y_train) / (present * np.maximum(counts, 1))
        return tuple(np.where(counts > 0, weights, 1.0).tolist())
    known = {_as_key(label): label for label in split.classes}
    if wrong := [name for name in given if name not in known]:
        raise UsageError(f"task.class_weight: there is no class {unknown(wrong[0], known)}")
    if missing := [name for name in known if name not in given]:
        raise UsageError(f"task.class_weight: class {missing[0]} has no weight; write one for each class")
    return tuple(float(given[name]) for name in known)


def _as_key(label: Label) -> str:
    """A class as it is written before a colon: keys are text."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _widest(nets: Sequence[nn.Module], device: str) -> int:
    """Number of nets in the widest cohort that is still fast.

    It depends on the networks and the kind of device, never on the memory that happens to be free.
    """
    weights = max(map(_weights, nets))
    bytes_per_net = 4 * 4 * max(weights, 1)  # weight, gradient and two moments, in float32
    return max(1, min(WIDEST_COHORT[device], _STACK_BYTES[device] // bytes_per_net))


def _weights(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())

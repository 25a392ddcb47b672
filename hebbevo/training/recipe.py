"""What goes into a training, and what comes out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hebbevo.networks import Blueprint
from hebbevo.space.genes import Genome, canonical
from hebbevo.space.knobs import Value
from hebbevo.training.knobs import KNOBS


@dataclass(frozen=True)
class Recipe:
    """What all trainings of a study share.

    Attributes:
        network: what builds a net from its genome.
        settings: knob values that are not genes.
        epochs: length of a training.
        batch_size: rows of a minibatch; the last one of an epoch may be shorter.
        seed: the study's seed, which decides the order of the minibatches.
        stacked: whether nets that can be stacked are; else each trains alone.
        count: what survivors are: ``neurons`` or ``connections``.
        loss: the user's function (outputs, labels) -> loss as ``package.module:name``, else cross entropy.
        score: the user's function (outputs, labels) -> 0..1, likewise, else accuracy.
        precision: of matrix products in training, ``float32`` or ``bfloat16``; what is no chain has autocast.
    """

    network: Blueprint
    settings: Mapping[str, Value]
    epochs: int
    batch_size: int
    seed: int
    stacked: bool = True
    count: str = "neurons"
    loss: str | None = None
    score: str | None = None
    precision: str = "float32"

    @property
    def has_user_code(self) -> bool:
        """Whether the user's code is in the trainings, of which nobody has tested that it can be stacked."""
        return self.network.has_user_code or self.loss is not None

    def settings_for(self, genome: Genome) -> dict[str, Value]:
        """What genes and settings say."""
        return {**self.settings, **genome}

    def training_knobs(self, genome: Genome) -> dict[str, Value]:
        """Value of every knob of the training itself: gene, else setting, else default."""
        settings = self.settings_for(genome)
        return {
            name: knob.default if self.network.has_argument(name) else settings.get(name, knob.default)
            for name, knob in KNOBS.items()
        }


@dataclass(frozen=True)
class Candidate:
    """One training: a genome and which of its replicates."""

    genome: Genome
    replicate: int = 0

    def seed(self, study_seed: int) -> int:
        """Seed of the net, 62 bits: a hash of study seed, genome and replicate."""
        text = f"{study_seed}/{canonical(self.genome)}/{self.replicate}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


@dataclass(frozen=True)
class Measurement:
    """What one training has reached.

    Attributes:
        accuracy: on the validation rows after each epoch, 0..1; or the user's score in its place.
        survivors: hidden neurons, or connections, on a live path after each epoch.
        layers: survivors of each layer at the end.
        inputs: input units on a live path at the end.
        failure: why the training failed, or ``None``.
        neurons: hidden neurons, or connections, at the start; 0 if not known, for the training never began.
        notes: what could not be followed or stacked.
        stopped: whether it was stopped early.
        heading: the (accuracy, survivors) that it was then expected to reach; ``None``: not known.
    """

    accuracy: tuple[float, ...]
    survivors: tuple[int, ...]
    layers: tuple[int, ...]
    inputs: int
    seconds: float
    failure: str | None = None
    neurons: int = 0
    notes: tuple[str, ...] = ()
    stopped: bool = False
    predicted_final: tuple[float, float] | None = None

    @classmethod
    def failed(cls, reason: str) -> Measurement:
        """A training that reached nothing."""
        return cls((), (), (), 0, 0.0, failure=reason)

    @property
    def collapsed(self) -> bool:
        """Whether no path is left from the inputs to the outputs."""
        return self.failure is None and self.survivors[-1] == 0

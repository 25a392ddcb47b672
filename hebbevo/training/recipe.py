"""The input and the output of one training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from hebbevo.data import Kind
from hebbevo.networks import Blueprint
from hebbevo.space import Genome, canonical
from hebbevo.space.knobs import Value
from hebbevo.training.knobs import KNOBS
from hebbevo.training.scores import DEFAULT_SCORES

FIRST_CHECK = 1
"""The check of stacks that also compares rounding and statistics that nothing reads, as in older studies."""

STACK_CHECK = 2
"""The check of stacks that a new study has: nets of the user are compared by what has an effect."""

PYTORCH, NATIVE = ENGINES = ("pytorch", "native")
"""What may compute trainings: stacks of PyTorch, or the compiled engine, one net at a time."""


@dataclass(frozen=True)
class Recipe:
    """What all trainings of a study share.

    Attributes:
        network: builds each net from its genome.
        settings: values by name that are not genes.
        epochs: epochs of a whole training, at least 1.
        batch_size: rows of a minibatch; the last minibatch of an epoch may be smaller.
        seed: seed of the study, which decides the order of the minibatches.
        stacked: whether nets of one structure train together; otherwise each trains alone.
        count: what survivors are, ``neurons`` or ``connections``.
        further: what is counted beside survivors.
        loss: function (outputs, labels) -> loss of the user as ``package.module:name``; ``None``: cross
            entropy, or the mean squared error of a regression.
        score: a key of `SCORES`, or a function (outputs, labels) -> number from 0 to 1 of the user; ``None``:
            accuracy, or the R2 of a regression.
        precision: of matrix products in training, ``float32`` or ``bfloat16``. Nets outside a compact stack
            train under ``torch.autocast``.
        stack_check: how it is checked that nets with code of the user can be stacked, `FIRST_CHECK` or
            `STACK_CHECK`.
        kind: what is predicted, ``classification`` or ``regression``.
        class_weights: a weight in the cross entropy for each class; none: 1 for each.
        engine: what computes trainings, a name in `ENGINES`.
        cuts_channels: whether convolutional nets that train one by one on a CPU compute living channels alone
            (`hebbevo.training.living_net`); not in older studies.
    """

    network: Blueprint
    settings: Mapping[str, Value]
    epochs: int
    batch_size: int
    seed: int
    stacked: bool = True
    count: str = "neurons"
    further: tuple[str, ...] = ()
    loss: str | None = None
    score: str | None = None
    precision: str = "float32"
    stack_check: int = STACK_CHECK
    kind: Kind = "classification"
    class_weights: tuple[float, ...] = ()
    engine: str = PYTORCH
    cuts_channels: bool = True

    @property
    def score_name(self) -> str:
        """The score, by default that of the kind of task."""
        return self.score or DEFAULT_SCORES[self.kind]

    @property
    def has_user_code(self) -> bool:
        """Whether the network or the loss is the user's; it is then checked that the nets can be stacked."""
        return self.network.has_user_code or self.loss is not None

    @property
    def code(self) -> list[str]:
        """The references to the user's code that trainings call."""
        found = (getattr(self.network, "module", None), self.loss, self.score)
        return [each for each in found if each is not None]

    def settings_for(self, genome: Genome) -> dict[str, Value]:
        """The settings by name, with the genes of ``genome`` in place of settings of the same name."""
        return {**self.settings, **genome}

    def training_knobs(self, genome: Genome) -> dict[str, Value]:
        """The value of every knob of the training itself: the gene, else the setting, else the default."""
        settings = self.settings_for(genome)
        return {
            name: knob.default if self.network.has_argument(name) else settings.get(name, knob.default)
            for name, knob in KNOBS.items()
        }


@dataclass(frozen=True)
class Candidate:
    """One training to run.

    Attributes:
        genome: of the net.
        replicate: number of the replicate, from 0.
        last_epoch: the epoch after which its training ends; ``None``: the last one of the recipe.
    """

    genome: Genome
    replicate: int = 0
    last_epoch: int | None = None

    def seed(self, study_seed: int) -> int:
        """Seed of the net, 62 bits: a hash of study seed, genome and replicate.

        The same genome therefore starts from the same weights in every cohort.
        """
        text = f"{study_seed}/{canonical(self.genome)}/{self.replicate}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


@dataclass(frozen=True)
class Exam:
    """More scores of every net, measured once, after its last epoch.

    Attributes:
        on_test_rows: whether it is scored on the test rows, too. Nothing that selects may read that score.
    """

    on_test_rows: bool


@dataclass(frozen=True)
class ExamResult:
    """What an exam has found.

    Attributes:
        halves: score on every other validation row, from the first one and from the second one.
        test: score on the test rows, or ``None``.
        layers: survivors of each layer after each epoch.
        units: neurons of each layer, those that are dead included.
        alive: for each epoch the neurons of all layers, one after the other: a bit for each, 1 where it is
            alive, as `numpy.packbits` packs them. Empty where survivors are connections.
    """

    halves: tuple[float, float]
    test: float | None
    layers: tuple[tuple[int, ...], ...]
    units: tuple[int, ...] = ()
    alive: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """What a linear readout of each hidden layer reaches, on the validation rows or those of an exam.

    Of an exam these are the test rows or, without them, every other validation row, from the first one.

    Attributes:
        learned: score of a readout of each hidden layer of the trained network.
        random: the same of the network with the weights that it began with.
    """

    learned: tuple[float, ...]
    random: tuple[float, ...]


@dataclass(frozen=True)
class Measurement:
    """What one training has reached.

    Attributes:
        accuracy: accuracy on the validation rows after each epoch, 0..1, or the user's score in its place.
        survivors: number of hidden neurons, or connections, on a live path after each epoch.
        layers: survivors of each layer after the last epoch.
        inputs: number of inputs on a live path after the last epoch.
        seconds: wall time of the training, an equal share of its cohort's.
        failure: why the training failed, or ``None``.
        neurons: number of hidden neurons, or connections, at the start; 0 if the training never started.
        notes: what could not be counted exactly, or not be stacked, and why.
        stopped: whether the training was stopped early.
        unpruned: whether that was because it had lost no neuron.
        predicted_final: the accuracy, survivors and further counts predicted for the end of a training that
            was stopped; ``None`` if there is no useful prediction.
        exam: what its exam has found, or ``None``.
        weights: its packed weights (`hebbevo.training.weights`) by epoch, where the study may keep them.
        explored: the share of connections that have ever been in, after each epoch; none where no connection
            rule grows.
        grown_left: of the connections that have ever entered after the start, the share that is in, likewise;
            1 while none has entered.
        decoding: what readouts of its hidden layers reach after the last epoch; ``None`` where no credit rule
            changes weights in place of the optimiser.
        angles: the angle between weights and backward weights of each layer that has some, in degrees, after
            each epoch; none where no layer has.
        further: by name, what is counted beside survivors, after each epoch.
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
    unpruned: bool = False
    predicted_final: tuple[float, ...] | None = None
    exam: ExamResult | None = None
    weights: Mapping[int, bytes] = field(default_factory=dict)
    explored: tuple[float, ...] = ()
    grown_left: tuple[float, ...] = ()
    decoding: Decoding | None = None
    angles: tuple[tuple[float, ...], ...] = ()
    further: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def failed(cls, reason: str) -> Measurement:
        """The measurement of a training that failed before its first epoch was measured."""
        return cls((), (), (), 0, 0.0, failure=reason)

    @property
    def collapsed(self) -> bool:
        """Whether no path is left from the inputs to the outputs."""
        return self.failure is None and self.survivors[-1] == 0

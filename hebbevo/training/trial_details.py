"""What is recorded of a trial beside its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True)
class EarlyStop:
    """Why a trial was stopped early.

    Attributes:
        epoch: number of epochs after which it was stopped.
        predicted_final: accuracy, survivors and further counts predicted for its last epoch, as means over
            the replicates that were stopped; ``None`` if there was no useful prediction.
        reason: for the user.
    """

    epoch: int
    predicted_final: tuple[float, ...] | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        predicted = self.predicted_final
        return {
            "epoch": self.epoch,
            "heading": None if predicted is None else [*predicted],
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make it from plain data."""
        predicted = plain.get("heading")
        return cls(plain["epoch"], None if predicted is None else tuple(predicted), plain["reason"])


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDetails:
    """What is recorded of a trial that has ended, beside its accuracy and survivors.

    Of a trial whose training failed, only ``failure``, ``neurons`` and ``seconds`` are recorded.

    Attributes:
        failure: why the training failed, or ``None``.
        accuracy_sd: standard deviation over replicates after the last epoch; ``None`` for one replicate.
        survivors_sd: likewise.
        neurons: number of hidden neurons, or connections, before any was pruned; 0 if not known.
        survivors_per_layer: survivors of each layer, as means over replicates.
        inputs: number of inputs on a live path, as a mean over replicates.
        collapsed: whether a replicate has no path left from the inputs to the outputs.
        accuracy_per_epoch: accuracy after each epoch, as means over replicates.
        survivors_per_epoch: survivors after each epoch, likewise.
        replicates: accuracy and survivors of each replicate.
        notes: what could not be counted exactly, or not be stacked, and why.
        epochs: number of epochs that were trained.
        seconds: wall time of the training, summed over replicates; 0 for a copy.
        stopped: why it was stopped early, or ``None``.
        copy_of: number of the earlier trial with the same genome, whose result it took, or ``None``.
        explored_per_epoch: the share of connections that have ever been in, after each epoch, as means over
            replicates; none where no connection rule grows.
        grown_left_per_epoch: of the connections that have ever entered after the start, the share that is
            in, likewise.
        decoding_per_layer: score on the validation rows of a linear readout of each hidden layer after the
            last epoch, as means over replicates; none where no credit rule changes weights in place of the
            optimiser.
        random_decoding_per_layer: the same of the networks with the weights that they began with.
        angles_per_epoch: the angle between weights and backward weights of each layer that has some, in
            degrees, after each epoch, likewise.
        further_per_epoch: by name, what is counted beside survivors, after each epoch, likewise.
        further_sd: by name, its standard deviation over replicates after the last epoch; none for one
            replicate.
    """

    failure: str | None = None
    accuracy_sd: float | None = None
    survivors_sd: float | None = None
    neurons: int = 0
    survivors_per_layer: Sequence[float] = ()
    inputs: float = 0.0
    collapsed: bool = False
    accuracy_per_epoch: Sequence[float] = ()
    survivors_per_epoch: Sequence[float] = ()
    replicates: Sequence[Mapping[str, float]] = ()
    notes: Sequence[str] = ()
    epochs: int = 0
    seconds: float = 0.0
    stopped: EarlyStop | None = None
    copy_of: int | None = None
    explored_per_epoch: Sequence[float] = ()
    grown_left_per_epoch: Sequence[float] = ()
    decoding_per_layer: Sequence[float] = ()
    random_decoding_per_layer: Sequence[float] = ()
    angles_per_epoch: Sequence[Sequence[float]] = ()
    further_per_epoch: Mapping[str, Sequence[float]] = field(default_factory=dict)
    further_sd: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data, which is what the study file holds."""
        if self.failure is None:
            plain = {name: getattr(self, name) for name in _OF_TRAINED}
        else:
            plain = {"failure": self.failure} | ({"neurons": self.neurons} if self.neurons else {})
        plain["seconds"] = self.seconds
        plain |= {name: own for name in _OF_SOME if (own := getattr(self, name))}
        if self.notes:
            plain["notes"] = self.notes
        if self.stopped:
            plain["stopped"] = self.stopped.to_json()
        if self.copy_of is not None:
            plain["copy_of"] = self.copy_of
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make it from plain data. Unknown entries, which other programs may have added, are ignored."""
        known = {name: value for name, value in plain.items() if name in _NAMES}
        if "stopped" in known:
            known["stopped"] = EarlyStop.from_json(known["stopped"])
        return cls(**known)


_NAMES = frozenset(each.name for each in fields(TrialDetails))
_OF_SOME = (
    "explored_per_epoch",
    "grown_left_per_epoch",
    "angles_per_epoch",
    "decoding_per_layer",
    "random_decoding_per_layer",
    "further_per_epoch",
    "further_sd",
)
_OF_TRAINED = (
    "accuracy_sd",
    "survivors_sd",
    "neurons",
    "survivors_per_layer",
    "inputs",
    "collapsed",
    "accuracy_per_epoch",
    "survivors_per_epoch",
    "replicates",
    "epochs",
)

"""What a study records of a confirmation: what was to be confirmed, and what every training has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from hebbevo.study.alive_units import AliveUnits


class Role(StrEnum):
    """What a training of a confirmation is for."""

    MEMBER = "member"
    TUNING = "tuning"
    DENSE = "dense"
    LONGER = "longer"


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of the front that is confirmed: the networks of a trial after an epoch.

    Attributes:
        trial: number of the trial.
        epoch: number of epochs trained, 1 or more.
        accuracy: what the search has recorded for it, on the validation rows.
        survivors: likewise.
        neurons: number of neurons, or connections, before any was pruned.
        settle: the longest settling phase of its layers, which its controls have too.
        further: by name, what is counted beside survivors.
    """

    trial: int
    epoch: int
    accuracy: float
    survivors: float
    neurons: int
    settle: float = 0.0
    further: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a confirmation is to find out.

    Attributes:
        members: the members of the front, by survivors ascending.
        replicates: trainings of each member, 2 or more.
        has_test: whether accuracy on the test rows is measured.
        trials: number of finished trials that the study had.
        date: when it began, in UTC, as ``2026-01-31 12:00:00 UTC``.
        no_control: why networks of this study have no dense control; empty where they have.
        neighbours: how many widths to each side decide on the learning rate and weight decay of dense
            networks of a width. ``None``, as in earlier confirmations: all decide on one of each together.
    """

    members: tuple[Member, ...]
    replicates: int
    has_test: bool
    trials: int
    date: str
    no_control: str = ""
    neighbours: int | None = None

    def asks_the_same(self, other: Request) -> bool:
        """Whether another request is for the same; its date, and how its controls are tuned, may differ."""
        mine, others = (asdict(each) | {"date": "", "neighbours": None} for each in (self, other))
        return mine == others

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self) | {"members": [_plain(member) for member in self.members]}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make it from plain data. Unknown entries are ignored."""
        members = tuple(Member(**_known(Member, member)) for member in plain["members"])
        return cls(**_known(cls, plain) | {"members": members})


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a confirmation.

    Attributes:
        role: what it is for.
        trial: number of the member's trial; of a control, that of the first member which it is for.
        replicate: number of the replicate, whose seed and order of minibatches it has.
        number: number of the network in its pool; 0 where there is one network.
        widths: surviving neurons of each layer of a member, or the widths of a control.
        epochs: number of epochs trained.
        accuracy: on the validation rows; ``None`` if the training failed, as for all other measurements.
        halves: accuracy on every other validation row, from the first one and from the second one.
        test: accuracy on the test rows; ``None`` where they are not looked at.
        survivors: number of neurons, or connections, on a live path.
        multiply_adds: of a forward pass over all rows that it was trained on, for the units that were alive.
        seconds: wall time, an equal share of its cohort's.
        learning_rate: of a control.
        weight_decay: of a control.
        settle: settling phase of a control, a fraction of its training.
        failure: why it failed, or ``None``.
        alive: which neurons of a member were alive after each epoch; ``None`` of controls, where survivors
            are connections, and in confirmations by an earlier hebbevo.
        further: by name, what is counted beside survivors of a member.
        decoding: score on the verdict rows of a linear readout of each hidden layer of a member; empty where
            no credit rule changes weights in place of the optimiser, and in confirmations by an earlier
            hebbevo.
        random_decoding: the same of the network with the weights that it began with.
    """

    role: Role
    trial: int
    replicate: int
    epochs: int
    number: int = 0
    widths: tuple[int, ...] = ()
    accuracy: float | None = None
    halves: tuple[float, float] | None = None
    test: float | None = None
    survivors: int | None = None
    multiply_adds: float = 0.0
    seconds: float = 0.0
    learning_rate: float | None = None
    weight_decay: float | None = None
    settle: float = 0.0
    failure: str | None = None
    alive: AliveUnits | None = None
    further: Mapping[str, int] = field(default_factory=dict, hash=False)
    decoding: tuple[float, ...] = ()
    random_decoding: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        plain = asdict(self)
        for name in ("alive", "further", "decoding", "random_decoding"):
            if not plain[name]:
                del plain[name]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make it from plain data. Unknown entries are ignored."""
        known = _known(cls, plain)
        halves, alive = known.get("halves"), known.get("alive")
        return cls(
            **known
            | {
                "role": Role(known["role"]),
                **{name: tuple(known.get(name, ())) for name in ("widths", "decoding", "random_decoding")},
                "halves": None if halves is None else (halves[0], halves[1]),
                "alive": None if alive is None else AliveUnits.from_json(alive),
            }
        )


@dataclass(frozen=True)
class ConfirmationRecord:
    """A recorded confirmation.

    Attributes:
        number: from 0; a study that has grown may be confirmed again.
        request: what it is to find out.
        trainings: its trainings by their number, from 0; those that are missing are not trained yet.
        is_complete: whether all of them are there.
    """

    number: int
    request: Request
    trainings: Mapping[int, Training]
    is_complete: bool


def _plain(member: Member) -> dict[str, Any]:
    plain = asdict(member)
    if not member.further:
        del plain["further"]
    return plain


def _known(kind: type[Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: plain[each.name] for each in fields(kind) if each.name in plain}

"""What the results of a study depend on beside its settings: found before the first training, then fixed."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from typing import Any, Self

from hebbevo.data.amounts import Label
from hebbevo.data.options import NO_FINDINGS, Findings
from hebbevo.objectives.goal import Goal

ENGINE = 3
"""Version of the training engine. Its trainings differ from those of another, which it cannot continue."""

_LIBRARIES = ("hebbevo", "torch", "numpy", "optuna", "deap", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What the results of a study depend on beside its settings.

    Studies of earlier engines lack some of these; only versions, neurons and chance are always recorded.

    Attributes:
        versions: versions of Python and the libraries that began the study.
        engine: version of the training engine; ``None`` if it was not recorded.
        rows: number of rows for ``train``, ``validation`` and ``test``.
        features: number of features of a row.
        shape: shape in which a network gets a row.
        classes: the labels, in order; none for a regression.
        class_weights: weight of each class in the loss; none where each has 1.
        target_mean: mean of the targets of a regression, with which they are standardised.
        target_scale: their standard deviation, likewise.
        mean: mean of each feature, with which rows are standardised.
        scale: standard deviation of each feature, likewise.
        fingerprint: hash of the data.
        findings: how the data are read where the user has not said it.
        exact: whether features keep their precision until they are standardised; earlier studies rounded them
            to float32 first.
        code: hash of the source file of each of the user's functions, by name.
        modules: hash of the source of each module of the user that these functions need, by name.
        device: ``cpu`` or ``cuda``, where the whole study is trained.
        threads: PyTorch threads of a cohort.
        neurons: number of hidden neurons, or connections, of the largest network of the space.
        further: by name, the most of what is counted beside survivors that a network of the space has.
        chance: score of always answering the most frequent class of the validation rows, or of always
            predicting the mean.
        alone: why networks train one by one; empty where they are stacked.
        cohort_width: most networks in a cohort.
        stack_check: how it is checked that networks with the user's code can be stacked
            (`hebbevo.training.recipe`).
        invalid: why some genomes have no network that can be trained; empty if all of a sample have.
        repeatable: whether a training of the user's network came out the same twice.
        short: whether trainings end before anything can be pruned.
        sampling: version of the samplers (`hebbevo.samplers.VERSION`).
        cuts_channels: whether convolutional networks that train one by one on a CPU compute living channels
            alone; not in older studies.
        native: version of the native engine (`hebbevo.native.VERSION`) that computes all trainings; 0: they
            are PyTorch's.
    """

    versions: Mapping[str, str]
    engine: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    features: int = 0
    shape: tuple[int, ...] = ()
    classes: tuple[Label, ...] = ()
    class_weights: tuple[float, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    fingerprint: str = ""
    findings: Findings = NO_FINDINGS
    exact: bool = False
    code: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    neurons: int
    chance: float
    alone: str = ""
    cohort_width: int = 1
    stack_check: int = 1
    invalid: str = ""
    repeatable: bool = True
    short: bool = False
    sampling: int = 1
    further: Mapping[str, int] = field(default_factory=dict)
    cuts_channels: bool = False
    native: int = 0

    @property
    def outputs(self) -> int:
        """Number of outputs of a network: one for each class, or the one of a regression."""
        return len(self.classes) or 1

    def largest(self, goal: Goal) -> tuple[int, ...]:
        """The most of each count that a front of this goal trades off: hypervolumes are parts of them."""
        return self.neurons, *(self.further[name] for name in goal.traded[2:])

    def to_json(self) -> dict[str, Any]:
        """Give them as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make them from plain data. Unknown entries, which other programs may have added, are ignored."""
        known = {each.name: plain[each.name] for each in fields(cls) if each.name in plain}
        lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        found = {"findings": Findings.from_json(plain["findings"])} if "findings" in plain else {}
        return cls(**known | lists | found)


def library_versions() -> dict[str, str]:
    """The installed versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}

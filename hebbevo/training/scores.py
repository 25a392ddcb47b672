"""The built-in scores by name. PyTorch is imported when one is computed, as space files do without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hebbevo.data import Kind

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BuiltInScore:
    """A score of hebbevo, from 0 to 1.

    Attributes:
        title: its name in tables and charts.
        kind: the tasks that it is for.
        of: function of outputs, (..., rows, outputs), and labels (rows,) or targets (rows, 1); gives the
            scores, (...) float64.
        in_percent: whether it is shown in percent.
    """

    title: str
    kind: Kind
    of: Callable[[Tensor, Tensor], Tensor]
    in_percent: bool = True


def _accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """The fraction of rows whose largest output is at their label."""
    return (outputs.argmax(-1) == labels).double().mean(-1)


def _balanced_accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """The mean over the classes of the labels of the fraction of their rows that are found."""
    found, rows, _ = _counts(outputs, labels)
    is_there = rows > 0
    return (found / rows.clamp(min=1)).mul(is_there).sum(-1) / is_there.sum(-1)


def _macro_f1(outputs: Tensor, labels: Tensor) -> Tensor:
    """The mean of the F1 of all classes that are a label or an answer: 2 found / (rows + answers)."""
    found, rows, answers = _counts(outputs, labels)
    both = rows + answers
    return (2 * found / both.clamp(min=1)).sum(-1) / (both > 0).sum(-1)


def _counts(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each class, (..., classes) float64: rows found, rows, and rows for which it is the answer."""
    import torch

    classes = torch.arange(outputs.shape[-1], device=outputs.device)
    is_label = labels[:, None] == classes
    is_answer = outputs.argmax(-1, keepdim=True) == classes
    found = (is_label & is_answer).double().sum(-2)
    return found, is_label.double().sum(-2).expand(found.shape), is_answer.double().sum(-2)


def _r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """The part of the variance of the targets that is explained, and 0 where it is negative."""
    targets = targets.double()
    residual = (outputs.double() - targets).square().sum((-2, -1))
    return (1 - residual / (targets - targets.mean()).square().sum()).clamp(min=0)


ACCURACY = "accuracy"
"""Name of the score that the native engine computes itself."""

SCORES: dict[str, BuiltInScore] = {
    ACCURACY: BuiltInScore("accuracy", "classification", _accuracy),
    "balanced_accuracy": BuiltInScore("balanced accuracy", "classification", _balanced_accuracy),
    "macro_f1": BuiltInScore("macro F1", "classification", _macro_f1),
    "r2": BuiltInScore("R2", "regression", _r2, in_percent=False),
}
"""The built-in scores by name."""

DEFAULT_SCORES: Mapping[Kind, str] = {"classification": ACCURACY, "regression": "r2"}
"""The score of each kind of task where none is named."""

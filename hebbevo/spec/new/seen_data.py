"""What a new space file has to know of the data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from hebbevo import data, user_code
from hebbevo.data import Kind, ReadingOptions
from hebbevo.data.dataset import of_kind
from hebbevo.errors import UsageError
from hebbevo.paths import expanded

_UNEVEN = 3  # a class with so many times the rows of another


@dataclass(frozen=True)
class SeenData:
    """What a new space file has to know of the data.

    Attributes:
        task: keys of a space file's ``task`` that say what the data are and how they are read.
        kind: what is predicted.
        rows: number of rows for training.
        shape: shape in which a network takes a row.
        outputs: number of classes, or 1.
        labels: number of different labels.
        is_uneven: whether a class has several times the rows of another.
        remarks: what the user should know of the data, a line each.
    """

    task: dict[str, Any]
    kind: Kind
    rows: int
    shape: tuple[int, ...]
    outputs: int
    labels: int
    is_uneven: bool
    remarks: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The data in a few words."""
        sides = " x ".join(map(str, self.shape))
        features = f"{sides} features" if len(self.shape) == 1 else f"shape {sides}"
        target = "an amount to predict" if self.kind == "regression" else f"{self.outputs} classes"
        return f"{self.rows} training rows of {features}, {target}"


def seen(dataset: str, target: str | None, kind: Kind | None) -> SeenData:
    """Read data as a search with seed 0 does.

    Args:
        dataset: name, path or reference of the data.
        target: the column to predict, for tables.
        kind: what is predicted; ``None``: what the labels look like.

    Raises:
        UsageError: no network can be trained on these data.
    """
    task: dict[str, Any] = {"dataset": dataset}
    options, remarks = ReadingOptions(), []
    is_code = user_code.is_reference(dataset)
    if is_code:
        user_code.refresh([dataset])
    is_table = not is_code and dataset.lower().endswith(data.TABLE_SUFFIXES)
    if target is not None and not is_table:
        raise UsageError(f"--target: {dataset} is no table; leave it out")
    if target is not None:
        task["target"] = target
        found = data.table_format(expanded(dataset), target)
        options = ReadingOptions(
            separator=found.separator, decimal=found.decimal, encoding=found.encoding, drop=found.names
        )
        usual = ReadingOptions()
        table = {key: getattr(options, key) for key in ("separator", "decimal", "encoding", "drop")}
        if table := {key: each for key, each in table.items() if each != getattr(usual, key)}:
            task["table"] = {key: list(each) if key == "drop" else each for key, each in table.items()}
        remarks += [
            f"column {name!r} has a different text in almost every row, which is no feature as it is"
            for name in found.names
        ]
    labelled = data.load_labelled(dataset, target, options)
    read = of_kind(labelled, kind or data.likely_kind(labelled))
    if categorical := {each.name: each.encoding for each in read.columns if each.categories}:
        task["categorical"] = categorical
    # with categories declared there is nothing to say about them
    declared = replace(options, categorical=categorical)
    known = data.load_labelled(dataset, target, declared) if categorical else read
    parts = data.split(read, 0, 1)
    counts = Counter(parts.y_train.tolist()).values() if read.classes else [1]
    return SeenData(
        task=task,
        kind=read.kind,
        rows=len(parts.y_train),
        shape=data.input_shape(parts.shape),
        outputs=parts.outputs,
        labels=len(labelled.classes),
        is_uneven=max(counts) >= _UNEVEN * min(counts),
        remarks=(*remarks, *known.findings.remarks),
    )

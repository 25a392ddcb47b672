"""A network with its preprocessing and its answer, in plain PyTorch, as it is exported."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo.data.columns import Column
from hebbevo.data.options import NO_FINDINGS, NO_OPTIONS
from hebbevo.data.preprocessing import Preprocessing
from hebbevo.deploy.export.interface import PROBABILITIES, VALUE, Interface
from hebbevo.deploy.provenance import Provenance

_LARGEST = float(np.finfo(np.float32).max)
_COARSEST = 1e-5  # of float32, as a share of a feature's deviation


class Deployed(nn.Module):
    """Rows as the user has them to probabilities, or to the value of a regression.

    A row with a missing or infinite value, or an unknown category, gives not a number.
    """

    def __init__(self, body: nn.Module, columns: Sequence[Column], is_classifier: bool) -> None:
        super().__init__()
        has_categories = any(column.categories for column in columns)
        self.features: nn.Module = TableFeatures(columns) if has_categories else Features()
        self.body = body
        self.answer = nn.Softmax(1) if is_classifier else nn.Identity()

    def forward(self, rows: Tensor) -> Tensor:
        """Answer for rows; see `Interface`."""
        features, known = self.features(rows)
        return torch.where(known, self.answer(self.body(features)), math.nan)


class Features(nn.Module):
    """Rows to flat features, and whether a row has all its values."""

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Give features, shape (rows, features), and known rows, shape (rows, 1)."""
        flat = rows.reshape(rows.shape[0], -1)
        known = ((flat >= -_LARGEST) & (flat <= _LARGEST)).all(1, keepdim=True)
        return flat, known


class TableFeatures(nn.Module):
    """Rows of a table, with a number for each column, to features; and whether a row has all its values."""

    source: Tensor
    place: Tensor
    is_place: Tensor
    low: Tensor
    high: Tensor
    is_number: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        source: list[int] = []
        place: list[int] = []
        is_place: list[bool] = []
        for number, column in enumerate(columns):
            one_hot = bool(column.categories) and column.encoding == "one_hot"
            source += [number] * column.width
            place += range(column.width)
            is_place += [one_hot] * column.width
        last = [float(len(column.categories) - 1) if column.categories else _LARGEST for column in columns]
        first = [0.0 if column.categories else -_LARGEST for column in columns]
        self.register_buffer("source", torch.tensor(source))
        self.register_buffer("place", torch.tensor(place, dtype=torch.float64))
        self.register_buffer("is_place", torch.tensor(is_place))
        self.register_buffer("low", torch.tensor(first, dtype=torch.float64))
        self.register_buffer("high", torch.tensor(last, dtype=torch.float64))
        self.register_buffer("is_number", torch.tensor([not column.categories for column in columns]))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Give features, shape (rows, features), and known rows, shape (rows, 1)."""
        values = rows.index_select(1, self.source)
        features = torch.where(self.is_place, (values == self.place).to(values.dtype), values)
        whole = self.is_number | (rows == rows.floor())
        known = ((rows >= self.low) & (rows <= self.high) & whole).all(1, keepdim=True)
        return features, known


def interface_of(
    preprocessing: Preprocessing, classes: tuple[int | float | str | bool, ...], provenance: Provenance | None
) -> Interface:
    """What the exported network of a study takes and gives.

    Args:
        preprocessing: of its data set.
        classes: names of the outputs; none for a regression.
        provenance: where it comes from, if that is known.
    """
    columns = preprocessing.columns
    return Interface(
        shape=(len(columns),) if columns else preprocessing.shape,
        dtype="float64" if columns or _is_too_fine(preprocessing) else "float32",
        output=PROBABILITIES if classes else VALUE,
        classes=classes,
        columns=columns,
        target=None if provenance is None else provenance.target,
        options=NO_OPTIONS if provenance is None else provenance.options,
        findings=NO_FINDINGS if provenance is None else provenance.findings,
    )


def _is_too_fine(preprocessing: Preprocessing) -> bool:
    """Whether float32 would round away what a feature says, as of one with a large mean."""
    mean, scale = (np.asarray(each, np.float64) for each in (preprocessing.mean, preprocessing.scale))
    steps = np.spacing((np.abs(mean) + scale).astype(np.float32)).astype(np.float64)
    return bool((steps > _COARSEST * scale).any())


def rows_of_features(features: Tensor, interface: Interface, preprocessing: Preprocessing) -> Tensor:
    """Rows as the exported network takes them, of flat features as a network of a study takes them.

    Args:
        features: shape (rows, features), not standardised.
        interface: of the exported network.
        preprocessing: of its data set.
    """
    if preprocessing.columns:
        parts = torch.split(features, [column.width for column in preprocessing.columns], 1)
        one_hot = [
            bool(column.categories) and column.encoding == "one_hot" for column in preprocessing.columns
        ]
        rows = [
            part.argmax(1, keepdim=True).to(part.dtype) if coded else part
            for part, coded in zip(parts, one_hot, strict=True)
        ]
        features = torch.cat(rows, 1)
    return features.reshape(-1, *interface.shape).to(getattr(torch, interface.dtype))

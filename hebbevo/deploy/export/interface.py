"""What an exported network takes and gives, as plain data that is kept in its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hebbevo.data import Findings, Label, ReadingOptions
from hebbevo.data.columns import Column
from hebbevo.data.options import NO_FINDINGS, NO_OPTIONS
from hebbevo.data.preprocessing import Preprocessing

INPUT = "rows"
"""The name of the tensor that an exported network takes."""

PROBABILITIES, VALUE, OUTPUTS = "probabilities", "value", "outputs"
"""The names of what one gives: of a classifier, of a regression, and of a module from elsewhere."""

_OPTIONS = ("separator", "decimal", "encoding")
_FINDINGS = ("text_labels", "text_columns", "channels_last")


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What an exported network takes and gives.

    It takes one tensor ``rows``. Of a table that has a number for each column: for a column of categories
    the place of the category in its list, from 0. A row with a missing value or an unknown category gives
    not a number.

    Attributes:
        shape: shape of a row.
        dtype: type of the rows.
        output: name of what it gives, shape (rows, outputs).
        classes: names of the outputs; none for a regression.
        columns: the columns of a table, in the order of the tensor; empty if rows are no table's.
        target: name of the column that is predicted, if it is known.
        options: how a file of rows is read, as the user has said.
        findings: how a file of rows is read where the user has not said it.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    output: str = OUTPUTS
    classes: tuple[Label, ...] = ()
    columns: tuple[Column, ...] = ()
    target: str | None = None
    options: ReadingOptions = field(default=NO_OPTIONS)
    findings: Findings = field(default=NO_FINDINGS)

    @cached_property
    def _rows(self) -> Preprocessing:
        """Makes the tensor of rows in any form: each category becomes one number, its place."""
        width = int(np.prod(self.shape))
        coded = tuple(replace(column, encoding="index") for column in self.columns)
        return Preprocessing(np.zeros(width), np.ones(width), self.shape, coded)

    def tensor(self, rows: Any, source: str = "rows") -> npt.NDArray[Any]:
        """The tensor that the network takes, of rows as the user has them.

        Args:
            rows: an array as the data set has it, shape (rows, ...); of a table a DataFrame or a mapping of
                columns.
            source: what to call the rows in messages.

        Raises:
            DataError: a column or a value is missing, a category is unknown, or the shape is another.
        """
        flat = self._rows.features(rows, source)
        return flat.reshape(len(flat), *self.shape).astype(self.dtype)

    def to_json(self) -> str:
        """This as a text, for the file."""
        columns = [
            {"name": column.name, "categories": list(column.categories)} if column.categories
            else {"name": column.name}
            for column in self.columns
        ]  # fmt: skip
        reading = {name: getattr(self.options, name) for name in _OPTIONS}
        reading |= {name: getattr(self.findings, name) for name in _FINDINGS}
        plain = {
            "version": 1,
            "input": {"name": INPUT, "type": self.dtype, "shape": [INPUT, *self.shape]},
            "output": {"name": self.output, "shape": [INPUT, len(self.classes) or None]},
            "classes": list(self.classes),
            "columns": columns,
            "target": self.target,
            "reading": reading,
        }
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text that `to_json` gives.

        >>> interface = Interface(shape=(2,), columns=(Column("age"), Column("town", ("A", "B"), "index")))
        >>> Interface.from_json(interface.to_json()) == interface
        True
        """
        plain: Mapping[str, Any] = json.loads(text)
        reading = plain["reading"]
        return cls(
            shape=tuple(plain["input"]["shape"][1:]),
            dtype=plain["input"]["type"],
            output=plain["output"]["name"],
            classes=tuple(plain["classes"]),
            columns=tuple(
                Column(
                    each["name"],
                    tuple(each.get("categories", ())),
                    "index" if "categories" in each else "one_hot",
                )
                for each in plain["columns"]
            ),
            target=plain["target"],
            options=ReadingOptions(**{name: reading[name] for name in _OPTIONS}),
            findings=Findings.from_json({name: reading[name] for name in _FINDINGS}),
        )

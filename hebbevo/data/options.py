"""How data are read: what the user says, and what was found out when a study was created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from hebbevo.data.columns import Encoding

SplitKind = Literal["groups", "time", "column"]
"""What decides which rows are held out: whole groups, the latest times, or a column that says it."""

Standardization = bool | tuple[str, ...] | Literal["auto", "per_channel"]
"""Which features are standardised: all or none, the columns of these names, or images by channel.

``auto`` is ``per_channel`` for images and all features of anything else.
"""

WHITESPACE = "whitespace"
"""The separator that is any number of blanks."""


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What the user says about a data set that is no built-in one.

    Attributes:
        separator: what is between the columns of a text table, one character or ``whitespace``; by default a
            tabulator for .tsv and a comma for .csv.
        decimal: the decimal mark of a text table.
        encoding: the encoding of a text table.
        drop: columns of a table that are no features.
        keep: columns of a table that are features even if they look like row numbers or the target.
        test: path of a file with the test rows.
        categorical: columns of a table that hold categories, each with its encoding. Columns of text are
            found, and become one-hot.
        split: how rows are held out and the name of the column, or of the array, that decides.
    """

    separator: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    test: str | None = None
    categorical: Mapping[str, Encoding] = field(default_factory=dict)
    split: tuple[SplitKind, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found out about data when a study was created; the study reads them so from then on.

    The defaults are how studies read their data that have not recorded this.

    Attributes:
        dropped: columns that are no features, because they number the rows or repeat the target.
        text_labels: whether the labels of a text table are texts, although some look like numbers or like
            missing values.
        text_columns: columns of categories that are texts, likewise.
        channels_last: whether images are stored with their channels last.
        validation: whether validation rows are given beside the training rows.
        remarks: what the user should know, a line each.
    """

    dropped: tuple[str, ...] = ()
    text_labels: bool = False
    text_columns: tuple[str, ...] = ()
    channels_last: bool = False
    validation: bool = False
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make them from plain data; unknown entries are ignored.

        >>> Findings.from_json({"dropped": ["id"]}).dropped
        ('id',)
        """
        known: dict[str, Any] = {each.name: plain[each.name] for each in fields(cls) if each.name in plain}
        lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known | lists)


NO_OPTIONS = ReadingOptions()
NO_FINDINGS = Findings()

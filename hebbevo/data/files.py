"""Data files of the user's: arrays in .npz, tables in .csv, .tsv and .parquet."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hebbevo.data.arrays import NAMES, channels_first, from_named, rows_named
from hebbevo.data.columns import Column, different, feature_names
from hebbevo.data.dataset import Dataset, with_labels
from hebbevo.data.division import division
from hebbevo.data.leaks import grows, repeats_target, row_number, rows_of_both
from hebbevo.data.options import NO_FINDINGS, NO_OPTIONS, WHITESPACE, Findings, ReadingOptions
from hebbevo.data.reading import reading
from hebbevo.errors import DataError
from hebbevo.messages import first_line, listed, quoted
from hebbevo.paths import expanded

if TYPE_CHECKING:
    import pandas as pd

_BLANKS = " \u00a0\u202f"
_OTHER_NOTATION = (
    re.compile(  # thousands apart, another decimal mark, a currency, a percent sign, brackets for minus
        rf"\(?[-+\u2212]?[{_BLANKS}]?[$\u20ac\u00a3\u00a5]?[{_BLANKS}]?[-+\u2212]?"
        rf"(\d{{1,3}}(?P<mark>[.,'\u2019{_BLANKS}])\d{{3}}((?P=mark)\d{{3}})*([.,]\d+)?|\d+([.,]\d*)?)"
        rf"[{_BLANKS}]?[%$\u20ac\u00a3\u00a5]?\)?"
    )
)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+(,\d*)?")


def load_npz(
    name: str, path: Path, target: str | None, options: ReadingOptions, findings: Findings | None
) -> Dataset:
    """Read the arrays ``x``, ``y`` and, if present, ``x_test`` and ``y_test``; or others, see `from_named`.

    A row keeps the shape in which it is stored, except that channels are put first.

    Raises:
        DataError: the file is not an .npz archive, or a classifier cannot be trained on it.
    """
    if target is not None:
        raise DataError(f"{name}: target {target!r} is for tables; leave it out, y holds the labels")
    test = None if options.test is None else _npz_arrays(expanded(options.test), options)
    return from_named(name, _npz_arrays(path, options), options, findings, test)


def _npz_arrays(path: Path, options: ReadingOptions) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file whose names have a meaning; others stay unread."""
    with reading(path, "an .npz file"), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no zip archive")
        file.seek(0)
        archive = np.load(file, allow_pickle=False)
        wanted = {*NAMES, *(options.split or ())[1:]}
        # others are there for messages that list the names
        return {array: archive[array] if array in wanted else np.empty(0) for array in archive.files}


def load_table(
    name: str, path: Path, target: str | None, options: ReadingOptions, findings: Findings | None
) -> Dataset:
    """Read a table; the column ``target`` holds the labels, all others numbers or categories.

    A text table has a header line. Columns that number the rows or repeat the target are left out.

    Raises:
        DataError: the file is not such a table, or a classifier cannot be trained on it.
    """
    is_new = findings is None
    table = _Table(name, path, target, options, is_new)
    test = None
    if options.test is not None:
        test = _Table(options.test, expanded(options.test), target, options, is_new)
    if findings is None:
        findings = _findings(table, test, options)
    split_on = () if options.split is None else (options.split[1],)
    left_out = {*options.drop, *findings.dropped, *split_on}
    places = [place for place in table.features if table.columns[place] not in left_out]
    columns = [table.columns[place] for place in places]
    if not columns or table.frame.empty:
        why = f" ({findings.remarks[0]})" if findings.dropped else ""
        held = f"{len(table.frame)} rows and {len(columns)} feature columns{why}"
        raise DataError(f"{name}: has {held}; give it some of both")
    if unknown := [each for each in options.categorical if each not in columns]:
        raise DataError(
            f"{name}: has no feature {quoted(unknown)} for task.categorical; it has {quoted(columns)}"
        )
    texts = findings.text_columns
    kinds = [table.column(place, texts) for place in places]
    of_features = feature_names(kinds)
    if is_new:
        remarks = _text_columns(kinds, options)
        for kind in kinds:
            remarks += different(f"categories of column {kind.name!r}", kind.categories)
        findings = replace(findings, remarks=(*findings.remarks, *remarks))
    labels = table.labels(findings.text_labels)
    x = table.values(places, kinds, texts)
    if test is None:
        dataset = with_labels(name, x, labels, columns=of_features)
    else:
        x_test = test.values(test.places(columns), kinds, texts)
        test_labels = test.labels(findings.text_labels)
        dataset = with_labels(name, x, labels, x_test, test_labels, columns=of_features)
        if is_new and (known := rows_of_both(x, x_test)):
            remark = f"{known} of {len(x_test)} test rows have the features of another row of the data"
            findings = replace(findings, remarks=(*findings.remarks, remark))
    if is_new:
        remarks = different("labels", dataset.classes)
        findings = replace(findings, remarks=(*findings.remarks, *remarks))
    by = None
    if options.split is not None:
        [place] = table.places(split_on)
        by = division(name, *options.split, table.frame.iloc[:, place].to_numpy())
    return replace(dataset, division=by, findings=findings, columns=tuple(kinds))


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a file, to predict their targets.

    Attributes:
        values: an array as the data set has it, or the columns of a table by name.
        targets: the targets in the file, ``None`` where one is missing; ``None`` if the file has none.
    """

    values: npt.NDArray[Any] | dict[str, Any]
    targets: npt.NDArray[Any] | None


def read_rows(
    path: Path,
    columns: Sequence[Column],
    target: str | None,
    options: ReadingOptions = NO_OPTIONS,
    findings: Findings = NO_FINDINGS,
) -> Rows:
    """Read rows whose targets are to be predicted, as the data that a network was trained on are read.

    Args:
        path: a table, or an .npz file.
        columns: the columns of the table; none if the network takes arrays.
        target: name of the column of the targets, which the table may lack.
        options: how those data were read, as the user has said.
        findings: how they were read where the user has not said it.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    suffix, name = suffix_of(path), str(path)
    if suffix is None:
        raise DataError(f"{path}: its name says no format; give a file that ends in {listed(FILE_SUFFIXES)}")
    if suffix == ".npz":
        return _rows_of_arrays(name, _npz_arrays(path, options), findings)
    if not columns:
        raise DataError(f"{path}: the network takes arrays; give an .npz file with the array x")
    encodings = {column.name: column.encoding for column in columns if column.categories}
    options = replace(options, drop=(), keep=(), test=None, split=None, categorical=encodings)
    table = _UnlabelledTable(name, path, target, options, False)
    places = table.places([column.name for column in columns])
    cells = [table.cells(place, findings.text_columns) for place in places]
    has_targets = table.target != NO_TARGET and len(table.frame)
    targets = table.targets(findings.text_labels) if has_targets else None
    return Rows({column.name: each for column, each in zip(columns, cells, strict=True)}, targets)


def _rows_of_arrays(name: str, arrays: dict[str, npt.NDArray[Any]], findings: Findings) -> Rows:
    """The rows of an .npz file: those of ``x``, else of the test set, else those of another training set."""
    found = rows_named(arrays)
    if found is None:
        raise DataError(f"{name}: has no array x, it holds {quoted(list(arrays)) or 'nothing'}; save x")
    x, y = found
    values = channels_first(arrays[x]) if findings.channels_last else arrays[x]
    targets = arrays[y].reshape(-1) if y in arrays else None
    if targets is not None and targets.shape != values.shape[:1]:
        raise DataError(f"{name}: {y} has {len(targets)} targets for {len(values)} rows; give one for each")
    return Rows(values, targets)


READERS: dict[str, Callable[[str, Path, str | None, ReadingOptions, Findings | None], Dataset]] = {
    ".npz": load_npz,
    ".csv": load_table,
    ".tsv": load_table,
    ".csv.gz": load_table,
    ".tsv.gz": load_table,
    ".parquet": load_table,
}
"""What reads a file, by the end of its name: a function of (name, path, target, options, findings)."""

FILE_SUFFIXES = tuple(READERS)
TABLE_SUFFIXES = tuple(suffix for suffix, read in READERS.items() if read is load_table)
TEXT_SUFFIXES = tuple(suffix for suffix in TABLE_SUFFIXES if suffix != ".parquet")


def suffix_of(path: str | Path) -> str | None:
    """The end of a file's name that says how it is read, or ``None`` for a file that cannot be.

    >>> suffix_of("data/Mine.CSV.gz"), suffix_of("mine.txt")
    ('.csv.gz', None)
    """
    return next((suffix for suffix in READERS if str(path).lower().endswith(suffix)), None)


class _Table:
    """A table as it was read.

    Attributes:
        name: name with which messages begin.
        frame: its cells.
        columns: the names of its columns, in order.
        target: the place of the labels.
        features: the places of the other columns.
    """

    def __init__(
        self, name: str, path: Path, target: str | None, options: ReadingOptions, is_new: bool
    ) -> None:
        self.name = name
        self._path = path
        self._options = options
        self._is_new = is_new
        self._is_text = suffix_of(path) in TEXT_SUFFIXES
        with reading(path, "a .csv file with a header line" if self._is_text else "a .parquet file"):
            self.header = self._read_text(header=None, nrows=1, dtype=str) if self._is_text else None
            try:
                self.frame = self._read()
            except (ValueError, Warning) as error:
                if not self._is_text or not _is_too_long(error):
                    raise
                raise DataError(f"{name}: {self._too_long(error)}") from error
        self.columns = [str(column) for column in self.frame.columns]
        self.target = self._place_of(target, is_new)
        self.features = [place for place in range(len(self.columns)) if place != self.target]
        for asked, names in (("drop", options.drop), ("keep", options.keep)):
            if absent := [each for each in names if each not in self.columns]:
                raise DataError(
                    f"{name}: has no column {absent[0]!r} to {asked}; its columns are {quoted(self.columns)}"
                )

    def places(self, columns: Sequence[str]) -> list[int]:
        """The places of columns.

        Raises:
            DataError: one is missing.
        """
        if absent := [each for each in columns if each not in self.columns]:
            raise DataError(
                f"{self.name}: has no column {absent[0]!r}; its columns are {quoted(self.columns)}"
            )
        return [self.columns.index(each) for each in columns]

    def holds_categories(self, place: int) -> bool:
        """Whether a column holds categories: they are declared, or it has texts and no numbers."""
        import pandas as pd

        if self.columns[place] in self._options.categorical:
            return True
        cells = self.frame.iloc[:, place]
        if pd.api.types.is_numeric_dtype(cells.dtype):
            return False
        present = cells.dropna()
        if not len(present) or not all(isinstance(value, str) for value in present.tolist()):
            return False
        return not pd.to_numeric(present.astype(object), errors="coerce").notna().any()

    def column(self, place: int, as_text: Sequence[str]) -> Column:
        """What a column holds, numbers or categories.

        Raises:
            DataError: it has too many categories that are not declared, or numbers in another notation.
        """
        if not self.holds_categories(place):
            return Column(self.columns[place])
        name, cells = self.columns[place], self.cells(place, as_text)
        encoding = self._options.categorical.get(name)
        if self._is_new and encoding is None:
            self._refuse_other_notation(name, cells.dropna().unique().tolist())
        return Column.of_categories(self.name, name, cells.astype(object), encoding)

    def values(
        self, places: Sequence[int], kinds: Sequence[Column], as_text: Sequence[str]
    ) -> npt.NDArray[np.float64]:
        """The features of the columns at some places, shape (rows, features)."""
        cells = [self.cells(place, as_text) for place in places]
        return np.hstack([kind.features(self.name, each) for kind, each in zip(kinds, cells, strict=True)])

    def labels(self, as_text: bool) -> npt.NDArray[Any]:
        """The labels; ``None`` where one is missing.

        Raises:
            DataError: one that can be the name of a class is among numbers, where it counts as missing.
        """
        values = self.frame.iloc[:, self.target]
        texts = self.texts(self.target) if as_text or values.isna().any() else None
        if texts is not None and not as_text and (named := texts[texts.notna() & values.isna()]).size:
            raise DataError(
                f"{self.name}: y has {len(named)} missing or infinite labels, the first in row"
                f" {named.index[0]} (counted from 0): {named.iloc[0]!r} among numbers; drop those rows, or"
                " write another name, as 'unknown', if it is a class"
            )
        labels = texts if as_text and texts is not None else values
        return labels.astype(object).where(labels.notna(), None).to_numpy()

    def texts(self, place: int) -> pd.Series[Any] | None:
        """The labels or categories as they are written in a text table; only empty ones are missing."""
        if not self._is_text:
            return None
        places, written = self._written
        return written.iloc[:, places.index(place)]

    @cached_property
    def _written(self) -> tuple[list[int], pd.DataFrame]:
        """The places of labels and categories, and their texts; other columns would fill the memory."""
        categories = [place for place in self.features if self.holds_categories(place)]
        places = sorted({*categories, self.target} - {NO_TARGET})
        return places, self._read_text(dtype=str, usecols=places, keep_default_na=False, na_values=[""])

    def header_names(self) -> list[str]:
        """The names as the header line has them; a repeated one is repeated here."""
        if self.header is None:
            return self.columns
        return ["" if name != name else str(name) for name in self.header.iloc[0]]

    def cells(self, place: int, as_text: Sequence[str]) -> pd.Series[Any]:
        """The cells of a column; as they are written if it is one of ``as_text``."""
        texts = self.texts(place) if self.columns[place] in as_text else None
        return self.frame.iloc[:, place] if texts is None else texts

    def _refuse_other_notation(self, name: str, texts: Sequence[str]) -> None:
        if not all(_OTHER_NOTATION.fullmatch(text.strip()) for text in texts):
            return
        advice = "write them as 1234.5, or drop the column"
        if all(_DECIMAL_COMMA.fullmatch(text.strip()) for text in texts) and self._options.decimal != ",":
            advice = "write table: {decimal: ','}, if that is a decimal comma"
        raise DataError(
            f"{self.name}: column {name!r} has numbers in another notation, the first is {texts[0]!r};"
            f" {advice}; if they are categories, task.categorical: {{{name}: one_hot}}"
        )

    def _read(self) -> pd.DataFrame:
        import pandas as pd  # slow to import, and other data do not need it

        if self._is_text:
            return self._read_text(low_memory=False)
        with self._path.open("rb") as file:
            return pd.read_parquet(file)

    def _read_text(self, **how: Any) -> pd.DataFrame:
        import pandas as pd

        options = self._options
        separator = options.separator or ("\t" if ".tsv" in self._path.name.lower()[-7:] else ",")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
                how |= {"decimal": options.decimal, "encoding": options.encoding, "index_col": False}
                table: pd.DataFrame = pd.read_csv(
                    self._path, sep=r"\s+" if separator == WHITESPACE else separator, **how
                )
        except UnicodeError as error:
            raise DataError(
                f"{self.name}: cannot be read as {options.encoding} text ({first_line(error)});"
                " write table: {encoding: latin-1}, or what it has"
            ) from error
        return table

    def _too_long(self, error: Exception) -> str:
        what, where = "cannot be read: a row has more cells than the header line has names", first_line(error)
        if "error: " in where:
            what += f" ({where.partition('error: ')[2]})"
        otherwise = "put a line with the names of all columns first, and no titles or comments"
        return f"{what}; {_separator_advice(self.header_names()) or otherwise}"

    def _place_of(self, target: str | None, is_new: bool) -> int:
        name, columns = self.name, self.columns
        # a study that has begun with a repeated name goes on with it
        count = self.header_names().count(target) if is_new and target is not None else 0
        if target is not None and (count > 1 or columns.count(target) > 1):
            raise DataError(
                f"{name}: {max(count, columns.count(target))} columns are named {target!r}, and one of them"
                " would tell the labels; give each its own name"
            )
        if target is None or target not in columns:
            wrong = "needs the column of the labels" if target is None else f"has no column {target!r}"
            advice = _separator_advice(columns) or f"write target: one of {quoted(columns)}"
            raise DataError(f"{name}: {wrong}; {advice}")
        return columns.index(target)


NO_TARGET = -1
"""The place of the targets in a table that has none."""


class _UnlabelledTable(_Table):
    """A table that may lack the column of the targets."""

    def targets(self, as_text: bool) -> npt.NDArray[Any]:
        """The targets; ``None`` where one is missing."""
        texts = self.texts(self.target) if as_text else None
        found = self.frame.iloc[:, self.target] if texts is None else texts
        return found.astype(object).where(found.notna(), None).to_numpy()

    def _place_of(self, target: str | None, is_new: bool) -> int:
        return self.columns.index(target) if target in self.columns else NO_TARGET


def _findings(table: _Table, test: _Table | None, options: ReadingOptions) -> Findings:
    """Find out which columns are no features, and whether labels are texts."""
    frame, header = table.frame, table.header_names()
    labels = frame.iloc[:, table.target]
    dropped, remarks = [], []
    given = {*options.drop, *options.keep, *(options.split or ())[1:]}
    for place in table.features:
        column = table.columns[place]
        if column in given:
            continue
        cells = frame.iloc[:, place]
        why = row_number(cells)
        if why is None and repeats_target(cells, labels):
            why = f"says the same as {table.columns[table.target]!r}"
        if why is not None:
            dropped.append(column)
            remarks.append(f"column {column!r} {why} and is left out; to use it, list it in task.table.keep")
        elif grows(cells):
            what = "grows or falls from row to row, as row numbers do"
            remarks.append(
                f"column {column!r} {what}; if it is none of the features, list it in task.table.drop"
            )
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        remarks.append(f"the header line has {quoted(repeated)} more than once")
    if any(_is_fraction(name) for name in header):
        remarks.append("the header line looks like a row of numbers; a table needs one with names")
    text_labels = False
    text_columns: dict[str, None] = {}
    for each in filter(None, (table, test)):
        if why := _why_text(each, each.target, "labels", "classes"):
            text_labels = True
            remarks.append(f"{each.name}: {why}")
        for place in each.features:
            column = each.columns[place]
            if column in dropped or column in options.drop or not each.holds_categories(place):
                continue
            if why := _why_text(each, place, "values", "categories"):
                text_columns[column] = None
                remarks.append(f"{each.name}: column {column!r}: {why}")
    return Findings(
        dropped=tuple(dropped),
        text_labels=text_labels,
        text_columns=tuple(text_columns),
        remarks=tuple(remarks),
    )


def _text_columns(kinds: Sequence[Column], options: ReadingOptions) -> list[str]:
    """Say which columns are taken for categories because they hold texts; no line if none is."""
    found = [kind for kind in kinds if kind.categories and kind.name not in options.categorical]
    if not found:
        return []
    named = listed(f"{kind.name} ({len(kind.categories)})" for kind in found)
    what = f"columns of text are taken for categories, one-hot: {named}"
    return [f"{what}; declare them in task.categorical, or drop them"]


def _why_text(table: _Table, place: int, what: str, names: str) -> str | None:
    """Say why cells of a text table must stay as they are written, or ``None`` where they need not.

    Args:
        table: the table.
        place: of a column.
        what: what the cells are, for the message.
        names: what they name.
    """
    texts, values = table.texts(place), table.frame.iloc[:, place]
    if texts is None:
        return None
    named = sorted(set(texts[texts.notna() & values.isna()]))
    others = values[values.notna()].unique()
    if named and all(isinstance(other, str) for other in others):
        return f"the {what} {quoted(named)} are read as names of {names}, not as missing"
    whole = texts[texts.notna() & values.notna()].str.strip().str.removeprefix("+")
    whole = whole[whole.str.fullmatch(r"-?\d+")]
    written = whole.groupby(values[whole.index]).unique()
    merged = next((sorted(forms) for forms in written if len(forms) > 1), None)
    if merged is None:
        return None
    return f"the {what} {quoted(merged)} are read as different {names}, and all {what} as text"


def _separator_advice(names: Sequence[str]) -> str | None:
    """Name the separator that the header line has instead of the one with which it was read."""
    mark = next((mark for mark in ";\t|," if len(names) == 1 and mark in names[0]), None)
    if mark is None:
        return None
    return f"write table: {{separator: {mark!r}}}, which the header line seems to have"


def _is_too_long(error: Exception) -> bool:
    import pandas as pd

    if isinstance(error, pd.errors.ParserError):
        return "Expected" in str(error)
    return isinstance(error, pd.errors.ParserWarning)


def _is_fraction(name: str) -> bool:
    return re.fullmatch(r"-?\d+[.,]\d+([eE][-+]?\d+)?", name) is not None

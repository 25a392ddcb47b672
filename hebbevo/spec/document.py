"""A space as plain data, with the line of every key: from a strict part of YAML 1.2, or from Python."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hebbevo.spec.field_types import is_scalar
from hebbevo.spec.messages import KeyPath, Problem, error_in_file, shown

_DEEPEST = 20  # Python's recursion limit is near at a depth of some hundreds


@dataclass
class Document:
    """A space as plain data, the line of every key and list item, and what can be no plain data.

    In a mapping of Python there are no lines; the keys and items count in their order instead.
    """

    data: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, problem: Problem) -> int:
        """The line of a problem; where its key is missing, that of the innermost mapping around it."""
        return self.lines[self._known(problem)] if problem.line is None else problem.line

    def in_order(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems in the order of their lines, and within a line in that of their keys."""
        order = {path: place for place, path in enumerate(self.lines)}
        return sorted(problems, key=lambda problem: (self.line(problem), order[self._known(problem)]))

    def _known(self, problem: Problem) -> KeyPath:
        """The longest part of a problem's path that the document has."""
        path = problem.path
        return next(path[:n] for n in range(len(path), -1, -1) if path[:n] in self.lines)


def load_document(path: Path) -> Document:
    """Read a YAML file whose values are plain; values that cannot be read become problems of the document.

    Raises:
        SpaceError: the file cannot be read, is not UTF-8, is not YAML, or holds no mapping.
    """
    text = _read_text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {chr(error.character)!r} cannot stand in YAML; remove it"
        raise error_in_file(path, line, "yaml", what) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"this is not YAML ({error.problem or error.context}); write key: value lines, evenly indented"
        raise error_in_file(path, mark.line + 1 if mark else 1, "yaml", what) from error
    if node is None:
        raise error_in_file(path, 1, "file", "this is empty; write version, name, task and genome")
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        what = "this is not a mapping; write version, name, task and genome"
        raise error_in_file(path, line, "file", what)
    document = Document()
    document.data = _plain_data(node, (), line, document)
    return document


def document_of(content: Mapping[Any, Any]) -> Document:
    """Read a mapping of Python, in which tuples, paths and NumPy's numbers and arrays may stand too."""
    document = Document()
    document.data = _from_python(content, (), document)
    return document


def _from_python(value: object, path: KeyPath, document: Document) -> object:
    """Turn a value into plain data, and note the order and the problems of everything in it."""
    document.lines[path] = len(document.lines)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping | list | tuple | range) and len(path) == _DEEPEST:
        document.problems.append(Problem(path, "nested too deeply; write fewer levels"))
        return None
    if isinstance(value, Mapping):
        data = {}
        for key, item in value.items():
            if isinstance(key, str):
                data[str(key)] = _from_python(item, (*path, key), document)
            else:
                document.problems.append(Problem((*path, str(key)), f"a key is text; write {str(key)!r}"))
        return data
    if isinstance(value, list | tuple | range):
        return [_from_python(item, (*path, i), document) for i, item in enumerate(value)]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


_TAG = "tag:yaml.org,2002:"
_TWO_READINGS = "two readings"


class _Loader(yaml.SafeLoader):
    """The composer of PyYAML with the types of YAML 1.2's core schema, and without aliases."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - those of PyYAML are of YAML 1.1
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="no aliases here", problem_mark=mark)
        if self._depth == _DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_FORMS = {
    f"{_TAG}null": r"~|null|Null|NULL|",
    f"{_TAG}bool": r"true|True|TRUE|false|False|FALSE",
    f"{_TAG}int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    f"{_TAG}float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    # in YAML 1.1 truth values, and numbers with underscores, to the base of 2 or of 60; in YAML 1.2 texts
    _TWO_READINGS: r"(?i:yes|no|on|off)|[-+]?0b[01_]+|[-+]?0x[0-9a-fA-F_]*_[0-9a-fA-F_]*"
    r"|[-+]?\.?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[-+]?[0-9]+\.[0-9_]*_[0-9_]*([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?",
}
"""The plain scalars that are no text, by tag. The first that fits counts."""

for _tag, _form in _FORMS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_form})$"), None)


def _integer(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text[2:] if base != 10 else text, base)


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _floating(text: str) -> float:
    return float(text.replace(".", "", 1) if text.lower().endswith(("inf", "nan")) else text)


_READERS: dict[str, Callable[[str], object]] = {
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": _boolean,
    f"{_TAG}int": _integer,
    f"{_TAG}float": _floating,
    f"{_TAG}str": str,
}


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        what = "this is a directory; write the path of a file in it"
        raise error_in_file(path, 1, "file", what) from error
    except OSError as error:
        what = f"cannot be read ({error.strerror}); write another path"
        raise error_in_file(path, 1, "file", what) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = "this is not UTF-8 text; save the file as UTF-8"
        raise error_in_file(path, line, "file", what) from error


def _plain_data(node: yaml.Node, path: KeyPath, line: int, document: Document) -> object:
    """Turn a node into plain data, and note the lines and the problems of everything under it."""
    document.lines[path] = line
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        data: dict[str, object] = {}
        for key, value in node.value:
            at = (*path, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            key_line = key.start_mark.line + 1
            if key.tag not in (f"{_TAG}str", _TWO_READINGS):
                what = "a key is text; write a name, in quotes if need be"
                document.problems.append(Problem(at, what, key_line))
            elif key.value == "<<" and key.style is None:
                document.problems.append(Problem(at, "nothing is merged here; write the keys out", key_line))
            elif key.value in data:
                what = f"stands here twice, first on line {document.lines[at]}; drop one"
                document.problems.append(Problem(at, what, key_line))
            else:
                data[key.value] = _plain_data(value, at, key_line, document)
        return data
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [
            _plain_data(item, (*path, i), item.start_mark.line + 1, document)
            for i, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.ScalarNode) and node.tag == _TWO_READINGS:
        what = f"{node.value} has two readings in YAML; write {_plainly(node.value)}, or the text in quotes"
        document.problems.append(Problem(path, what))
        return node.value
    if isinstance(node, yaml.ScalarNode) and node.tag in _READERS:
        try:
            if not re.fullmatch(_FORMS.get(node.tag, ".*"), node.value, re.DOTALL):  # under a tag in the file
                raise ValueError(node.value)
            value = _READERS[node.tag](node.value)
            if isinstance(value, int) and not is_scalar(value):
                raise ValueError(value)
            return value
        except ValueError:
            document.problems.append(Problem(path, f"{shown(node.value)} cannot be read; write it plainly"))
            return node.value
    document.problems.append(Problem(path, f"the tag {node.tag} has no use here; drop it"))
    return None


def _plainly(text: str) -> str:
    """How a scalar that has two readings can be written so that it has one."""
    if text.lower() in ("yes", "on", "no", "off"):
        return "true" if text.lower() in ("yes", "on") else "false"
    return "a length of time as 1m30s" if ":" in text else "the digits alone"

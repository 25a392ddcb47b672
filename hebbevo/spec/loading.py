"""Reading spaces: from files, which are found first, and from mappings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hebbevo import user_code
from hebbevo.errors import SpaceError
from hebbevo.messages import listed
from hebbevo.paths import expanded
from hebbevo.spec import single_rule
from hebbevo.spec.checks import problems
from hebbevo.spec.document import Document, document_of, load_document
from hebbevo.spec.messages import Problem, is_inside, key, one_a_place, one_line, raise_all
from hebbevo.spec.raw_data import mapping_at
from hebbevo.spec.schema import Spec
from hebbevo.spec.shipped_spaces import shipped


def read(where: str | Path) -> Spec:
    """Read and check a space file.

    >>> from hebbevo.spec import read
    >>> spec = read("stamina")
    >>> spec.task.dataset, spec.network.hidden
    ('digits', (128, 128))
    >>> [gene.name for gene in spec.space.genes][:2]
    ['unactivation_penalty', 'penalty_form']

    Args:
        where: a path, or the name of a shipped space file with or without ``.yaml``. A file that exists wins
            over a shipped one of the same name.

    Raises:
        SpaceError: there is no such file, or it cannot be used; the message is about the first line that is
            wrong, as ``FILE:LINE: KEY: what is wrong; what to write``. Each further line that is wrong is a
            note of the error (``__notes__``).
    """
    path = _find(where)
    document = load_document(path)
    raise_all(
        f"{path}:{document.line(problem)}: {key(problem.path)}: {problem.what}"
        for problem in _problems(document)
    )
    return Spec.model_validate(document.data)


def read_mapping(content: Mapping[str, Any], name: str | None = None) -> Spec:
    """Check a space that is given as plain data: the keys and values that a space file has.

    >>> from hebbevo.spec import read_mapping
    >>> gene = {"low": 0.01, "high": 100, "log": True}
    >>> spec = read_mapping({"task": {"dataset": "digits"}, "genome": {"unactivation_penalty": gene}})
    >>> spec.name, spec.search.trials
    ('digits', 500)

    Args:
        content: without ``version`` it is of version 1.
        name: its name if ``content`` has none; by default that of the data.

    Raises:
        SpaceError: it cannot be used; the message is about the first key that is wrong, as
            ``space: KEY: what is wrong; what to write``, and there is a note for each further one.
    """
    document = document_of(content)
    assert isinstance(document.data, dict)
    document.data.setdefault("version", 1)
    document.data.setdefault("name", file_name(name or mapping_at(document.data, "task").get("dataset")))
    raise_all(f"space: {key(problem.path)}: {problem.what}" for problem in _problems(document))
    return Spec.model_validate(document.data)


def _problems(document: Document) -> list[Problem]:
    """All problems in the order of the lines, one for each place."""
    unreadable = [each.path for each in document.problems]
    found = [*document.problems, *single_rule.genome_problems(document.data)]
    # what could not be read stands in the data as something else, which is no problem of its own
    found += [each for each in problems(document.data) if not is_inside(each.path, unreadable)]
    return one_a_place(document.in_order(found))


def file_name(origin: object) -> str:
    """The name of a data set, a file or a function, with only such characters as a space's name may have.

    >>> file_name("my data/wine red.csv"), file_name("mine.data:load")
    ('wine_red', 'load')
    """
    text = str(origin)
    last = text.rpartition(":")[2] if user_code.is_reference(text) else Path(text).stem
    return re.sub(r"[^A-Za-z0-9_.-]", "_", last).lstrip(".-")[:100] or "search"


def _find(where: str | Path) -> Path:
    path = expanded(where)
    if str(where) and os.path.exists(path):
        return path
    known = shipped()
    name = str(where).removesuffix(".yaml")
    if name not in known:
        what = f"there is no such file; write a path to a space file, or one of {listed(known)}"
        raise SpaceError(one_line(f"{where}: {what}"))
    return known[name]

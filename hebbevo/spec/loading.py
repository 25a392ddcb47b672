"""Finding and reading space files."""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path

from hebbevo.errors import SpaceError
from hebbevo.messages import listed
from hebbevo.paths import expanded
from hebbevo.spec import single_rule
from hebbevo.spec.checks import problems
from hebbevo.spec.document import load_document
from hebbevo.spec.messages import error_in_file, key, one_line
from hebbevo.spec.schema import Spec


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
            wrong, as ``FILE:LINE: KEY: what is wrong; what to write``.
    """
    path = _find(where)
    document = load_document(path)
    found = [*document.problems, *single_rule.genome_problems(document.data), *problems(document.data)]
    if found:
        first = min(found, key=document.line)
        raise error_in_file(path, document.line(first), key(first.path), first.what)
    return Spec.model_validate(document.data)


def shipped() -> dict[str, Path]:
    """Find the space files that ship with hebbevo, by name without ``.yaml``."""
    package = Path(str(importlib.resources.files("hebbevo")))
    inside = package / "search_spaces"  # where the wheel has them; a checkout has them beside the package
    folder = inside if inside.is_dir() else package.parent / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


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

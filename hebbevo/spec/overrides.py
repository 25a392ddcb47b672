"""Replacing settings of a spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack, cast

from hebbevo.spec.checks import problems
from hebbevo.spec.document import document_of
from hebbevo.spec.messages import KeyPath, key, one_a_place, raise_all
from hebbevo.spec.options import OPTIONS, Overrides
from hebbevo.spec.schema import Spec


def override(spec: Spec, **overrides: Unpack[Overrides]) -> Spec:
    """Replace some settings of a spec; those that are ``None`` stay.

    Settings of a sampler are dropped where another sampler replaces it. ``start`` must be genomes here.

    >>> from hebbevo.spec import override, read
    >>> override(read("stamina"), trials=20, seed=1).search.trials
    20

    Raises:
        SpaceError: the space file could not hold the value either; the message names the option. Further
            settings that do not fit are notes of the error.
        TypeError: there is no such setting.
    """
    if unexpected := overrides.keys() - OPTIONS.keys():
        raise TypeError(f"override() got an unexpected keyword argument {min(unexpected)!r}")
    document = document_of({name: value for name, value in overrides.items() if value is not None})
    given = cast(dict[str, object], document.data)
    raw = spec.to_json()
    if given.get("sampler", spec.search.sampler) != spec.search.sampler:
        raw["search"]["settings"] = {}
    for name, value in given.items():
        raw[OPTIONS[name].part][name] = value
    flags: dict[KeyPath, str] = {
        (option.part, name): option.flag
        for name, option in OPTIONS.items()
        # a data set that stays is the fault of the space file, not of the option
        if name != "dataset" or name in given
    }
    found = [
        *(replace(each, path=(OPTIONS[str(each.path[0])].part, *each.path)) for each in document.problems),
        *problems(raw),
    ]
    raise_all(
        f"{flags.get(problem.path, key(problem.path))}: {problem.what}" for problem in one_a_place(found)
    )
    return Spec.model_validate(raw)

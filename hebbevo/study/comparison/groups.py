"""Groups of studies: by default those whose settings are the same but for the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hebbevo.messages import listed
from hebbevo.spec.comparison import leaves
from hebbevo.spec.messages import shown
from hebbevo.study.view import Study

_NO_DIFFERENCE = {"name", "search.seed", "search.trials", "search.timeout", "task.dataset", "task.test"}
"""Settings that may differ within a group; of the trials, the number last asked for counts."""
_MOST_NAMED = 3  # differences in the name of a group


@dataclass(frozen=True)
class Group:
    """Studies that stand for one way to search.

    Attributes:
        name: unique among the groups that are compared.
        studies: at least one.
    """

    name: str
    studies: tuple[Study, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each study."""
        return tuple(int(study.settings["search"]["seed"]) for study in self.studies)


def grouped(studies: Sequence[Study]) -> list[Group]:
    """Group studies with the same settings but for the seed, in the order of the first study of each group.

    Groups are named after the settings in which they differ, as ``sampler ga``. Where too many differ, they
    have the name of the search, or else the place of their first study.
    """
    found: dict[str, list[Study]] = {}
    settings = {}
    for study in studies:
        own = _settings(study)
        key = json.dumps(own, sort_keys=True, default=str)
        found.setdefault(key, []).append(study)
        settings[key] = own
    names = _names([settings[key] for key in found], [group[0] for group in found.values()])
    return [Group(name, tuple(group)) for name, group in zip(names, found.values(), strict=True)]


def _settings(study: Study) -> dict[str, object]:
    own = {key: value for key, value in leaves(study.settings).items() if key not in _NO_DIFFERENCE}
    return own | {"search.trials": study.total, "genome": listed(study.settings["genome"])}


def _names(settings: Sequence[dict[str, object]], firsts: Sequence[Study]) -> list[str]:
    keys = dict.fromkeys(key for own in settings for key in own)
    differing = [key for key in keys if any(own.get(key) != settings[0].get(key) for own in settings)]
    if "genome" in differing and len(differing) > 1:
        differing.remove("genome")  # the order of genes is named where nothing else differs
    if 0 < len(differing) <= _MOST_NAMED:
        return [", ".join(f"{_short(key)} {_value(own.get(key))}" for key in differing) for own in settings]
    names = [study.name for study in firsts]
    return names if len({*names}) == len(names) else [str(study.store) for study in firsts]


def _short(key: str) -> str:
    """A setting without the section of the space file that it is in."""
    for section in ("genome.", "search.", "task.", "network.", "objectives.", "settings."):
        key = key.removeprefix(section)
    return key


def _value(value: object) -> str:
    return value if isinstance(value, str) else shown(value)
